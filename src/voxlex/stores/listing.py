"""What is at an address: objects with their sizes, and what tells a changed object from the one it was."""

import hashlib
import json
import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from voxlex.errors import DataError
from voxlex.names import printable
from voxlex.rows import in_order
from voxlex.stores.addresses import WEB, checked, masked, scheme_of
from voxlex.stores.opening import THREADS, NothingThereError, explained, opened

_TAGS = ("ETag", "etag", "md5Hash", "blob_id", "oid", "Content-MD5", "Digest")
_TIMES = ("LastModified", "last_modified", "Last-Modified", "updated", "mtime", "created")
_LONGEST_NAME = 255  # bytes, on nearly all file systems
_LONG_AGO_S = 1_000_000_000  # the time of copies of objects whose time is not known
_PAGE = "text/html"


@dataclass(frozen=True)
class Stored:
    """An object on a store, or a file on the web.

    Attributes:
        name: Its name for the file system.
        place: Where its copy lies, relative to the folder of copies.
        size: Bytes; None if the server does not say.
        time_ns: The time of its copy, which is another one if the object changes; None if the server tells nothing by
            which a change could be noticed.
    """

    name: str
    place: Path
    size: int | None
    time_ns: int | None


@dataclass(frozen=True)
class Found:
    """What is at an address.

    Attributes:
        system: The file system of fsspec.
        objects: The object, or all objects of the folder.
        place: Where the copy of the object or of the folder lies, relative to the folder of copies.
        is_folder: Whether it is a folder.
    """

    system: Any
    objects: list[Stored]
    place: Path
    is_folder: bool


def find(address: str) -> Found:
    """Look up what is at an address, an object or a folder with all that is below it.

    Raises:
        ConfigError: If a package is not installed.
        NothingThereError: If there is nothing.
        DataError: If access is denied, or a name cannot be that of a file.
        UnreachableError: If the store does not answer.
    """
    address = checked(address)
    system, path = opened(address)
    with explained(address):
        if scheme_of(address) in WEB:
            details, is_folder = _on_the_web(system, address)
        else:
            first = system.info(path)
            is_folder = first["type"] == "directory"
            details = list(system.find(path, detail=True).values()) if is_folder else [first]
    scheme = scheme_of(address)
    details = [one for one in details if one["type"] == "file" and not one["name"].endswith("/")]  # marks of folders
    objects = [_stored(one, scheme) for one in details]
    if not objects:
        raise NothingThereError(f"{masked(address)}: no such object, and no folder of this name")
    _check_distinct(objects, address)
    return Found(system, sorted(objects, key=lambda one: one.name), place_for(path, scheme), is_folder)


def place_for(name: str, scheme: str) -> Path:
    """Return where the copy of an object lies, as its address spells it, relative to the folder of copies.

    Raises:
        DataError: If its name cannot be that of a file.
    """
    if scheme in WEB:
        parts = urlsplit(name)
        host = parts.netloc.rpartition("@")[2].replace(":", "+")
        inner = [unquote(part) for part in parts.path.split("/")[1:]]
        if parts.query:  # which may choose what is sent
            inner.insert(-1, hashlib.blake2b(parts.query.encode(), digest_size=8).hexdigest())
        pieces = [host, *(inner if inner[-1:] != [""] else inner[:-1])]
    else:
        pieces = name.strip("/").split("/")
    for piece in pieces:
        if piece in ("", ".", "..") or Path(piece).name != piece or "\0" in piece:
            raise DataError(f"{masked(printable(name))}: expected a name that a file can have, got {piece!r} in it")
        if len(piece.encode("utf-8", "surrogateescape")) > _LONGEST_NAME:
            raise DataError(f"{masked(printable(name))}: expected names of at most {_LONGEST_NAME} bytes, got a longer")
    return Path(scheme, *pieces)


def _stored(details: Mapping[str, Any], scheme: str) -> Stored:
    size = details.get("size")
    return Stored(details["name"], place_for(details["name"], scheme), size, _time_ns(details))


def _time_ns(details: Mapping[str, Any]) -> int | None:
    """Return the time of a copy: that of the object in seconds, and nanoseconds that are a hash of what it is.

    So a copy shows by itself whether it is whole and of the present object, also after a process was killed.
    """
    tag = next(([key, str(details[key])] for key in (*_TAGS, *_TIMES) if details.get(key)), None)
    if tag is None:
        return None
    moment = next((seconds for key in _TIMES if (seconds := _seconds(details.get(key)))), _LONG_AGO_S)
    digest = hashlib.blake2b(json.dumps([*tag, details.get("size")]).encode(), digest_size=8).digest()
    return moment * 10**9 + int.from_bytes(digest, "big") % 10**9


def _seconds(moment: object) -> int:
    """Return a time in seconds since 1970; 0 if it is not known."""
    if isinstance(moment, datetime):
        return int(moment.timestamp())
    return int(moment) if isinstance(moment, int | float) and moment > 0 else 0


def _check_distinct(objects: Iterable[Stored], address: str) -> None:
    """Refuse an object of which another is below, as a store allows and a folder does not."""
    places = {one.place for one in objects}
    for one in objects:
        above = next((place for place in one.place.parents if place in places), None)
        if above is not None:
            raise DataError(f"{masked(address)}: expected files or folders, got {above.name!r}, which is both")


def _on_the_web(system: Any, address: str) -> tuple[list[dict[str, Any]], bool]:
    """Return details of a file on the web, or of the files that the page of a folder lists.

    Raises:
        DataError: If there is only a page.
    """
    if urlsplit(address).path.endswith("/"):
        names = _listed(system, address, set())
        if not names:
            raise DataError(
                f"{masked(address)}: expected a server that lists its folders, got one that does not; name a single "
                "file, or a table with the addresses of files"
            )
        return list(in_order(partial(_details, system, address), sorted(names), threads=THREADS, ahead=100)), True
    return [_details(system, address, address)], False


def _details(system: Any, address: str, name: str) -> dict[str, Any]:
    details = system.info(name)
    if scheme_of(address) == "https" and scheme_of(details.get("url") or address) == "http":
        raise DataError(f"{masked(name)}: expected an encrypted connection, got a redirection to one that is not")
    if details.get("mimetype") == _PAGE and posixpath.splitext(urlsplit(name).path)[1].lower() not in (".html", ".htm"):
        raise DataError(f"{masked(name)}: expected a file, got a web page; the address of a folder ends with a slash")
    return dict(details)


def _listed(system: Any, folder: str, seen: set[str]) -> set[str]:
    """Return the files that the page of a folder links to, and those of the folders below it."""
    seen.add(folder)
    files: set[str] = set()
    for entry in system.ls(folder, detail=True):
        name = entry["name"]
        inner = urlsplit(name).path.removeprefix(urlsplit(folder).path)
        if not name.startswith(folder) or "?" in name or "#" in name or inner.startswith(".") or not inner:
            continue
        if name.endswith("/"):
            files |= _listed(system, name, seen) if name not in seen else set()
        else:
            files.add(name)
    return files
