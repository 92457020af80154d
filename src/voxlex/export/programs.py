"""Trace a graph, and write it as an exported program of PyTorch or as an ONNX model."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn
from torch.export import Dim, ExportedProgram

from voxlex.errors import ConfigError
from voxlex.export.graphs import Free, Graph, Port

Format = Literal["onnx", "torch"]

SUFFIXES: dict[Format, str] = {"onnx": ".onnx", "torch": ".pt2"}

OPSET = 20
"""Version of the operators of ONNX models. ONNX Runtime knows it since 1.17, also in browsers."""

_TRACES = ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn")
"""Notes of nodes about the code that they come from, among them the folders of this machine."""


def check_format(kind: Format) -> None:
    """Raise ConfigError if the packages for a format are not installed."""
    try:
        if kind == "onnx":
            import onnx  # noqa: F401
            import onnxscript  # noqa: F401
    except ModuleNotFoundError as cause:
        raise ConfigError(
            f"export: expected the packages of the extra 'export', got an installation without {cause.name}; "
            "pip install 'voxlex[export]'"
        ) from cause


def write_graph(graph: Graph, path: Path, kind: Format) -> None:
    """Write a graph into a file.

    Raises:
        ConfigError: If the packages for the format are not installed.
    """
    check_format(kind)
    program = traced(graph)
    if kind == "torch":
        program.example_inputs = None  # would be stored as a pickle
        torch.export.save(program, path)
        return
    import onnx

    onnx.save_model(_as_onnx(program, graph), path)


@torch.no_grad()
def traced(graph: Graph) -> ExportedProgram:
    """Return a graph as an exported program for inputs of any length along its free axes.

    What depends on the weights alone is computed now, and not each time that the program runs.
    """
    module = _computed_ahead(_export(graph.module.eval(), graph).module(check_guards=False))
    program = _export(module, graph)
    for node in program.graph.nodes:
        for name in _TRACES:
            node.meta.pop(name, None)
    return program


def _export(module: nn.Module, graph: Graph) -> ExportedProgram:
    names = {axis.name for port in graph.inputs for axis in port.shape if isinstance(axis, Free)}
    lengths = {name: Dim(name, min=1) for name in names}
    shapes = [
        {place: axis.times * lengths[axis.name] for place, axis in enumerate(port.shape) if isinstance(axis, Free)}
        for port in graph.inputs
    ]
    examples = tuple(port.example() for port in graph.inputs)
    with _quiet():
        return torch.export.export(_AnyNumber(module), examples, dynamic_shapes=(tuple(shapes),), strict=False)


class _AnyNumber(nn.Module):
    """A module that takes any number of inputs, whatever it calls them."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Tensor) -> Any:
        """Return what the module returns."""
        return self.module(*inputs)


def _computed_ahead(module: fx.GraphModule) -> fx.GraphModule:
    """Replace what depends on weights alone by its value; drop checks of it, and weights that nothing else needs."""
    known: dict[fx.Node, Any] = {}
    for node in list(module.graph.nodes):
        if node.op == "get_attr":
            known[node] = _attribute(module, node.target)
        elif node.op == "call_function" and all(source in known for source in node.all_input_nodes):
            args, kwargs = fx.map_arg((node.args, node.kwargs), known.__getitem__)
            known[node] = node.target(*args, **kwargs)
    for number, (node, value) in enumerate(known.items()):
        users = [user for user in node.users if user not in known]
        if node.op == "get_attr" or not users or not isinstance(value, Tensor):
            continue
        name = f"computed_{number}"
        module.register_buffer(name, value.detach().clone(memory_format=torch.contiguous_format))
        with module.graph.inserting_after(node):
            kept = module.graph.get_attr(name)
        for user in users:
            user.replace_input_with(node, kept)
    for node in reversed(list(module.graph.nodes)):
        if (node in known or _is_check(node)) and not node.users:
            module.graph.erase_node(node)
    module.graph.eliminate_dead_code()
    names = [node.target for node in module.graph.nodes if node.op == "get_attr"]
    return fx.GraphModule({name: _attribute(module, name) for name in names}, module.graph)


def _is_check(node: fx.Node) -> bool:
    return node.op == "call_function" and "_assert" in str(node.target)


def _attribute(module: nn.Module, target: Any) -> Any:
    for part in str(target).split("."):
        module = getattr(module, part)
    return module


def _as_onnx(program: ExportedProgram, graph: Graph) -> Any:
    """Return an ONNX model, a protocol buffer that says nothing of the machine on which it was made."""
    with _quiet():
        made = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=[port.name for port in graph.inputs],
            output_names=[port.name for port in graph.outputs],
            external_data=False,
            verbose=False,
        )
    assert made is not None
    model = made.model_proto
    model.doc_string = graph.does
    del model.metadata_props[:], model.graph.metadata_props[:], model.graph.value_info[:]
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for values, ports in ((model.graph.input, graph.inputs), (model.graph.output, graph.outputs)):
        for value, port in zip(values, ports, strict=True):
            _name_axes(value, port)
    return model


def _name_axes(value: Any, port: Port) -> None:
    for length, axis in zip(value.type.tensor_type.shape.dim, port.shape, strict=True):
        if isinstance(axis, Free):
            length.dim_param = str(axis)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what the exporters say of packages that are not needed, and of their own future."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
