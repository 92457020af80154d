"""The commands of the command line, one file each: their arguments, and what they print.

Each command calls a function of `workflows`. A command is imported only when it is used, so that the list of all
commands appears at once.
"""

from importlib import import_module
from typing import Any

COMMANDS = {
    "demo": "Train on the embedded phantom and write a report.",
    "train": "Learn a vocabulary from images, and write a report.",
    "check": "Check whether a training can begin, in seconds.",
    "info": "Show what a run folder holds.",
    "explore": "Look at a run and its scans in a browser.",
    "evaluate": "Measure a vocabulary on held-out images.",
    "reconstruct": "Encode and decode scans, and write the results.",
    "encode": "Store scans as codes.",
    "decode": "Turn codes back into scans.",
    "push": "Write a run into a repository of the Hugging Face Hub.",
    "convert": "Make a run of a checkpoint of MONAI's VQVAE.",
    "export": "Write a vocabulary as graphs that run without voxlex.",
    "pack": "Pack scans into an archive.",
    "unpack": "Write the scans of an archive.",
    "list": "List the scans of an archive.",
    "verify": "Check that an archive is whole.",
    "sample": "Draw new images.",
    "inpaint": "Redraw a region of a scan.",
    "anomaly": "Map what does not belong in scans.",
    "similar": "Find the scans most like a given one.",
    "probe": "Measure what codes tell of a column of the table.",
    "prepare": "Prepare a data set for training.",
    "phantom": "Write the embedded data set as files.",
    "data index": "Write a table of the scans in a folder.",
    "data audit": "Look for bad images, duplicates, and leaks between splits.",
    "data fetch": "Download a public data set.",
    "data cache": "Show or clean the cache of prepared data sets and downloads.",
}
"""A description of each command. A command with two words, such as "data index", lies in the folder of the first."""


def command_named(name: str) -> type[Any]:
    """Return the class of a command. Its attributes are the arguments, and its method `run` runs the command."""
    module = import_module(f"{__name__}.{name.replace(' ', '.')}")
    return getattr(module, name.split()[-1].capitalize())
