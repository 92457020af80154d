"""Check every annotated shape and type of voxlex while the tests run, and keep its cache out of the user's."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from checked_calls import check_calls
from order import slow_first
from scans.pictures import picture

# A shell starts what runs in the background with these ignored, and all processes of the tests would ignore them, too.
for _name, _usual in (("SIGINT", signal.default_int_handler), ("SIGTERM", signal.SIG_DFL), ("SIGHUP", signal.SIG_DFL)):
    if hasattr(signal, _name) and signal.getsignal(getattr(signal, _name)) == signal.SIG_IGN:
        signal.signal(getattr(signal, _name), _usual)

check_calls("voxlex")

ACCELERATOR = torch.accelerator.is_available()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if processes > 1:
        items[:] = slow_first(items, processes=processes)


@pytest.fixture(autouse=True, scope="session")
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VOXLEX_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True, scope="session")
def few_divisions_samples_and_draws() -> Iterator[None]:
    """Judge new images by two divisions of the held-out ones instead of four, show few, and draw labels once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("voxlex.workflows.judge.SHOWN_SAMPLES", 16)
        patch.setattr("voxlex.evaluation.generation.plan.ROUNDS", 2)
        patch.setattr("voxlex.evaluation.labels.DRAWS", 1)
        yield


@pytest.fixture(autouse=True, scope="session")
def curves_drawn_once() -> Iterator[None]:
    """Draw the curves of each kind once, and show them in every report. `tests/pages` draws all of them."""
    from voxlex.pages import curves

    draw, drawn = curves._svg, {}

    def shown(figure: Figure) -> str:
        kind = figure.axes[0].get_ylabel()
        if kind not in drawn:
            drawn[kind] = draw(figure)
        return drawn[kind]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curves, "_svg", shown)
        yield


@pytest.fixture(autouse=True)
def seeded() -> None:
    # For kinds of devices that are not there, torch.manual_seed notes the stack, which takes longer than many a test.
    (torch.manual_seed if ACCELERATOR else torch.default_generator.manual_seed)(0)


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    """Write `count` PNG pictures, named by `pattern`, into a fresh folder."""

    def make(count: int, *, pattern: str = "{:03d}.png", name: str = "source") -> Path:
        folder = tmp_path / name
        for number in range(count):
            path = folder / pattern.format(number)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture(number)).save(path)
        return folder

    return make
