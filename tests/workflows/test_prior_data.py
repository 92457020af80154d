"""Codes of variations: beside those of the images, known to be as these, and the same each time."""

import pytest
import torch

from voxlex import open_source
from voxlex.assembly import build_autoencoder
from voxlex.config import Config
from voxlex.config.options import PhantomOptions
from voxlex.data.dataset import PreparedDataset
from voxlex.data.phantoms.phantom import PhantomSource
from voxlex.images.frame import Frame
from voxlex.models import VQVAE
from voxlex.priors import Conditions
from voxlex.training.augmentation import Augmentation
from voxlex.workflows.prior_data import prior_data


@pytest.fixture(scope="module")
def images() -> PreparedDataset:
    return open_source(PhantomSource(PhantomOptions(subjects=3, slices=4)), Frame(size=32))


@pytest.fixture(scope="module")
def autoencoder(images: PreparedDataset) -> VQVAE:
    torch.manual_seed(0)
    model = build_autoencoder(Config().model)
    model(images.tensor())  # starts the codebook
    return model.eval()


def test_images_alone(images: PreparedDataset, autoencoder: VQVAE) -> None:
    conditions = Conditions.of(images.manifest, ["slice"])
    codes, known = prior_data(autoencoder, images, conditions)
    assert torch.equal(codes, autoencoder.encode(images.tensor()))
    assert torch.equal(known, conditions.look_up(images.manifest))


def test_variations_follow_the_images(images: PreparedDataset, autoencoder: VQVAE) -> None:
    conditions = Conditions.of(images.manifest, ["slice"])
    n, augmentation = len(images), Augmentation(degrees=10, scale=0.1, seed=0)
    codes, known = prior_data(autoencoder, images, conditions, augmentation=augmentation, variations=2)
    alone, known_alone = prior_data(autoencoder, images, conditions)
    assert len(codes) == len(known) == 3 * n
    assert torch.equal(codes[:n], alone)
    assert torch.equal(known, torch.cat([known_alone] * 3))
    for first, second in ((codes[:n], codes[n : 2 * n]), (codes[n : 2 * n], codes[2 * n :])):
        assert not (first == second).flatten(1).all(dim=1).any()
    again, _ = prior_data(autoencoder, images, conditions, augmentation=augmentation, variations=2)
    assert torch.equal(again, codes)
