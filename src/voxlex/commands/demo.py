"""`voxlex demo`: train once on the embedded phantom."""

from dataclasses import dataclass
from pathlib import Path

from voxlex.commands.common import say
from voxlex.config import load_recipe, with_budget
from voxlex.names import resolved


@dataclass(kw_only=True)
class Demo:
    """Show what voxlex does on the embedded phantom: train, reconstruct, sample, and write a report.

    Attributes:
        out: Run folder to create.
        minutes: Training time in minutes.
        overwrite: Replace an existing run.
    """

    out: Path = Path("runs/demo")
    minutes: float = 6.0
    overwrite: bool = False

    def run(self) -> None:
        """Train on the phantom."""
        from voxlex.commands.training_display import TerminalDisplay
        from voxlex.workflows.train import train

        config = with_budget(load_recipe("demo"), minutes=self.minutes, steps=None)
        folder = train("phantom", out=self.out, config=config, overwrite=self.overwrite, display=TerminalDisplay())
        say(f"Now open {resolved(folder.report_file)}")
        say(f"and look around: voxlex explore {self.out}")
