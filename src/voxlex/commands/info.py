"""`voxlex info`: show what a run folder holds."""

from dataclasses import dataclass

from voxlex.commands.common import Run


@dataclass(kw_only=True)
class Info:
    """Show what a run folder holds: its data, stages, versions, files and settings.

    Attributes:
        run_folder: Run folder.
    """

    run_folder: Run

    def run(self) -> None:
        """Print it."""
        from rich.console import Console

        from voxlex.workflows.info import info

        info(self.run_folder, console=Console())
