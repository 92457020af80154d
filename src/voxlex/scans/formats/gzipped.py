"""Decompress a gzip file of known size in one step."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyarrow import Buffer

_LENGTH = 4
"""Number of bytes at the end of a gzip file that hold the size of its content."""


def decompress(path: Path, *, size: int) -> "Buffer | None":
    """Return the content of a gzip file in its own writable memory.

    Arrow decompresses directly into the final memory, and verifies the checksum meanwhile. `gzip.open` copies the
    content in pieces of 8 KiB, which takes one and a half times as long. `gzip.decompress` returns memory that is not
    writable.

    Args:
        path: The file.
        size: Expected number of bytes of the content.

    Returns:
        The content, with `size` bytes and a correct checksum. None if this function cannot read the file, because it is
        damaged, consists of several parts, or has another size. `gzip` can then read it or raise a suitable error.
    """
    from pyarrow import Codec

    compressed = path.read_bytes()
    # A file may have several parts, and the size at its end is that of the last part. All parts together are at least
    # as large, and content that does not fit raises an error. So without an error, `size` bytes are the whole content.
    if not size or int.from_bytes(compressed[-_LENGTH:], "little") != size:
        return None
    try:
        return Codec("gzip").decompress(compressed, size)
    except OSError:
        return None
