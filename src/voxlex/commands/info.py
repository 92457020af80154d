"""`voxlex info`: show what a run folder holds."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from voxlex.commands.common import Run
from voxlex.stores.addresses import shown

if TYPE_CHECKING:
    from voxlex.workflows.info import RunInfo


@dataclass(kw_only=True)
class Info:
    """Show what a run folder holds: its data, stages, versions, files and settings.

    Attributes:
        run_folder: Run folder.
    """

    run_folder: Run

    def run(self) -> None:
        """Print the table and the settings."""
        from voxlex.workflows.info import info

        _show(info(self.run_folder), title=shown(str(self.run_folder)))


def _show(found: "RunInfo", *, title: str) -> None:
    """Print the data, the stages, the files and the settings of a run."""
    from rich.console import Console
    from rich.table import Table

    from voxlex.config import dump_config

    console = Console()
    table = Table(title=title, show_header=False, box=None, title_justify="left")
    for section in ("data", "stages", "versions"):
        for name, value in found.metadata.get(section, {}).items():
            shown = "  ".join(f"{key} {part}" for key, part in value.items()) if isinstance(value, dict) else str(value)
            table.add_row(section, name, shown)
    for name, size in found.files.items():
        table.add_row("files", name, "not there yet" if size is None else f"{size / 1e6:.1f} MB")
    console.print(table)
    console.print(dump_config(found.config), highlight=False, markup=False)
