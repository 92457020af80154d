"""`voxlex export`: write a vocabulary as graphs that run without voxlex."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from voxlex.commands.common import Run, name_of, place, say


@dataclass(kw_only=True)
class Export:
    """Write a vocabulary as graphs that run without voxlex: in ONNX Runtime, in a browser, or in PyTorch.

    Attributes:
        run_folder: Run folder.
        format: "onnx" for ONNX models, which needs the extra `voxlex[export]`, or "torch" for exported programs of
            PyTorch.
        out: Folder to create. The file export.json in it says what goes into each graph and what comes out.
    """

    run_folder: Run
    format: Literal["onnx", "torch"] = "onnx"
    out: Annotated[Path | None, place("exported/RUN")] = None

    def run(self) -> None:
        """Write the graphs."""
        from voxlex.commands.terminal import progress_bar
        from voxlex.vocabulary import load
        from voxlex.workflows.export import export

        name = name_of(self.run_folder)
        out = self.out or Path("exported") / name
        written = export(load(self.run_folder), kind=self.format, out=out, name=name, phases=progress_bar)
        for file in written:
            say(f"{file}  {file.stat().st_size / 1e6:.1f} MB")
