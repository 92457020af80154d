"""Settings of code levels: codes on one grid, or on several grids from coarse to fine."""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, Literal

from annotated_types import Len

from voxlex.config.defaults import defaults_of
from voxlex.config.quantizers import VectorQuantizerConfig
from voxlex.config.settings import ByKind, Count, Depth, Kind, Settings, unfit

_VQVAE2 = defaults_of("models/vqvae2.py", "VQVAE2")


@dataclass(frozen=True, kw_only=True)
class LevelsSettings(Settings):
    """What all arrangements of levels have in common.

    Attributes:
        kind: Arrangement of the codes: single, multi_scale or vqvae2. Another kind than the recipe's starts from its
            own defaults.
    """

    kind: str

    @property
    def coarsest(self) -> int:
        """Side of a cell of the coarsest level, in cells of the finest."""
        return 1


@dataclass(frozen=True, kw_only=True)
class SingleLevelConfig(LevelsSettings):
    """Codes on one grid."""

    kind: Kind[Literal["single"]] = "single"


@dataclass(frozen=True, kw_only=True)
class MultiScaleConfig(LevelsSettings):
    """Codes from coarse to fine, where each level quantizes what the coarser ones have left over.

    Attributes:
        scales: Side of a cell of each level, in cells of the finest level. Each is a multiple of the next, and the last
            is 1.
        coarse: The quantizer of each level but the finest, with as long codewords as that of the finest.
    """

    kind: Kind[Literal["multi_scale"]] = "multi_scale"
    scales: Annotated[tuple[Count, ...], Len(2, 8)] = (4, 2, 1)
    coarse: VectorQuantizerConfig = field(default_factory=lambda: VectorQuantizerConfig(num_embeddings=512))

    @property
    def coarsest(self) -> int:
        """Side of a cell of the coarsest level, in cells of the finest."""
        return self.scales[0]

    def check(self) -> None:
        """Raise an error if a scale is not a larger multiple of the next, or the last is not 1."""
        pairs = pairwise(self.scales)
        if self.scales[-1] != 1 or any(coarse <= fine or coarse % fine for coarse, fine in pairs):
            raise unfit("scales", expected="multiples of each other, the last of them 1, as in 4 2 1", got=self.scales)


@dataclass(frozen=True, kw_only=True)
class VQVAE2Config(LevelsSettings):
    """Two levels with networks between them.

    Attributes:
        scale: Side of a cell of the top level, in cells of the bottom level; a power of two above 1.
        blocks: Number of residual blocks of each network between the levels.
        coarse: The quantizer of the top level.
    """

    kind: Kind[Literal["vqvae2"]] = "vqvae2"
    scale: Count = _VQVAE2.scale
    blocks: Depth = _VQVAE2.blocks
    coarse: VectorQuantizerConfig = field(default_factory=lambda: VectorQuantizerConfig(num_embeddings=512))

    @property
    def coarsest(self) -> int:
        """Side of a cell of the top level, in cells of the bottom level."""
        return self.scale

    def check(self) -> None:
        """Raise an error if the scale is not a power of two above 1."""
        if self.scale < 2 or self.scale & (self.scale - 1):
            raise unfit("scale", expected="2, 4, 8 or another power of two", got=self.scale)


LevelsConfig = Annotated[SingleLevelConfig | MultiScaleConfig | VQVAE2Config, ByKind("single")]
