"""`voxlex export`: write a vocabulary as graphs that run without voxlex, or as a bundle for MONAI."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from voxlex.commands.common import Run, name_of, place, say
from voxlex.errors import ConfigError


@dataclass(kw_only=True)
class Export:
    """Write a vocabulary as graphs that run without voxlex, in ONNX Runtime, in a browser or in PyTorch, or for MONAI.

    Attributes:
        run_folder: Run folder.
        format: "onnx" for ONNX models, which needs the extra `voxlex[export]`; "torch" for exported programs of
            PyTorch; "monai-bundle" for a bundle that MONAI runs with voxlex.
        out: Folder to create. The file export.json in it says what goes into each graph and what comes out.
        license: For a bundle, the identifier of the licence of the weights, such as "cc-by-4.0".
    """

    run_folder: Run
    format: Literal["onnx", "torch", "monai-bundle"] = "onnx"
    out: Annotated[Path | None, place("exported/RUN")] = None
    license: Annotated[str | None, tyro.conf.arg(metavar="LICENCE")] = None

    def run(self) -> None:
        """Write the graphs, or the bundle."""
        from voxlex.commands.terminal import progress_bar
        from voxlex.vocabulary import load
        from voxlex.workflows.bundle import export_bundle
        from voxlex.workflows.export import export

        name = name_of(self.run_folder)
        out = self.out or Path("exported") / name
        if self.format == "monai-bundle":
            written = export_bundle(self.run_folder, out=out, name=name, licence=self.license)
        elif self.license is not None:
            raise ConfigError(f"--license: expected --format monai-bundle beside it, got {self.format}")
        else:
            written = export(load(self.run_folder), kind=self.format, out=out, name=name, phases=progress_bar)
        for file in written:
            say(f"{file}  {file.stat().st_size / 1e6:.1f} MB")
