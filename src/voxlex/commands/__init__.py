"""What each command takes, as a dataclass; the work is done in `workflows`, imported only when it is needed."""

from typing import Any

from voxlex.commands.common import Command, starting_point
from voxlex.commands.data import Data
from voxlex.commands.drawing import Inpaint, Sample
from voxlex.commands.learning import Demo, Prepare, Train
from voxlex.commands.phantom import Phantom
from voxlex.commands.using import Decode, Encode, Evaluate, Info, Reconstruct

__all__ = ["COMMANDS", "Command", "starting_point"]

COMMANDS: dict[str, type[Any]] = {
    "demo": Demo,
    "train": Train,
    "evaluate": Evaluate,
    "reconstruct": Reconstruct,
    "encode": Encode,
    "decode": Decode,
    "sample": Sample,
    "inpaint": Inpaint,
    "prepare": Prepare,
    "phantom": Phantom,
    "info": Info,
    "data": Data,
}
