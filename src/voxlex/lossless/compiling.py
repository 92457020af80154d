"""How the coder is compiled: when it is first used, for the processor at hand, and kept beside its source.

numba leaves the order of operations as it stands, and does not fuse a product with a sum. So compiled code gives the
same bits as Python itself would.
"""

from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

from numba import njit

part = njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""Compiles a function that only compiled functions call."""


def whole(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function that Python calls, and keep the code. It must be made by a function of `source_stamp()`."""
    try:
        return njit(error_model="numpy", nogil=True, cache=True)(function)
    except RuntimeError:  # numba finds no folder that it may write to
        return njit(error_model="numpy", nogil=True)(function)


def source_stamp() -> str:
    """Return a digest of the source of this package.

    numba looks only at the file of a function itself to see whether the code that it kept is still valid. So what a
    whole is made from stands in this digest, and the digest is a part of the key that the code is kept under.
    """
    digest = blake2b(digest_size=16)
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()
