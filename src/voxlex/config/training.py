"""Settings of the losses and of training."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import tyro
from pydantic import Field

from voxlex.config.settings import Count, NotNegative, Positive, Settings, Share


@dataclass(frozen=True, kw_only=True)
class LossesConfig(Settings):
    """Weights of the reconstruction terms; 0 leaves a term out.

    Attributes:
        l1: Mean absolute error.
        l2: Mean squared error.
        charbonnier: L1 with a smooth tip.
        ssim: 1 − SSIM.
    """

    l1: NotNegative = 1.0
    l2: NotNegative = 0.0
    charbonnier: NotNegative = 0.0
    ssim: NotNegative = 0.0


@dataclass(frozen=True, kw_only=True)
class StageConfig(Settings):
    """How one stage is optimised.

    Attributes:
        batch_size: Images in a step, on each device.
        learning_rate: Its peak, in AdamW.
        weight_decay: On kernels and matrices.
        betas: Decays of AdamW's averages.
        warmup: Share of the budget in which the learning rate rises; it falls along a cosine after that.
        gradient_clip: Largest norm of the gradient.
        validations: How often to validate.
    """

    batch_size: Count = 4
    learning_rate: Positive = 4e-3
    weight_decay: NotNegative = 1e-4
    betas: tuple[Share, Share] = (0.9, 0.99)
    warmup: Share = 0.03
    gradient_clip: Positive = 1.0
    validations: Count = 10


@dataclass(frozen=True, kw_only=True)
class AugmentConfig(Settings):
    """How training images are varied at random; 0 leaves a variation out.

    Attributes:
        flip: Share of images that are mirrored, left to right.
        degrees: Largest turn about each axis.
        scale: Largest change of size, as a share.
        gamma: Largest logarithm of the exponent that grey values are raised to.
        bias: Largest coefficient of the polynomial that shades an image.
    """

    flip: Annotated[float, Field(ge=0, le=1)] = 0.0
    degrees: NotNegative = 0.0
    scale: Share = 0.0
    gamma: NotNegative = 0.0
    bias: NotNegative = 0.0

    @property
    def active(self) -> bool:
        """Whether anything is varied at all."""
        return any((self.flip, self.degrees, self.scale, self.gamma, self.bias))


@dataclass(frozen=True, kw_only=True)
class AutoencoderStageConfig(StageConfig):
    """How the first stage is optimised.

    Attributes:
        continuous_share: Share of the budget, at its start, in which latents are not quantized yet.
        patch_size: Side of the patches to learn from, a multiple of the downsampling; null for whole images.
        foreground_share: Share of the patches that are centred where an image is bright; the others lie anywhere.
        checkpoint_activations: Compute activations twice rather than keep them: less memory, more time.
        augment: How training images are varied.
    """

    continuous_share: Share = 0.2
    patch_size: Count | None = None
    foreground_share: Annotated[float, Field(ge=0, le=1)] = 0.75
    checkpoint_activations: bool = False
    augment: AugmentConfig = field(default_factory=AugmentConfig)


@dataclass(frozen=True, kw_only=True)
class PriorStageConfig(StageConfig):
    """How the second stage is optimised.

    Attributes:
        variations: Further versions of each training image that the prior learns from, encoded once, before it starts;
            on few images it then learns them by heart later.
        augment: How they are varied.
    """

    batch_size: Count = 4
    learning_rate: Positive = 4e-3
    weight_decay: NotNegative = 0.0
    betas: tuple[Share, Share] = (0.9, 0.95)
    variations: Annotated[int, Field(ge=0)] = 0
    augment: AugmentConfig = field(default_factory=lambda: AugmentConfig(degrees=6.0, scale=0.08))


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(Settings):
    """How long, where and how to train.

    Attributes:
        minutes: Budget of the run; both stages share it.
        steps: Budget of each stage in steps; instead of minutes.
        prior_share: Share of the minutes that the prior gets, if both stages are trained.
        seed: Of weights, order of images, and splits.
        accelerator: Kind of device: auto, cpu, gpu, mps.
        devices: Number of devices.
        precision: Of arithmetic; "auto" takes bfloat16 where the hardware is made for it.
        threads: Threads of torch on a CPU. "auto" takes what OMP_NUM_THREADS says; without that, and with a budget in
            minutes, the number that is fastest beside the other work of the machine, found by timing steps.
        keep_state: Keep what training resumes from when it has finished; without it a finished run can be trained
            further, too, but the optimizer has to find its averages again.
        autoencoder: The first stage.
        prior: The second stage.
    """

    minutes: Positive | None = 10.0
    steps: Count | None = None
    prior_share: Share = 0.4
    seed: Annotated[int, Field(ge=0, lt=2**32), tyro.conf.arg(aliases=("--seed",))] = 0
    accelerator: Annotated[str, tyro.conf.arg(aliases=("--accelerator",))] = "auto"
    devices: Annotated[Count, tyro.conf.arg(aliases=("--devices",))] = 1
    precision: Annotated[Literal["auto", "32-true", "bf16-mixed"], tyro.conf.arg(aliases=("--precision",))] = "auto"
    threads: Literal["auto"] | Count = "auto"
    keep_state: bool = False
    autoencoder: AutoencoderStageConfig = field(default_factory=AutoencoderStageConfig)
    prior: PriorStageConfig = field(default_factory=PriorStageConfig)
