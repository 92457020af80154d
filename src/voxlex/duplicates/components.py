"""Connected components of images, which are updated while pairs are found."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int


class Components:
    """The connected components of a growing set of pairs.

    Attributes:
        labels: Number of each image's component, 0 and up.
    """

    def __init__(self, labels: Sequence[int] | np.ndarray) -> None:
        """Start with components of images with equal labels; `np.arange(n)` joins no images."""
        self.labels: Int[np.ndarray, " n"] = np.asarray(labels)

    def apart(self, first: Int[np.ndarray, " p"], second: Int[np.ndarray, " p"]) -> Bool[np.ndarray, " p"]:
        """Tell which pairs of images lie in different components."""
        return np.not_equal(self.labels[first], self.labels[second])

    def all_one(self, first: Int[np.ndarray, " n"], second: Int[np.ndarray, " m"]) -> bool:
        """Tell whether all given images lie in a single component."""
        label = self.labels[first[0]]
        return bool((self.labels[first] == label).all() and (self.labels[second] == label).all())

    def join(self, first: Int[np.ndarray, " p"], second: Int[np.ndarray, " p"]) -> None:
        """Join the components of pairs of images."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        if not len(first):
            return
        count = int(self.labels.max()) + 1
        edges = (np.ones(len(first), np.int8), (self.labels[first], self.labels[second]))
        self.labels = connected_components(coo_array(edges, shape=(count, count)), directed=False)[1][self.labels]
