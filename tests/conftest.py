"""Check every annotated shape and type of voxlex while the tests run, and keep its cache out of the user's."""

from collections.abc import Iterator

import pytest
import torch
from jaxtyping import install_import_hook

install_import_hook("voxlex", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")


@pytest.fixture(autouse=True, scope="session")
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VOXLEX_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)
