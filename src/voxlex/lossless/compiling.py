"""How the coder is compiled: when it is first used, for the processor at hand, and kept beside its source.

numba leaves the order of operations as it stands, and does not fuse a product with a sum. So compiled code gives the
same bits as Python itself would.
"""

from hashlib import blake2b
from pathlib import Path

from numba import njit

part = njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""Compiles a function that only compiled functions call."""

whole = njit(error_model="numpy", nogil=True, cache=True)
"""Compiles a function that Python calls, and keeps the code. It must be made by a function of `source_stamp()`."""


def source_stamp() -> str:
    """Return a digest of the source of this package.

    numba looks only at the file of a function itself to see whether the code that it kept is still valid. So what a
    whole is made from stands in this digest, and the digest is a part of the key that the code is kept under.
    """
    digest = blake2b(digest_size=16)
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()
