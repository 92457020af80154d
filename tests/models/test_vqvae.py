import numpy as np
import pytest
import torch

from voxlex.errors import CodesError
from voxlex.models import VQVAE, Decoder, Encoder, PaperDecoder, PaperEncoder
from voxlex.models.tiling import decode_tiled
from voxlex.quantizers import VectorQuantizer


def small(kind: str = "residual", spatial_dims: int = 2) -> VQVAE:
    networks = {"residual": (Encoder, Decoder), "paper": (PaperEncoder, PaperDecoder)}[kind]
    settings = {"embedding_dim": 4, "spatial_dims": spatial_dims, "width": 8, "blocks": 1}
    encoder, decoder = (network(**settings) for network in networks)
    quantizer = VectorQuantizer(num_embeddings=16, embedding_dim=4)
    return VQVAE(encoder=encoder, quantizer=quantizer, decoder=decoder, spatial_dims=spatial_dims).eval()


@pytest.mark.parametrize("kind", ["residual", "paper"])
@pytest.mark.parametrize(("spatial_dims", "space"), [(2, (16, 24)), (3, (8, 16, 12))])
def test_shapes_of_images_and_codes(kind: str, spatial_dims: int, space: tuple[int, ...]) -> None:
    model = small(kind, spatial_dims)
    x = torch.rand(2, 1, *space)
    outputs = model(x)
    assert outputs.x_hat.shape == x.shape
    assert outputs.codes.shape == (2, 1, *[side // 4 for side in space])


@pytest.mark.parametrize("kind", ["residual", "paper"])
def test_gradients_reach_every_parameter(kind: str) -> None:
    model = small(kind).train()
    outputs = model(torch.rand(2, 1, 16, 16))
    (outputs.x_hat.square().mean() + sum(outputs.losses.values())).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_decode_of_encode_is_the_forward_pass() -> None:
    model = small()
    x = torch.rand(2, 1, 16, 16)
    outputs = model(x)
    assert torch.equal(model.encode(x), outputs.codes)
    assert torch.equal(model.decode(outputs.codes), outputs.x_hat.clamp(0, 1))
    assert torch.equal(model.reconstruct(x), model.decode(model.encode(x)))


def test_codes_and_images_may_be_used_under_gradients() -> None:
    model = small()
    codes = model.encode(torch.rand(1, 1, 16, 16))
    assert not codes.is_inference()
    embedding = torch.nn.Embedding(16, 2)
    embedding(codes).sum().backward()  # as a prior scores them
    shift = torch.zeros(1, requires_grad=True)
    for decoded in (model.decode(codes), decode_tiled(model, codes)):
        ((decoded + shift) * decoded).sum().backward()
    assert shift.grad is not None


def test_takes_images_as_people_hold_them() -> None:
    model = small()
    pixels = np.random.default_rng(0).integers(0, 256, (2, 16, 16), dtype=np.uint8)
    expected = model.encode(torch.from_numpy(pixels).float().unsqueeze(1) / 255)
    for images in (pixels, pixels[..., None], pixels.astype(np.uint16) * 257, pixels / 255, torch.from_numpy(pixels)):
        assert torch.equal(model.encode(images), expected)
    colour = np.repeat(pixels[..., None], 3, axis=3)
    assert model.encode(colour).shape == expected.shape


def test_decodes_codes_of_any_integer_type() -> None:
    model = small()
    codes = torch.randint(0, 16, (1, 1, 4, 4))
    expected = model.decode(codes)
    assert torch.equal(model.decode(codes.numpy().astype(np.uint16)), expected)
    assert expected.dtype == torch.float32
    assert expected.min() >= 0
    assert expected.max() <= 1


@pytest.mark.parametrize("kind", ["residual", "paper"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("autocast", [False, True], ids=["plain", "autocast"])
def test_models_of_every_type_learn_encode_and_decode(kind: str, dtype: torch.dtype, autocast: bool) -> None:
    model, x = small(kind).to(dtype).train(), torch.rand(2, 1, 16, 16)
    for quantize in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            outputs = model(x, quantize=quantize)
        (outputs.x_hat.float().square().mean() + sum(outputs.losses.values())).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        codes = model.eval().encode(x)
        assert torch.equal(codes, model.encode(x.double()))
        assert model.decode(codes).dtype == torch.float32
    other = small(kind).to(dtype)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.decode(codes), model.decode(codes)) or autocast


def test_codes_come_as_arrays_lists_and_tensors_of_any_layout() -> None:
    model = small()
    codes = torch.randint(0, 16, (2, 1, 4, 4))
    expected, array = model.decode(codes), codes.numpy()
    read_only = array.copy()
    read_only.setflags(write=False)
    for given in (
        array.tolist(),
        [array],
        (codes,),
        list(array),
        list(codes),
        array[::-1].copy()[::-1],
        np.asfortranarray(array),
        array.astype(">i4"),
        array.astype(np.uint64),
        codes.to(torch.int16),
        codes.to(torch.uint8),
        read_only,
    ):
        assert torch.equal(model.decode(given), expected)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (np.zeros((1, 1, 4, 4)), "expected whole numbers, got float64"),
        (np.zeros((1, 1, 4, 4), bool), "expected whole numbers, got bool"),
        (torch.zeros(1, 1, 4, 4, dtype=torch.bool), r"expected whole numbers, got torch\.bool"),
        (np.full((1, 1, 4, 4), 21), "expected values from 0 to 15, got 21"),
        (np.full((1, 1, 4, 4), -3), "expected values from 0 to 15, got -3"),
        (np.zeros((0, 1, 4, 4), int), "expected the codes of at least one image, got"),
        ([[[[0, 1], [2]]]], "expected lists or arrays of one shape"),
    ],
)
def test_what_is_wrong_with_codes_is_said(codes: object, message: str) -> None:
    with pytest.raises(ValueError, match=f"codes: {message}"):
        small().decode(codes)


def test_refuses_no_images() -> None:
    for verb in (small().encode, small().reconstruct):
        with pytest.raises(ValueError, match="images: expected at least one pixel, got"):
            verb(np.zeros((0, 16, 16), np.uint8))
    for training in (False, True):
        with pytest.raises(ValueError, match="latents: expected at least one image"):
            small().train(training)(torch.zeros(0, 1, 16, 16))


def test_refuses_images_that_do_not_divide_into_patches() -> None:
    with pytest.raises(ValueError, match="multiples of 4"):
        small().encode(torch.rand(1, 1, 18, 16))


@pytest.mark.parametrize(
    "codes",
    [torch.full((1, 1, 4, 4), 16), torch.zeros(1, 1, 4, 4), torch.zeros(4, 4).long(), torch.zeros(1, 2, 4, 4).long()],
)
def test_refuses_codes_that_are_not_codes(codes: torch.Tensor) -> None:
    with pytest.raises(CodesError, match="codes: expected"):
        small().decode(codes)


def test_the_paper_network_wants_a_power_of_two() -> None:
    with pytest.raises(ValueError, match="power of two"):
        PaperEncoder(downsampling=3)
