"""Codewords: how often each is used and where, what it stands for, and a map on which like lies by like."""

import base64
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from voxlex.codes import from_levels
from voxlex.data.dataset import PreparedDataset
from voxlex.errors import CodesError
from voxlex.explorer.survey import Survey
from voxlex.models import Autoencoder
from voxlex.rows import evenly_spaced

PATCHES = 24
"""Patches that show what a codeword stands for."""

MOST_WORDS = 16384
"""Codewords on a map, those that are used most."""

_LOOKED_AT = 256
_NEAR = 16
_DIRECTIONS = 8  # principal directions of the codewords that order the map
_AT_ONCE = 256
_CELLS = 4  # along each side of what is decoded to show a codeword


Usual = tuple[Int64[Tensor, "_"], ...]
"""For each level, one codeword of each codebook."""


class Patch(TypedDict):
    """A place where a codeword is used: the row of the scan, and the cell in raster order."""

    row: int
    cell: int


class Near(TypedDict):
    """A codeword like another, and the distance of their vectors."""

    code: int
    distance: float


class Word(TypedDict):
    """What is known of a codeword; see `word`."""

    level: int
    codebook: int
    code: int
    uses: int
    share: float
    scans: int
    rank: int
    of: int
    surveyed: int
    grid: list[int]
    where: list[int]
    side: int
    inner: int
    patches: list[Patch]
    pixels: str
    near: list[Near]
    near_side: int
    near_pixels: str


def word(
    survey: Survey, dataset: PreparedDataset, autoencoder: Autoencoder, *, level: int, codebook: int, code: int
) -> Word:
    """Describe a codeword by the scans that are encoded so far.

    Args:
        survey: The codes of the scans.
        dataset: The scans.
        autoencoder: The autoencoder whose codewords these are.
        level: Level of the codes, 0 for the coarsest.
        codebook: Codebook of the level.
        code: The codeword.

    Returns:
        `uses` and `share` of all codes of the codebook, in how many `scans`, its `rank` among the codewords by use (1
        is the most used), how often it is used in each cell of `grid` (`where`), and typical `patches` with their
        pixels: uint8, `side` × `side` each, in base64. The cell is the middle `inner` × `inner` of them. In volumes,
        `grid` and patches are those of the axial plane. `near` are used codewords with similar vectors, and what they
        decode to.

    Raises:
        CodesError: If there is no such codeword.
    """
    layout = survey.layouts[check_codebook(survey, level, codebook)]
    if not 0 <= code < layout.num_embeddings:
        raise CodesError(f"codeword: expected 0 to {layout.num_embeddings - 1}, got {code}")
    done = survey.encoded
    codes = survey.codes[level][:done, codebook].reshape(done, layout.cells)
    hits = np.flatnonzero(codes == code)
    places, cells = np.divmod(hits, codes.shape[1])
    where = np.bincount(cells, minlength=layout.cells).reshape(layout.grid)
    counts = counts_of(survey, level, codebook)
    box = _Box(dataset.images.shape[2:], layout.grid)
    chosen = hits[evenly_spaced(len(hits), _LOOKED_AT)] if len(hits) else hits
    rows, inside = survey.order[chosen // codes.shape[1]], chosen % codes.shape[1]
    pixels = box.cut(dataset, rows, inside)
    best = _typical(pixels)[:PATCHES]
    near, distances = _near(autoencoder, counts, level, codebook, code)
    near_pixels = _decoded(survey, autoencoder, level, codebook, near)
    return Word(
        level=level,
        codebook=codebook,
        code=code,
        uses=len(hits),
        share=len(hits) / max(1, codes.size),
        scans=len(np.unique(places)),
        rank=1 + int((counts > counts[code]).sum()),
        of=layout.num_embeddings,
        surveyed=done,
        grid=list(layout.grid[-2:]),
        where=where.reshape(-1, *layout.grid[-2:]).sum(axis=0).flatten().tolist(),
        side=box.side,
        inner=box.inner,
        patches=[Patch(row=int(rows[one]), cell=int(inside[one])) for one in best],
        pixels=base64.b64encode(pixels[best].tobytes()).decode("ascii"),
        near=[Near(code=int(one), distance=round(float(far), 4)) for one, far in zip(near, distances, strict=True)],
        near_side=near_pixels.shape[-1],
        near_pixels=base64.b64encode(near_pixels.tobytes()).decode("ascii"),
    )


def _near(
    autoencoder: Autoencoder, counts: np.ndarray, level: int, codebook: int, code: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the used codewords with the most similar vectors, the most similar first, and their distances."""
    vectors = autoencoder.quantizers[level].codewords()[codebook].float().cpu().numpy()
    used = np.flatnonzero(counts > 0)
    used = used[used != code]
    distances = np.linalg.norm(vectors[used] - vectors[code], axis=1)
    best = np.argsort(distances, kind="stable")[:_NEAR]
    return used[best], distances[best]


def check_codebook(survey: Survey, level: int, codebook: int) -> int:
    """Return the level if it has the codebook.

    Raises:
        CodesError: If there is no such level or codebook.
    """
    if not 0 <= level < len(survey.layouts):
        raise CodesError(f"level: expected 0 to {len(survey.layouts) - 1}, got {level}")
    if not 0 <= codebook < survey.layouts[level].num_codebooks:
        raise CodesError(f"codebook: expected 0 to {survey.layouts[level].num_codebooks - 1}, got {codebook}")
    return level


def counts_of(survey: Survey, level: int, codebook: int) -> Int64[np.ndarray, " k"]:
    """Return how often each codeword is used in the scans that are encoded so far."""
    codes = survey.codes[level][: survey.encoded, codebook]
    return np.bincount(codes.reshape(-1), minlength=survey.layouts[level].num_embeddings)


def usual_words(survey: Survey) -> Usual:
    """Return the most used codeword of each codebook, for each level, in the scans that are encoded so far."""
    return tuple(
        torch.tensor([int(counts_of(survey, level, book).argmax()) for book in range(layout.num_codebooks)])
        for level, layout in enumerate(survey.layouts)
    )


@dataclass(frozen=True)
class _Box:
    """The pixels around a cell: the cell itself and a neighbour on each side, in volumes of its middle plane."""

    space: tuple[int, ...]
    grid: tuple[int, ...]

    @property
    def inner(self) -> int:
        return self.space[-1] // self.grid[-1]

    @property
    def side(self) -> int:
        return min(3 * self.inner, self.space[-1])

    def cut(self, dataset: PreparedDataset, rows: np.ndarray, cells: np.ndarray) -> np.ndarray:
        """Return the pixels `(n, side, side)` as uint8. What lies beyond the border repeats the border."""
        places = np.unravel_index(cells, self.grid)
        reach = np.arange(self.side) - (self.side - self.inner) // 2
        y, x = (
            np.clip(place[:, None] * self.inner + reach, 0, side - 1)
            for place, side in zip(places[-2:], self.space[-2:], strict=True)
        )
        found = np.zeros((len(rows), self.side, self.side), np.uint8)
        deep = np.iinfo(dataset.images.dtype).max > 255
        for number, row in enumerate(rows):
            image = dataset.images[int(row), 0]
            if len(self.space) == 3:
                depth = self.space[0] // self.grid[0]
                image = image[int(places[0][number]) * depth + depth // 2]
            patch = image[y[number][:, None], x[number]]
            found[number] = patch >> 8 if deep else patch
        return found


def _typical(pixels: np.ndarray) -> np.ndarray:
    """Return the numbers of patches, the one that is nearest to the mean first."""
    if not len(pixels):
        return np.zeros(0, np.int64)
    flat = pixels.reshape(len(pixels), -1).astype(np.float32)
    return np.argsort(np.square(flat - flat.mean(axis=0)).sum(axis=1), kind="stable")


@dataclass(frozen=True)
class WordMap:
    """A map of the codewords of a codebook.

    Attributes:
        codes: The codewords on the map, used ones first.
        uses: How often each is used.
        places: Left, top, width and height of each in the unit square. Areas follow the square root of the use.
        patches: What each decodes to, `(n, side, side)`, uint8.
        dead: Number of codewords that no scan uses.
        total: Number of codewords.
        surveyed: Number of scans whose codes are counted.
    """

    codes: np.ndarray
    uses: np.ndarray
    places: Float[np.ndarray, "n 4"]
    patches: np.ndarray
    dead: int
    total: int
    surveyed: int


def word_map(survey: Survey, autoencoder: Autoencoder, *, level: int, codebook: int) -> WordMap:
    """Make the map of a codebook, with the use in the scans that are encoded so far.

    Raises:
        CodesError: If there is no such level or codebook.
    """
    check_codebook(survey, level, codebook)
    surveyed, counts = survey.encoded, counts_of(survey, level, codebook)
    codes = np.argsort(-counts, kind="stable")[:MOST_WORDS]
    used = codes[counts[codes] > 0]
    vectors = autoencoder.quantizers[level].codewords()[codebook].float().cpu().numpy()
    return WordMap(
        codes=used,
        uses=counts[used],
        places=mosaic(vectors[used], np.sqrt(counts[used])),
        patches=_decoded(survey, autoencoder, level, codebook, used),
        dead=int((counts == 0).sum()),
        total=len(counts),
        surveyed=surveyed,
    )


def mosaic(vectors: Float[np.ndarray, "n d"], weights: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 4"]:
    """Divide the unit square among vectors so that like lies by like, and areas follow the weights.

    A rectangle is halved across its longer side, and its vectors along their first principal direction, until each
    vector has a rectangle of its own.

    Args:
        vectors: The vectors.
        weights: Positive weights.

    Returns:
        Left, top, width and height of each rectangle.
    """
    places = np.zeros((len(vectors), 4))
    if not len(vectors):
        return places
    centred = vectors - vectors.mean(axis=0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    reduced = centred @ directions[:_DIRECTIONS].T
    left = [(np.arange(len(vectors)), (0.0, 0.0, 1.0, 1.0))]
    while left:
        rows, (x, y, width, height) = left.pop()
        if len(rows) == 1:
            places[rows[0]] = (x, y, width, height)
            continue
        own = reduced[rows] - reduced[rows].mean(axis=0)
        direction = np.linalg.eigh(own.T @ own)[1][:, -1]
        direction = direction * (np.sign(direction[np.argmax(np.abs(direction))]) or 1)
        rows = rows[np.argsort(own @ direction, kind="stable")]
        cumulated = np.cumsum(weights[rows])
        cut = int(np.clip(np.searchsorted(cumulated, cumulated[-1] / 2), 1, len(rows) - 1))
        share = float(cumulated[cut - 1] / cumulated[-1])
        if width >= height:
            first, second = (x, y, width * share, height), (x + width * share, y, width * (1 - share), height)
        else:
            first, second = (x, y, width, height * share), (x, y + height * share, width, height * (1 - share))
        left += [(rows[:cut], first), (rows[cut:], second)]
    return places


def _decoded(survey: Survey, autoencoder: Autoencoder, level: int, codebook: int, codes: np.ndarray) -> np.ndarray:
    """Decode each codeword in a small image that consists of it, and return the middle 2 × 2 cells.

    Other codebooks and levels have their most used codeword there.
    """
    dims = autoencoder.spatial_dims
    whole = autoencoder.layouts(survey_space(survey, autoencoder))
    cell = survey_space(survey, autoencoder)[-1] // whole[level].grid[-1]
    unit = autoencoder.multiple_of
    side = min(-(-_CELLS * cell // unit) * unit, survey_space(survey, autoencoder)[-1])
    layouts = autoencoder.layouts((side,) * dims)
    usual = usual_words(survey)
    start, shown = max(0, side // 2 - cell), min(2 * cell, side)
    parts = []
    for begin in range(0, len(codes), _AT_ONCE):
        some = torch.from_numpy(codes[begin : begin + _AT_ONCE].astype(np.int64))
        levels = [
            own.view(1, -1, *[1] * dims).repeat(len(some), 1, *layout.grid)
            for own, layout in zip(usual, layouts, strict=True)
        ]
        levels[level][:, codebook] = some.view(-1, *[1] * dims)
        image = autoencoder.decode(from_levels(levels))[:, 0].cpu()
        if dims == 3:
            image = image[:, side // 2]
        middle = image[:, start : start + shown, start : start + shown]
        parts.append(middle.mul(255).round().byte().numpy())
    return np.concatenate(parts) if parts else np.zeros((0, shown, shown), np.uint8)


def survey_space(survey: Survey, autoencoder: Autoencoder) -> tuple[int, ...]:
    """Return the sides of the images whose codes the survey holds."""
    return autoencoder.space_of([layout.grid for layout in survey.layouts])
