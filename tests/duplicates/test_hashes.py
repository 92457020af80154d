import numpy as np

from duplicates.brains import brains, flipped
from voxlex.duplicates.hashes import FLIPS, differing_bits, hashes_of_flips
from voxlex.duplicates.thumbnails import thumbnail


def test_a_bit_says_where_the_image_grows_brighter_to_the_right():
    picture = np.zeros((32, 34))
    picture[:, 16:18] = 1  # column 8 of 17
    bits = np.unpackbits(hashes_of_flips(picture[None])[0].view(np.uint8)).reshape(16, 16)
    assert (bits == (np.arange(16) == 7)).all()


def test_brightness_and_contrast_do_not_matter_and_noise_in_the_dark_hardly():
    image = brains()[0, 3] / 255
    noise = np.random.default_rng(0).normal(0, 0.002, image.shape)
    versions = np.stack([thumbnail(image), thumbnail(image * 0.4 + 0.1), thumbnail((image + noise).clip(0, 1))])
    first = hashes_of_flips(versions)[0]
    assert differing_bits(first[:1], first[1:2]).tolist() == [0]
    assert differing_bits(first[:1], first[2:])[0] <= 5


def test_hashes_of_flips_are_hashes_of_flipped_images():
    thumbnails = np.stack([thumbnail(image) for image in brains()[0]])
    for flip, hashes in enumerate(hashes_of_flips(thumbnails)):
        assert differing_bits(hashes, hashes_of_flips(flipped(thumbnails, flip))[0]).max() == 0
    assert len(FLIPS) == 4


def test_differing_bits_are_counted():
    rng = np.random.default_rng(0)
    first, second = (rng.integers(0, 2**63, (50, 4), dtype=np.uint64) for _ in range(2))
    unpacked = [np.unpackbits(words.view(np.uint8), axis=1) for words in (first, second)]
    np.testing.assert_array_equal(differing_bits(first, second), (unpacked[0] != unpacked[1]).sum(axis=1))


def test_a_thumbnail_holds_means_over_areas():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (64, 68), dtype=np.uint8)
    expected = image.reshape(32, 2, 34, 2).mean(axis=(1, 3)) / 255
    np.testing.assert_allclose(thumbnail(image), expected, rtol=1e-5)
    np.testing.assert_allclose(thumbnail(image.astype(np.uint16) * 257), expected, rtol=1e-5)
    uneven = rng.integers(0, 256, (51, 47), dtype=np.uint8)
    assert abs(thumbnail(uneven).mean() - uneven.mean() / 255) < 1e-5


def test_the_thumbnail_of_a_volume_is_that_of_its_middle_slice():
    volume = brains()[0]
    np.testing.assert_array_equal(thumbnail(volume), thumbnail(volume[3]))
