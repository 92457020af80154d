"""A made-up training for the tests of curves and reports."""

import pytest

from voxlex.pages import curves

_DRAW = curves._svg


@pytest.fixture(autouse=True)
def all_curves_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves, "_svg", _DRAW)


def row(stage: str, seconds: float, name: str, value: float) -> dict[str, str]:
    return {
        "stage": stage,
        "step": f"{seconds:.0f}",
        "elapsed_s": f"{seconds:.2f}",
        "name": name,
        "value": f"{value:g}",
    }


@pytest.fixture
def journal() -> list[dict[str, str]]:
    """Rows as a run of both stages writes them, over five minutes each."""
    rows = []
    for second in range(1, 300, 10):
        left = 0.1 + 1 / second
        rows += [
            row("autoencoder", second, name, value)
            for name, value in {
                "train/loss": 0.15 * left,
                "train/loss/l1": 0.1 * left,
                "train/loss/commitment": 0.05 * left,
                "train/psnr_db": 33 - left,
                "train/codes_in_use": 400.0,
                "validation/ssim": 1 - 0.1 * left,
                "validation/psnr_db": 32 - left,
                "validation/perplexity": 300 - left,
            }.items()
        ]
        rows.append(row("prior", second, "train/bits_per_code", 5 + left))
        rows.append(row("prior", second, "validation/bits_per_code", 5.5 + left))
    return rows
