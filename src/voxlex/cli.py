"""The entry point of the command line: it runs a command, and prints each error as one line."""

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from types import FrameType

from voxlex.commands import COMMANDS
from voxlex.errors import Interrupted, Terminated, VoxlexError
from voxlex.stores.addresses import shown

_REPEAT_S = 0.01


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0, 1 after an error, 128 + N after the signal N (130 after Ctrl-C).

    A usage error exits with 2.
    The option `--debug` shows the traceback of an error. The option `--version`, given alone, prints the version.
    """
    _print_anything()
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    if words == ["--version"]:
        import voxlex

        print(f"voxlex {voxlex.__version__}")
        return 0
    try:
        with _leaving_at_ctrl_c():
            name, rest = _command(words)
            from voxlex.commands import places
            from voxlex.commands.parsing import parse

            command = None if places.has_addresses(rest) else parse(name, rest)
        with _ending_by_signals():
            places.run(name, rest) if command is None else command.run()
    except KeyboardInterrupt as stop:
        number = stop.number if isinstance(stop, Terminated) else signal.SIGINT
        by = f" by {signal.Signals(number).name}" if isinstance(stop, Terminated) else ""
        print(f"voxlex: interrupted{by}", file=sys.stderr)
        return 128 + number
    except BrokenPipeError:  # the reader of the output, such as `head`, has closed it; Python would flush it at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if debug:
            raise
        known = isinstance(error, (VoxlexError, ValueError, TypeError, OSError))
        kind = "" if known else f"{type(error).__name__}: "
        print(f"voxlex: {kind}{_one_line(error)}", file=sys.stderr)
        if not known:
            print("voxlex: this is a bug in voxlex; --debug shows where it happened", file=sys.stderr)
        return 128 + error.number if isinstance(error, Interrupted) else 1
    return 0


@contextmanager
def _leaving_at_ctrl_c() -> Iterator[None]:
    """Let Ctrl-C end the process on the spot, as long as nothing has begun.

    An exception would come up somewhere in an import, which may show a traceback or lose it.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        os.write(2, b"voxlex: interrupted\n")
        os._exit(128 + number)

    usual = signal.getsignal(signal.SIGINT) == signal.default_int_handler
    if not usual or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def _ending_by_signals() -> Iterator[None]:
    """Raise Terminated at SIGTERM and SIGHUP, so that whatever runs clears away what it has begun.

    By default, both would end the process on the spot. What ignores SIGHUP, as `nohup` does, still ignores it.
    """

    def end(number: int, frame: FrameType | None) -> None:
        raise Terminated(number)

    if threading.current_thread() is not threading.main_thread():  # where Python does not allow handlers
        yield
        return
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    caught = [number for number in numbers if signal.getsignal(number) == signal.SIG_DFL]
    for number in caught:
        signal.signal(number, end)
    try:
        with _repeating_lost_signals():
            yield
    finally:
        for number in caught:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def _repeating_lost_signals() -> Iterator[None]:
    """Send a signal again whose exception came up where Python drops exceptions, so that the command still ends.

    These are finalizers and callbacks of weak references. Each import runs such a callback.
    """
    usual = sys.unraisablehook

    def repeat(lost: "sys.UnraisableHookArgs") -> None:
        if not isinstance(lost.exc_value, KeyboardInterrupt):
            usual(lost)
            return
        stop: KeyboardInterrupt | None = lost.exc_value
        while stop is not None:
            number = stop.number if isinstance(stop, Terminated) else signal.SIGINT
            timer = threading.Timer(_REPEAT_S, signal.raise_signal, (number,))  # at once, it would be lost here again
            timer.daemon = True
            try:
                timer.start()
                stop = None
            except KeyboardInterrupt as early:  # on a busy machine, the timer is over before this has begun to wait
                stop = early

    sys.unraisablehook = repeat
    try:
        yield
    finally:
        sys.unraisablehook = usual


def _command(words: list[str]) -> tuple[str, list[str]]:
    """Split the words into the name of a command and its arguments, or print the list of commands and exit."""
    if words[:1] == ["help"]:  # as in `git help COMMAND`
        words = [*words[1:], "--help"]
    groups = {name.partition(" ")[0] for name in COMMANDS if " " in name}
    prefix = f"{words[0]} " if words and words[0] in groups else ""
    inner = words[1:] if prefix else words
    if not inner or inner[0] in ("-h", "--help"):
        print(_list_of_commands(prefix))
        raise SystemExit(0 if inner else 2)
    name = prefix + inner[0]
    if name not in COMMANDS:
        from difflib import get_close_matches

        close = get_close_matches(name, [*COMMANDS, *groups], n=1)
        meant = f"did you mean {close[0]!r}? " if close else ""
        unknown = shown(f"unknown command {name!r}")
        print(f"voxlex: {unknown}; {meant}`voxlex {prefix}--help` lists all", file=sys.stderr)
        raise SystemExit(2)
    return name, inner[1:]


def _list_of_commands(prefix: str) -> str:
    shown = {name: does for name, does in COMMANDS.items() if name.startswith(prefix)}
    width = max(len(name) for name in shown)
    lines = [f"  {name:{width}}  {does}" for name, does in shown.items()]
    return "\n".join(
        [
            f"usage: voxlex {prefix}COMMAND ...",
            "",
            *([] if prefix else ["A discrete vocabulary for brain images. Start with `voxlex demo`.", ""]),
            *lines,
            "",
            f"`voxlex {prefix}COMMAND --help` shows the arguments of a command; `voxlex --version` shows the version.",
        ]
    )


def _one_line(error: Exception) -> str:
    return shown(" ".join(str(error).split())) or type(error).__name__


def _print_anything() -> None:
    """Escape characters that the terminal's encoding lacks, which would be an error after the work is done."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    sys.exit(main())
