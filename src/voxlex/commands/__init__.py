"""What each command takes, as a dataclass; the work is done in `workflows`, imported only when it is needed."""

from typing import Any

from voxlex.commands.common import Command, starting_point
from voxlex.commands.data import Data
from voxlex.commands.decode import Decode
from voxlex.commands.demo import Demo
from voxlex.commands.encode import Encode
from voxlex.commands.evaluate import Evaluate
from voxlex.commands.info import Info
from voxlex.commands.inpaint import Inpaint
from voxlex.commands.phantom import Phantom
from voxlex.commands.prepare import Prepare
from voxlex.commands.reconstruct import Reconstruct
from voxlex.commands.sample import Sample
from voxlex.commands.train import Train

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
