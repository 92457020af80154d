"""A trained vocabulary, which is loaded from a run folder."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, Unpack, overload

import numpy as np
import torch

from voxlex import hub
from voxlex.assembly import build_autoencoder, build_prior, build_texture, described_conditions
from voxlex.codes import CodeLayout, for_each_level, from_levels, in_batches, levels_of, touched_cells
from voxlex.config import Config, Decoding
from voxlex.errors import ConfigError, RunError
from voxlex.images.fit import Fitted, fit_whole
from voxlex.images.frame import Frame
from voxlex.images.redrawing import Redrawing
from voxlex.images.restore import restore_scan
from voxlex.models import Autoencoder
from voxlex.models.arrays import ArrayLike, as_array, to_image_tensor
from voxlex.models.batches import BATCH_SIZE, decode_codes, encode_images
from voxlex.models.texture import TexturedDecoder
from voxlex.models.tiling import decode_tiled, encode_tiled, needs_tiles
from voxlex.models.weights import load_weights
from voxlex.priors import Conditions, Prior
from voxlex.priors.conditions import Categorical, Condition, Table, values_for
from voxlex.priors.draw import SamplingOptions
from voxlex.priors.watching import Watch
from voxlex.progress import Progress
from voxlex.run_folder import RunFolder
from voxlex.scans.held import as_held, as_scan, is_held
from voxlex.streams import Streams
from voxlex.types import Codes, CodesLike, Image, Levels

_BATCH_SIZE = 64
_CELLS_AT_ONCE = 2**17  # of code grids; the memory that a prior needs grows with this number
_CANDIDATES = 8  # that an autoregressive prior draws for each inpainted result; see `Prior.complete`


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """Encodes images as codes, decodes codes, and draws new images from a prior over codes.

    Codes are a tensor `(b, q, *grid)`. If the autoencoder has several levels, codes are a tuple of such tensors,
    coarsest first.

    Attributes:
        autoencoder: The autoencoder, in eval mode.
        texture: The textured decoder, in eval mode; None if none was trained.
        prior: The prior over the codes of an image, in eval mode; None if no prior was trained.
        config: The run's complete configuration.
        metadata: Versions, data and timings of the run.
    """

    autoencoder: Autoencoder
    prior: Prior | None
    config: Config
    metadata: Mapping[str, Any]
    texture: TexturedDecoder | None = None

    def images_of(self, scan: Any) -> Fitted:
        """Return the images that commands make of all of a scan; `as_scan` lists what can be a scan.

        With `fitted.origin`, `restore_grid` takes maps of the images to the scan's own grid.

        Raises:
            DataError: If it cannot be used, such as a picture for a vocabulary of volumes.
            TypeError: If it is something else.
        """
        data = self.config.data
        return fit_whole(as_scan(scan, data.reading), Frame.of(data), multiple_of=self.autoencoder.multiple_of)

    def encode(self, images: ArrayLike | Any) -> Codes | Levels:
        """Return the codes of images of any size. Too large ones are encoded in tiles, which gives the same codes.

        Args:
            images: Arrays as `Autoencoder.encode` takes them; or a scan in memory as `images_of` takes it, of which all
                slices are encoded in their order, or one cube.
        """
        if is_held(images):
            return encode_images(self.encode, np.stack(self.images_of(images).images))
        x = to_image_tensor(images, channels=self.autoencoder.in_channels, spatial_dims=self.autoencoder.spatial_dims)
        return encode_tiled(self.autoencoder, x) if needs_tiles(x.shape[2:]) else self.autoencoder.encode(x)

    def decode(self, codes: CodesLike, *, decoding: Decoding = "faithful", seed: int = 0) -> Image:
        """Decode codes to images, float32 in [0, 1]. Large images are decoded in tiles.

        Args:
            codes: Codes as `encode` returns them.
            decoding: "faithful" for images that are close to the originals, "textured" for images that look like them.
            seed: Seed of the texture. Equal codes and seeds give equal images.

        Raises:
            CodesError: If the codes have the wrong number of levels, shape, type or range.
            RunError: If the run has no textured decoder, and one is asked for.
        """
        levels = self.autoencoder.levels(codes)
        tiled = needs_tiles(self.autoencoder.space_of([level.shape[2:] for level in levels]))
        if decoding == "faithful":
            return decode_tiled(self.autoencoder, levels) if tiled else self.autoencoder.decode(levels)
        self.check_decoding("textured")
        assert self.texture is not None
        textured = self.texture.of_tiles(self.autoencoder, levels, seed=seed)
        return decode_tiled(self.autoencoder, levels, decode=textured) if tiled else textured(levels, (slice(None),))

    def check_decoding(self, decoding: Decoding) -> None:
        """Raise RunError if codes are to be decoded in a way that the run was not trained for."""
        if decoding == "textured" and self.texture is None:
            raise RunError(
                "decoding: expected a run with a textured decoder, got one without; train it with --stage texture"
            )

    @overload
    def reconstruct(self, images: ArrayLike, *, decoding: Decoding = "faithful", seed: int = 0) -> Image: ...

    @overload
    def reconstruct(self, images: Any, *, decoding: Decoding = "faithful", seed: int = 0) -> Any: ...

    def reconstruct(self, images: ArrayLike | Any, *, decoding: Decoding = "faithful", seed: int = 0) -> Any:
        """Encode images and decode their codes: `decode(encode(images))`; see both for the arguments.

        Returns:
            Of arrays, images `(b, c, *space)`, float32 in [0, 1]. Of a scan in memory, an image of the same kind: on
            its own grid and in its own grey values, as the command `reconstruct` writes it.
        """
        if not is_held(images):
            return self.decode(self.encode(images), decoding=decoding, seed=seed)
        fitted = self.images_of(images)
        codes = encode_images(self.encode, np.stack(fitted.images))
        x_hat = self._decode_in_batches(codes, decoding, seed, at_most=BATCH_SIZE).cpu()
        return as_held(restore_scan(list(x_hat[:, 0].numpy()), fitted.origin), like=images)

    @property
    def best_decoding(self) -> Decoding:
        """The decoding of new images: "textured" if the run has a textured decoder, otherwise "faithful"."""
        return "faithful" if self.texture is None else "textured"

    def sample(
        self,
        count: int,
        *,
        condition: Table | None = None,
        seed: int | None = None,
        first: int = 0,
        decoding: Decoding | None = None,
        progress: Progress | None = None,
        **options: Unpack[SamplingOptions],
    ) -> Image:
        """Draw new images.

        Args:
            count: Number of images.
            condition: Values of `conditions` by name: one value for all images, or a list, array, tensor or data frame
                column with a value for each image. Conditions that are left out are not imposed.
            seed: The same seed gives the same images on the same machine. Image i of a seed does not depend on `count`,
                except where rounding tips a draw. With None, each call draws other images.
            first: Number of the first image, from 0, so that the images of a seed can be drawn in several calls.
            decoding: How codes become images; None for `best_decoding`.
            progress: Called with the work done and the total work.
            **options: `temperature`, `top_k`, `top_p`, `min_p` and `guidance`; see `Prior.sample`.

        Returns:
            Images `(count, c, *space)`, float32 in [0, 1].

        Raises:
            RunError: If the run has no prior, or not the decoder that is asked for.
            ValueError: If an argument is out of range, or a condition or its value is unknown.
        """
        seed = secrets.randbits(64) if seed is None else seed
        codes = self.sample_codes(count, condition=condition, seed=seed, first=first, progress=progress, **options)
        return self._decode_in_batches(codes, decoding or self.best_decoding, seed)

    def sample_codes(
        self,
        count: int,
        *,
        condition: Table | None = None,
        seed: int | None = None,
        first: int = 0,
        progress: Progress | None = None,
        watch: Watch | None = None,
        **options: Unpack[SamplingOptions],
    ) -> Codes | Levels:
        """Draw the codes of new images, with the arguments of `sample`, and with `watch` as in `Prior.sample`."""
        prior, streams, given = self._prior_for("sampling"), self._streams(seed), self._encoded(condition, count)

        def draw(start: int, size: int, progress: Progress | None) -> Codes | Levels:
            some, own = None if given is None else given[start : start + size], streams(first + start, size)
            return prior.sample(size, condition=some, generator=own, progress=progress, watch=watch, **options)

        return in_batches(draw, count, at_once=self.drawn_at_once, progress=progress)

    def inpaint(
        self,
        image: ArrayLike | Any,
        mask: ArrayLike | Any,
        *,
        count: int = 8,
        condition: Table | None = None,
        temperature: float = 1.0,
        seed: int | None = None,
        decoding: Decoding | None = None,
        progress: Progress | None = None,
    ) -> Any:
        """Redraw a region of an image from the prior, given the other codes of the image.

        The codes of the cells that the region touches are drawn anew, and also those of the neighbouring cells, because
        the encoder saw the region for them. Outside the region, the image does not change.

        Args:
            image: One image of the vocabulary's size, as `encode` takes it: `(h, w)`, `(h, w, c)` or `(c, h, w)`, or
                `(d, h, w)` for volumes. Or a scan in memory, a picture or a volume, as `as_scan` takes it.
            mask: Mask with the sides of the image, true inside the region. Of a scan in memory, one with its grid.
            count: Number of independent draws.
            condition: Known values of `conditions` for this image, by name.
            temperature: A value below 1 keeps draws close to what is likely.
            seed: The same seed gives the same images on the same machine.
            decoding: How codes become images; None for `best_decoding`.
            progress: Called with the work done and the total work.

        Returns:
            Images `(count, c, *space)`, float32 in [0, 1]; of a scan in memory, a list of images of the same kind.

        Raises:
            DataError: If a scan in memory or its mask cannot be used.
            RunError: If the run has no prior.
            ValueError: If the image and the mask do not fit each other or the vocabulary, or the mask is empty.
        """
        prior = self._prior_for("inpainting")
        if count < 1:
            raise ValueError(f"count: expected at least 1, got {count}")
        data, task = self.config.data, None
        if is_held(image):
            task = Redrawing.of(image, mask, Frame.of(data), data.reading)
            image, mask = task.seen, task.seen_region
        x = to_image_tensor(
            as_array(image)[None], channels=self.autoencoder.in_channels, spatial_dims=self.autoencoder.spatial_dims
        )
        region = torch.as_tensor(as_array(mask, name="mask")).bool()
        if region.shape != x.shape[2:]:
            raise ValueError(f"mask: expected the sides of the image, {tuple(x.shape[2:])}, got {tuple(region.shape)}")
        seed = secrets.randbits(64) if seed is None else seed
        streams, given = self._streams(seed), self._encoded(condition, 1)
        known = for_each_level(lambda level: level[0], self.encode(x))
        cells = [touched_cells(region, layout.grid).to(self.autoencoder.device) for layout in self.layouts]
        hidden = from_levels(cells)

        def draw(start: int, size: int, progress: Progress | None) -> Codes | Levels:
            return prior.complete(
                known,
                hidden,
                n=size,
                condition=given,
                temperature=temperature,
                candidates=_CANDIDATES,
                generator=streams(start, size),
                progress=progress,
            )

        at_once = max(1, self.drawn_at_once // _CANDIDATES)
        codes = in_batches(draw, count, at_once=at_once, progress=progress)
        drawn = self._decode_in_batches(codes, decoding or self.best_decoding, seed)
        drawn = torch.where(region.to(drawn.device), drawn, x.to(drawn.device))
        return drawn if task is None else task.versions(drawn[:, 0].cpu().numpy())

    def _prior_for(self, what: str) -> Prior:
        if self.prior is None:
            raise RunError(
                f"{what}: expected a run with a prior, got one without; train it with --stage prior --resume"
            )
        return self.prior

    @property
    def drawn_at_once(self) -> int:
        """Number of images that are drawn in a batch."""
        return max(1, min(_BATCH_SIZE, _CELLS_AT_ONCE // sum(layout.cells for layout in self.layouts)))

    def _decode_in_batches(
        self, codes: Codes | Levels, decoding: Decoding, seed: int, *, at_most: int = _BATCH_SIZE
    ) -> Image:
        space = self.autoencoder.space_of([level.shape[2:] for level in levels_of(codes)])
        decode = partial(self.decode, decoding=decoding, seed=seed)
        return decode_codes(decode, codes, pixels_per_image=prod(space), at_most=at_most)

    def _streams(self, seed: int | None) -> Callable[[int, int], Streams]:
        """Return a function that makes the random numbers of some of the images, from the number of the first."""
        if seed is not None and not -(2**63) <= seed < 2**64:
            raise ValueError(f"seed: expected an integer of 64 bits, got {seed}")
        chosen = secrets.randbits(64) if seed is None else int(seed)
        return lambda start, size: Streams(chosen, range(start, start + size), device=self.autoencoder.device)

    def _encoded(self, condition: Table | None, count: int) -> Condition | None:
        columns = {} if condition is None else {name: values_for(name, condition[name], count) for name in condition}
        return self.conditions.encode(columns) if columns else None

    @property
    def conditions(self) -> Conditions:
        """The conditions of the prior."""
        return Conditions() if self.prior is None else self.prior.conditions

    @property
    def labels(self) -> list[str]:
        """The labels that the prior knows."""
        named = [column for column in self.conditions.columns if isinstance(column, Categorical)]
        return [value for column in named if column.name == "label" for value in column.values]

    @property
    def space(self) -> tuple[int, ...]:
        """Sides of the images that the run was trained on, and of new images."""
        return (self.config.data.size,) * self.autoencoder.spatial_dims

    @property
    def layouts(self) -> tuple[CodeLayout, ...]:
        """Layout of the codes of such an image: one for each level, coarsest first."""
        return self.autoencoder.layouts(self.space)


def load(run: str | Path, *, device: str | torch.device = "cpu") -> Vocabulary:
    """Load a trained vocabulary from its run folder, by the name of a shipped one, or from the Hub or another address.

    Raises:
        ConfigError: If the run is at an address ("hf://owner/name", "s3://bucket/run"), and the extra is not installed.
        RunError: If the folder is not a run, is damaged, or has no trained autoencoder.
    """
    folder = RunFolder.open(Path(run))
    config, metadata = folder.config(), folder.metadata() | hub.origin(Path(run), folder.path)
    prior = None
    try:
        autoencoder = build_autoencoder(config.model)
        layouts = autoencoder.layouts((config.data.size,) * autoencoder.spatial_dims)
        if folder.prior_file.exists():
            prior = build_prior(
                config.prior, layouts=layouts, conditions=described_conditions(metadata, where=folder.metadata_file)
            )
    except (ConfigError, ValueError) as cause:
        raise RunError(f"{folder.config_file}: {cause}") from cause
    texture = build_texture(autoencoder) if folder.texture_file.exists() else None
    modules = {folder.autoencoder_file: autoencoder, folder.texture_file: texture, folder.prior_file: prior}
    for file, module in modules.items():
        if module is not None:
            load_weights(file, module)
            module.to(device).eval()
    return Vocabulary(autoencoder=autoencoder, texture=texture, prior=prior, config=config, metadata=metadata)
