"""The commands and the Python of a page, and commands that do the same in less time."""

import re
import shlex
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent

SMALL_PRIOR = ["--prior.width", "16", "--prior.heads", "2", "--prior.layers", "2", "--training.prior.batch-size", "2"]
SMALLER = ["--size", "64", "--model.network.width", "16", "--training.autoencoder.batch-size", "2", *SMALL_PRIOR]


def blocks(page: str, language: str) -> list[str]:
    """Return the blocks in a language in a page, by its path in the repository."""
    return re.findall(rf"```{language}\n(.*?)```", (REPOSITORY / page).read_text(encoding="utf-8"), flags=re.DOTALL)


def commands(page: str) -> list[list[str]]:
    """Return the words of every `voxlex` command of a page."""
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("voxlex ")]


def shortened(command: list[str]) -> list[str]:
    """Replace the budget by a few steps, and the networks by small ones; leave out the slowest way to make maps."""
    if command[0] == "anomaly":
        return [*command, "--method", "reconstruction"]
    if command[0] == "phantom" and "--volumes" not in command:
        return [*command, "--phantom.subjects", "6", "--phantom.slices", "4"]
    if command[0] != "train":
        return command
    words = list(command)
    for option in ("--minutes", "--steps"):
        if option in words:
            del words[words.index(option) : words.index(option) + 2]
    same_autoencoder = "--pretrained" in command or ("--stage" in command and "prior" in command)
    return [*words, "--steps", "2", *(SMALL_PRIOR if same_autoencoder else SMALLER)]
