"""Search for the nearest codeword in one kernel on a CPU. Scores never leave the registers, and memory is O(N + K).

llvmlite compiles the kernel when it is first needed, for the instructions of this processor, in a few hundredths of a
second. So there is nothing to compile at install time, and no compiled code to keep.
"""

import ctypes
import platform
from _thread import start_new_thread
from collections.abc import Callable, Mapping
from threading import Event

import torch
from jaxtyping import Float, Int64
from llvmlite import binding, ir
from torch import Tensor

from voxlex.quantizers.search_llvm_code import GROUP, Shape, emit_packing, emit_search, is_pointer

_PRODUCTS_PER_THREAD = 2**24
"""A thread with fewer multiplications to do, which take about 0.3 ms, is not worth its start."""


class Kernel:
    """The search, compiled for a processor.

    Args:
        features: The instruction sets to use, by their names in LLVM; by default those of this processor.

    Raises:
        RuntimeError: If LLVM cannot compile for this processor.
    """

    def __init__(self, features: Mapping[str, bool] | None = None) -> None:
        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
        features = binding.get_host_cpu_features() if features is None else features
        machine = binding.Target.from_default_triple().create_target_machine(
            features=",".join(f"{'+' if wanted else '-'}{name}" for name, wanted in features.items()), opt=3, jit=True
        )
        shape = _shape(features)
        module = ir.Module()
        module.triple = machine.triple
        pack, search = emit_packing(module), emit_search(module, shape)
        self._engine = binding.create_mcjit_compiler(binding.parse_assembly(str(module)), machine)  # owns the code
        self._engine.finalize_object()
        self._pack, self._search = self._callable(pack), self._callable(search)
        self._tile = shape.tile

    def nearest(
        self, vectors: Float[Tensor, "n d"], codebook: Float[Tensor, "k d"], penalty: Float[Tensor, " k"] | None = None
    ) -> Int64[Tensor, " n"]:
        """Return the index of the codeword with the smallest squared distance plus penalty from each vector.

        If codewords and their penalties are equal, the lowest index is returned. The search takes as many threads as
        torch uses. They share the tiles as they go, so that a thread whose core has other work gets fewer of them.

        Args:
            vectors: Vectors in float32 on the CPU, with any strides.
            codebook: Codewords in float32 on the CPU.
            penalty: Penalties in float32 on the CPU; None for none.
        """
        (n, d), k = vectors.shape, len(codebook)
        groups = -(-k // GROUP)
        codebook, new = codebook.contiguous(), codebook.new_empty
        penalty = codebook.new_zeros(k) if penalty is None else penalty.contiguous()
        # The origin moves into the codebook, so that rounding is relative to the spread of the codewords.
        centre, packed, bias = codebook.mean(dim=0), new(groups * GROUP * d), new(groups * GROUP)
        self._pack(*_pointers(codebook, penalty, centre), k, d, groups, *_pointers(packed, bias))
        threads = max(min(torch.get_num_threads(), n * k * d // _PRODUCTS_PER_THREAD, -(-n // self._tile)), 1)
        tiles, taken, codes = new(threads, self._tile * d), new(1, dtype=torch.int64).zero_(), new(n, dtype=torch.int64)

        def search(tile: Tensor) -> None:
            inputs = _pointers(vectors, centre, packed, bias)
            self._search(*inputs, n, *vectors.stride(), d, k, groups, *_pointers(tile, taken, codes))

        _share(search, tiles)
        return codes

    def _callable(self, function: ir.Function) -> Callable[..., None]:
        """Return a function that runs compiled code, without the lock of the interpreter."""
        kinds = [ctypes.c_void_p if is_pointer(argument) else ctypes.c_int64 for argument in function.args]
        return ctypes.CFUNCTYPE(None, *kinds)(self._engine.get_function_address(function.name))


def _shape(features: Mapping[str, bool]) -> Shape:
    """Choose the shape of a tile, so that the sums of a group fit in the registers."""
    if features.get("avx512f"):
        return Shape(lanes=16, registers=4)
    if features.get("avx"):
        return Shape(lanes=8, registers=2)
    return Shape(lanes=4, registers=2 if platform.machine() in ("x86_64", "AMD64") else 4)


def _share(search: Callable[[Tensor], None], tiles: Float[Tensor, "threads m"]) -> None:
    """Search with a thread for each tile, one of which is the caller's, until all vectors are taken."""
    helping: list[Event] = []

    def help_to_search(tile: Tensor) -> None:
        done = Event()
        helping.append(done)
        try:
            search(tile)
        finally:
            done.set()

    # They end with the search, because threads that wait for the next one would be lost in a forked process.
    for tile in tiles[1:]:
        start_new_thread(help_to_search, (tile,))
    search(tiles[0])
    # Now all vectors are taken. A thread that has not begun yet, for want of a core, is not waited for.
    for done in tuple(helping):
        done.wait()


def _pointers(*tensors: Tensor) -> list[int]:
    return [tensor.data_ptr() for tensor in tensors]
