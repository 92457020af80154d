"""Compare how fast exported graphs run in ONNX Runtime and in PyTorch, and voxlex itself, in one run.

    python benchmarks/export.py [--run brain-mri-128] [--images 8] [--repeats 10]

Each computes the same codes, images and steps of the prior, in turns, on as many threads as PyTorch has. The median
counts. Only the ratios carry over to another machine.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import onnxruntime
import torch
from torch import Tensor

import voxlex
from voxlex.export.graphs import Graph, graphs_of
from voxlex.export.programs import write_graph

Work = Callable[[], object]


def in_onnx_runtime(graph: Graph, inputs: Sequence[Tensor], folder: Path) -> Work:
    path = folder / f"{graph.name}.onnx"
    write_graph(graph, path, "onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feeds = {port.name: given.numpy() for port, given in zip(graph.inputs, inputs, strict=True)}
    return lambda: session.run(None, feeds)


def in_torch(graph: Graph, inputs: Sequence[Tensor], folder: Path) -> Work:
    path = folder / f"{graph.name}.pt2"
    write_graph(graph, path, "torch")
    module = torch.export.load(path).module()
    return lambda: module(*inputs)


def milliseconds(works: dict[str, Work], repeats: int) -> dict[str, float]:
    """Return the median time of each, taken in turns after a turn to warm up."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(repeats + 1):
        for name, work in works.items():
            started = time.perf_counter()
            work()
            if turn:
                times[name].append(1e3 * (time.perf_counter() - started))
    return {name: statistics.median(taken) for name, taken in times.items()}


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="brain-mri-128")
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=10)
    options = parser.parse_args()
    vocabulary = voxlex.load(options.run)
    n, model = options.images, vocabulary.autoencoder
    images = torch.rand(n, model.in_channels, *vocabulary.space)
    levels = model.levels(model.encode(images))
    print(f"{options.run}, {n} images of {'×'.join(map(str, vocabulary.space))}, {torch.get_num_threads()} threads")
    print(f"torch {torch.__version__}, onnxruntime {onnxruntime.__version__}; median milliseconds")
    inputs: dict[str, Sequence[Tensor]] = {"encoder": (images,), "decoder": levels}
    own: dict[str, Work] = {"encoder": lambda: model.encode(images), "decoder": lambda: model.decode(levels)}
    with TemporaryDirectory() as place:
        for graph in graphs_of(vocabulary):
            if graph.name == "decoder-textured":
                continue
            shapes = [[n if str(axis) == "batch" else axis for axis in port.shape] for port in graph.inputs]
            given = inputs.get(graph.name) or [
                torch.zeros(shape, dtype=port.dtype) for shape, port in zip(shapes, graph.inputs, strict=True)
            ]
            works = {
                "ONNX Runtime": in_onnx_runtime(graph, given, Path(place)),
                "exported program": in_torch(graph, given, Path(place)),
            }
            if graph.name in own:
                works["voxlex"] = own[graph.name]
            for name, taken in milliseconds(works, options.repeats).items():
                print(f"{graph.name:16s} {name:18s} {taken:9.2f}", flush=True)
    if vocabulary.prior is not None:
        started = time.perf_counter()
        vocabulary.prior.sample(n)
        steps = sum(layout.codes_per_image for layout in vocabulary.layouts)
        print(
            f"{'prior-step':16s} {'voxlex':18s} {1e3 * (time.perf_counter() - started) / steps:9.2f}  (a whole sample)"
        )


if __name__ == "__main__":
    main()
