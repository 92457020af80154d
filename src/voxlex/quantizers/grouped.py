"""Grouped quantization, in which each part of a latent vector has its own codebook."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from voxlex.quantizers.base import Quantized, Quantizer
from voxlex.quantizers.composed import check_alike, mean_losses, quantizers
from voxlex.types import Codes, GivenCodes, Latents


class GroupedQuantizer(Quantizer):
    """Splits a latent into groups of channels and quantizes each separately (Jégou et al., 2011).

    This is product quantization. With q groups of K codewords, a cell takes one of K^q values, but only q·K codewords
    are searched and learned.

    ```
    groups = [VectorQuantizer(num_embeddings=32, embedding_dim=4) for _ in range(2)]
    quantizer = GroupedQuantizer(groups=groups)
    quantized = quantizer(z_e)                 # z_e: (b, 8, *grid); codes: (b, 2, *grid)
    ```

    Args:
        groups: One quantizer for each group. Each has one codebook, and all have the same K and d, where d is the
            number of channels in a group.

    Raises:
        ValueError: If the groups do not match each other.
    """

    def __init__(self, *, groups: Sequence[Quantizer]) -> None:
        check_alike(groups)
        super().__init__(
            num_embeddings=groups[0].num_embeddings,
            embedding_dim=sum(group.embedding_dim for group in groups),
            num_codebooks=len(groups),
        )
        self.groups = nn.ModuleList(groups)
        self.recordable = all(group.recordable for group in groups)

    def forward(self, z_e: Latents) -> Quantized:
        """Quantize each group of channels. In training mode, the codebooks also learn."""
        with torch.autocast(z_e.device.type, enabled=False):
            passes = [group(part) for group, part in self._parts(z_e)]
            z_q = torch.cat([quantized.z_q for quantized in passes], dim=1)
        return Quantized(
            z_q=z_q,
            codes=torch.cat([quantized.codes for quantized in passes], dim=1),
            losses=mean_losses([quantized.losses for quantized in passes]),
        )

    def encode(self, z_e: Latents) -> Codes:
        """Return the code of each group."""
        return torch.cat([group.encode(part) for group, part in self._parts(z_e)], dim=1)

    def decode(self, codes: GivenCodes) -> Latents:
        """Return the codewords of all groups, concatenated along the channels, in float32."""
        codes = self.check_codes(codes)
        return torch.cat(
            [group.decode(part) for group, part in zip(quantizers(self.groups), codes.split(1, dim=1), strict=True)],
            dim=1,
        )

    def codewords(self) -> Float[Tensor, "q k v"]:
        """Return each group's codebook."""
        return torch.cat([group.codewords() for group in quantizers(self.groups)])

    def codeword_norms(self) -> Float[Tensor, "q k"]:
        """Return the lengths of each group's codewords."""
        return torch.cat([group.codeword_norms() for group in quantizers(self.groups)])

    def continuous(self, z_e: Latents) -> Latents:
        """Return what each group would pass on without rounding."""
        with torch.autocast(z_e.device.type, enabled=False):
            return torch.cat([group.continuous(part) for group, part in self._parts(z_e)], dim=1)

    @property
    def equal_use(self) -> bool:
        """Whether all parts aim at equal use."""
        return all(part.equal_use for part in quantizers(self.groups))

    def anneal(self, progress: float) -> None:
        """Advance the schedule of each group."""
        for group in quantizers(self.groups):
            group.anneal(progress)

    def _parts(self, z_e: Latents) -> list[tuple[Quantizer, Tensor]]:
        self.check_latents(z_e)
        parts = z_e.split(self.embedding_dim // self.num_codebooks, dim=1)
        return list(zip(quantizers(self.groups), parts, strict=True))
