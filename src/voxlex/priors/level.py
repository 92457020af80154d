"""One level of a prior: what all kinds share, from embedding to head."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from voxlex.codes import CodeLayout
from voxlex.errors import CodesError
from voxlex.priors.conditions import Condition, ConditionEmbedding, Conditions
from voxlex.priors.depth import DepthHead
from voxlex.priors.draw import CompletingDraw, Draw
from voxlex.priors.embedding import CodeEmbedding, ContextEmbedding
from voxlex.priors.leaving_out import RestoringDraw
from voxlex.priors.watching import WatchLevel
from voxlex.progress import Progress
from voxlex.types import Codes, GivenLevels, Logits

Codebook = Float[Tensor, "_ _ _"]
"""Vectors `(q, k, d)` of the codebooks of one level."""


class Given(NamedTuple):
    """What a level's prior is given besides the codes that it scores or has drawn.

    Attributes:
        condition: Embedded condition of each image.
        context: Features of each cell from the coarser levels; None if there are none.
    """

    condition: Float[Tensor, "n c"]
    context: Float[Tensor, "n *grid c"] | None


class Level(nn.Module, ABC):
    """A distribution over the codes of one level. A subclass gives `_features` and `_sample`, which must agree.

    It may be given the codes of coarser levels. Every cell sees them, also the cells that come first, and so its
    conditionals stay exact.

    Args:
        layout: Layout of the codes.
        context: Layouts of the coarser levels that it is given.
        conditions: What it can be asked for; None for an unconditional prior.
        width: Size of the features from which the codes of a cell are drawn.
        embedding_dim: Size of the vectors that stand for the codes of a cell at the input.
        condition_dropout: Share of training images, in [0, 1), of which a condition is hidden, so that a conditional
            prior also learns the distribution given only some of them, or none.
        network: The subclass's own modules, which become attributes.
        grouped: Choose a code in two steps, by a `GroupedSoftmax`.

    Attributes:
        sees_all_known: Whether it completes an image with all known cells in sight, also those after a hidden one.
        recordable: Whether the work of a training step never depends on numbers that are on the device, so that a CUDA
            graph can record it.

    Raises:
        ValueError: If an argument is out of range.
    """

    exact: bool = True
    sees_all_known: ClassVar[bool] = False
    recordable: ClassVar[bool] = False

    def __init__(
        self,
        *,
        layout: CodeLayout,
        context: Sequence[CodeLayout] = (),
        conditions: Conditions | None = None,
        width: int,
        embedding_dim: int,
        condition_dropout: float,
        network: Mapping[str, nn.Module],
        grouped: bool = False,
    ) -> None:
        super().__init__()
        if not 0 <= condition_dropout < 1:
            raise ValueError(f"condition_dropout: expected a share in [0, 1), got {condition_dropout}")
        self.layout = layout
        self.context = tuple(context)
        self.conditions = conditions or Conditions()
        self.embedding = CodeEmbedding(layout, embedding_dim=embedding_dim)
        # Optimizers know parameters by their order, and states to resume from have been stored in this one.
        for name, module in network.items():
            self.add_module(name, module)
        self.conditioning = ConditionEmbedding(self.conditions, width=width, dropout=condition_dropout)
        self.head = DepthHead(layout, width=width, grouped=grouped)
        self.context_embedding = ContextEmbedding(self.context, grid=layout.grid, width=width) if context else None

    def draw_with(
        self,
        draw: Draw,
        n: int,
        *,
        condition: Condition | None = None,
        context: GivenLevels = (),
        progress: Progress | None = None,
        watch: WatchLevel | None = None,
    ) -> Int64[Tensor, "n q *grid"]:
        """Go through `n` images code by code and let `draw` choose each; what samplers and entropy coders call.

        Args:
            draw: Chooses the codes.
            n: How many, at least 1.
            condition: What is known of each image, encoded by `conditions`; None means that nothing is.
            context: Codes of the coarser levels in `context`.
            progress: Called with the number of cells drawn so far and the number there are.
            watch: Called as often with what is drawn by then.

        Raises:
            CodesError: If the context does not have the layouts it should.
            ValueError: If the number is too small, or the condition does not fit.
        """
        if n < 1:
            raise ValueError(f"n: expected at least 1, got {n}")
        with drawing(self):
            codes = self._sample(self._given(n, condition, context), draw, progress, watch)
        # Tensors of inference mode cannot be scored with gradients; a clone can.
        return codes.clone()

    @abstractmethod
    def _features(self, codes: Codes, given: Given) -> Float[Tensor, "b *grid c"]:
        """Return what is known of each cell from the cells before it."""

    @abstractmethod
    def _sample(
        self, given: Given, draw: Draw, progress: Progress | None, watch: WatchLevel | None = None
    ) -> Int64[Tensor, "n q *grid"]:
        """Draw code grids, each code chosen by `draw` from the logits that `forward` would give it."""

    def _logits(self, codes: Codes, given: Given) -> Logits:
        return self.head(self._features(codes, given), codes)

    def _code_log_probs(self, codes: Codes, given: Given) -> Float[Tensor, "b q *grid"]:
        return self.head.log_probs(self._features(codes, given), codes)

    def _loss(self, codes: Codes, given: Given) -> Float[Tensor, ""]:
        return -self._code_log_probs(codes, given).mean()

    def _complete(
        self,
        codes: Int64[Tensor, "q *grid"],
        hidden: Bool[Tensor, "*grid"],
        given: Given,
        draw: Draw,
        progress: Progress | None,
    ) -> tuple[Int64[Tensor, "n q *grid"], Float[Tensor, "n"]]:
        """Draw the hidden cells; also return the log-probability of the known ones, given those before them."""
        completing = CompletingDraw(draw, known=codes, hidden=hidden)
        drawn = self._sample(given, completing, progress)
        return drawn, completing.evidence.expand(len(drawn))

    def _surprise(self, codes: Codes, given: Given, side: int) -> Float[Tensor, "b q *grid"]:
        """Return −log p of each code given the codes before it, which is all that an ordered prior can see."""
        return -self._code_log_probs(codes, given)

    def _restore(
        self, codes: Codes, given: Given, draw: RestoringDraw, side: int, progress: Progress | None
    ) -> Int64[Tensor, "n q *grid"]:
        """Go through images in the order of the prior, and let `draw` keep their codes or choose others."""
        return self._sample(given, draw, progress)

    def _start(self, codes: Codes, codebook: Codebook | None) -> None:
        q, k = self.layout.num_codebooks, self.layout.num_embeddings
        if codebook is not None and codebook.shape[:2] != (q, k):
            raise ValueError(f"expected a codebook (q, k, d) = ({q}, {k}, d), got {tuple(codebook.shape)}")
        counts = [torch.bincount(chosen.flatten(), minlength=k) for chosen in codes.unbind(dim=1)]
        self.head.start(torch.stack(counts), codebook)
        if codebook is not None:
            self.embedding.start(codebook)

    def _given(self, n: int, condition: Condition | None, context: GivenLevels) -> Given:
        """Embed what is given besides the codes, after checking it."""
        if len(context) != len(self.context):
            raise CodesError(f"context: expected codes of {len(self.context)} coarser levels, got {len(context)}")
        context = tuple(
            layout.check(codes, name="context") for layout, codes in zip(self.context, context, strict=True)
        )
        for codes in context:
            if len(codes) != n:
                raise CodesError(f"context: expected the codes of {n} images, got {len(codes)}")
        device = self.embedding.weight.device
        embedded = self.conditioning(self.conditions.resolve(condition, n).to(device))
        if self.context_embedding is None:
            return Given(embedded, None)
        return Given(embedded, self.context_embedding(tuple(codes.to(device) for codes in context)))


@contextmanager
def drawing(module: nn.Module) -> Iterator[None]:
    """Put a module in eval mode, without gradients and autocast, which would round the conditionals."""
    was_training = module.training
    module.eval()
    try:
        with torch.inference_mode(), torch.autocast(next(module.parameters()).device.type, enabled=False):
            yield
    finally:
        module.train(was_training)


def check_network(
    layout: CodeLayout, *, kernel_size: int, least_kernel_size: int, dropout: float, **sizes: int
) -> None:
    """Raise ValueError if a network for codes of this layout cannot be built with these arguments."""
    if len(layout.grid) not in (2, 3):
        raise ValueError(f"layout: expected a grid of two or three axes, got {layout.grid}")
    if kernel_size < least_kernel_size or kernel_size % 2 == 0:
        raise ValueError(f"kernel_size: expected an odd number of at least {least_kernel_size}, got {kernel_size}")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout: expected a share in [0, 1), got {dropout}")
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name}: expected at least 1, got {size}")
