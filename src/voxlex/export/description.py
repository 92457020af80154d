"""What a user of exported graphs must know: inputs and outputs, how images are prepared, and what codes are."""

from collections.abc import Mapping
from typing import Any

import torch

from voxlex.config import DataConfig
from voxlex.export.graphs import Graph, Port
from voxlex.images.intensity import BRAIN_WINDOW, PERCENTILE
from voxlex.priors.conditions import Categorical, Conditions
from voxlex.run_folder import versions
from voxlex.vocabulary import Vocabulary

_TYPES = {torch.float32: "float32", torch.int64: "int64", torch.bool: "bool"}

_GREY = (
    "Map grey values to [0, 1] and clip: of 8 bits 0 to 255; of other pictures 0 (or the minimum, if it is negative) "
    f"to the maximum; of CT {BRAIN_WINDOW[0]:g} to {BRAIN_WINDOW[1]:g} HU; of other volumes 0 to the {PERCENTILE}th "
    "percentile of the voxels brighter than the mean, one map for all slices of a volume."
)


def description(vocabulary: Vocabulary, files: Mapping[str, Graph], *, name: str) -> dict[str, Any]:
    """Return a description of exported graphs that JSON can hold.

    Args:
        vocabulary: The vocabulary.
        files: The graphs by the names of their files.
        name: Name of the run.
    """
    autoencoder = vocabulary.autoencoder
    found = versions()
    return {
        "name": name,
        "versions": {package: found[package] for package in ("voxlex", "torch")},
        "images": {
            "channels": autoencoder.in_channels,
            "size": list(vocabulary.space),
            "sides_are_multiples_of": autoencoder.multiple_of,
            "range": [0, 1],
            "prepare": preparation(vocabulary.config.data, channels=autoencoder.in_channels),
        },
        "codes": [
            {
                "num_embeddings": layout.num_embeddings,
                "num_codebooks": layout.num_codebooks,
                "grid": list(layout.grid),
                "pixels_per_cell": vocabulary.space[0] // layout.grid[0],
            }
            for layout in vocabulary.layouts
        ],
        "conditions": _conditions(vocabulary.conditions),
        "graphs": {file: _graph(graph) for file, graph in files.items()},
    }


def preparation(data: DataConfig, *, channels: int) -> list[str]:
    """Return the steps from a scan to an image, in order."""
    size = data.size
    if data.spacing_mm is None:
        steps = [
            f"Of a volume, take {data.slices.axis} slices: the front or the top of the head is up, and the subject's "
            "right is on the left.",
            _GREY,
            f"Resize with a triangle filter, wider where the image is reduced, so that the longer side has {size} "
            f"pixels, in proportion to lengths in mm; put it in the middle of {size}×{size} zeros.",
        ]
        if channels == 1:
            steps.insert(1, "Of colours, take the luminance.")
        return steps
    return [
        _GREY,
        f"Resample linearly to {size}×{size}×{size} voxels of {data.spacing_mm:g} mm around the head, after a Gaussian "
        "filter where voxels become larger; zeros lie beyond the volume. The axes run from top to bottom, from front "
        "to back, and from the subject's right to the left.",
    ]


def _conditions(conditions: Conditions) -> list[dict[str, Any]]:
    """Return what the number of each condition means."""
    return [
        {
            "name": column.name,
            "number": "position among values, from 0"
            if isinstance(column, Categorical)
            else "2 (value - low) / (high - low) - 1",
            **described,
        }
        for column, described in zip(conditions.columns, conditions.describe(), strict=True)
    ]


def _graph(graph: Graph) -> dict[str, Any]:
    return {
        "does": graph.does,
        "inputs": [_port(port) for port in graph.inputs],
        "outputs": [_port(port) for port in graph.outputs],
    }


def _port(port: Port) -> dict[str, Any]:
    limits = {} if port.limits is None else {"range": list(port.limits)}
    shape = [axis if isinstance(axis, int) else str(axis) for axis in port.shape]
    return {"name": port.name, "type": _TYPES[port.dtype], "shape": shape, **limits, "meaning": port.meaning}
