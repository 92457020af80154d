"""Compile and export a quantizer of every kind; prints a line for each, and fails with the first that does not work.

Run in a process of its own: the shape checks that tests put on every function cannot be compiled.
"""

import sys
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.testing import assert_close

sys.path.append(str(Path(__file__).parents[1]))
from kinds import KINDS
from voxlex.quantizers import Quantizer


class Graph(nn.Module):
    """Latents to codes and to what the decoder gets, and back, as one graph."""

    def __init__(self, quantizer: Quantizer) -> None:
        super().__init__()
        self.quantizer = quantizer

    def forward(self, z_e: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        quantized = self.quantizer(z_e)
        return quantized.codes, quantized.z_q, self.quantizer.encode(z_e), self.quantizer.decode(quantized.codes)


@torch.no_grad()
def main() -> None:
    batch = torch.export.Dim("batch", min=1, max=64)
    for kind, make in KINDS.items():
        torch.manual_seed(0)
        quantizer = make()
        quantizer(torch.randn(2, 4, 6, 5))
        module, other = Graph(quantizer.eval()), torch.randn(5, 4, 6, 5)
        torch.compiler.reset()
        compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
        assert_close(compiled(other), module(other))
        program = torch.export.export(module, (torch.randn(2, 4, 6, 5),), dynamic_shapes={"z_e": {0: batch}})
        assert_close(program.module()(other), module(other))
        called = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
        assert not any("voxlex" in name for name in called), called  # what runs it need not have voxlex
        print(kind, flush=True)


if __name__ == "__main__":
    main()
