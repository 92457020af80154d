"""Open the file system of an address with fsspec, and say in one line what a store refuses.

Credentials are those that each file system finds by itself: in the environment, in its own files, or in the settings of
fsspec. None is read here. The messages of the stores are not repeated, because they may quote a request.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from functools import partial
from threading import Event
from typing import Any, NamedTuple

from voxlex.errors import ConfigError, DataError
from voxlex.rows import go_on
from voxlex.stores.addresses import masked, scheme_of

SCHEMES = ("s3", "gs", "hf", "https", "http")
"""Kinds of stores by the beginning of their addresses."""

_FURTHER = ("s3a", "gcs", "az", "abfs", "abfss", "oci", "oss", "memory")
"""Others that work in the same way. What wraps another file system, such as `zip`, is none of these."""

THREADS = 8
"""Objects that are on their way at once."""

_DENIED, _MISSING = (401, 403), (404, 410)
_WITHOUT_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError", "ProfileNotFound"}
_UNREACHABLE = {
    *("EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ConnectionClosedError"),  # botocore
    *("ClientConnectionError", "ServerTimeoutError", "ClientPayloadError"),  # aiohttp
    *("ConnectError", "ConnectTimeout", "OfflineModeIsEnabled", "TransportError"),  # the Hub, Google
    *("ConnectionError", "TimeoutError", "FSTimeoutError", "gaierror", "SSLError"),
}


class UnreachableError(DataError):
    """A store that does not answer, which may pass."""


class NothingThereError(DataError):
    """An address at which there is nothing, in a bucket or a repository that is there."""


class Opened(NamedTuple):
    """A file system of fsspec, and the path of an address in it."""

    system: Any
    path: str


def opened(address: str) -> Opened:
    """Return the file system of an address.

    Raises:
        ConfigError: If the package for this kind of store is not installed.
        DataError: If there is no such kind of store.
    """
    scheme = scheme_of(address)
    try:
        from fsspec.registry import get_filesystem_class
    except ModuleNotFoundError as cause:
        raise _not_installed(address, cause) from None
    if scheme not in (*SCHEMES, *_FURTHER):
        close = get_close_matches(scheme, SCHEMES, n=1, cutoff=0.3)
        meant = f"; did you mean {close[0]}://?" if close else ""
        known = ", ".join(f"{name}://" for name in SCHEMES)
        raise DataError(f"{masked(address)}: expected an address that begins with {known}, got {scheme}://{meant}")
    try:
        with explained(address):
            kind = get_filesystem_class(scheme)
            elsewhere = {"endpoint": os.environ.get("HF_ENDPOINT")} if scheme == "hf" else {}
            system = kind(**kind._get_kwargs_from_urls(address), **elsewhere)
            path = kind._strip_protocol(address)  # and not `url_to_fs`, which takes "::" in a name for a chain
    except ImportError as cause:
        raise _not_installed(address, cause) from None
    system.invalidate_cache()  # what it listed earlier in this process may have changed
    return Opened(system, path)


@contextmanager
def explained(address: str, *, what: str = "") -> Iterator[None]:
    """Turn the errors of a file system into one line.

    The error of the file system is not kept as a cause, since a traceback would show the requests in it.

    Args:
        address: The address, for the message.
        what: What was done, such as "cannot be written".

    Raises:
        UnreachableError: If the store does not answer.
        NothingThereError: If there is nothing.
        DataError: If it refuses.
    """
    try:
        yield
    except (DataError, ConfigError, ImportError):
        raise
    except Exception as cause:
        raise _in_one_line(cause, masked(address), f"{what}: " if what else "") from None


def meter(progress: Callable[[int], None], stopped: Event) -> Any:
    """Return a callback of fsspec that tells `progress` of further bytes, and ends a transfer that is not wanted."""
    from fsspec.callbacks import Callback

    class Meter(Callback):
        def relative_update(self, inc: int = 1) -> None:
            go_on(stopped)
            progress(inc)

    return Meter()


def _in_one_line(cause: BaseException, name: str, what: str) -> DataError:
    causes = list(_causes(cause))
    kinds = {kind.__name__ for one in causes for kind in type(one).__mro__}
    statuses = [status for one in causes if (status := _status(one)) is not None]
    fail = partial(_error, DataError, f"{name}: {what}")
    nothing = _error(NothingThereError, f"{name}: {what}", "no such object, and no folder of this name")
    if kinds & _WITHOUT_CREDENTIALS:
        return fail("no credentials were found for this store; set them in the environment, or in its settings file")
    if any(status in _DENIED for status in statuses) or "PermissionError" in kinds:
        return fail("the store denies access with these credentials")
    if "bucket does not exist" in str(cause).lower() or "NoSuchBucket" in kinds:
        return fail("no such bucket; check its name")
    if any(status in _MISSING for status in statuses):
        return nothing
    if statuses:
        return fail(f"the server answers with status {statuses[0]}")
    if kinds & _UNREACHABLE:
        return _error(UnreachableError, f"{name}: {what}", "the store cannot be reached; check the network")
    if isinstance(cause, FileNotFoundError):
        return nothing
    if kinds & {"ParamValidationError", "InvalidURL", "InvalidUrlClientError", "ValueError"}:
        return fail("expected an address that its store understands; check how it is spelled")
    if isinstance(cause, OSError) and cause.errno and cause.filename and cause.strerror:  # of this machine
        return fail(cause.strerror)
    return fail(f"the store refuses ({type(causes[-1]).__name__})")


def _error(kind: type[DataError], start: str, text: str) -> DataError:
    return kind(start + text)


def _status(cause: BaseException) -> int | None:
    """Return the status of an answer over HTTP, which the libraries keep in different places."""
    response = getattr(cause, "response", None)
    found = getattr(cause, "status", getattr(response, "status_code", None))
    if found is None and isinstance(response, dict):
        found = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return found if isinstance(found, int) and found >= 400 else None


def _causes(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    for _ in range(8):
        if found is None:
            return
        yield found
        found = found.__cause__ or found.__context__


def _not_installed(address: str, cause: ImportError) -> ConfigError:
    """Say what to install; the causes name the module that is missing."""
    missing = next((str(name) for one in _causes(cause) if (name := getattr(one, "name", None))), "a package")
    scheme = scheme_of(address)
    if scheme not in SCHEMES:
        return ConfigError(f"{scheme}://: expected the package of fsspec for it, got an installation without {missing}")
    extra = "'voxlex[remote,hub]'" if scheme == "hf" else "'voxlex[remote]'"
    return ConfigError(
        f"{scheme}://: expected the packages of the extra 'remote', got an installation without {missing}; "
        f"pip install {extra}"
    )
