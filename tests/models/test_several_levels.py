"""Models with codes at several scales: multi-scale residual quantization, and VQ-VAE-2."""

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional

from voxlex.models import VQVAE2, Autoencoder, Decoder, Encoder, MultiScaleVQVAE
from voxlex.models.tiling import decode_tiled, encode_tiled
from voxlex.quantizers import FiniteScalarQuantizer, LookupFreeQuantizer, Quantizer, VectorQuantizer


def words(num_embeddings: int = 16, embedding_dim: int = 4) -> Quantizer:
    return VectorQuantizer(num_embeddings=num_embeddings, embedding_dim=embedding_dim)


def networks(spatial_dims: int, *, features: int = 4, latents: int = 4) -> dict[str, torch.nn.Module]:
    small = {"spatial_dims": spatial_dims, "width": 8, "stem_width": 4, "blocks": 1}
    return {
        "encoder": Encoder(embedding_dim=features, **small),
        "decoder": Decoder(embedding_dim=latents, **small),
    }


def multi_scale(spatial_dims: int = 2) -> MultiScaleVQVAE:
    quantizers = [words(8), words(8), words(32)]
    return MultiScaleVQVAE(**networks(spatial_dims), quantizers=quantizers, scales=(4, 2, 1), spatial_dims=spatial_dims)


def vqvae2(spatial_dims: int = 2) -> VQVAE2:
    return VQVAE2(
        **networks(spatial_dims, features=8, latents=7),
        top=words(8, embedding_dim=3),
        bottom=words(32),
        width=8,
        spatial_dims=spatial_dims,
    )


def started(build: Callable[..., Autoencoder], spatial_dims: int = 2) -> Autoencoder:
    """A model whose codebooks begin at latents of noise."""
    torch.manual_seed(0)
    model = build(spatial_dims)
    model(torch.rand(8, 1, *[32] * spatial_dims))
    return model.eval()


MODELS = pytest.mark.parametrize("build", [multi_scale, vqvae2])


@MODELS
@pytest.mark.parametrize(("spatial_dims", "space"), [(2, (16, 48)), (3, (16, 32, 16))])
def test_what_is_decoded_is_the_forward_pass(
    build: Callable[..., Autoencoder], spatial_dims: int, space: tuple[int, ...]
) -> None:
    model, x = started(build, spatial_dims), torch.rand(2, 1, *space)
    outputs, codes = model(x), model.encode(x)
    for own, layout, seen in zip(codes, model.layouts(space), outputs.codes, strict=True):
        layout.check(own)
        assert torch.equal(own, seen)
    assert codes[0].shape[2:] == tuple(side // 16 for side in space)
    assert codes[-1].shape[2:] == tuple(side // 4 for side in space)
    torch.testing.assert_close(model.decode(codes), outputs.x_hat.clamp(0, 1))
    assert model.latents(codes).shape == (2, model.latent_dim, *codes[-1].shape[2:])


@MODELS
def test_gradients_reach_every_weight(build: Callable[..., Autoencoder]) -> None:
    model = started(build).train()
    outputs = model(torch.rand(2, 1, 32, 32))
    (outputs.x_hat.square().mean() + sum(outputs.losses.values())).backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


@MODELS
def test_without_rounding_nothing_stands_between_encoder_and_decoder(build: Callable[..., Autoencoder]) -> None:
    model, x = started(build).train(), torch.rand(2, 1, 32, 32)
    outputs = model(x, quantize=False)
    assert outputs.codes is None
    assert not outputs.losses
    if isinstance(model, MultiScaleVQVAE):
        torch.testing.assert_close(outputs.x_hat, model.decoder(model.encoder(x)), rtol=1e-4, atol=1e-5)


@MODELS
@pytest.mark.parametrize(("spatial_dims", "space"), [(2, (192, 80)), (3, (96, 32, 32))])
def test_tiles_give_what_the_whole_gives(
    build: Callable[..., Autoencoder], spatial_dims: int, space: tuple[int, ...]
) -> None:
    model, x = started(build, spatial_dims), torch.rand(1, 1, *space)
    codes = model.encode(x)
    for own, expected in zip(encode_tiled(model, x, tile=2), codes, strict=True):
        assert (own == expected).float().mean() > 0.999  # rounding may tip a tie
    torch.testing.assert_close(decode_tiled(model, codes, tile=2), model.decode(codes), rtol=0, atol=1e-4)


def test_each_scale_quantizes_what_is_left_over() -> None:
    """Against the algorithm of 2404.02905 (algorithm 1), written out in float64."""
    model, x = started(multi_scale), torch.rand(2, 1, 32, 32)
    rest, total = model.encoder(x).double(), 0
    for quantizer, scale, codes in zip(model.quantizers, model.scales, model.encode(x), strict=True):
        reduced = rest.unflatten(3, (-1, scale)).unflatten(2, (-1, scale)).mean(dim=(3, 5))
        table = quantizer.codewords()[0].detach().double()
        nearest = torch.cdist(reduced.movedim(1, -1).flatten(0, 2), table).argmin(dim=1).view(2, 1, *reduced.shape[2:])
        assert torch.equal(codes, nearest)
        chosen = table[nearest[:, 0]].movedim(-1, 1)
        enlarged = chosen if scale == 1 else functional.interpolate(chosen, scale_factor=float(scale), mode="bilinear")
        rest, total = rest - enlarged, total + enlarged
    torch.testing.assert_close(model.latents(model.encode(x)).double(), total, rtol=1e-5, atol=1e-5)


def test_finer_levels_bring_latents_nearer() -> None:
    model, x = started(multi_scale), torch.rand(4, 1, 32, 32)
    z_e, codes = model.encoder(x), model.encode(x)
    coarse_alone = (*codes[:1], *[torch.zeros_like(own) for own in codes[1:]])
    distance = (model.latents(codes) - z_e).square().mean()
    assert distance < (model.latents(coarse_alone) - z_e).square().mean()


def test_the_top_level_changes_the_bottom_codes_and_the_image() -> None:
    model, x = started(vqvae2), torch.rand(1, 1, 32, 32)
    top, bottom = model.encode(x)
    other = (top + 1) % 8
    assert not torch.allclose(model.decode((other, bottom)), model.decode((top, bottom)))
    model.top.codebook.embeddings += 5
    assert not torch.equal(model.encode(x)[1], bottom)


def test_other_kinds_may_quantize_the_finest_level() -> None:
    fine = LookupFreeQuantizer(num_bits=4)
    model = MultiScaleVQVAE(**networks(2), quantizers=[words(), fine], scales=(2, 1))
    outputs = model(torch.rand(4, 1, 32, 32))
    assert all(int(own.max()) < 16 for own in outputs.codes)
    assert {"commitment", "entropy"} <= set(outputs.losses)


def test_kinds_that_cannot_quantize_what_is_left_over_are_refused() -> None:
    bounding = FiniteScalarQuantizer(levels=(5, 5, 5, 5))
    with pytest.raises(ValueError, match=r"quantizers: expected quantizers that .* got FiniteScalarQuantizer"):
        MultiScaleVQVAE(**networks(2), quantizers=[words(), bounding], scales=(2, 1))


@pytest.mark.parametrize("scales", [(), (4, 2), (2, 4, 1), (4, 3, 1), (2, 2, 1)])
def test_scales_that_do_not_divide_are_refused(scales: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="scales: expected multiples of each other"):
        MultiScaleVQVAE(**networks(2), quantizers=[words() for _ in scales], scales=scales)


def test_quantizers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="quantizers: expected 2 of one embedding_dim, got embedding_dim \\[4\\]"):
        MultiScaleVQVAE(**networks(2), quantizers=[words()], scales=(2, 1))
    with pytest.raises(ValueError, match=r"quantizers: .* got embedding_dim \[3, 4\]"):
        MultiScaleVQVAE(**networks(2), quantizers=[words(embedding_dim=3), words()], scales=(2, 1))
    with pytest.raises(ValueError, match="scale: expected 2, 4, 8 or another power of two, got 3"):
        VQVAE2(**networks(2, features=8, latents=8), top=words(), bottom=words(), width=8, scale=3)
