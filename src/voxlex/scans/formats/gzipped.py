"""Decompress a gzip file of known size in one go."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyarrow import Buffer

_LENGTH = 4
"""A gzip file ends with the size of its content, in so many bytes."""


def decompress(path: Path, *, size: int) -> "Buffer | None":
    """Return the content of a gzip file, in memory of its own that may be written to.

    Arrow decompresses straight into the memory that is returned, and compares the checksum as it goes. `gzip.open`
    copies the content in pieces of 8 KiB and takes half as long again; `gzip.decompress` returns read-only memory.

    Args:
        path: The file.
        size: Bytes that the content ought to have.

    Returns:
        The content, `size` bytes whose checksum is right. None for a file that cannot be read in this way because it is
        damaged, has several parts, or is of another size: leave it to `gzip`, which reads it or says what is wrong.
    """
    from pyarrow import Codec

    compressed = path.read_bytes()
    # A file may have several parts, and the size at its end is that of the last part. All parts together are at least
    # as large, and content that does not fit is an error: without one, there are `size` bytes in a single part.
    if not size or int.from_bytes(compressed[-_LENGTH:], "little") != size:
        return None
    try:
        return Codec("gzip").decompress(compressed, size)
    except OSError:
        return None
