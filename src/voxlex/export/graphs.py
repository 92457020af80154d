"""The graphs of a vocabulary: what each computes, and the shapes and the meaning of what goes in and comes out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from voxlex.codes import CodeLayout
from voxlex.models import Autoencoder
from voxlex.models.graphs import CodesToImages, CodesToTexturedImages, ImagesToCodes
from voxlex.priors.level import Level
from voxlex.priors.steps import CachedStep, UnmaskingStep, step_of
from voxlex.vocabulary import Vocabulary

AXES = {2: ("height", "width"), 3: ("depth", "height", "width")}
"""Names of the sides of images, in units of the smallest image that a model takes."""

_EXAMPLE = {"batch": 2, "depth": 2, "height": 3, "width": 4}
"""Lengths of the axes of the inputs with which a graph is traced: others than 1, and most of them different."""


class Free(NamedTuple):
    """An axis of any length that is a multiple of a number.

    Attributes:
        name: What lengths the same name has in all inputs and outputs of a graph.
        times: The number.
    """

    name: str
    times: int = 1

    def __str__(self) -> str:
        return self.name if self.times == 1 else f"{self.times}*{self.name}"


Axis = int | Free


@dataclass(frozen=True, kw_only=True)
class Port:
    """An input or an output of a graph.

    Attributes:
        name: Its name.
        shape: Its axes.
        meaning: What it is, for people.
        dtype: Type of its numbers.
        limits: The least and the largest number, or None.
    """

    name: str
    shape: tuple[Axis, ...]
    meaning: str
    dtype: torch.dtype = torch.float32
    limits: tuple[float, float] | None = None

    def example(self) -> Tensor:
        """Return numbers with which the graph can be traced."""
        shape = [_EXAMPLE[axis.name] * axis.times if isinstance(axis, Free) else axis for axis in self.shape]
        return torch.zeros(shape, dtype=self.dtype)


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A computation with named inputs and outputs.

    Attributes:
        name: Its name, which is that of its file.
        does: What it does, for people.
        module: The computation, in eval mode.
        inputs: Inputs of the module, in their order.
        outputs: Outputs of the module, in their order.
    """

    name: str
    does: str
    module: nn.Module
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


def graphs_of(vocabulary: Vocabulary) -> Iterator[Graph]:
    """Yield all graphs of a vocabulary: the encoder, its decoders, and a step of the prior of each level."""
    autoencoder = vocabulary.autoencoder
    images, codes = _images(autoencoder), _codes(autoencoder)
    yield Graph(
        name="encoder",
        does="Images to codes.",
        module=ImagesToCodes(autoencoder),
        inputs=(images,),
        outputs=codes,
    )
    yield Graph(
        name="decoder",
        does="Codes to the images that are closest to the originals.",
        module=CodesToImages(autoencoder),
        inputs=codes,
        outputs=(images,),
    )
    if vocabulary.texture is not None:
        noise = Port(name="noise", shape=images.shape, meaning="standard normal numbers, which decide the fine detail")
        yield Graph(
            name="decoder-textured",
            does="Codes to images with likely fine detail, which is not that of the originals.",
            module=CodesToTexturedImages(autoencoder, vocabulary.texture),
            inputs=(noise, *codes),
            outputs=(images,),
        )
    if vocabulary.prior is not None:
        for place, level in enumerate(vocabulary.prior.levels):
            name = "prior-step" if len(vocabulary.layouts) == 1 else f"prior-step-{place}"
            yield _step(name, level, names=[port.name for port in codes[: place + 1]])


def _images(autoencoder: Autoencoder) -> Port:
    sides = [Free(name, autoencoder.multiple_of) for name in AXES[autoencoder.spatial_dims]]
    return Port(
        name="images",
        shape=(Free("batch"), autoencoder.in_channels, *sides),
        meaning="images, 0 is black and 1 is white",
        limits=(0, 1),
    )


def _codes(autoencoder: Autoencoder) -> tuple[Port, ...]:
    dims = autoencoder.spatial_dims
    layouts = autoencoder.layouts((autoencoder.multiple_of,) * dims)
    ports = []
    for place, layout in enumerate(layouts):
        sides = [Free(name, side) for name, side in zip(AXES[dims], layout.grid, strict=True)]
        shape: tuple[Axis, ...] = (Free("batch"), layout.num_codebooks, *sides)
        ports.append(_code_port("codes" if len(layouts) == 1 else f"codes_{place}", layout, shape))
    return tuple(ports)


def _code_port(name: str, layout: CodeLayout, shape: tuple[Axis, ...]) -> Port:
    limits = (0, layout.num_embeddings - 1)
    return Port(name=name, shape=shape, meaning="codes (batch, codebook, cells)", dtype=torch.int64, limits=limits)


def _step(name: str, level: Level, *, names: Sequence[str]) -> Graph:
    """Return the step of the prior of a level, whose codes and those of the coarser levels have these names."""
    module, batch, layout = step_of(level), Free("batch"), level.layout
    *coarser, own = names
    contexts = [_code_port(other, its, (batch, *its.shape)) for other, its in zip(coarser, level.context, strict=True)]
    codes, condition = _code_port(own, layout, (batch, *layout.shape)), _condition(level)
    cell = Port(name="cell", shape=(1,), meaning="number of the cell in raster order", dtype=torch.int64,
                limits=(0, layout.cells - 1))  # fmt: skip
    logits = _logits((batch, layout.num_codebooks, layout.num_embeddings))
    inputs: tuple[Port, ...] = (codes, cell, condition, *contexts)
    outputs: tuple[Port, ...] = (logits,)
    does = "Logits of the codes of a cell, given those of all cells before it."
    match module:
        case UnmaskingStep():
            hidden = Port(name="hidden", shape=(batch, *layout.grid), meaning="true where codes are not known",
                          dtype=torch.bool)  # fmt: skip
            inputs = (codes, hidden, condition, *contexts)
            outputs = (_logits((batch, *layout.shape, layout.num_embeddings)),)
            does = "Logits of the codes of all cells, given the codes of those that are not hidden."
        case CachedStep():
            shape = (batch, *module.cache_shape)
            caches = tuple(Port(name=part, shape=shape, meaning=_CACHES[part]) for part in ("keys", "values"))
            after = tuple(Port(name=f"next_{cache.name}", shape=shape, meaning="for the next step") for cache in caches)
            inputs, outputs = (codes, cell, condition, *caches, *contexts), (logits, *after)
            does += " It must be run for each cell."
    return Graph(name=name, does=does, module=module, inputs=inputs, outputs=outputs)


def _condition(level: Level) -> Port:
    return Port(
        name="condition",
        shape=(Free("batch"), len(level.conditions.columns)),
        meaning="a column for each condition; NaN where it is not known",
    )


def _logits(shape: tuple[Axis, ...]) -> Port:
    return Port(name="logits", shape=shape, meaning="unnormalised log-probabilities of the codes")


_CACHES: Mapping[str, str] = {
    "keys": "what the step before has returned as next_keys, zeros for the first cell",
    "values": "what the step before has returned as next_values, zeros for the first cell",
}
