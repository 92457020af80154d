"""Export graphs, run them without voxlex, and write how far their results are from those of the vocabulary.

    python tests/export/worker.py FOLDER

The figures lie in FOLDER/figures.json, and what `voxlex export` makes of a run in FOLDER/exported. This is run in a
process of its own, because the shape checks that tests put on every function cannot be traced. `VOXLEX_EXPORT=all`
compares all graphs in ONNX Runtime and in PyTorch, not only some of them, which takes minutes.
"""

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from zipfile import ZipFile

import onnxruntime
import torch
from torch import Tensor, nn

sys.path.append(str(Path(__file__).parents[1]))
from kinds import KINDS
from two_levels import untrained, vocabulary
from voxlex import Vocabulary, load
from voxlex.assembly import build_texture
from voxlex.cli import main as voxlex
from voxlex.export.graphs import Free, Graph, Port, graphs_of
from voxlex.export.programs import write_graph
from voxlex.models import VQVAE, VQVAE2, Decoder, Encoder, MultiScaleVQVAE
from voxlex.models.graphs import CodesToImages, CodesToTexturedImages, ImagesToCodes
from voxlex.priors import Conditions, GatedPixelCNN, HierarchicalPrior, MaskedPrior, TransformerPrior
from voxlex.quantizers import GroupedQuantizer, Quantizer, VectorQuantizer

GOLDEN = Path(__file__).parents[1] / "golden"
EVERYTHING = os.environ.get("VOXLEX_EXPORT") == "all"
FEW_KINDS = ("finite scalar", "lookup free, spherical", "Gumbel")
"""Kinds that have few operators in common. `pictures` and `volumes` have vector quantizers, also a residual one."""

LABELS = Conditions.of({"label": ["a", "b"], "age": [20.0, 60.0]}, ["label", "age"])
Run = Callable[..., list[Tensor]]


def in_onnx_runtime(graph: Graph, folder: Path) -> Run:
    """Return the graph as ONNX Runtime runs its file, by the names of inputs."""
    path = folder / f"{graph.name}.onnx"
    write_graph(graph, path, "onnx")
    return in_session(path)


def in_session(path: Path) -> Run:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(*inputs: Tensor) -> list[Tensor]:
        feeds = {port.name: given.numpy() for port, given in zip(session.get_inputs(), inputs, strict=True)}
        return [torch.from_numpy(found) for found in session.run(None, feeds)]

    return run


def in_torch(graph: Graph, folder: Path) -> Run:
    """Return the graph as PyTorch runs its exported program, after storing it."""
    path = folder / f"{graph.name}.pt2"
    write_graph(graph, path, "torch")
    with ZipFile(path) as stored:
        starts = {stored.read(name)[:2] for name in stored.namelist() if "/weights/weight_" not in name}
    assert not starts & {b"PK", b"\x80\x02", b"\x80\x04"}  # a pickle, or an archive of one
    program = torch.export.load(path)
    called = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert not any("voxlex" in name for name in called), called
    module = program.module()
    return lambda *inputs: torch.utils._pytree.tree_leaves(module(*inputs))


class AllKinds(nn.Module):
    """Latents to the codes of a quantizer of each kind, and back."""

    def __init__(self, quantizers: Sequence[Quantizer]) -> None:
        super().__init__()
        self.quantizers = nn.ModuleList(quantizers)

    def forward(self, z_e: Tensor) -> tuple[Tensor, ...]:
        codes = [quantizer.encode(z_e) for quantizer in self.quantizers]
        return (*codes, *[quantizer.decode(own) for quantizer, own in zip(self.quantizers, codes, strict=True)])


def kinds(folder: Path) -> dict[str, float]:
    """Run a quantizer of every kind in one graph; return the share of equal codes, and the error of codewords."""
    names = list(KINDS) if EVERYTHING else FEW_KINDS
    quantizers = [KINDS[name]() for name in names]
    for quantizer in quantizers:
        quantizer(torch.randn(2, 4, 6, 5))
    module = AllKinds(quantizers).eval()
    size = (Free("batch"), 4, Free("height"), Free("width"))
    latents = Port(name="z_e", shape=size, meaning="")
    outputs = tuple(
        Port(name=f"{part}_{number}", shape=(size[0], channels, *size[2:]), meaning="")
        for part in ("codes", "z_q")
        for number, quantizer in enumerate(quantizers)
        for channels in [quantizer.num_codebooks if part == "codes" else 4]
    )
    graph = Graph(name="kinds", does="", module=module, inputs=(latents,), outputs=outputs)
    z_e = torch.randn(3, 4, 9, 7)
    found = in_onnx_runtime(graph, folder)(z_e)
    figures = {}
    for place, (kind, quantizer) in enumerate(zip(names, quantizers, strict=True)):
        codes, z_q = found[place], found[len(names) + place]
        figures[f"{kind}: codes"] = (codes == quantizer.encode(z_e)).float().mean().item()
        figures[f"{kind}: codewords"] = (z_q - quantizer.decode(codes)).abs().max().item()
    return figures


def compared(
    name: str, own: Vocabulary, run: Callable[[Graph, Path], Run], folder: Path, *, only: Sequence[str] = ()
) -> dict[str, float]:
    """Run the graphs of a vocabulary, or some of them, on images of another size and number than those of the trace.

    Returns:
        For the encoder the share of equal codes, for other graphs the largest error.
    """
    model = own.autoencoder
    sides = (3, 5, 2)[: model.spatial_dims]
    images = torch.rand(1, model.in_channels, *[side * model.multiple_of for side in sides])
    codes = as_levels(model.encode(images))
    drawn = tuple(torch.randint_like(level, q.num_embeddings) for level, q in zip(codes, model.quantizers, strict=True))
    figures = {}
    for graph in graphs_of(own):
        if only and graph.name not in only:
            continue
        graph_run = run(graph, folder)
        match graph.module:
            case ImagesToCodes():
                pairs = zip(graph_run(images), codes, strict=True)
                figure = min((found == level).float().mean().item() for found, level in pairs)
            case CodesToImages():
                figure = largest(graph_run(*drawn)[0] - model.decode(drawn))
            case CodesToTexturedImages(texture=texture):
                noise = torch.randn(images.shape)
                figure = largest(graph_run(noise, *drawn)[0] - texture.decode(model.latents(drawn), noise))
            case step:
                place = [prior is step.level for prior in own.prior.levels].index(True)
                figure = error_of_step(own, place, graph_run)
        figures[f"{name}: {graph.name}"] = figure
    return figures


def largest(error: Tensor) -> float:
    return error.abs().max().item()


def error_of_step(own: Vocabulary, place: int, step: Run) -> float:
    """Return the largest difference of log-probabilities along some images, whose codes a step is told one by one."""
    assert own.prior is not None
    level = own.prior.levels[place]
    layouts = own.layouts[: place + 1]
    *context, codes = [torch.randint(layout.num_embeddings, (3, *layout.shape)) for layout in layouts]
    condition = torch.full((3, len(level.conditions.columns)), torch.nan)
    condition[0] = 1.0 if condition.shape[1] else torch.nan
    if isinstance(level, MaskedPrior):
        hidden = torch.rand(3, *level.layout.grid) < 0.5
        expected = level(codes, condition, tuple(context), hidden=hidden.flatten(1)).movedim(1, -1)
        told = torch.where(hidden.unsqueeze(1), 0, codes) if codes.shape[1] == 1 else codes
        (found,) = step(told, hidden, condition, *context)
        return error(found, expected)
    expected = level(codes, condition, tuple(context)).movedim(1, -1).flatten(2, -2)
    cache: list[Tensor] = []
    if isinstance(level, TransformerPrior):
        block = level.segments.blocks[0]
        heads, (length, width) = block.attention.heads, level.segments.segment_position.shape
        cache = [torch.zeros(3, len(level.segments.blocks), heads, length, width // heads) for _ in range(2)]
    told, errors = torch.zeros_like(codes), []
    for cell in range(level.layout.cells):
        for codebook in range(level.layout.num_codebooks):
            found, *cache = step(told, torch.tensor([cell]), condition, *cache, *context)
            errors.append(error(found[:, codebook], expected[:, codebook, cell]))
            told.flatten(2)[:, codebook, cell] = codes.flatten(2)[:, codebook, cell]
    return max(errors)


def error(found: Tensor, expected: Tensor) -> float:
    return largest(found.log_softmax(dim=-1) - expected.log_softmax(dim=-1))


def as_levels(codes: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (codes,) if isinstance(codes, Tensor) else codes


def stirred(module: nn.Module) -> nn.Module:
    """Move all weights away from where they begin, many of them at zero."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return module.eval()


def in_volumes() -> Vocabulary:
    """Codes of volumes at two scales, the finer ones in two groups, with a masked prior and a textured decoder."""
    small = {"spatial_dims": 3, "width": 8, "stem_width": 4, "blocks": 1}
    groups = [VectorQuantizer(num_embeddings=16, embedding_dim=2) for _ in range(2)]
    model = VQVAE2(
        encoder=Encoder(embedding_dim=8, **small),
        top=VectorQuantizer(num_embeddings=8, embedding_dim=4),
        bottom=GroupedQuantizer(groups=groups),
        decoder=Decoder(embedding_dim=8, **small),
        width=8,
        scale=2,
        spatial_dims=3,
    )
    model(torch.rand(4, 1, 16, 16, 16))
    return completed(model, MaskedPrior)


def at_scales() -> Vocabulary:
    small = {"embedding_dim": 4, "width": 8, "stem_width": 4, "blocks": 1}
    model = MultiScaleVQVAE(
        encoder=Encoder(**small),
        quantizers=[VectorQuantizer(num_embeddings=8, embedding_dim=4, rate_weight=0.1) for _ in range(2)],
        scales=(2, 1),
        decoder=Decoder(**small),
    )
    model(torch.rand(8, 1, 16, 16))
    return completed(model, TransformerPrior)


def with_pixelcnn() -> Vocabulary:
    small = {"embedding_dim": 4, "width": 8, "stem_width": 4, "blocks": 0}
    groups = [VectorQuantizer(num_embeddings=16, embedding_dim=2) for _ in range(2)]
    model = VQVAE(encoder=Encoder(**small), quantizer=GroupedQuantizer(groups=groups), decoder=Decoder(**small))
    model(torch.rand(8, 1, 16, 16))
    return completed(model, GatedPixelCNN)


def completed(model: VQVAE | VQVAE2 | MultiScaleVQVAE, kind: type) -> Vocabulary:
    size = 16
    layouts = model.eval().layouts((size,) * model.spatial_dims)
    options = {"width": 8, "layers": 1, "conditions": LABELS}
    levels = [kind(layout=layout, context=layouts[:place], **options) for place, layout in enumerate(layouts)]
    prior = stirred(levels[0] if len(levels) == 1 else HierarchicalPrior(levels=levels))
    own = vocabulary(model, prior, size=size)
    texture = stirred(build_texture(model)) if isinstance(model, VQVAE2) else None
    return Vocabulary(autoencoder=model, prior=prior, texture=texture, config=own.config, metadata={})


def by_command(graph: Graph, folder: Path) -> Run:
    """Return a graph as ONNX Runtime runs the file that the command wrote."""
    return in_session(folder / "exported" / f"{graph.name}.onnx")


@torch.no_grad()
def main() -> None:
    torch.manual_seed(0)
    folder, run = Path(sys.argv[1]), GOLDEN / "transformer"
    assert voxlex(["export", str(run), "--out", str(folder / "exported")]) == 0
    figures = kinds(folder)
    figures |= compared("pictures", load(run), by_command, folder)
    figures |= compared("pictures in PyTorch", load(run), in_torch, folder, only=["decoder"])
    volumes = vocabulary(untrained(spatial_dims=3), None, size=32)
    figures |= compared("volumes", volumes, in_onnx_runtime, folder, only=["encoder"])
    if EVERYTHING:
        for name, own in {"more volumes": in_volumes(), "scales": at_scales(), "PixelCNN": with_pixelcnn()}.items():
            figures |= compared(name, own, in_onnx_runtime, folder)
            figures |= compared(f"{name} in PyTorch", own, in_torch, folder)
    (folder / "figures.json").write_text(json.dumps(figures))


if __name__ == "__main__":
    main()
