"""The objectives of autoencoder and prior: what they optimize, and how they are validated."""

import warnings
from collections.abc import Hashable, Mapping
from typing import NamedTuple

import torch
from jaxtyping import Int64
from torch import Tensor

from voxlex import metrics
from voxlex.codes import concatenate, for_each_level, levels_of, take
from voxlex.config import StageConfig
from voxlex.data.dataset import PreparedDataset
from voxlex.health import counts_of, health_of
from voxlex.losses import reconstruction_losses
from voxlex.models import Autoencoder
from voxlex.priors.base import Prior
from voxlex.priors.conditions import Condition
from voxlex.rows import batches, evenly_spaced
from voxlex.training.augmentation import Augmentation
from voxlex.training.image_rows import ImageRows, fits_on
from voxlex.training.objective import OnePlayer, Step
from voxlex.training.patches import Patches
from voxlex.training.pictures import Shown
from voxlex.training.player import Player
from voxlex.types import Codes, Image, Levels

_VALIDATION_PIXELS = 2**20
"""Pixels or voxels of all images of a validation: 64 images of 128×128."""


def held_out_images(validation: PreparedDataset, *, at_most: int) -> Image:
    """Return held-out images, evenly spaced, but no more than a validation soon is through with.

    Validation takes time from the training, so there are at most 2²⁰ pixels or voxels, or 8 images if they are larger.
    """
    most = max(_VALIDATION_PIXELS // validation.images[0].size, 8)
    return validation.tensor(evenly_spaced(len(validation), min(at_most, most)))


def in_batches(images: Image, rows: Int64[Tensor, " m"]) -> list[Int64[Tensor, " _"]]:
    """Return rows of images in batches for a validation."""
    return [rows[some] for some in batches(len(rows), pixels_per_image=images[0].numel(), at_most=32)]


class AutoencoderObjective(OnePlayer[Image]):
    """Stage one: reconstruct images through the codebook (1711.00937, equation 3).

    Args:
        autoencoder: The model to train.
        training: Training images.
        validation: Held-out images, of which at most `validation_images` are used.
        schedule: Optimizer settings and schedule.
        loss_weights: Weight of each reconstruction term, by its name in `losses.RECONSTRUCTION_LOSSES`.
        continuous_share: Share of the budget, at its start, in which latents are not quantized. The noise of an
            untrained codebook would suppress the finer dimensions of the latents, which do not recover. This lets them
            develop first.
        patches: Patches to train on instead of whole images. Validation always uses whole images.
        augmentation: Augmentation of training images. Validation always uses unchanged images.
        validation_images: Largest number of images for validation; fewer of volumes.
    """

    name = "autoencoder"

    def __init__(
        self,
        *,
        autoencoder: Autoencoder,
        training: PreparedDataset,
        validation: PreparedDataset,
        schedule: StageConfig,
        loss_weights: Mapping[str, float],
        continuous_share: float = 0.0,
        patches: Patches | None = None,
        augmentation: Augmentation | None = None,
        validation_images: int = 64,
    ) -> None:
        self.result = self.autoencoder = autoencoder
        self.player = Player.scheduled(autoencoder, schedule)
        self.players = {"autoencoder": self.player}
        self.images = ImageRows(training, patches=patches, augmentation=augmentation)
        self.rows = len(training)
        self.loss_weights = dict(loss_weights)
        self.continuous_share = continuous_share
        self.warning: str | None = None
        self.held_out = held_out_images(validation, at_most=validation_images)

    def keep_on(self, device: torch.device) -> bool:
        """Keep the training images on a GPU, if they fit there."""
        return self.images.keep_on(device)

    def load(self, rows: Int64[Tensor, " b"], *, step: int) -> Image:
        """Load images or patches, and vary them if there is an augmentation."""
        return self.images.load(rows, step=step)

    def expect_more(self, more: bool) -> None:
        """Let the codebooks wait for all parts of a batch."""
        for quantizer in self.autoencoder.quantizers:
            quantizer.expect_more(more)

    def begin(self, *, progress: float) -> None:
        """Let the quantizers follow their schedules."""
        for quantizer in self.autoencoder.quantizers:
            quantizer.anneal(max(progress - self.continuous_share, 0) / (1 - self.continuous_share))

    def work(self, *, progress: float) -> Hashable | None:
        """Return whether latents are quantized, if the quantizers can be recorded."""
        recordable = all(quantizer.recordable for quantizer in self.autoencoder.quantizers)
        return self._quantizes(progress) if recordable and not self.autoencoder.checkpoint_activations else None

    def forward(self, batch: Image, *, progress: float) -> Step:
        """Reconstruct a batch; the codebooks learn from it."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "latents: expected finite", RuntimeWarning)  # `alarm` says so
            outputs = self.player.on_devices(batch, quantize=self._quantizes(progress))
        losses = reconstruction_losses(outputs.x_hat, batch, self.loss_weights) | dict(outputs.losses)

        def measure() -> dict[str, float]:
            x_hat = outputs.x_hat.detach().float().clamp(0, 1)
            figures = {"psnr_db": float(metrics.psnr_db(x_hat, batch).mean())}
            if self._left_out:
                figures["latents_left_out"] = self._left_out
            if outputs.codes is None:
                return figures
            return figures | {"codes_in_use": sum(len(level.unique()) for level in levels_of(outputs.codes))}

        return Step(losses=losses, measure=measure)

    @torch.no_grad()
    def validate(self, *, progress: float) -> dict[str, float]:
        """Return L1, PSNR and SSIM of held-out images and, once there are codes, perplexity and usage of the codebooks.

        With several levels, the figures of codebooks are named as in `Health.figures`, such as `0.perplexity`.
        """
        per_image: list[Tensor] = []
        codes: list[Codes | Levels] = []
        seen: list[Shown] = []
        every = torch.arange(len(self.held_out))
        for rows in self.in_pieces(in_batches(self.held_out, self.own_rows(every))):
            x = self.held_out[rows].to(self.autoencoder.device)
            outputs = self.player.on_devices(x, quantize=self._quantizes(progress))
            x_hat = outputs.x_hat.float().clamp(0, 1)
            measures = [metrics.l1(x_hat, x), metrics.psnr_db(x_hat, x), metrics.ssim(x_hat, x)]
            per_image.append(torch.stack(measures, dim=1))
            codes += [] if outputs.codes is None else [outputs.codes]
            seen.append(Shown.of(x, x_hat))
        self.shown = self.shown_of_all(seen, rows=len(every))
        means = self.of_all(torch.cat(per_image), rows=len(every)).mean(dim=0)
        figures = dict(zip(("l1", "psnr_db", "ssim"), means.tolist(), strict=True))
        self.warning = None
        if codes:
            of_all = for_each_level(lambda level: self.of_all(level, rows=len(every)), concatenate(codes))
            health = health_of(self.autoencoder.quantizers, counts_of(self.autoencoder.quantizers, of_all))
            named = {name.removeprefix("codebook."): value for name, value in health.figures.items()}
            figures |= {name: value for name, value in named.items() if name.endswith(("perplexity", "usage"))}
            self.warning = "; ".join(health.warnings) or None
        return figures

    def alarm(self, *, progress: float) -> str | None:
        """Return a warning about latents that were left out, or a codebook that collapses after a time to learn."""
        alarms = [self.warning] if self.warning and progress >= self.continuous_share + 0.1 else []
        if self._left_out:
            alarms.append(
                f"codebooks left out {self._left_out} latents that were not finite or far too long; "
                "try a lower --training.autoencoder.learning-rate"
            )
        return "; ".join(alarms) or None

    @property
    def _left_out(self) -> int:
        return sum(quantizer.left_out for quantizer in self.autoencoder.quantizers)

    def _quantizes(self, progress: float) -> bool:
        return progress >= self.continuous_share


class CodeBatch(NamedTuple):
    """Codes of images, and the condition of each image."""

    codes: Codes | Levels
    condition: Condition

    def rows(self, rows: Int64[Tensor, " b"]) -> "CodeBatch":
        """Return some of the rows."""
        return CodeBatch(take(self.codes, rows), self.condition[rows])


class PriorObjective(OnePlayer[CodeBatch]):
    """Stage two: model the code grids of the frozen autoencoder (1711.00937, section 3.3).

    With few images, a prior starts to memorise them long before its budget is spent. So the weights that predict
    held-out codes best are kept.

    Args:
        prior: The model to train.
        training: Codes and conditions of the training images.
        validation: Codes and conditions of held-out images, of which at most `validation_images` are used.
        schedule: Optimizer settings and schedule.
        validation_images: Largest number of images for validation.
    """

    name = "prior"
    yardstick = "bits_per_code"

    def __init__(
        self,
        *,
        prior: Prior,
        training: CodeBatch,
        validation: CodeBatch,
        schedule: StageConfig,
        validation_images: int = 128,
    ) -> None:
        self.result = self.prior = prior
        self.player = Player.scheduled(prior, schedule, forward_methods=["loss"])
        self.players = {"prior": self.player}
        self.training = training
        self.rows = len(training.condition)
        chosen = torch.as_tensor(evenly_spaced(len(validation.condition), validation_images))
        self.validation_batches = [validation.rows(rows) for rows in chosen.split(32)]

    def keep_on(self, device: torch.device) -> bool:
        """Keep the training codes on a GPU, if they fit there."""
        codes, condition = self.training
        fits = fits_on(device, sum(level.nbytes for level in levels_of(codes)))
        if fits:
            self.training = CodeBatch(for_each_level(lambda level: level.to(device), codes), condition.to(device))
        return fits

    def load(self, rows: Int64[Tensor, " b"], *, step: int) -> CodeBatch:
        """Load codes and conditions."""
        return self.training.rows(rows.to(self.training.condition.device))

    def work(self, *, progress: float) -> Hashable | None:
        """Return the same for all steps, if the prior can be recorded."""
        return "likelihood" if all(level.recordable for level in self.prior.levels) else None

    def forward(self, batch: CodeBatch, *, progress: float) -> Step:
        """Compute the negative log-likelihood of a batch, in nats per code."""
        nll = self.player.compute("loss", *batch)
        return Step(losses={"nll": nll}, measure=lambda: {"bits_per_code": metrics.bits(float(nll.detach()))})

    @torch.no_grad()
    def validate(self, *, progress: float) -> dict[str, float]:
        """Return the bits per code of the held-out codes."""
        device = self.prior.device
        count, found = len(self.validation_batches), list[Tensor]()
        own = self.own_rows(torch.arange(count)).tolist()  # masks of a masked prior depend on the whole batch
        for place in self.in_pieces(own):
            codes, condition = self.validation_batches[place]
            on_device = for_each_level(lambda level: level.to(device), codes)
            found.append(self.player.compute("loss", on_device, condition.to(device)).cpu().double())
        nats = self.of_all(torch.stack(found), rows=count)
        sizes = nats.new_tensor([len(batch.condition) for batch in self.validation_batches])
        return {"bits_per_code": metrics.bits(float((nats * sizes).sum() / sizes.sum()))}
