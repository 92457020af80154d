"""Settings of the losses and of training."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import tyro
from annotated_types import Ge, Interval

from voxlex.config.defaults import defaults_of
from voxlex.config.settings import Count, NotNegative, Part, Positive, Settings, Share

_AUGMENTATION = defaults_of("training/augmentation.py", "Augmentation")


@dataclass(frozen=True, kw_only=True)
class LossesConfig(Settings):
    """Weights of the reconstruction terms; 0 leaves a term out.

    Attributes:
        l1: Weight of the mean absolute error.
        l2: Weight of the mean squared error.
        charbonnier: Weight of the Charbonnier loss, an absolute error that is smooth at zero.
        ssim: Weight of 1 − SSIM.
        log_spectrum: Weight of the difference of local log-spectra, which asks for as much texture as the images have.
    """

    l1: NotNegative = 1.0
    l2: NotNegative = 0.0
    charbonnier: NotNegative = 0.0
    ssim: NotNegative = 0.1
    log_spectrum: NotNegative = 0.0


@dataclass(frozen=True, kw_only=True)
class StageConfig(Settings):
    """How a stage is optimised.

    Attributes:
        optimizer: adamw; or muon, which updates matrices by Muon and the other parameters by AdamW.
        batch_size: Number of images that are computed at once, on each device. "auto" is 4 on a CPU, and more on a GPU.
        accumulate: Number of batches in a step. Their gradients are added up, as if they were one larger batch.
        learning_rate: Peak of the learning rate.
        weight_decay: Weight decay of kernels and matrices; biases, embeddings and codebooks have none.
        betas: Decay rates of AdamW's two running averages, from 0 to below 1.
        warmup: Share of the budget in which the learning rate rises, from 0 to below 1; then it falls along a cosine.
        gradient_clip: Norm above which gradients are scaled down.
        validations: Number of times to validate, evenly spaced over the budget.
    """

    optimizer: Literal["adamw", "muon"] = "adamw"
    batch_size: Literal["auto"] | Count = "auto"
    accumulate: Count = 1
    learning_rate: Positive = 4e-3
    weight_decay: NotNegative = 1e-4
    betas: tuple[Share, Share] = (0.9, 0.99)
    warmup: Share = 0.03
    gradient_clip: Positive = 1.0
    validations: Count = 10


@dataclass(frozen=True, kw_only=True)
class AugmentConfig(Settings):
    """Random variations of training images; 0 leaves a variation out.

    Attributes:
        flip: Share of the images that are mirrored, left to right, from 0 to 1.
        degrees: Largest rotation about each axis, in degrees.
        scale: Largest change of size, as a share of the size, from 0 to below 1.
        gamma: Largest logarithm of the exponent that grey values are raised to.
        bias: Largest coefficient of the polynomial that shades an image.
    """

    flip: Part = _AUGMENTATION.flip
    degrees: NotNegative = _AUGMENTATION.degrees
    scale: Share = _AUGMENTATION.scale
    gamma: NotNegative = _AUGMENTATION.gamma
    bias: NotNegative = _AUGMENTATION.bias

    @property
    def active(self) -> bool:
        """Whether anything is varied at all."""
        return any((self.flip, self.degrees, self.scale, self.gamma, self.bias))


@dataclass(frozen=True, kw_only=True)
class AutoencoderStageConfig(StageConfig):
    """Training of the autoencoder, the first stage.

    Attributes:
        continuous_share: Share of the budget, at its start, in which latents are not quantized; from 0 to below 1.
        patch_size: Side in pixels or voxels of the patches to train on, a multiple of the network's downsampling. Whole
            images are taken by default.
        foreground_share: Share of the patches that are centred where an image is bright, from 0 to 1; the others lie
            anywhere.
        checkpoint_activations: Compute activations twice instead of keeping them, which takes less memory and more
            time.
        augment: Random variations of the training images.
    """

    optimizer: Literal["adamw", "muon"] = "muon"
    continuous_share: Share = 0.2
    patch_size: Count | None = None
    foreground_share: Part = 0.75
    checkpoint_activations: bool = False
    augment: AugmentConfig = field(default_factory=AugmentConfig)


@dataclass(frozen=True, kw_only=True)
class TextureStageConfig(StageConfig):
    """Training of the textured decoder, which draws the fine detail that codes do not contain.

    Attributes:
        spectrum_weight: Largest weight of the difference of local log-spectra, beside the losses of the autoencoder. It
            asks for more detail, and costs a little exactness. Training lowers it where that would be too much.
        critic_weight: Weight of a network that learns to tell decoded patches from real ones; 0 leaves it out.
    """

    learning_rate: Positive = 1e-3
    warmup: Share = 0.05
    validations: Count = 6
    spectrum_weight: NotNegative = 0.3
    critic_weight: NotNegative = 0.0


@dataclass(frozen=True, kw_only=True)
class PriorStageConfig(StageConfig):
    """Training of the prior, the second stage.

    Attributes:
        variations: Number of further versions of each training image that the prior learns from. They are encoded once,
            before training, and delay overfitting on small data sets.
        augment: Random variations that make the further versions.
    """

    optimizer: Literal["adamw", "muon"] = "muon"
    learning_rate: Positive = 1e-2
    weight_decay: NotNegative = 0.0
    betas: tuple[Share, Share] = (0.9, 0.95)
    variations: Annotated[int, Ge(0)] = 0
    augment: AugmentConfig = field(default_factory=lambda: AugmentConfig(degrees=6.0, scale=0.08))


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(Settings):
    """How long and where to train.

    Attributes:
        minutes: Budget of the run in minutes; all stages share it.
        steps: Budget of each stage in steps, instead of minutes.
        texture_share: Share of the minutes that the textured decoder gets if all stages are trained; 0 leaves it out.
        prior_share: Share of the minutes that the prior gets if all stages are trained, from 0 to below 1.
        seed: Seed of the random numbers, from 0 to 2³² - 1: weights, order of the images, and splits.
        accelerator: Kind of device: auto, cpu, gpu or mps.
        devices: Number of devices. Under torchrun or Slurm, 1 stands for as many as there are processes.
        strategy: What each device holds of a prior. With ddp it holds the whole prior, and with fsdp a part of it.
            "auto" is ddp, and fsdp for priors that would take more than half of the memory of a GPU. The networks of
            the other stages are always whole.
        precision: Precision of the arithmetic. "auto" takes bfloat16 where the hardware supports it well.
        threads: Number of torch's threads on a CPU. "auto" keeps to OMP_NUM_THREADS if it is set. Otherwise, if the
            budget is in minutes, it times steps and takes the number that is fastest beside the machine's other work.
        cuda_graphs: On a single GPU, record steps as CUDA graphs and replay them, where that is possible.
        keep_state: Keep the state of training in a finished run. Without it the run can still be trained further, but
            the optimizer starts with new running averages.
        pretrained: A run whose weights training begins with: its folder, the name of a vocabulary that comes with the
            package, or an address. Its networks and its size of images come with it, and steps are smaller.
        autoencoder: Training of the autoencoder.
        texture: Training of the textured decoder.
        prior: Training of the prior.
    """

    minutes: Positive | None = 12.0
    steps: Count | None = None
    texture_share: Share = 0.16
    prior_share: Share = 0.42
    seed: Annotated[int, Interval(ge=0, lt=2**32), tyro.conf.arg(aliases=("--seed",))] = 0
    accelerator: Annotated[str, tyro.conf.arg(aliases=("--accelerator",))] = "auto"
    devices: Annotated[Count, tyro.conf.arg(aliases=("--devices",))] = 1
    strategy: Literal["auto", "ddp", "fsdp"] = "auto"
    precision: Annotated[Literal["auto", "32-true", "bf16-mixed"], tyro.conf.arg(aliases=("--precision",))] = "auto"
    threads: Literal["auto"] | Count = "auto"
    cuda_graphs: bool = True
    keep_state: bool = False
    pretrained: Annotated[str | None, tyro.conf.arg(aliases=("--pretrained",), metavar="RUN")] = None
    autoencoder: AutoencoderStageConfig = field(default_factory=AutoencoderStageConfig)
    texture: TextureStageConfig = field(default_factory=TextureStageConfig)
    prior: PriorStageConfig = field(default_factory=PriorStageConfig)
