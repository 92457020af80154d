"""The door through which addresses come in: a command whose arguments are addresses runs on copies of them.

What a command reads is downloaded before it runs, and what it writes is uploaded afterwards. So commands and all that
they call know only files and folders of this machine.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from voxlex.commands import command_named
from voxlex.commands.common import Command
from voxlex.commands.parsing import parse
from voxlex.errors import DataError, Interrupted, TrainingError
from voxlex.files import cache_folder, workplace
from voxlex.names import resolved
from voxlex.progress import Phases
from voxlex.stores.addresses import checked, is_address, looks_like_address, masked, scheme_of, spelled

RESULTS = ("out", "json")
"""Options that name what a command writes."""

SOURCES = ("source", "fit_on", "healthy", "features")
"""Arguments that are texts and may name a file or a folder; those that are paths do so anyway."""

_GO_ON = ("--resume", "--stage", "--append")
_COUNTS = ("WORLD_SIZE", "SLURM_NTASKS")  # of the processes that torchrun or Slurm has started


def has_addresses(words: Sequence[str]) -> bool:
    """Return whether an argument may be an address."""
    return any(looks_like_address(_value(word)) for word in words)


def run(name: str, words: Sequence[str]) -> None:
    """Run a command some of whose arguments are addresses.

    Args:
        name: The name of the command.
        words: Its arguments.

    Raises:
        VoxlexError: If an address cannot be read or written, or the command fails.
    """
    from voxlex.commands.terminal import byte_bar, show_notes
    from voxlex.stores.fetching import copies

    kind = command_named(name)
    if {"-h", "--help"} & set(words) or not hasattr(kind, "from_words"):  # a slip of the pen ends here
        parse(name, words)
    with ExitStack() as stack:
        results = {}
        words = list(words)
        for number in _results_among(kind, words):
            address = _value(words[number])
            results[address] = stack.enter_context(_result(address, name, words, byte_bar))
            words[number] = words[number].replace(address, str(results[address]))
        command = parse(name, words)
        for address in _read_by(command, words):
            _check_apart(address, results)
            (copy,) = copies([address], name=masked(address), phases=byte_bar, note=lambda text: show_notes([text]))
            words = [word.replace(address, str(copy)) if _value(word) == address else word for word in words]
            command = parse(name, words)
        _tell_further_processes(words)
        command.run()


def _value(word: str) -> str:
    """Return the value of an option that is written as `--option=value`, or the word itself."""
    return word.partition("=")[2] if word.startswith("--") and "=" in word else word


def _results_among(kind: type[Any], words: Sequence[str]) -> list[int]:
    """Return which words are the addresses of results, be it on the Hub, to which `Result` refuses to write."""
    options = {f"--{one.name}" for one in fields(kind) if one.name in RESULTS and one.type is not bool}
    before = ["", *words]
    return [
        number
        for number, word in enumerate(words)
        if looks_like_address(_value(word)) and (before[number] in options or word.partition("=")[0] in options)
    ]


def _read_by(command: Command, words: Sequence[str]) -> list[str]:
    """Return the addresses among the arguments of a command that name what it reads."""
    assert is_dataclass(command)
    given = {spelled(Path(_value(word))): _value(word) for word in words if is_address(_value(word))}
    values = {one.name: getattr(command, one.name) for one in fields(command)}
    places = [value for name, value in values.items() if isinstance(value, Path) or name in SOURCES]
    named = {spelled(Path(place)) for place in places if place is not None}
    return [address for key, address in given.items() if key in named]


@contextmanager
def _result(address: str, name: str, words: Sequence[str], phases: Phases) -> Iterator[Path]:
    """Yield a place for a result on this machine, and upload it if the block succeeds, or has saved its state."""
    from voxlex.stores.fetching import place_of_file
    from voxlex.stores.publishing import Result

    if scheme_of(address) == "file":
        yield place_of_file(address)
        return
    if max(int(os.environ.get(variable) or 1) for variable in _COUNTS) > 1:
        raise DataError(f"{masked(address)}: expected a folder that all processes see, since there are several")
    cache = resolved(cache_folder())
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    with workplace(cache) as folder:
        goes_on = any(word.partition("=")[0] in _GO_ON for word in words)
        result = Result.at(
            address, folder, replaces="--overwrite" in words, goes_on=goes_on, tries=name != "check", phases=phases
        )
        try:
            yield result.place
        except (Interrupted, TrainingError):  # the run folder is in order, and --resume goes on with it
            result.publish(phases=phases)
            raise
        result.publish(phases=phases)


def _check_apart(address: str, results: dict[str, Path]) -> None:
    """Refuse to write over what is read.

    Raises:
        DataError: If a result is what is read, or a folder in which it is.
    """
    for result in map(checked, results):
        if f"{checked(address)}/".startswith(f"{result}/"):
            raise DataError(f"{masked(result)}: holds what is read, which the result would replace; choose another")


def _tell_further_processes(words: Sequence[str]) -> None:
    """Let a training that starts itself again, a process for each device, name places of this machine."""
    own = sys.orig_argv[len(sys.orig_argv) - len(words) :]
    if any(is_address(_value(word)) for word in own) and len(own) == len(words):
        sys.orig_argv[len(sys.orig_argv) - len(words) :] = words
