"""Tiles: the same codes and images as in one piece, and seams that cannot be told from the rest."""

import numpy as np
import pytest
import torch
from torch import Tensor

from voxlex.models import VQVAE, Decoder, Encoder, PaperDecoder, PaperEncoder, tiling
from voxlex.models.tiling import decode_tiled, encode_tiled
from voxlex.quantizers import VectorQuantizer


def small(kind: str = "residual", spatial_dims: int = 2, *, downsampling: int = 4) -> VQVAE:
    networks = {"residual": (Encoder, Decoder), "paper": (PaperEncoder, PaperDecoder)}[kind]
    settings = {"embedding_dim": 4, "spatial_dims": spatial_dims, "width": 8, "blocks": 1, "downsampling": downsampling}
    encoder, decoder = (network(**settings) for network in networks)
    for parameter in [*encoder.parameters(), *decoder.parameters()]:
        torch.nn.init.normal_(parameter, std=0.2)  # blocks start as identities, which see nothing
    quantizer = VectorQuantizer(num_embeddings=64, embedding_dim=4)
    return VQVAE(
        encoder=encoder,
        quantizer=quantizer,
        decoder=decoder,
        spatial_dims=spatial_dims,
        downsampling=downsampling,
    ).eval()


@pytest.mark.parametrize("kind", ["residual", "paper"])
@pytest.mark.parametrize("downsampling", [2, 4, 8])
@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_a_network_reaches_no_further_than_it_says(kind: str, downsampling: int, part: str) -> None:
    model = small(kind, downsampling=downsampling)
    network = getattr(model, part)
    cells, middle = 21, 10
    if part == "encoder":
        x = torch.rand(1, 1, cells * downsampling, cells * downsampling, requires_grad=True)
        network(x)[:, :, middle, middle].sum().backward()
        unit = downsampling
    else:
        x = torch.rand(1, 4, cells, cells, requires_grad=True)
        span = slice(middle * downsampling, (middle + 1) * downsampling)
        network(x)[:, :, span, span].sum().backward()
        unit = 1
    assert x.grad is not None
    rows = x.grad.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
    furthest = max(middle - int(rows.min()) // unit, int(rows.max()) // unit - middle)
    assert furthest <= getattr(model, f"{part}_reach") <= furthest + 1


@pytest.mark.parametrize(
    ("kind", "spatial_dims", "space"),
    [("residual", 2, (72, 60)), ("paper", 2, (72, 60)), ("residual", 3, (24, 32, 16))],
)
def test_tiles_agree_with_the_whole(kind: str, spatial_dims: int, space: tuple[int, ...]) -> None:
    model = small(kind, spatial_dims)
    x = torch.rand(2, 1, *space)
    codes = model.encode(x)
    # Sums in another order may turn a code whose neighbour is as near.
    assert (encode_tiled(model, x, tile=3) == codes).double().mean() > 0.99
    torch.testing.assert_close(decode_tiled(model, codes, tile=3), model.decode(codes), rtol=0, atol=1e-4)


def test_arrays_are_taken_as_by_the_model() -> None:
    model = small()
    image = np.random.default_rng(0).integers(0, 256, (40, 48), dtype=np.uint8)
    assert torch.equal(encode_tiled(model, image, tile=4), model.encode(image))
    with pytest.raises(ValueError, match="multiples of 4"):
        encode_tiled(model, np.zeros((42, 48), np.uint8))


def test_with_too_small_a_halo_seams_are_faded() -> None:
    model = small()
    codes = torch.randint(64, (1, 1, 24, 24))
    whole = model.decode(codes)
    error = (decode_tiled(model, codes, tile=8, halo=1) - whole).abs()[0, 0]
    abrupt = _without_fading(model, codes, tile=8, halo=1) - whole[0, 0]
    assert 0 < error.mean() < abrupt.abs().mean()
    steps = _step_at_seams(error), _step_at_seams(abrupt.abs())
    assert steps[0] < steps[1]


def _without_fading(model: VQVAE, codes: Tensor, *, tile: int, halo: int) -> Tensor:
    patch, side = model.downsampling, codes.shape[-1]
    image = torch.zeros(side * patch, side * patch)
    for top in range(0, side, tile):
        for left in range(0, side, tile):
            rows, columns = (slice(max(0, start - halo), start + tile + halo) for start in (top, left))
            decoded = model.decode(codes[:, :, rows, columns])[0, 0]
            row, column = ((start - span.start) * patch for start, span in ((top, rows), (left, columns)))
            image[top * patch : (top + tile) * patch, left * patch : (left + tile) * patch] = decoded[
                row : row + tile * patch, column : column + tile * patch
            ]
    return image


def _step_at_seams(error: Tensor) -> float:
    return float(sum((error[seam] - error[seam - 1]).abs().mean() for seam in (32, 64)))


def test_a_network_that_does_not_tell_its_reach_needs_a_halo() -> None:
    model = small()
    model.encoder_reach = None
    with pytest.raises(ValueError, match="halo"):
        encode_tiled(model, torch.rand(1, 1, 32, 32), tile=4)
    assert encode_tiled(model, torch.rand(1, 1, 32, 32), tile=4, halo=2).shape == (1, 1, 8, 8)


def test_the_largest_tile_bounds_what_goes_through_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiling, "LARGEST_TILE", 60**2)
    model = small()
    seen: list[int] = []
    hook = model.encoder.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape.numel()))
    x = torch.rand(1, 1, 128, 128)
    tiled = encode_tiled(model, x)
    assert max(seen) <= 60**2
    hook.remove()
    assert torch.equal(tiled, model.encode(x))
