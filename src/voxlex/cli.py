"""The command line: from words to a command, and from errors to one line and an exit status."""

import functools
import operator
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import tyro

from voxlex.commands import COMMANDS, Command, starting_point
from voxlex.config import CHOICES, Config, load_recipe, read_config, with_kinds, with_prior_of
from voxlex.errors import Interrupted, VoxlexError
from voxlex.run_folder import RunFolder


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return 0, 1 for an error, or 130 when interrupted. Usage errors exit with 2.

    `--debug`, anywhere, lets errors through with their traceback; `--version`, alone, says which voxlex this is.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    if words == ["--version"]:
        print(f"voxlex {version('voxlex')}")
        return 0
    try:
        _parse(words).run()
    except KeyboardInterrupt:
        print("voxlex: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # who reads the output, such as `head`, has enough; nothing is left to say at exit either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if debug:
            raise
        known = isinstance(error, (VoxlexError, ValueError, TypeError, OSError))
        kind = "" if known else f"{type(error).__name__}: "
        print(f"voxlex: {kind}{_one_line(error)}", file=sys.stderr)
        if not known:
            print("voxlex: this was not foreseen; --debug shows where it happened", file=sys.stderr)
        return 130 if isinstance(error, Interrupted) else 1
    return 0


def _parse(words: list[str]) -> Command:
    starting_point.set(_starting_config(words))
    options = (Annotated[command, tyro.conf.subcommand(name)] for name, command in COMMANDS.items())
    any_command: Any = functools.reduce(operator.or_, options)
    return tyro.cli(
        any_command,
        prog="voxlex",
        description="A discrete vocabulary for brain images. Start with: voxlex demo. --version says which this is.",
        args=words,
        config=(tyro.conf.FlagCreatePairsOff, tyro.conf.AvoidSubcommands),
    )


def _starting_config(words: list[str]) -> Config:
    """Return the settings that the options of `train` change, with the kinds that they ask for."""
    if not words or words[0] != "train":
        return Config()
    asked = {setting: _value_of(f"--{setting}.kind", words) for setting in CHOICES}
    return with_kinds(_settings_to_change(words), {setting: kind for setting, kind in asked.items() if kind})


def _settings_to_change(words: list[str]) -> Config:
    """Return a recipe, or the settings of the run to resume; a prior that is added to a run may be that of a recipe."""
    out, name = _value_of("--out", words), _value_of("--recipe", words)
    recipe = load_recipe(name or "default")
    only_prior = _value_of("--stage", words) == "prior"
    resumed = only_prior or "--resume" in words
    if not resumed or out is None or not RunFolder(Path(out)).config_file.exists():
        return recipe
    own = read_config(RunFolder(Path(out)).config_file)
    if only_prior and name:
        return with_prior_of(own, recipe)
    if name:  # most often it stands there because the first command is given again
        print(f"voxlex: --recipe {name} is not used: {out} goes on with its own settings", file=sys.stderr)
    return own


def _value_of(option: str, words: list[str]) -> str | None:
    for word, following in zip(words, [*words[1:], None], strict=True):
        if word == option:
            return following
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
    return None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
