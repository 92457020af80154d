import io

import numpy as np
import pytest
from PIL import Image
from scipy.sparse.csgraph import connected_components

from duplicates.brains import brains, flipped
from voxlex.duplicates import pairs as duplicates
from voxlex.duplicates import search
from voxlex.duplicates.components import Components
from voxlex.duplicates.details import SIGNS, details_of, parity_classes
from voxlex.duplicates.hashes import FLIPS, hashes_of_flips
from voxlex.duplicates.pairs import Pairs, cluster, find_duplicates
from voxlex.duplicates.thumbnails import thumbnail


def clusters_of(images: list[np.ndarray]) -> list[int]:
    thumbnails = np.stack([thumbnail(image).astype(np.float16) for image in images])
    return cluster(len(images), find_duplicates(thumbnails)).tolist()


def as_jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def resized(image: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image.copy(),
        lambda image: as_jpeg(image, 40),
        lambda image: resized(image, 200),
        lambda image: resized(resized(image, 40), 64),
        lambda image: (image * 0.5).astype(np.uint8),
        lambda image: np.rint(255 * (image / 255) ** 0.7).astype(np.uint8),
        lambda image: (image.astype(float) * 1.4).clip(0, 255).astype(np.uint8),
        lambda image: image[:, ::-1],
        lambda image: as_jpeg(np.ascontiguousarray(image[::-1]), 60),
        lambda image: image[::-1, ::-1],
    ],
    ids=["copy", "jpeg", "larger", "blurred", "darker", "gamma", "clipped", "mirrored", "upside-down-jpeg", "turned"],
)
def test_another_version_of_a_slice_is_found_among_others(change):
    images = list(brains()[:, 3])
    found = clusters_of([*images, change(images[4])])
    assert found[-1] == found[4]
    assert len(set(found)) == len(images)


def test_slices_of_different_subjects_are_not_taken_for_duplicates():
    images = brains(24, slices=5).reshape(-1, 64, 64)
    subjects = np.repeat(np.arange(24), 5)
    thumbnails = np.stack([thumbnail(image) for image in images])
    pairs = list(find_duplicates(thumbnails))
    assert all((subjects[portion.first] == subjects[portion.second]).all() for portion in pairs)
    # What the detail is for: as they are, slices of the same height correlate far more.
    flat = (thumbnails[2::5] - thumbnails[2::5].mean(axis=(1, 2), keepdims=True)).reshape(24, -1)
    assert np.triu(np.corrcoef(flat), 1).max() > 0.94


def test_neighbouring_slices_of_a_fine_volume_are_found():
    found = clusters_of(list(brains(1, slices=60)[0]))
    assert len(set(found)) < 20


def test_blank_and_nearly_black_images_do_not_cluster():
    rng = np.random.default_rng(0)
    blank = [np.full((64, 64), value, np.uint8) for value in (0, 0, 255)]
    noise = [rng.integers(0, 4, (64, 64)).astype(np.uint8) for _ in range(20)]
    spots = []
    for _ in range(20):
        spots.append(np.zeros((64, 64), np.uint8))
        row, column = rng.integers(4, 52, 2)
        spots[-1][row : row + 9, column : column + 7] = 200
    assert len(set(clusters_of([*blank, *noise, *spots]))) >= 42  # two spots may happen to lie in the same place


def bits_of_all_pairs(thumbnails: np.ndarray, *, bits: int, correlation: float) -> np.ndarray:
    """Bits in which the hashes of near-duplicates differ, of all pairs `(n, n)`; 256 for other pairs."""
    unpacked = np.unpackbits(hashes_of_flips(thumbnails).view(np.uint8), axis=2).astype(float)
    differing = np.stack([(unpacked[0][:, None] != of_flip[None]).sum(axis=2) for of_flip in unpacked])
    differing = np.minimum(differing, differing.transpose(0, 2, 1))  # either may be the flipped one
    details = details_of(thumbnails)
    flat = details.reshape(len(thumbnails), -1)
    turned = [flipped_details(details, flip).reshape(len(thumbnails), -1) for flip in range(len(FLIPS))]
    likeness = np.stack([of_flip @ flat.T for of_flip in turned])
    return np.where((differing <= bits) & (likeness >= correlation), differing, 256).min(axis=0)


def flipped_details(details: np.ndarray, flip: int) -> np.ndarray:
    signs = np.ones((32, 34), np.float32)
    signs[1::2] *= -1 if flip & 2 else 1
    signs[:, 1::2] *= -1 if flip & 1 else 1
    return details * signs


@pytest.mark.parametrize("sample", [40, 1000], ids=["with principal axes", "in full"])
def test_the_search_finds_what_comparing_all_pairs_finds(monkeypatch: pytest.MonkeyPatch, sample: int):
    monkeypatch.setattr(search, "_TILE", (20, 35))
    monkeypatch.setattr(search, "_SAMPLE", sample)
    monkeypatch.setattr(duplicates, "_PORTION", 100)
    monkeypatch.setattr(duplicates, "_BATCH", 30)
    images = list(brains(2, slices=40).reshape(-1, 64, 64))
    images += [np.ascontiguousarray(flipped(image[None], n % 4)[0]) for n, image in enumerate(images[::7])]
    thumbnails = np.stack([thumbnail(image) for image in images])
    found = {
        (int(first), int(second)): int(bits)
        for portion in find_duplicates(thumbnails)
        for first, second, bits in zip(portion.first, portion.second, portion.bits, strict=True)
    }
    bits = bits_of_all_pairs(thumbnails, bits=24, correlation=0.92)
    near = np.argwhere(np.triu(bits <= 24, 1))
    assert found == {(int(i), int(j)): int(bits[i, j]) for i, j in near}
    assert len(found) > len(images) // 8


def test_the_signs_of_a_flip_flip():
    thumbnails = np.stack([thumbnail(image) for image in brains()[0]])
    for flip in range(len(FLIPS)):
        expected = details_of(np.ascontiguousarray(flipped(thumbnails, flip)))
        np.testing.assert_allclose(flipped_details(details_of(thumbnails), flip), expected, atol=1e-5)
        classes = parity_classes(details_of(thumbnails)) * SIGNS[flip][:, None]
        np.testing.assert_allclose(classes, parity_classes(expected), atol=1e-5)


@pytest.mark.parametrize("seed", range(6))
def test_components_are_those_of_all_pairs(monkeypatch: pytest.MonkeyPatch, seed: int):
    """The search passes over most pairs, but what is joined in the end is what all of them would join."""
    monkeypatch.setattr(search, "_TILE", (8, 16))
    monkeypatch.setattr(search, "_SAMPLE", 40)
    monkeypatch.setattr(duplicates, "_PORTION", 5 + 20 * seed)
    rng = np.random.default_rng(seed)
    slices = brains(10, slices=12).reshape(-1, 64, 64)
    drawn = slices[rng.integers(0, len(slices), 150)]
    images = np.concatenate([flipped(drawn[30 * flip :][:30], flip % 4) for flip in range(5)])
    thumbnails = np.stack([thumbnail(image).astype(np.float16) for image in images])
    given = rng.integers(0, 100, len(images))
    components = Components(given)
    assert list(find_duplicates(thumbnails, bits=28, correlation=0.9, components=components))
    near = bits_of_all_pairs(thumbnails, bits=28, correlation=0.9) <= 28
    expected = connected_components(near | (given[:, None] == given))[1]
    assert same_partition(components.labels, expected)
    assert 1 < len(set(expected)) < len(set(given))


def same_partition(first: np.ndarray, second: np.ndarray) -> bool:
    return len(set(zip(first, second, strict=True))) == len(set(first)) == len(set(second))


def test_what_is_joined_is_not_looked_at_again(monkeypatch: pytest.MonkeyPatch):
    """Every image like every other: after a few portions there is nothing left to look at."""
    image = brains()[0, 3].astype(np.float32)
    noise = np.random.default_rng(0).normal(0, 2, (2000, *image.shape))
    thumbnails = np.stack([thumbnail((image + one).clip(0, 255).astype(np.uint8)).astype(np.float16) for one in noise])
    components = Components(np.repeat(np.arange(100), 20))
    judged = []
    judge = duplicates._judge
    monkeypatch.setattr(duplicates, "_judge", lambda *of, **options: judged.append(len(of[1])) or judge(*of, **options))
    for _ in find_duplicates(thumbnails, components=components):
        pass
    assert len(set(components.labels)) == 1
    assert sum(judged) < 0.05 * 2000**2 / 2


def test_chains_make_one_cluster():
    def pairs(*edges: tuple[int, int]) -> Pairs:
        first, second = np.array(edges).T
        return Pairs(first, second, np.zeros(len(edges), int), np.zeros(len(edges), int))

    assert cluster(7, [pairs((0, 3), (1, 2)), pairs((3, 5)), pairs((2, 4))]).tolist() == [0, 1, 1, 0, 1, 0, 2]
    assert cluster(3, []).tolist() == [0, 1, 2]


def test_nothing_to_compare():
    assert list(find_duplicates(np.zeros((0, 32, 34), np.float16))) == []
    assert clusters_of([brains()[0, 3]]) == [0]
