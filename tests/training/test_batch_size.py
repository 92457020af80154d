"""The batch size follows the device, unless it is given."""

import pytest

from voxlex.config import StageConfig
from voxlex.training.batch_size import number_of, sized


@pytest.mark.parametrize(
    ("device", "pixels", "rows", "expected"),
    [
        ("cpu", 128**2, 4000, 4),
        ("mps", 128**2, 4000, 4),
        ("cuda", 128**2, 4000, 32),
        ("cuda", 32**2, 4000, 64),
        ("cuda", 256**2, 4000, 8),
        ("cuda", 128**3, 4000, 4),
        ("cuda", 128**2, 100, 12),
        ("cuda", 128**2, 10, 4),
    ],
)
def test_the_rule(device: str, pixels: int, rows: int, expected: int) -> None:
    stage = sized(StageConfig(learning_rate=0.01), device=device, pixels=pixels, rows=rows)
    assert stage.batch_size == number_of(stage) == expected
    assert stage.learning_rate == 0.01


def test_a_number_stays() -> None:
    stage = StageConfig(batch_size=6, learning_rate=0.01)
    assert sized(stage, device="cuda", pixels=128**2, rows=4000) == stage
