"""The textured decoder, and the noise that it shapes."""

import pytest
import torch

from voxlex.models import VQVAE, Decoder, Encoder
from voxlex.models.texture import TexturedDecoder, noise_for
from voxlex.models.tiling import decode_tiled
from voxlex.quantizers import VectorQuantizer


def model(spatial_dims: int, *, amplitude: float = 0.0) -> tuple[VQVAE, TexturedDecoder]:
    torch.manual_seed(0)
    settings = {"embedding_dim": 4, "width": 8, "blocks": 1, "spatial_dims": spatial_dims, "stem_width": 4}
    autoencoder = VQVAE(
        encoder=Encoder(**settings),
        quantizer=VectorQuantizer(num_embeddings=16, embedding_dim=4),
        decoder=Decoder(**settings),
        spatial_dims=spatial_dims,
    ).eval()
    texture = TexturedDecoder(autoencoder.decoder, embedding_dim=4, spatial_dims=spatial_dims, width=8).eval()
    torch.nn.init.normal_(texture.amplitudes[-1].weight, std=amplitude)
    return autoencoder, texture


@pytest.mark.parametrize("space", [(32, 24), (16, 24, 16)])
def test_a_new_one_decodes_like_the_decoder(space: tuple[int, ...]) -> None:
    autoencoder, texture = model(len(space))
    codes = autoencoder.encode(torch.rand(2, 1, *space))
    noise = noise_for((codes,), shape=(1, *space), seed=0)
    assert noise.shape == (2, 1, *space)
    decoded = texture.decode(autoencoder.latents((codes,)), noise)
    torch.testing.assert_close(decoded, autoencoder.decode(codes))


@pytest.mark.parametrize("space", [(32, 24), (16, 24, 16)])
def test_noise_is_added_with_the_amplitudes_of_the_codes(space: tuple[int, ...]) -> None:
    autoencoder, texture = model(len(space), amplitude=0.5)
    codes = autoencoder.encode(torch.rand(2, 1, *space))
    z_q = autoencoder.quantizer.decode(codes)
    noise = torch.randn(2, 1, *space)
    plain = autoencoder.decoder(z_q)
    once, twice = (texture(z_q, factor * noise) - plain for factor in (1, 2))
    assert once.std() > 0.01
    torch.testing.assert_close(twice, 2 * once, rtol=1e-3, atol=1e-5)


def test_the_noise_of_an_image_depends_on_its_codes_and_the_seed_alone() -> None:
    coarse, fine = torch.randint(16, (3, 1, 4, 4)), torch.randint(16, (3, 1, 8, 8))
    shape = (1, 32, 32)
    noise = noise_for((coarse, fine), shape=shape, seed=5)
    assert torch.equal(noise_for((coarse[1:2], fine[1:2]), shape=shape, seed=5), noise[1:2])
    assert not torch.equal(noise[0], noise[1])
    assert not torch.equal(noise_for((coarse, fine), shape=shape, seed=6), noise)
    assert not torch.equal(noise_for((coarse.flip(0), fine), shape=shape, seed=5)[0], noise[0])
    assert abs(float(noise.mean())) < 0.1
    assert 0.9 < float(noise.std()) < 1.1


def test_tiles_have_no_seams() -> None:
    autoencoder, texture = model(2, amplitude=0.5)
    codes = autoencoder.encode(torch.rand(1, 1, 128, 96))
    noise = noise_for((codes,), shape=(1, 128, 96), seed=0)
    whole = texture.decode(autoencoder.latents((codes,)), noise)
    tiled = decode_tiled(
        autoencoder,
        codes,
        tile=8,
        halo=4,
        decode=lambda levels, region: texture.decode(autoencoder.latents(levels), noise[region]),
    )
    torch.testing.assert_close(tiled, whole, rtol=1e-4, atol=1e-4)
