"""How a prior sees what it is conditioned on: one vector for each image."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from voxlex.priors.conditions import Categorical, Condition, Conditions


class ConditionEmbedding(nn.Module):
    """One vector for each image: the sum of the embeddings of its conditions, through a SiLU so that they may interact.

    Args:
        conditions: What each number of a condition means.
        width: Size of the vectors.
        dropout: Share of the images of which a condition is hidden in training, in [0, 1); see `hide`.
    """

    def __init__(self, conditions: Conditions, *, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout
        self.shared = nn.Parameter(torch.zeros(width))
        self.columns = nn.ModuleList(
            CategoryEmbedding(len(column.values), width) if isinstance(column, Categorical) else NumberEmbedding(width)
            for column in conditions.columns
        )

    def forward(self, condition: Condition) -> Float[Tensor, "b c"]:
        """Embed the conditions of images."""
        if self.training and self.dropout:
            condition = hide(condition, self.dropout)
        total = self.shared.expand(len(condition), -1)
        for embed, encoded in zip(self.columns, condition.unbind(dim=1), strict=True):
            total = total + embed(encoded)
        return functional.silu(total)


class CategoryEmbedding(nn.Module):
    """A vector for each of the values of a categorical column, and one for a value that is not known."""

    def __init__(self, values: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(values + 1, width)

    def forward(self, encoded: Float[Tensor, "b"]) -> Float[Tensor, "b c"]:
        """Embed positions among the values."""
        return self.table(encoded.nan_to_num(nan=self.table.num_embeddings - 1).long())


class NumberEmbedding(nn.Module):
    """A projection of Fourier features (Tancik et al., 2006.10739) of a number, and a vector for one not known.

    The features are sin(2^k π x / 2) and cos(2^k π x / 2), k = 0 … 3, of x in [-1, 1]: the first sine rises from end to
    end, the last pair tells apart what lies a sixteenth of the range from each other.
    """

    octaves = 4

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(2 * self.octaves, width)
        self.unknown = nn.Parameter(torch.zeros(width))

    def forward(self, encoded: Float[Tensor, "b"]) -> Float[Tensor, "b c"]:
        """Embed numbers in [-1, 1]."""
        x = encoded.nan_to_num().to(self.unknown.dtype)
        octaves = 2.0 ** torch.arange(self.octaves, dtype=x.dtype, device=x.device)
        angles = x.unsqueeze(1) * octaves * (math.pi / 2)
        projected = self.project(torch.cat([angles.sin(), angles.cos()], dim=1))
        return torch.where(encoded.isnan().unsqueeze(1), self.unknown, projected)


def hide(condition: Condition, share: float) -> Condition:
    """Make each number NaN with probability `share`, in half of these cases together with all others of its image.

    So a prior learns the distributions given some of the conditions, and, for classifier-free guidance (Ho and
    Salimans, 2207.12598), the one given none.
    """
    together = torch.rand(len(condition), 1, device=condition.device) < share / 2
    # What is left of `share` to those that are not hidden together: 1 − (1 − share) / (1 − share / 2).
    alone = torch.rand(condition.shape, device=condition.device) < share / (2 - share)
    return condition.masked_fill(together | alone, math.nan)
