"""What speaks for a place not belonging: how unlikely its codes are, and how it differs from what would be likely."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from voxlex.anomaly.fields import Maps, blurred, enlarged
from voxlex.codes import levels_of
from voxlex.models import Autoencoder
from voxlex.models.base import as_weights_of
from voxlex.priors import MaskedPrior, Prior
from voxlex.streams import Streams
from voxlex.types import Image, Latents, Levels

Evidence = Literal["reconstruction", "wide reconstruction", "surprise", "difference", "shift", "distance"]
"""A kind of raw score; see `Examination`."""

SIGNED: frozenset[Evidence] = frozenset({"shift"})
"""Kinds of which low scores are as strange as high ones."""

_SMOOTH: dict[Evidence, float] = {
    "reconstruction": 1 / 128,
    "wide reconstruction": 1 / 51,
    "difference": 1 / 128,
    "shift": 1 / 43,
    "distance": 1 / 43,
}
"""Standard deviation by which maps are smoothed, as a share of the side: single pixels are noise."""


@dataclass(frozen=True, kw_only=True)
class Examination:
    """Computes raw scores of images, the higher the stranger.

    - "reconstruction": the absolute difference from the decoded codes of the image. An autoencoder of healthy scans
      decodes what it has not seen less well, but often well enough. "wide reconstruction" is its mean over a wider
      neighbourhood.
    - "surprise": −log p of each code, in nats, given all cells around it as far as the prior sees them.
    - "distance": the squared distance of the latents of each cell from those that the prior expects there. Codes that
      are unlikely and mean nearly the same as likely ones do not count here.
    - "difference": the absolute difference of the image from what the decoder makes of the expected latents.
    - "shift": the same difference with its sign, as a mean over a neighbourhood. Where tissue is brighter or darker as
      a whole, it stays; where edges are a little elsewhere, it is zero.

    What is expected depends on the prior. A masked prior hides each cell and looks at it from all sides: with one code
    in each cell, the expected latents are the mean of all codewords, weighted by their probability; otherwise the mean
    of several draws. An autoregressive prior draws those codes alone that are less likely than the threshold, in its
    order (`Prior.restore`).

    Attributes:
        autoencoder: The autoencoder, in eval mode.
        prior: The prior over its codes, in eval mode; None is enough for "reconstruction".
        draws: Number of draws, where some are needed.
        threshold: Probability below which an autoregressive prior draws a code anew (Pinaya et al., MedIA 2022).
    """

    autoencoder: Autoencoder
    prior: Prior | None
    draws: int = 2
    threshold: float = 0.005

    def __post_init__(self) -> None:
        if self.draws < 1:
            raise ValueError(f"draws: expected at least 1, got {self.draws}")

    @torch.no_grad()
    def __call__(self, images: Image, wanted: tuple[Evidence, ...], *, seed: int = 0) -> Mapping[Evidence, Maps]:
        """Return raw scores of each wanted kind, on the CPU.

        Args:
            images: Images of the vocabulary's size, in [0, 1].
            wanted: The kinds.
            seed: Seed of the draws.
        """
        x = images.to(self.autoencoder.device)
        levels = levels_of(self.autoencoder.encode(x))
        own = self.autoencoder.latents(levels)
        found: dict[Evidence, Maps] = {}
        if {"reconstruction", "wide reconstruction"} & set(wanted):
            error = self._difference(x, own).abs()
            found |= {"reconstruction": error, "wide reconstruction": error}
        if "surprise" in wanted:
            found["surprise"] = self._surprise(levels, tuple(x.shape[2:]))
        if {"difference", "shift", "distance"} & set(wanted):
            expected = self._expected(levels, seed)
            shift = self._difference(x, expected)
            distance = (own - expected).float().square().sum(dim=1)
            found |= {"difference": shift.abs(), "shift": shift, "distance": enlarged(distance, tuple(x.shape[2:]))}
        return {kind: blurred(found[kind], _SMOOTH.get(kind, 0) * x.shape[-1]).float().cpu() for kind in wanted}

    def _surprise(self, levels: Levels, space: tuple[int, ...]) -> Maps:
        """Return the surprise, summed over the codebooks and the levels of each place."""
        total = torch.zeros(len(levels[0]), *space, device=self.autoencoder.device)
        for level in levels_of(self._known_prior.surprise(levels)):
            total = total + enlarged(level.sum(dim=1).float(), space)
        return total

    def _expected(self, levels: Levels, seed: int) -> Latents:
        """Return the latents that the prior expects in each cell."""
        prior, (quantizer, *others) = self._known_prior, self.autoencoder.quantizers
        if isinstance(prior, MaskedPrior) and not others and quantizer.num_codebooks == 1:
            every = torch.arange(quantizer.num_embeddings, device=prior.device)
            vectors = quantizer.decode(every.view(1, 1, -1, *[1] * (levels[0].ndim - 3)))
            return prior.expected_vectors(levels[0], vectors[0].flatten(1).T)
        threshold = 1.0 if all(level.sees_all_known for level in prior.levels) else self.threshold
        streams = Streams(seed, range(self.draws * len(levels[0])), device=prior.device)
        codes = prior.restore(levels, n=self.draws, threshold=threshold, generator=streams)
        return self.autoencoder.latents(levels_of(codes)).unflatten(0, (self.draws, -1)).mean(dim=0)

    def _difference(self, x: Image, latents: Latents) -> Maps:
        """Return the difference of images from what the decoder makes of latents, the mean over channels."""
        decoder: Callable[[Tensor], Tensor] = self.autoencoder.decoder
        decoded = decoder(as_weights_of(self.autoencoder.decoder, latents)).float().clamp(0, 1)
        return (x - decoded).mean(dim=1)

    @property
    def _known_prior(self) -> Prior:
        if self.prior is None:
            raise ValueError("prior: expected one for this kind of evidence, got none")
        return self.prior
