"""The contract of every prior: score the codes of an image, and draw the codes of a new one."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor, nn

from voxlex.codes import CodeLayout, from_levels, levels_of
from voxlex.errors import CodesError
from voxlex.priors.conditions import Condition, Conditions
from voxlex.priors.draw import Draw, GuidedDraw, RandomDraw, resampled
from voxlex.priors.leaving_out import RestoringDraw
from voxlex.priors.level import Codebook, Given, Level, drawing
from voxlex.priors.watching import Watch, part_of_levels, watch_level
from voxlex.progress import Progress
from voxlex.streams import Randomness, streams_for
from voxlex.types import Codes, GivenCodes, GivenLevels, Levels, Logits


class Prior(nn.Module, ABC):
    """A probability distribution p(codes | condition) over the codes of images, with likelihood and sampling.

    It is the generative component of the VQ-VAE (van den Oord et al., 1711.00937, section 3.3): trained on the codes of
    a frozen autoencoder, its samples are decoded into new images.

    The codes of a prior over a single level are one tensor, those of a prior over several are a tuple, coarsest first.

    Attributes:
        conditions: What it can be asked for; none for an unconditional prior.
        exact: Whether `log_prob` is the log-likelihood itself, or a lower bound of it.
    """

    conditions: Conditions
    exact: bool

    @property
    @abstractmethod
    def levels(self) -> tuple[Level, ...]:
        """The prior of each level, coarsest first; of a single level, the prior itself."""

    @property
    def layouts(self) -> tuple[CodeLayout, ...]:
        """Layout of the codes of each level, coarsest first."""
        return tuple(prior.layout for prior in self.levels)

    @property
    def device(self) -> torch.device:
        """Where the weights are, and where samples are drawn."""
        return next(self.parameters()).device

    def start(self, codes: GivenCodes | GivenLevels, codebook: Codebook | Sequence[Codebook] | None = None) -> None:
        """Begin training at the empirical marginals, with codes alike that have similar vectors.

        The outputs become the frequencies of the training codes. The codebooks' standardised vectors, turned at random,
        become the embeddings and, small, the rows of the output layers; training moves both on. The turns are drawn
        from torch's own generator, as initial weights are.

        Args:
            codes: Training codes.
            codebook: The codebooks' vectors, for several levels one tensor for each; None leaves the embeddings.

        Raises:
            CodesError: If the codes do not have this prior's layout.
            ValueError: If a codebook does not have one vector for each code.
        """
        codebooks = [None] * len(self.levels) if codebook is None else levels_of(codebook)
        for prior, own, vectors in zip(self.levels, self._checked(codes), codebooks, strict=True):
            prior._start(own, vectors)

    def forward(
        self, codes: GivenCodes | GivenLevels, condition: Condition | None = None, context: GivenLevels = ()
    ) -> Logits | tuple[Tensor, ...]:
        """Return the teacher-forced logits of every code.

        Those of a code depend on the true codes before it, never on the code itself.

        Args:
            codes: Codes in [0, K) of this prior's layout.
            condition: What is known of each image, encoded by `conditions`, NaN where it is not known; None means
                that nothing is.
            context: Codes of the coarser levels in `Level.context`.

        Raises:
            CodesError: If codes or context do not have the layout they should.
            ValueError: If the condition does not fit `conditions`.
        """
        return from_levels([prior._logits(own, given) for prior, own, given in self._each(codes, condition, context)])

    def code_log_probs(
        self, codes: GivenCodes | GivenLevels, condition: Condition | None = None, context: GivenLevels = ()
    ) -> Float[Tensor, "b q *grid"] | tuple[Tensor, ...]:
        """Return the log-probability of each code given the codes before it, in nats: where an image is surprising."""
        each = self._each(codes, condition, context)
        return from_levels([prior._code_log_probs(own, given) for prior, own, given in each])

    def log_prob(
        self, codes: GivenCodes | GivenLevels, condition: Condition | None = None, context: GivenLevels = ()
    ) -> Float[Tensor, "b"]:
        """Return the log-likelihood log p(codes | condition) of each image, in nats; a lower bound unless `exact`."""
        scores = [
            prior._code_log_probs(own, given).flatten(1).sum(dim=1)
            for prior, own, given in self._each(codes, condition, context)
        ]
        return torch.stack(scores).sum(dim=0)

    def loss(
        self, codes: GivenCodes | GivenLevels, condition: Condition | None = None, context: GivenLevels = ()
    ) -> Float[Tensor, ""]:
        """Return the mean negative log-likelihood in nats per code; divide by ln 2 for bits.

        The mean is over every code of every image, of all levels together.
        """
        each = self._each(codes, condition, context)
        losses = [prior._loss(own, given) * prior.layout.codes_per_image for prior, own, given in each]
        return torch.stack(losses).sum() / sum(layout.codes_per_image for layout in self.layouts)

    def sample(
        self,
        n: int,
        *,
        condition: Condition | None = None,
        context: GivenLevels = (),
        guidance: float = 1.0,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        generator: Randomness = None,
        progress: Progress | None = None,
        watch: Watch | None = None,
    ) -> Int64[Tensor, "n q *grid"] | Levels:
        """Draw the codes of new images; the same generator state gives the same codes on the same machine.

        Each image has random numbers of its own. So the first images are the same whatever `n` is, except where
        rounding, which depends on the size of a batch, tips a draw.

        `temperature`, `top_k`, `top_p` and `min_p` are applied in this order; see `RandomDraw`.

        Args:
            n: How many, at least 1.
            condition: What is wanted of each, encoded by `conditions`, NaN where any will do; None means everywhere.
            context: Codes of the coarser levels in `Level.context`, of each image.
            guidance: How far to go from the distribution of all images (0) to that of the condition (1), and beyond
                it. Other than 1 it doubles the work, and needs a condition and a prior that was trained with some
                conditions hidden.
            temperature: Divides the logits: 1 samples the prior itself, towards 0 takes the likeliest code each time.
            top_k: Draw each code from this many of the likeliest.
            top_p: Draw each code from the fewest that together have this share of the probability, in (0, 1].
            min_p: Draw each code from those at least this many times as likely as the likeliest, in [0, 1].
            generator: Source of randomness: a stream for each image, or a generator that gives the seed of streams;
                None uses torch's own.
            progress: Called with the number of cells drawn so far and the number there are.
            watch: Called as often with what is drawn by then. It does not change what is drawn.

        Raises:
            CodesError: If the context does not have the layouts it should.
            ValueError: If a value is out of range, or the condition does not fit.
        """
        if n < 1:
            raise ValueError(f"n: expected at least 1, got {n}")
        streams = streams_for(n, generator, device=self.device)
        draw: Draw = RandomDraw(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, generator=streams)
        rows = n
        if guidance != 1:
            draw = GuidedDraw(draw, guidance=guidance)
            rows, condition = 2 * n, self.conditions.with_and_without(condition, n)
            context = tuple(codes.repeat(2, *[1] * (codes.ndim - 1)) for codes in context)
        drawn = list(context)
        for place, prior in enumerate(self.levels):
            part = part_of_levels(progress, self.layouts, place)
            seen = watch_level(watch, tuple(drawn[len(context) :]), n)
            given = tuple(drawn)
            drawn.append(prior.draw_with(draw, rows, condition=condition, context=given, progress=part, watch=seen))
        return from_levels([codes[:n] for codes in drawn[len(context) :]])

    def complete(
        self,
        codes: Int64[Tensor, "q *grid"] | tuple[Tensor, ...],
        hidden: Shaped[Tensor, "..."] | tuple[Tensor, ...],
        *,
        n: int = 1,
        condition: Condition | None = None,
        temperature: float = 1.0,
        candidates: int = 8,
        generator: Randomness = None,
        progress: Progress | None = None,
    ) -> Int64[Tensor, "n q *grid"] | Levels:
        """Draw the hidden cells of an image anew, given the others.

        An autoregressive prior sees only what comes before a cell. So for each result it draws several candidates, and
        one of them is chosen with the probability that its cells give to the known cells after them: sampling and
        importance resampling (Rubin, 1988), exact as the number of candidates grows. Over several levels candidates are
        resampled after each level, which makes a particle filter. A masked prior sees all known cells of a level, and
        needs no candidates.

        Args:
            codes: Codes of one image, for several levels a tuple; those of hidden cells do not matter, but lie in
                [0, K).
            hidden: The cells to draw, at least one: true, or any number but 0. For several levels a tuple of masks.
            n: How many times, each on its own.
            condition: One row, for this image.
            temperature: Divides the logits.
            candidates: For each result, at least 1.
            generator: Source of randomness: a stream for each image, or a generator that gives the seed of streams;
                None uses torch's own.
            progress: Called with the number of cells drawn so far and the number there are.

        Raises:
            CodesError: If the codes do not have this prior's layout.
            ValueError: If a value is out of range, or a mask has another shape, or nothing is hidden.
        """
        known = [own[0].to(self.device) for own in self._checked(tuple(own[None] for own in levels_of(codes)))]
        masks = self._checked_masks(levels_of(hidden))
        if min(n, candidates) < 1:
            raise ValueError(f"expected n >= 1 and candidates >= 1, got {n} and {candidates}")
        if all(prior.sees_all_known for prior in self.levels):
            candidates = 1
        streams = streams_for(n, generator, device=self.device)
        draw = RandomDraw(temperature=temperature, generator=streams.divided(candidates))
        drawn: Levels = ()
        with drawing(self):
            for place, prior in enumerate(self.levels):
                rows = condition if condition is None else condition.expand(n * candidates, -1)
                given = prior._given(n * candidates, rows, drawn)
                part = part_of_levels(progress, self.layouts, place)
                own, evidence = prior._complete(known[place], masks[place], given, draw, part)
                last = place == len(self.levels) - 1
                chosen = resampled(evidence.view(n, candidates), 1 if last else candidates, streams)
                drawn = tuple(level[chosen] for level in (*drawn, own))
        return from_levels([level.clone() for level in drawn])

    @torch.no_grad()
    def surprise(
        self, codes: GivenCodes | GivenLevels, condition: Condition | None = None, *, side: int = 1
    ) -> Float[Tensor, "b q *grid"] | tuple[Tensor, ...]:
        """Return −log p of each code, in nats, given as many of the other codes as the prior can see.

        A masked prior hides blocks of cells and sees all cells around them: each code is left out once, together with
        the others of its block, in 4 passes for a grid of two axes and 8 for three. An autoregressive prior sees the
        codes before a cell alone. The codes of a finer level also depend on all codes of the coarser ones.

        Args:
            codes: Codes in [0, K) of this prior's layout.
            condition: What is known of each image, encoded by `conditions`; None means that nothing is.
            side: Cells along each side of a block; larger blocks find larger things that do not belong. Only masked
                priors have blocks.

        Raises:
            CodesError: If codes do not have the layout they should.
            ValueError: If the condition does not fit `conditions`, or the side is below 1.
        """
        each = self._each(codes, condition, ())
        return from_levels([prior._surprise(own, given, side) for prior, own, given in each])

    def restore(
        self,
        codes: GivenCodes | GivenLevels,
        *,
        n: int = 1,
        threshold: float = 0.005,
        side: int = 1,
        condition: Condition | None = None,
        generator: Randomness = None,
        progress: Progress | None = None,
    ) -> Int64[Tensor, "n_b q *grid"] | tuple[Tensor, ...]:
        """Draw the unlikely codes of images anew, and keep the likely ones (Pinaya et al., MedIA 2022).

        An autoregressive prior goes through the cells in its order, and judges each code given the codes before it as
        they are by then. A masked prior judges all codes of a block given all cells outside of it as they were. Finer
        levels are judged given the restored coarser ones.

        Args:
            codes: Codes of images, of this prior's layout.
            n: How many times, each on its own.
            threshold: Probability, in (0, 1], below which a code is drawn anew; 1 draws all.
            side: Cells along each side of a block; see `surprise`.
            condition: What is known of each image, encoded by `conditions`; None means that nothing is.
            generator: Source of randomness: a stream for each result, or a generator that gives the seed of streams;
                None uses torch's own.
            progress: Called with the number of cells drawn so far and the number there are.

        Returns:
            Codes of n · b images: the first restoration of each image, then the second of each, and so on.

        Raises:
            CodesError: If codes do not have the layout they should.
            ValueError: If a value is out of range, or the condition does not fit.
        """
        levels = self._checked(codes)
        if n < 1:
            raise ValueError(f"n: expected at least 1, got {n}")
        rows = n * len(levels[0])
        given_rows = len(levels[0]) if len(self.levels) == 1 and self.levels[0].sees_all_known else rows
        if condition is not None and given_rows > len(condition):
            condition = condition.repeat(n, 1)
        inner = RandomDraw(generator=streams_for(rows, generator, device=self.device))
        restored: Levels = ()
        with drawing(self):
            for place, prior in enumerate(self.levels):
                own = levels[place].repeat(n, *[1] * (levels[place].ndim - 1))
                draw = RestoringDraw(inner, known=own, threshold=threshold)
                given = prior._given(given_rows, condition, restored)
                part = part_of_levels(progress, self.layouts, place)
                restored = (*restored, prior._restore(own, given, draw, side, part))
        return from_levels([level.clone() for level in restored])

    def _each(
        self, codes: GivenCodes | GivenLevels, condition: Condition | None, context: GivenLevels
    ) -> Iterator[tuple[Level, Codes, Given]]:
        """Iterate over the levels: the prior, its codes, and what is given besides them."""
        levels = self._checked(codes)
        for place, prior in enumerate(self.levels):
            yield prior, levels[place], prior._given(len(levels[0]), condition, (*context, *levels[:place]))

    def _checked(self, codes: GivenCodes | GivenLevels) -> Levels:
        """Return the codes of each level as int64; refuse those that do not have the layouts of this prior."""
        levels = levels_of(codes)
        if len(levels) != len(self.levels):
            raise CodesError(f"expected codes of {len(self.levels)} levels, got {len(levels)}")
        levels = tuple(layout.check(own).to(self.device) for layout, own in zip(self.layouts, levels, strict=True))
        if len({len(own) for own in levels}) > 1:
            raise CodesError(f"expected codes of as many images at each level, got {[len(own) for own in levels]}")
        return levels

    def _checked_masks(self, hidden: Sequence[Tensor]) -> list[Bool[Tensor, "..."]]:
        """Return where to draw, on each level's grid."""
        masks = [mask.bool().to(self.device) for mask in hidden]
        shapes, grids = [tuple(mask.shape) for mask in masks], [layout.grid for layout in self.layouts]
        if shapes != grids or not any(mask.any() for mask in masks):
            found = f"{from_levels(shapes)}, {sum(int(mask.sum()) for mask in masks)} hidden"
            raise ValueError(f"hidden: expected a mask {from_levels(grids)} that hides a cell or more, got {found}")
        return masks


class LevelPrior(Level, Prior):
    """A prior over the codes of a single level, which is what each kind derives from."""

    @property
    def levels(self) -> tuple[Level, ...]:
        """The prior itself, which is that of its only level."""
        return (self,)
