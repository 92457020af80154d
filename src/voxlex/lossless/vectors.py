"""Sums of products in registers, for numba, which cannot keep several sums of one loop in them.

The order of all operations is fixed: eight sums side by side, added up in pairs at the end. No product is fused with a
sum, so that processors with and without such an instruction agree.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

LANES, ROWS = 8, 4
"""A call sums `ROWS` rows, whose length is a multiple of `LANES`."""

_DOUBLE, _LONG = ir.DoubleType(), ir.IntType(64)
_LANES = ir.VectorType(_DOUBLE, LANES)


@intrinsic
def dot_rows(_: Any, one: Any, first: Any, other: Any, second: Any, result: Any, place: Any) -> Any:
    """Write the dot products of a row of `one` with four rows of `other` into `result`.

    Args:
        one: Matrix in float64, with rows one after another.
        first: Number of its row.
        other: Matrix with rows of the same length.
        second: Number of its first row.
        result: Matrix in float64.
        place: Number of the first of its elements to write, counted through all rows.
    """
    signature = types.void(one, types.int64, other, types.int64, result, types.int64)
    return signature, _emit


def _emit(context: Any, b: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
    matrices = [context.make_array(signature.args[i])(context, b, arguments[i]) for i in (0, 2, 4)]
    length = b.extract_value(matrices[0].shape, 1)
    one, other, result = (
        b.gep(matrix.data, [index])
        for matrix, index in zip(
            matrices, (b.mul(arguments[1], length), b.mul(arguments[3], length), arguments[5]), strict=True
        )
    )
    before, loop, after = b.block, b.append_basic_block(), b.append_basic_block()
    b.branch(loop)
    b.position_at_end(loop)
    i, sums = b.phi(_LONG), [b.phi(_LANES) for _ in range(ROWS)]
    rows = [b.gep(other, [b.add(i, b.mul(_LONG(k), length))]) for k in range(ROWS)]
    left = _load(b, b.gep(one, [i]))
    added = [b.fadd(total, b.fmul(left, _load(b, row))) for total, row in zip(sums, rows, strict=True)]
    following = b.add(i, _LONG(LANES))
    zero = ir.Constant(_LANES, [0.0] * LANES)
    for phi, start, change in zip((i, *sums), (_LONG(0), *[zero] * ROWS), (following, *added), strict=True):
        phi.add_incoming(start, before)
        phi.add_incoming(change, loop)
    b.cbranch(b.icmp_signed("<", following, length), loop, after)
    b.position_at_end(after)
    for k, lanes in enumerate(added):
        b.store(_sum(b, [b.extract_element(lanes, ir.IntType(32)(q)) for q in range(LANES)]), b.gep(result, [_LONG(k)]))
    return context.get_dummy_value()


def _load(b: ir.IRBuilder, pointer: ir.Value) -> ir.Value:
    return b.load(b.bitcast(pointer, _LANES.as_pointer()), align=8)


def _sum(b: ir.IRBuilder, values: list[ir.Value]) -> ir.Value:
    """Add up neighbours, then neighbouring sums, and so on."""
    while len(values) > 1:
        values = [b.fadd(one, other) for one, other in zip(values[::2], values[1::2], strict=True)]
    return values[0]
