"""Write a vocabulary as graphs that run without voxlex."""

from pathlib import Path

from voxlex.export.description import description
from voxlex.export.graphs import graphs_of
from voxlex.export.programs import SUFFIXES, Format, check_format, write_graph
from voxlex.files import atomic_folder, write_json
from voxlex.progress import Phases, silent
from voxlex.vocabulary import Vocabulary

DESCRIPTION = "export.json"


def export(
    vocabulary: Vocabulary, *, kind: Format, out: Path, name: str = "voxlex", phases: Phases = silent
) -> list[Path]:
    """Write the encoder, the decoders and the prior of a vocabulary as graphs, and a description of them.

    Args:
        vocabulary: The vocabulary, on the CPU.
        kind: "onnx" for ONNX models, "torch" for exported programs of PyTorch.
        out: Folder to create. It appears when all of it is written.
        name: Name of the vocabulary in the description.
        phases: Receives the progress of the work.

    Returns:
        The files.

    Raises:
        ConfigError: If the packages for the format are not installed.
        DataError: If the folder holds something or cannot be written.
    """
    check_format(kind)
    graphs = {f"{graph.name}{SUFFIXES[kind]}": graph for graph in graphs_of(vocabulary)}
    with atomic_folder(out, last=DESCRIPTION) as building, phases("exporting") as progress:
        for number, (file, graph) in enumerate(graphs.items(), start=1):
            write_graph(graph, building / file, kind)
            progress(number, len(graphs))
        write_json(building / DESCRIPTION, description(vocabulary, graphs, name=name))
    return [out / file for file in (*graphs, DESCRIPTION)]
