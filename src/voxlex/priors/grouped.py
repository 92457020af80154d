"""A softmax over many codewords in two steps: a group of codewords that are alike, then one of the group."""

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

_ROWS = 8192
"""Rows whose logits of all codes are computed at a time on a GPU: 128 MiB in half precision with K = 8192."""


class GroupedSoftmax(nn.Module):
    """Exact distribution p(c | x) = p(group of c | x) p(c | group, x) with about √K groups of √K codes.

    A class-based softmax (Goodman, cs/0108006). To score a code takes the logits of the groups and those of the codes
    in its own group: about 2√K instead of K, so that a larger codebook costs little more. All K are computed to draw.

    Args:
        num_embeddings: Number of codes K.
        width: Size of the features.
    """

    place: Tensor

    def __init__(self, num_embeddings: int, *, width: int) -> None:
        super().__init__()
        self.in_features = width
        self.groups = 2 ** math.ceil(math.log2(num_embeddings) / 2)
        self.size = math.ceil(num_embeddings / self.groups)
        bound = width**-0.5
        self.to_groups = nn.Linear(width, self.groups)
        self.weight = nn.Parameter(torch.empty(self.groups, self.size, width).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(self.groups, self.size))
        self.register_buffer("place", self._places(torch.arange(num_embeddings)))

    def forward(self, features: Float[Tensor, "*n d"]) -> Float[Tensor, "*n k"]:
        """Return the log-probabilities of all codes, in nats."""
        members = functional.linear(features, self.weight.flatten(0, 1), self._biases().flatten())
        precise = torch.promote_types(members.dtype, torch.float32)
        within = members.unflatten(-1, (self.groups, self.size)).to(precise).log_softmax(dim=-1)
        groups = self.to_groups(features).to(precise).log_softmax(dim=-1)
        return (within + groups.unsqueeze(-1)).flatten(-2).index_select(-1, self.place)

    def log_probs(self, features: Float[Tensor, "n d"], codes: Int64[Tensor, "n"]) -> Float[Tensor, "n"]:
        """Return the log-probability of each code, in nats and at least float32."""
        places = self.place[codes]
        group = places // self.size
        own = self._of_each_group(features, group) if features.is_cpu else self._of_all_groups(features, group)
        return _log_probs(own, places % self.size) + _log_probs(self.to_groups(features), group)

    def _of_each_group(self, features: Float[Tensor, "n d"], group: Int64[Tensor, "n"]) -> Float[Tensor, "n s"]:
        """Return the logits of the codes of a group for each row, by a product for each group."""
        order = group.argsort()
        counts = torch.bincount(group, minlength=self.groups).tolist()
        # Products of changing size are slow in bfloat16: each size is prepared anew.
        with torch.autocast(features.device.type, enabled=False):
            rows = features[order].to(torch.promote_types(features.dtype, self.weight.dtype)).split(counts)
            parts = zip(rows, self.weight.to(rows[0].dtype), self._biases().to(rows[0].dtype), strict=True)
            members = torch.cat([functional.linear(*part) for part in parts if len(part[0])])
        return torch.empty_like(members).index_copy(0, order, members)

    def _of_all_groups(self, features: Float[Tensor, "n d"], group: Int64[Tensor, "n"]) -> Float[Tensor, "n s"]:
        """Return the same from products with all codes: far more work, in few large steps, which a GPU is faster at."""
        weight, bias = self.weight.flatten(0, 1), self._biases().flatten()
        return torch.cat(
            [
                functional.linear(some, weight, bias)
                .unflatten(1, (self.groups, self.size))
                .take_along_dim(chosen.view(-1, 1, 1), dim=1)
                .squeeze(1)
                for some, chosen in zip(features.split(_ROWS), group.split(_ROWS), strict=True)
            ]
        )

    @torch.no_grad()
    def start(self, log_probs: Float[Tensor, "k"], weight: Float[Tensor, "k d"] | None = None) -> None:
        """Begin with a distribution, with groups of codes that are alike.

        Args:
            log_probs: Log-probability of each code where features are zero.
            weight: A vector for each code, by which it will depend on the features; None leaves the weights.
        """
        if weight is not None:
            self.place.copy_(self._places(_alike(weight, self.groups)))
        inside = self.bias.new_full((self.groups * self.size,), -math.inf)
        inside[self.place] = log_probs.to(inside)
        inside = inside.view(self.groups, self.size)
        whole = inside.logsumexp(dim=1)
        self.to_groups.bias.copy_(whole)
        self.bias.copy_(torch.where(inside.isfinite(), inside - whole.unsqueeze(1), 0.0))
        if weight is not None:
            own = self.weight.new_zeros(self.groups * self.size, weight.shape[1])
            own[self.place] = weight.to(own)
            own = own.view_as(self.weight)
            mean = own.sum(dim=1) / inside.isfinite().sum(dim=1, keepdim=True)
            self.to_groups.weight.copy_(mean)
            self.weight.copy_(own - mean.unsqueeze(1))

    def _places(self, order: Int64[Tensor, "k"]) -> Int64[Tensor, "k"]:
        """Return the place of each code among `groups · size`, where `order` lists the codes group by group."""
        sizes = _sizes(len(order), self.groups)
        places = [torch.arange(size) + group * self.size for group, size in enumerate(sizes)]
        return torch.empty_like(order).index_copy_(0, order, torch.cat(places).to(order.device))

    def _biases(self) -> Float[Tensor, "g s"]:
        """Return the biases of codes within their groups; of places without a code, -inf."""
        if self.groups * self.size == len(self.place):
            return self.bias
        empty = torch.ones(self.bias.numel(), dtype=torch.bool, device=self.place.device)
        return self.bias.masked_fill(empty.index_fill(0, self.place, False).view_as(self.bias), -math.inf)


def _log_probs(logits: Float[Tensor, "n k"], chosen: Int64[Tensor, "n"]) -> Float[Tensor, "n"]:
    precise = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return -functional.cross_entropy(precise, chosen, reduction="none")


def _sizes(codes: int, groups: int) -> list[int]:
    """Return the sizes of groups, a power of two, after halving again and again."""
    if groups == 1:
        return [codes]
    return _sizes(codes - codes // 2, groups // 2) + _sizes(codes // 2, groups // 2)


def _alike(vectors: Float[Tensor, "k d"], groups: int) -> Int64[Tensor, "k"]:
    """Order vectors by groups of equal size: halve them along the direction of their largest spread, then each half."""
    order = torch.arange(len(vectors), device=vectors.device)
    if groups == 1 or len(vectors) < 2:
        return order
    centred = vectors.double() - vectors.double().mean(dim=0)
    direction = torch.linalg.eigh(centred.mT @ centred).eigenvectors[:, -1]
    order = (centred @ direction).argsort(stable=True)
    first, second = order.split([len(order) - len(order) // 2, len(order) // 2])
    return torch.cat([half[_alike(vectors[half], groups // 2)] for half in (first, second)])
