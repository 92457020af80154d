"""Check every annotated shape and type of voxlex while the tests run, and keep its cache out of the user's."""

import pytest
import torch
from jaxtyping import install_import_hook

install_import_hook("voxlex", "beartype.beartype")


@pytest.fixture(autouse=True)
def private_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXLEX_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)
