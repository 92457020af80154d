"""Say what a run folder holds."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from voxlex.config import dump_config
from voxlex.run_folder import RunFolder


def info(path: Path, *, console: Console) -> None:
    """Print what a run was trained on, what its stages took, and its settings.

    Raises:
        RunError: If the folder is no run, or is damaged.
    """
    folder = RunFolder.open(path)
    metadata = folder.metadata()
    table = Table(title=str(path), show_header=False, box=None, title_justify="left")
    for section in ("data", "stages", "versions"):
        for name, value in metadata.get(section, {}).items():
            shown = "  ".join(f"{key} {part}" for key, part in value.items()) if isinstance(value, dict) else str(value)
            table.add_row(section, name, shown)
    files = (folder.autoencoder_file, folder.prior_file, folder.report_file)
    for file in files:
        table.add_row("files", file.name, f"{file.stat().st_size / 1e6:.1f} MB" if file.exists() else "not there yet")
    console.print(table)
    console.print(dump_config(folder.config()), highlight=False, markup=False)
