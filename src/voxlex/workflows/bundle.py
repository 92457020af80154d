"""Write a run as a MONAI bundle, a folder that `python -m monai.bundle run` executes on scans."""

from pathlib import Path

import torch

from voxlex import hub
from voxlex.export.bundle import RUN, bundle_inference, bundle_logging, bundle_metadata
from voxlex.files import atomic_folder, write_json
from voxlex.run_folder import RunFolder
from voxlex.workflows.cards import card_of, figures_of
from voxlex.workflows.in_monai import Reconstructor

METADATA, INFERENCE, LOGGING = "configs/metadata.json", "configs/inference.json", "configs/logging.conf"
WEIGHTS, README, LICENCE = "models/model.pt", "docs/README.md", "LICENSE"


def export_bundle(run: Path, *, out: Path, name: str = "voxlex", licence: str | None = None) -> list[Path]:
    """Write a run as a MONAI bundle.

    The run lies in `models/run`, with its weights as safetensors, and is what the workflow of the bundle loads.
    `models/model.pt` is what the specification asks for: the same weights of the network as plain tensors, which
    `torch.load(..., weights_only=True)` reads, in a format that MONAI's own tools look for.

    Args:
        run: The run.
        out: Folder to create. It appears when all of it is written.
        name: Name of the run.
        licence: Identifier of the licence of the weights.

    Returns:
        The files.

    Raises:
        DataError: If the folder holds something or cannot be written.
        RunError: If the run cannot be used.
    """
    folder, network = RunFolder.open(run), Reconstructor(run)  # refuses damaged weights
    figures = figures_of(folder.path)
    card = card_of(
        network.vocabulary,
        name=name,
        use=[
            "import voxlex  # pip install voxlex",
            "",
            f'vocabulary = voxlex.load("{RUN}")',
            "codes = vocabulary.encode(images)",
        ],
        source="this bundle, with its version in configs/metadata.json",
        figures=figures,
        licence=licence,
    )
    texts = {README: card, LICENCE: _licence(licence), LOGGING: bundle_logging()}
    contents = {f"{RUN}/{file}": content for file, content in hub.files_of(folder.path).items()}
    contents |= {file: text.encode() for file, text in texts.items()}
    with atomic_folder(out, last="configs") as building:
        for place in ("configs", "docs", RUN):
            (building / place).mkdir(parents=True)
        for file, content in contents.items():
            (building / file).write_bytes(content)
        torch.save({weight: values.clone() for weight, values in network.state_dict().items()}, building / WEIGHTS)
        described = bundle_metadata(network.vocabulary, name=name, licence=licence, figures=figures)
        write_json(building / METADATA, described)
        write_json(building / INFERENCE, bundle_inference())
    return [out / file for file in (METADATA, INFERENCE, WEIGHTS, *contents)]


def _licence(licence: str | None) -> str:
    said = f"{licence}." if licence else "not said. Ask their owner before you use them."
    return f"The licence of the weights in this bundle: {said}\n\nvoxlex, which they need, has a licence of its own.\n"
