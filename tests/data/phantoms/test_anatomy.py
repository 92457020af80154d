import numpy as np
import torch

from voxlex.data.phantoms.anatomy import Anatomy, SmoothField


def _grid(step: float) -> torch.Tensor:
    axis = torch.arange(-60.0, 60.0, step)
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1)


def test_without_variety_the_template_comes_back():
    anatomy = Anatomy.draw(np.random.default_rng(0), variety=0.0)
    points = _grid(20.0)
    torch.testing.assert_close(anatomy.to_template(points), points, rtol=0, atol=1e-3)


def test_a_field_has_the_deviation_asked_for():
    deviations = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        field = SmoothField.draw(rng, waves=40, wavelengths_mm=(20.0, 60.0), deviation=2.0, channels=3)
        deviations.append(float(field(_grid(6.0)).std()))
    assert abs(np.mean(deviations) - 2.0) < 0.2


def test_space_hardly_ever_folds():
    """A fold, a negative determinant of the map's derivative, would show a piece of brain inside out."""
    step = 3.0
    folded = []
    for seed in range(6):
        mapped = Anatomy.draw(np.random.default_rng(seed)).to_template(_grid(step))
        corner = mapped[:-1, :-1, :-1]
        edges = [mapped[1:, :-1, :-1], mapped[:-1, 1:, :-1], mapped[:-1, :-1, 1:]]
        derivative = torch.stack([(edge - corner) / step for edge in edges], dim=-1)
        folded.append(float((torch.linalg.det(derivative) <= 0).float().mean()))
    assert max(folded) < 0.001


def test_growing_ventricles_look_up_nearer_to_the_middle():
    anatomy = Anatomy(linear=torch.eye(3), shift_mm=torch.zeros(3), warps=(), ventricles=0.4)
    middle, near, far = (
        torch.tensor([0.0, -16.0, 14.0]),
        torch.tensor([8.0, -16.0, 14.0]),
        torch.tensor([90.0, -16.0, 14.0]),
    )
    torch.testing.assert_close(anatomy.to_template(middle), middle)
    assert anatomy.to_template(near)[0] < 6
    torch.testing.assert_close(anatomy.to_template(far), far, rtol=0, atol=0.05)
