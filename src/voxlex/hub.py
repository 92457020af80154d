"""Runs in repositories of the Hugging Face Hub: their addresses, what is downloaded, and what is pushed.

Only settings, metadata and weights as safetensors go either way, with a list of their checksums. The token of the user
is that of `hf auth login` or of `HF_TOKEN`; it is passed on by `huggingface_hub`, and never read here.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from voxlex.errors import ConfigError, RunError

CHECKSUMS = "checksums.json"
"""File with the SHA-256 of each of the other files."""

FILES = (
    "README.md",
    "config.yaml",
    "metadata.json",
    "autoencoder.safetensors",
    "texture.safetensors",
    "prior.safetensors",
    "tables.safetensors",
    "scores.json",
    CHECKSUMS,
)
"""All that a repository may hold of a run; others are neither pushed nor downloaded."""

_OWN = ("README.md", CHECKSUMS)
"""Files that are written for a repository, and are not those of the run."""

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_ADDRESS = re.compile(r"hf:/+(.*)", re.DOTALL)
_LARGEST_LIST = 2**20  # bytes of the list of checksums


@dataclass(frozen=True)
class Address:
    """A run in a repository.

    Attributes:
        repository: Owner and name.
        revision: A branch, a tag or a commit; None for the main branch.
    """

    repository: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"hf://{self.repository}" + (f"@{self.revision}" if self.revision else "")


def files_of(run: Path) -> dict[str, bytes]:
    """Return the files of a run that others may have, by name: settings, metadata, weights and figures."""
    places = [run / name for name in FILES if name not in _OWN]
    return {place.name: place.read_bytes() for place in places if place.is_file()}


def address_of(run: Path) -> Address | None:
    """Return the address that a path spells, or None. `Path` has made one slash of the two in `hf://owner/name`.

    Raises:
        RunError: If it begins as an address, and is none.
    """
    found = _ADDRESS.fullmatch(run.as_posix())
    if found is None:
        return None
    repository, at, revision = found[1].partition("@")
    if not _NAME.fullmatch(repository) or (at and not revision):
        raise RunError(f"hf://{found[1]}: expected hf://owner/name or hf://owner/name@revision")
    return Address(repository, revision or None)


def origin(run: Path, folder: Path) -> dict[str, dict[str, str]]:
    """Return what the metadata of a run say of the repository and the commit that it comes from; nothing of others."""
    address = address_of(run)
    return {} if address is None else {"hub": {"repository": address.repository, "commit": folder.name}}


def check_repository(name: str) -> None:
    """Raise ConfigError unless a name is that of a repository."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"repository: expected owner/name, got {name!r}")


def downloaded(address: Address) -> Path:
    """Return the folder of a run in the cache of the Hub, after downloading what is not there yet.

    Without a network, what is in the cache is used. A commit is never asked for again. The name of the folder is that
    of the commit.

    Raises:
        ConfigError: If the package `huggingface_hub` is not installed.
        RunError: If there is no such run, it cannot be reached, or a file does not have its checksum.
    """
    hub = _hub()
    with _explained(str(address)):
        folder = hub.snapshot_download(
            address.repository,
            revision=address.revision,
            allow_patterns=list(FILES),
            endpoint=os.environ.get("HF_ENDPOINT"),
            cache_dir=os.environ.get("HF_HUB_CACHE"),
            library_name="voxlex",
        )
    _check(Path(folder), str(address))
    return Path(folder)


def pushed(files: Mapping[str, bytes], repository: str, *, private: bool = False, message: str) -> str:
    """Write the files of a run into a repository in one commit, which is made if need be; return the commit.

    Files of an earlier run that this one does not have are removed. Other files of the repository stay.

    Args:
        files: Contents by name.
        repository: Owner and name.
        private: Whether a new repository is private.
        message: Message of the commit.

    Raises:
        ConfigError: If the package `huggingface_hub` is not installed, or the name is not that of a repository.
        RunError: If the Hub cannot be reached, or refuses.
    """
    check_repository(repository)
    assert set(files) <= set(FILES), files.keys()
    hub = _hub()
    api = hub.HfApi(endpoint=os.environ.get("HF_ENDPOINT"), library_name="voxlex")
    listed = {**files, CHECKSUMS: _checksums(files)}
    with _explained(f"hf://{repository}"):
        api.create_repo(repository, private=private, exist_ok=True)
        there = set(api.list_repo_files(repository))
        gone = [hub.CommitOperationDelete(path_in_repo=name) for name in FILES if name in there - set(listed)]
        added = [hub.CommitOperationAdd(path_in_repo=name, path_or_fileobj=listed[name]) for name in listed]
        return str(api.create_commit(repository, [*added, *gone], commit_message=message).oid)


def _checksums(files: Mapping[str, bytes]) -> bytes:
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}
    return (json.dumps({"sha256": sums}, indent=2) + "\n").encode()


def _check(folder: Path, name: str) -> None:
    """Raise RunError unless all files of the list of checksums are there and have them."""
    file = folder / CHECKSUMS
    try:
        if file.stat().st_size > _LARGEST_LIST:
            raise ValueError("too long")
        sums = dict(json.loads(file.read_text(encoding="utf-8"))["sha256"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as cause:
        raise RunError(f"{name}: expected a run that `voxlex push` wrote, got one without {CHECKSUMS}") from cause
    present = {path.name for path in folder.iterdir()} & set(FILES) - {CHECKSUMS}
    for one in sorted(present | set(sums) & set(FILES)):
        found = hashlib.sha256((folder / one).read_bytes()).hexdigest() if one in present else "no file"
        if found != sums.get(one):
            raise RunError(f"{name}: {one}: expected the SHA-256 {sums.get(one)} of {CHECKSUMS}, got {found}")


def _hub() -> ModuleType:
    try:
        import huggingface_hub
    except ModuleNotFoundError as cause:
        raise ConfigError(
            f"hf://: expected the packages of the extra 'hub', got an installation without {cause.name}; "
            "pip install 'voxlex[hub]'"
        ) from cause
    return huggingface_hub


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn errors of the Hub into one line without its answers, which may quote a request; nothing is shown besides."""
    from huggingface_hub import errors
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars, logging

    quiet, verbosity = are_progress_bars_disabled(), logging.get_verbosity()
    disable_progress_bars()
    logging.set_verbosity_error()
    try:
        yield
    except errors.GatedRepoError as cause:
        raise RunError(f"{name}: expected access; ask for it on the page of the repository") from cause
    except errors.RepositoryNotFoundError as cause:
        raise RunError(
            f"{name}: no such repository, or one that this token may not see; log in with `hf auth login`"
        ) from cause
    except errors.RevisionNotFoundError as cause:
        raise RunError(f"{name}: the repository has no such revision") from cause
    except errors.LocalTokenNotFoundError as cause:
        raise RunError(f"{name}: expected a token; log in with `hf auth login`") from cause
    except errors.HfHubHTTPError as cause:
        status = getattr(cause.response, "status_code", None)
        advice = "; log in with `hf auth login`, or ask for the right to write" if status in (401, 403) else ""
        raise RunError(f"{name}: the Hub answers with status {status}{advice}") from cause
    except errors.LocalEntryNotFoundError as cause:
        raise RunError(
            f"{name}: the Hub cannot be reached, and the run is not in the cache; check the network"
        ) from cause
    except (errors.HTTPError, ConnectionError) as cause:
        raise RunError(f"{name}: the Hub cannot be reached; check the network") from cause
    except OSError as cause:
        raise RunError(f"{name}: the cache cannot be written: {cause.strerror or type(cause).__name__}") from cause
    except errors.HFValidationError as cause:
        raise RunError(f"{name}: expected the name of a repository and a revision, got another") from cause
    finally:
        logging.set_verbosity(verbosity)
        if not quiet:
            enable_progress_bars()
