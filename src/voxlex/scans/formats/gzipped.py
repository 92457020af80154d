"""Decompress a gzip file of known size in one go."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyarrow import Buffer

_LENGTH = 4
"""A gzip file ends with the size of its content, in so many bytes."""


def decompress(path: Path, *, size: int) -> "Buffer | None":
    """Return the content of a gzip file, in memory of its own that may be written to.

    Arrow's decompression writes straight to where the content stays, and compares the checksum as it goes. `gzip.open`
    hands the content through in pieces of 8 KiB, which takes half as long again; `gzip.decompress` gives what may not
    be written to.

    Args:
        path: The file.
        size: Bytes that the content ought to have.

    Returns:
        The content, `size` bytes whose checksum is right; None for any file that this way cannot read, whether it is
        damaged, made of parts, or of another size: `gzip` then knows what to do or to say.
    """
    from pyarrow import Codec

    compressed = path.read_bytes()
    # The file may have several parts, of which the size at the end is that of the last one. All of them together are no
    # smaller, and what does not fit is an error: so without one, there are `size` bytes and no part is left.
    if not size or int.from_bytes(compressed[-_LENGTH:], "little") != size:
        return None
    try:
        return Codec("gzip").decompress(compressed, size)
    except OSError:
        return None
