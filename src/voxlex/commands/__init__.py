"""One file a command, under the name that a person types: what it takes, and what it says when `workflows` have worked.

Nothing is imported here until a command is asked for, so that a list of all commands costs nothing.
"""

from importlib import import_module
from typing import Any

COMMANDS = {
    "demo": "Train on the embedded phantom, from nothing to a report.",
    "train": "Learn a vocabulary from images, and write a report.",
    "info": "Show what a run folder holds.",
    "evaluate": "Measure a vocabulary on images that it never saw.",
    "reconstruct": "Encode and decode scans, and write what comes out.",
    "encode": "Store scans as codes.",
    "decode": "Turn codes back into scans.",
    "sample": "Draw new images.",
    "inpaint": "Draw a region of a scan anew.",
    "prepare": "Make a data set ready to train on.",
    "phantom": "Write the embedded data set as files.",
    "data index": "Write a table of the scans in a folder.",
    "data audit": "Look for bad images, duplicates, and leaks between splits.",
    "data fetch": "Download a public data set.",
}
"""What each command does; one of two words lies in a folder of the first."""


def command_named(name: str) -> type[Any]:
    """Return the class of a command; its attributes are what it takes, and its `run` does it."""
    module = import_module(f"{__name__}.{name.replace(' ', '.')}")
    return getattr(module, name.split()[-1].capitalize())
