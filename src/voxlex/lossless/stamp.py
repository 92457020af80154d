"""What compiled code was compiled from, so that code kept from an older source is not used."""

from hashlib import blake2b
from pathlib import Path


def source_stamp() -> str:
    """Return a digest of the source of this package.

    numba keeps compiled functions beside their source, and looks only at the file of the function itself to see whether
    it has changed. So only the outermost functions are kept, and the digest of all files is a part of their key.
    """
    digest = blake2b(digest_size=16)
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()
