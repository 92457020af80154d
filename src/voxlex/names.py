"""Names of files as text. A file system takes almost any bytes; a terminal, a table and a page do not."""

import os
import re
import unicodedata
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

# Control characters, marks that turn the direction of writing, line separators, and bytes that are not UTF-8, which
# Python keeps as single surrogates.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_ESCAPED = re.compile(rb"%([0-9A-F]{2})")
_USUAL_LIMIT = 255
_HASH_BYTES = 4


def printable(text: str) -> str:
    """Return text of one line without control characters, that any encoding of Unicode can store.

    Each byte of a character that cannot be printed becomes a percent sign and two hexadecimal digits, as in an address
    of the web: a byte 0xFC that is not UTF-8 becomes "%FC", a line break "%0A". Other text stays as it is.
    """
    return _UNPRINTABLE.sub(lambda found: "".join(f"%{byte:02X}" for byte in _bytes(found[0])), text)


def as_on_disk(name: str) -> str:
    """Return the name of a file whose `printable` name is given; another file may have the printable name itself."""
    return _ESCAPED.sub(lambda found: bytes.fromhex(found[1].decode()), _bytes(name)).decode("utf-8", "surrogateescape")


def distinct(names: Iterable[str]) -> list[str]:
    """Return a printable name for each of some paths; no two are the same, although their paths may look the same."""
    names = list(names)
    taken = {name for name in names if printable(name) == name}
    result = []
    for name in names:
        shown = candidate = printable(name)
        number = 2
        while shown != name and candidate in taken:
            folder, _, own = shown.rpartition("/")
            stem, dot, suffixes = own.partition(".")
            candidate = f"{folder}/{stem}-{number}{dot}{suffixes}".removeprefix("/")
            number += 1
        taken.add(candidate)
        result.append(candidate)
    return result


def folded(name: str) -> str:
    """Return what is the same for all names that some file system takes for one: "A" and "a", "é" in both spellings."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def accented(name: str) -> tuple[str, str]:
    """Return a name with accents as parts of letters, as Linux and Windows write it, and after letters, as macOS does.

    Both look the same, and are two names for a file system.
    """
    return unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)


def shortened(name: str, *, limit: int = _USUAL_LIMIT) -> str:
    """Return a name of at most `limit` bytes: its start, and a hash of the whole, which tells it from others."""
    encoded = _bytes(name)
    if len(encoded) <= limit:
        return name
    digest = blake2b(encoded, digest_size=_HASH_BYTES).hexdigest()
    return f"{encoded[: limit - len(digest) - 1].decode('utf-8', 'ignore')}-{digest}"


def counted(number: int, noun: str) -> str:
    """Return a number and what it counts, in the singular or the plural: "1 scan", "12 scans"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def sentence(text: str) -> str:
    """Return a text that begins with a capital letter and ends with a full stop."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?", "…")) else ".")


def resolved(path: Path) -> Path:
    """Return an absolute path without links; a link to itself stays, for which `Path.resolve` raises an error."""
    return Path(os.path.realpath(path))


def length_limit(folder: Path) -> int:
    """Return how many bytes a name may have in a folder, which need not exist yet."""
    there = next((place for place in (folder, *folder.absolute().parents) if place.is_dir()), None)
    try:
        return os.pathconf(there, "PC_NAME_MAX") if there is not None else _USUAL_LIMIT
    except (AttributeError, OSError, ValueError):  # not every system tells
        return _USUAL_LIMIT


def _bytes(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half of a pair, which no name on a disk has
        return text.encode("utf-8", "surrogatepass")
