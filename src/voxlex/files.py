"""Write files and folders atomically: they appear complete or not at all."""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from voxlex.errors import DataError


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, and move it to `path` when the block succeeds.

    An existing file is replaced. If the block fails, an existing file does not change, and no other file is left
    behind.

    Args:
        path: The file to write. Missing parent folders are created.

    Raises:
        DataError: If the file cannot be written (no space, no permission, ...). The message names `path` and the cause.
    """
    path = Path(path)
    building = _sibling(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield building
        building.replace(path)
    except OSError as cause:
        raise DataError(f"{path}: cannot be written: {_reason(cause)}") from cause
    finally:
        with suppress(OSError):  # usually it has been moved; otherwise, the first error is the one to report
            building.unlink()


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`, and rename it to `path` when the block succeeds.

    Args:
        path: The folder to create. It must not exist yet, or must be empty.

    Raises:
        DataError: If `path` exists and is not empty, or cannot be written. The message names `path` and the cause.
    """
    path = Path(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise DataError(f"{path}: exists already; remove it, or choose another place")
    building = _sibling(path)
    try:
        building.mkdir(parents=True)
        yield building
        building.replace(path)
    except OSError as cause:
        raise DataError(f"{path}: cannot be written: {_reason(cause)}") from cause
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _sibling(path: Path) -> Path:
    # A hidden file, so that indexing ignores it, on the same file system, so that renaming is atomic.
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")


def _reason(cause: OSError) -> str:
    return cause.strerror or str(cause)
