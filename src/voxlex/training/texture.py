"""The objective of the textured decoder, with gauges that keep it from doing harm."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from lightning_fabric import Fabric
from torch import Tensor

from voxlex import metrics
from voxlex.codes import levels_of
from voxlex.config import TextureStageConfig
from voxlex.data.dataset import PreparedDataset
from voxlex.data.phantoms.lesions import Planted
from voxlex.evaluation.lesions import kept_contrast, largest_change, plant_small
from voxlex.losses import log_spectrum_loss, reconstruction_losses
from voxlex.models import Autoencoder
from voxlex.models.texture import TexturedDecoder
from voxlex.training.augmentation import Augmentation
from voxlex.training.critic import PatchCritic, critic_loss
from voxlex.training.image_rows import ImageRows
from voxlex.training.objective import Objective, Step, mean_step, parts_of
from voxlex.training.objectives import held_out_images, in_batches
from voxlex.training.patches import Patches
from voxlex.training.pictures import Shown
from voxlex.training.player import Player
from voxlex.types import Codes, Image, Levels

LIMITS: Mapping[str, float] = {
    "psnr_loss_db": 1.0,
    "psnr_loss_with_noise_db": 3.0,
    "ssim_loss": 0.015,
    "worst_psnr_loss_db": 2.0,
    "detail_energy_excess": 0.1,
    "detail_correlation_loss": 0.03,
    "low_pass_error": 1.25,
    "codes_lost": 0.15,
    "lesion_change": 0.2,
    "lesion_made": 0.5,
}
"""How far the textured decoder may go. Losses are counted from the faithful decoder.

- `psnr_loss_db`, `ssim_loss` and `worst_psnr_loss_db` are decreases of the means, and of the PSNR of the worst image,
  for images without their noise. Noise costs PSNR and SSIM, however real it looks.
- `psnr_loss_with_noise_db` is the decrease with noise. A decoder that draws what codes leave open has at best 3 dB less
  than one that answers with the mean (Blau and Michaeli, 1711.06077).
- `detail_energy_excess` is by how much the energy of fine detail exceeds that of the images, as a share of it.
- `detail_correlation_loss` is the decrease of the correlation of fine detail with that of the images, without noise.
- `low_pass_error` is the mean absolute error without fine detail, divided by that of the faithful decoder.
- `codes_lost` is the decrease of the share of codes that stay the same when images without noise are encoded again.
- `lesion_change` is the mean change of the contrast of planted lesions, as a share of it.
- `lesion_made` is the largest change of an image at the size of a lesion, in contrasts of a lesion.
"""

_PATIENCE = 4
"""Number of validations in a row beyond a limit after which training ends."""

_AIM = 0.9
"""Share of the nearest limit that the loss weights are adjusted to reach."""

_SLOWEST, _FASTEST = 0.25, 1.5
"""Smallest and largest factor on the loss weights at a validation."""

_FIRST = 0.25
"""Share of the loss weights with which training begins."""

_BEYOND = 10.0
"""Weight of what is beyond a limit, against the distance of the spectra."""

_EXACT_DB = 100.0
"""PSNR that counts as exact."""

_CRITIC_BEGINS = 0.15
"""Share of the training in which the weight of the critic rises."""

_CALM = 0.95


class TextureObjective(Objective[Image]):
    """Teach a decoder the fine detail that codes do not contain, while the encoder and the codebook stay as they are.

    The losses of the autoencoder ask for the mean of all details that a code may stand for, which is smooth. They are
    those of the image without its noise, since they would forbid any. The difference of local log-spectra asks for as
    much detail as images have, noise included. If it has a weight, a critic that judges
    patches is trained against the decoder. Its gradient is scaled to that of the other losses, as in VQGAN (Esser et
    al., 2012.09841, equation 7).

    Held-out images are decoded by both decoders at each validation. The weights whose local spectra are nearest to
    those of the images are kept, among those within all `LIMITS`. The weights of the two losses begin low. They rise
    within the limits, up to those that were given, and are lowered beyond a limit. Training ends if it stays beyond.

    Args:
        autoencoder: The trained autoencoder, on the device and in eval mode. It is not changed.
        texture: The decoder to train.
        training: Training images.
        validation: Held-out images, of which at most `validation_images` are used.
        schedule: Optimizer settings, schedule, and the weights of the two losses that ask for detail.
        loss_weights: Weights of the reconstruction terms, as for the autoencoder.
        patches: Patches to train on instead of whole images.
        augmentation: Augmentation of training images.
        validation_images: Largest number of images for validation; fewer of volumes.
    """

    name = "texture"
    yardstick = "distance"
    begins_well = True

    def __init__(
        self,
        *,
        autoencoder: Autoencoder,
        texture: TexturedDecoder,
        training: PreparedDataset,
        validation: PreparedDataset,
        schedule: TextureStageConfig,
        loss_weights: Mapping[str, float],
        patches: Patches | None = None,
        augmentation: Augmentation | None = None,
        validation_images: int = 32,
    ) -> None:
        self.autoencoder = autoencoder
        self.result = self.texture = texture
        self.player = Player.scheduled(texture, schedule, forward_methods=["parts"])
        self.players = {"texture": self.player}
        self.loss_weights = dict(loss_weights)
        self.spectrum_weight, self.critic_weight = schedule.spectrum_weight, schedule.critic_weight
        self.critic: Player | None = None
        if self.critic_weight:
            dims = autoencoder.spatial_dims
            critic = PatchCritic(in_channels=autoencoder.in_channels, spatial_dims=dims)
            self.critic = self.players["critic"] = Player.scheduled(critic, schedule)
        self.scale: Tensor | None = None
        self.pull = _FIRST
        self.images = ImageRows(training, patches=patches, augmentation=augmentation)
        self.rows = len(training)
        self.held_out = held_out_images(validation, at_most=validation_images)
        self.beyond: list[str] = []
        self.times_beyond = 0

    def keep_on(self, device: torch.device) -> bool:
        """Keep the training images on a GPU, if they fit there."""
        return self.images.keep_on(device)

    def load(self, rows: Int64[Tensor, " b"], *, step: int) -> Image:
        """Load images or patches, and vary them if there is an augmentation."""
        return self.images.load(rows, step=step)

    def update(self, fabric: Fabric, batch: Image, *, progress: float) -> Step:
        """Take a step towards images with the detail of real ones, and a step of the critic."""
        steps: list[Step] = []
        seen: list[tuple[Image, Image, Image]] = []
        self.player.optimizer.zero_grad()
        for place, part in enumerate(parts_of(batch, self.accumulate)):
            with self.player.adding_up(fabric, more=place + 1 < self.accumulate):
                losses, drawn, faithful = self._losses(fabric, part, progress=progress)
                fabric.backward(torch.stack(list(losses.values())).sum() / self.accumulate)
            steps.append(Step(losses=losses, measure=dict))
            seen.append((part, drawn.detach(), faithful))
        if self.player.accepts(self.player.clipped(fabric)):
            self.player.optimizer.step()
        if self.critic is not None:
            self._teach(self.critic, fabric, seen)
        return mean_step(steps)

    def _teach(self, critic: Player, fabric: Fabric, seen: list[tuple[Image, Image, Image]]) -> None:
        """Take a step of the critic."""
        critic.optimizer.zero_grad()
        for place, (real, drawn, faithful) in enumerate(seen):
            with critic.adding_up(fabric, more=place + 1 < len(seen)):
                scores = [critic.on_devices(images, faithful).float() for images in (real, drawn)]
                fabric.backward(critic_loss(*scores) / len(seen))
        if critic.accepts(critic.clipped(fabric)):
            critic.optimizer.step()

    def _losses(
        self, fabric: Fabric, batch: Image, *, progress: float
    ) -> tuple[dict[str, Float[Tensor, ""]], Image, Image]:
        """Return the losses of a batch, what the decoder draws, and what the autoencoder decodes for the critic."""
        with torch.no_grad(), fabric.autocast():
            z_q = self.autoencoder.latents(levels_of(self.autoencoder.encode(batch)))
            faithful = self.autoencoder.decoder(z_q).float() if self.critic else batch
        plain, grain = self.player.compute("parts", z_q, torch.randn_like(batch))
        losses = reconstruction_losses(plain.float(), batch, self.loss_weights)
        drawn = plain.float() + grain.float()
        if self.spectrum_weight:
            losses["detail"] = self.pull * self.spectrum_weight * log_spectrum_loss(drawn, batch)
        if self.critic is not None:
            losses["critic"] = self._against_critic(drawn, faithful, losses, progress=progress)
        return losses, drawn, faithful

    def _against_critic(
        self, drawn: Image, faithful: Image, losses: Mapping[str, Tensor], *, progress: float
    ) -> Float[Tensor, ""]:
        """Return the loss that asks for high scores, on the scale of the other losses."""
        assert self.critic is not None
        adversarial = -self.critic.on_devices(drawn, faithful).float().mean()
        total = torch.stack(list(losses.values())).sum()
        wanted, own = (torch.autograd.grad(loss, drawn, retain_graph=True)[0].norm() for loss in (total, adversarial))
        scale = (wanted / own.clamp(min=1e-8)).clamp(max=1e3)
        self.scale = scale if self.scale is None else self.scale.lerp(scale, 1 - _CALM)
        return self.pull * self.critic_weight * min(progress / _CRITIC_BEGINS, 1) * self.scale * adversarial

    @torch.no_grad()
    def validate(self, *, progress: float) -> dict[str, float]:
        """Return the distance of the local spectra, plus what is beyond the limits, and the gauges."""
        generator = torch.Generator().manual_seed(0)
        every = torch.arange(len(self.held_out))
        noise, planted = self._drawn(generator)
        own = self.in_pieces(in_batches(self.held_out, self.own_rows(every)))
        part = _Gauges.joined([self._gauged(self.held_out[rows], noise[rows], planted.rows(rows)) for rows in own])
        found = _Gauges(**{name: self.of_all(values, rows=len(every)) for name, values in vars(part).items()})
        self.shown = Shown.joined([Shown.of(found.x, found.drawn)])
        measured = {name: value for name, value in found.against_limits().items() if not math.isnan(value)}
        self.beyond = [
            f"{name} {value:.3g} instead of at most {LIMITS[name]:g}"
            for name, value in measured.items()
            if value > LIMITS[name]
        ]
        self.times_beyond = self.times_beyond + 1 if self.beyond else 0
        excess = sum(max(value / LIMITS[name] - 1, 0) for name, value in measured.items())
        nearest = max(value / LIMITS[name] for name, value in measured.items())
        self.pull = min(self.pull * min(max(_AIM / max(nearest, 1e-6), _SLOWEST), _FASTEST), 1)
        gauges = {f"gauges/{name}": value for name, value in measured.items()}
        return {
            "distance": float(log_spectrum_loss(found.drawn, found.x)) + _BEYOND * excess,
            **found.shown(),
            **gauges,
        }

    def alarm(self, *, progress: float) -> str | None:
        """Return which limits the last validation has found crossed."""
        if not self.beyond:
            return None
        then = "training ends" if self.gives_up() else "its loss weights are lowered"
        return f"the textured decoder goes too far: {', '.join(self.beyond)}; {then}"

    def state(self) -> dict[str, float]:
        """Return the share of the loss weights, how often limits were crossed, and the scale of the critic."""
        scale = {} if self.scale is None else {"scale": float(self.scale)}
        return {"pull": self.pull, "times_beyond": self.times_beyond, **scale}

    def load_state(self, state: Mapping[str, float]) -> None:
        """Restore what `state` returned."""
        self.pull, self.times_beyond = state["pull"], int(state["times_beyond"])
        if "scale" in state:
            self.scale = torch.tensor(state["scale"], device=self.autoencoder.device)

    def gives_up(self) -> bool:
        """Return whether the limits were crossed at several validations in a row."""
        return self.times_beyond >= _PATIENCE

    def _drawn(self, generator: torch.Generator) -> tuple[Image, Planted]:
        """Draw noise for all held-out images, and plant a lesion in each."""
        noise: list[Image] = []
        planted: list[Planted] = []
        for rows in in_batches(self.held_out, torch.arange(len(self.held_out))):
            images = self.held_out[rows]
            noise.append(torch.randn(images.shape, generator=generator))
            planted.append(plant_small(images, generator=generator))
        return torch.cat(noise), Planted(*(torch.cat(parts) for parts in zip(*planted, strict=True)))

    def _gauged(self, images: Image, noise: Image, on_cpu: Planted) -> "_Gauges":
        x = images.to(self.autoencoder.device)
        planted = Planted(*(part.to(x.device) for part in on_cpu))
        codes = self.autoencoder.encode(x)
        faithful, (plain, drawn) = self.autoencoder.decode(codes), self._decode(codes, noise)
        with_lesion = self.autoencoder.encode(planted.images)
        contrasts = [
            kept_contrast(planted, x, decoded=decoded, decoded_before=before)
            for decoded, before in (
                (self.autoencoder.decode(with_lesion), faithful),
                (self._decode(with_lesion, noise)[1], drawn),
            )
        ]
        return _Gauges(
            x=x.cpu(),
            faithful=faithful.cpu(),
            plain=plain.cpu(),
            drawn=drawn.cpu(),
            codes_kept=torch.stack([self._share_kept(y, codes) for y in (faithful, plain)], dim=1).cpu(),
            contrasts=torch.stack(contrasts, dim=1).cpu(),
        )

    def _share_kept(self, images: Image, before: Codes | Levels) -> Float[Tensor, "b"]:
        """Return the share of the codes of each image, over all levels, that are as they were."""
        levels = zip(levels_of(self.autoencoder.encode(images)), levels_of(before), strict=True)
        return torch.cat([(own == former).flatten(1) for own, former in levels], dim=1).float().mean(dim=1)

    def _decode(self, codes: Codes | Levels, noise: Image) -> tuple[Image, Image]:
        """Decode codes without and with noise."""
        z_q = self.autoencoder.latents(levels_of(codes))
        plain, grain = (part.float() for part in self.player.compute("parts", z_q, noise.to(z_q.device)))
        return plain.clamp(0, 1), (plain + grain).clamp(0, 1)


@dataclass(frozen=True)
class _Gauges:
    """Held-out images and what both decoders make of them; each pair holds the faithful one first.

    `drawn` are images of the textured decoder, and `plain` the same without noise.
    """

    x: Image
    faithful: Image
    plain: Image
    drawn: Image
    codes_kept: Float[Tensor, "b 2"]
    contrasts: Float[Tensor, "b 2"]

    @classmethod
    def joined(cls, parts: list["_Gauges"]) -> "_Gauges":
        return cls(**{name: torch.cat([getattr(part, name) for part in parts]) for name in cls.__annotations__})

    def shown(self) -> dict[str, float]:
        energy, correlation = metrics.detail(self.drawn, self.x)
        return {
            "ssim": float(metrics.ssim(self.drawn, self.x).mean()),
            "psnr_db": float(metrics.psnr_db(self.drawn, self.x).mean()),
            "detail_energy": energy,
            "detail_correlation": correlation,
        }

    def against_limits(self) -> dict[str, float]:
        """Return the figures that `LIMITS` bound; not a number where the images do not tell."""
        # An empty image is often decoded exactly, so that its PSNR is infinite.
        psnr, plain_psnr, drawn_psnr = (
            metrics.psnr_db(images, self.x).clamp(max=_EXACT_DB) for images in (self.faithful, self.plain, self.drawn)
        )
        ssim, plain_ssim = (metrics.ssim(images, self.x).mean() for images in (self.faithful, self.plain))
        energies, correlations = zip(
            *(metrics.detail(images, self.x) for images in (self.faithful, self.plain, self.drawn)), strict=True
        )
        blurred = [images - metrics.high_pass(images) for images in (self.x, self.faithful, self.drawn)]
        errors = [(images - blurred[0]).abs().mean() for images in blurred[1:]]
        known = self.contrasts[:, 0].abs() > 0.1  # a lesion that codes have lost cannot be kept
        contrasts = self.contrasts[known].abs().mean(dim=0) if known.any() else torch.ones(2)
        return {
            "psnr_loss_db": float((psnr - plain_psnr).mean()),
            "psnr_loss_with_noise_db": float((psnr - drawn_psnr).mean()),
            "ssim_loss": float(ssim - plain_ssim),
            "worst_psnr_loss_db": float(psnr.min() - plain_psnr.min()),
            "detail_energy_excess": max(energies[2] - max(energies[0], 1.0), 0.0),
            "detail_correlation_loss": correlations[0] - correlations[1],
            "low_pass_error": float(errors[1] / errors[0].clamp(min=1e-6)),
            "codes_lost": float((self.codes_kept[:, 0] - self.codes_kept[:, 1]).mean()),
            "lesion_change": float((contrasts[1] / contrasts[0] - 1).abs()),
            "lesion_made": float(largest_change(self.drawn, self.faithful).max()),
        }
