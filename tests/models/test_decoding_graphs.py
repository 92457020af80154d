"""The graphs of an autoencoder are its methods, without checks."""

import torch

from two_levels import untrained
from voxlex.assembly import build_texture
from voxlex.models.graphs import CodesToImages, CodesToTexturedImages, ImagesToCodes


@torch.no_grad()
def test_graphs_of_two_levels_are_the_methods() -> None:
    model, images = untrained(), torch.rand(2, 1, 32, 24)
    codes = model.encode(images)
    assert isinstance(codes, tuple)
    found = ImagesToCodes(model)(images)
    assert all(map(torch.equal, found, codes))
    torch.testing.assert_close(CodesToImages(model)(*codes), model.decode(codes))
    texture, noise = build_texture(model).eval(), torch.randn(2, 1, 32, 24)
    for parameter in texture.parameters():
        parameter += 0.1 * torch.randn_like(parameter)
    found = CodesToTexturedImages(model, texture)(noise, *codes)
    torch.testing.assert_close(found, texture.decode(model.latents(codes), noise))
    assert (found - CodesToTexturedImages(model, texture)(torch.zeros_like(noise), *codes)).abs().max() > 1e-3
