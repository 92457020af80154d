"""Addresses of things that are not on this machine, such as `s3://bucket/scans`, and how they are shown.

An address may carry credentials: before an "@", or in a query that signs it. They are masked wherever an address is
printed or stored.
"""

import posixpath
import re
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote, urljoin

from voxlex.errors import DataError
from voxlex.names import printable

HIDDEN = "***"
"""Stands for what is masked."""

WEB = ("http", "https")

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+)://(.*)", re.IGNORECASE | re.DOTALL)
_SHORTENED = re.compile(r"([a-z][a-z0-9+.-]+):/(?!/)", re.IGNORECASE)
_IN_TEXT = re.compile(r"(\b[a-z][a-z0-9+.-]+:/{1,3})([^\s'\"<>]+)", re.IGNORECASE)
_HOST = re.compile(r"(\[[0-9a-f:.]*\]|[^:]*)(:\d*){0,2}", re.IGNORECASE)  # with a port, and perhaps a colon of the text
_RUN_ON_THE_HUB = re.compile(r"hf://(?!datasets/|spaces/|buckets/)[^/]*(/[^/]*)?/*", re.IGNORECASE)
_OWN_NAME = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)

_stands_for: dict[str, str] = {}
"""Addresses by the places on this machine that stand for them in this process: copies, and results to upload."""

_own_folders: set[str] = set()
"""Folders in which such places are."""


def spelled(place: str | Path) -> str:
    """Return a place as a user spelled it; `Path` makes one slash of the two in an address."""
    text = place if isinstance(place, str) else place.as_posix()
    return _SHORTENED.sub(r"\1://", text, count=1) if _SHORTENED.match(text) and isinstance(place, Path) else text


def is_address(place: str | Path) -> bool:
    """Return whether a place is not on this machine. A run on the Hub, `hf://owner/name`, is left to `voxlex.hub`."""
    found = _ADDRESS.fullmatch(spelled(place))
    if found is None or found[1].lower() != "hf":
        return found is not None
    first, _, rest = found[2].partition("/")
    second = rest.partition("/")[0].partition("@")[0]
    whole = _OWN_NAME.fullmatch(first) and _OWN_NAME.fullmatch(second)
    return whole is not None and not _RUN_ON_THE_HUB.fullmatch(found[0])


def looks_like_address(place: str | Path) -> bool:
    """Return whether a place is spelled as an address, be it a run on the Hub."""
    return _ADDRESS.fullmatch(spelled(place)) is not None


def checked(address: str) -> str:
    """Return an address with its scheme in small letters and without slashes at the end of a folder on a store.

    Raises:
        DataError: If it names nothing, or carries credentials that its store takes from the environment.
    """
    found = _ADDRESS.fullmatch(address)
    assert found is not None, address
    scheme, rest = found[1].lower(), found[2]
    if not rest.strip("/"):
        raise DataError(f"{masked(address)}: expected a place after {scheme}://, got nothing")
    if scheme in WEB:
        return f"{scheme}://{rest}"
    if _masked_rest(rest).startswith(HIDDEN):
        raise DataError(
            f"{masked(address)}: expected an address without credentials; stores take them from the environment"
        )
    return f"{scheme}://{rest.rstrip('/')}"


def scheme_of(address: str) -> str:
    """Return the scheme of an address, such as "s3"."""
    return address.partition("://")[0].lower()


def masked(text: str) -> str:
    """Return text with "***" in place of the credentials of each address in it: names, passwords and whole queries."""
    return _IN_TEXT.sub(lambda found: found[1] + _masked_rest(found[2]), text)


def _masked_rest(rest: str) -> str:
    body, mark, query = re.fullmatch(r"([^?#]*)([?#]?)(.*)", rest, re.DOTALL).groups()  # type: ignore[union-attr]
    host, slash, path = body.partition("/")
    if "@" in host:
        body = f"{HIDDEN}@{host.rpartition('@')[2]}{slash}{path}"
    elif not _HOST.fullmatch(host):  # a colon that is not of a port: a key and a secret, in which there may be slashes
        body = f"{HIDDEN}@{path.rpartition('@')[2]}" if "@" in path else f"{HIDDEN}{slash}{path}"
    return body + mark + (query if query.startswith(HIDDEN) or not query else HIDDEN)


def without_credentials(address: str) -> str:
    """Return an address that may be kept: one on the web without a name, a password and a query; others have none."""
    if scheme_of(address) not in WEB:
        return address
    scheme, _, rest = address.partition("://")
    return f"{scheme}://{_masked_rest(re.split('[?#]', rest)[0]).removeprefix(f'{HIDDEN}@')}"


def name_of(address: str) -> str:
    """Return the last part of an address, which copies and results are named after."""
    rest = address.partition("://")[2]
    if scheme_of(address) in WEB:
        rest = unquote(re.split("[?#]", rest)[0])
    return PurePosixPath(rest).name


def joined(folder: str, path: str) -> str:
    """Return the address of a path in a folder, as a table in this folder names it."""
    if scheme_of(folder) in WEB:
        return urljoin(re.split("[?#]", folder)[0].rstrip("/") + "/", quote(path))
    scheme, _, rest = folder.partition("://")
    return f"{scheme}://{posixpath.normpath(f'{rest}/{path}')}"


def remember(place: Path, address: str, *, below: Path) -> None:
    """Keep in this process that a place, in a folder that is the program's own, stands for an address."""
    _stands_for[str(place)] = address
    _own_folders.add(str(below))


def address_of(place: Path) -> str | None:
    """Return the address that a place of this process stands for, or that of a folder above it with the rest; or None.

    It may carry credentials.
    """
    for above in (place, *place.parents):
        address = _stands_for.get(str(above))
        if address is not None:
            return address if above == place else joined(address, place.relative_to(above).as_posix())
    return None


def shown(text: str) -> str:
    """Return text to print: in one line, with addresses in place of their copies, and without credentials."""
    for folder in _own_folders:
        inside = re.escape(folder) + r"/[^\s:;,'\"()]*"
        text = re.sub(inside, lambda found: masked(address_of(Path(found[0])) or found[0]), text)
    return printable(masked(text))
