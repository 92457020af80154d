"""The kernel that searches for the nearest codeword on a CPU, in the intermediate language of LLVM.

Each lane of a register belongs to one of the vectors x that are searched for. The kernel holds one tile of them,
transposed, and passes all codewords once. It scores a group of codewords at a time, and each lane keeps its best score
and the group of this score. Within the best group, the scores are then computed again, to tell which codeword has the
best one.

A score is the same sequence of operations wherever a vector and a codeword stand. So equal codewords have equal scores,
and the first of them wins.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from llvmlite import ir

GROUP = 4
"""Number of codewords that are scored at a time."""

_FLOAT, _INT, _LONG = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_FLOATS, _LONGS = _FLOAT.as_pointer(), _LONG.as_pointer()
_CODEWORDS = ir.VectorType(_FLOAT, GROUP)


class Shape(NamedTuple):
    """How many lanes a register has, and how many registers the lanes of a tile fill for each number of a vector."""

    lanes: int
    registers: int

    @property
    def tile(self) -> int:
        """Number of vectors in a tile."""
        return self.lanes * self.registers


def is_pointer(argument: ir.Argument) -> bool:
    """Return whether a function of the kernel takes this argument as a pointer, and not as a 64-bit number."""
    return isinstance(argument.type, ir.PointerType)


class _Builder(ir.IRBuilder):
    """Emits instructions at the end of a function."""

    def at(self, pointer: ir.Value, index: ir.Value) -> ir.Value:
        return self.gep(pointer, [index])

    def load_at(self, pointer: ir.Value, index: ir.Value) -> ir.Value:
        return self.load(self.at(pointer, index))

    def load_vector(self, kind: ir.VectorType, pointer: ir.Value) -> ir.Value:
        return self.load(self.bitcast(pointer, kind.as_pointer()), align=4)

    def store_vector(self, vector: ir.Value, pointer: ir.Value) -> None:
        self.store(vector, self.bitcast(pointer, vector.type.as_pointer()), align=4)

    def spread(self, value: ir.Value, lanes: int) -> ir.Value:
        """Fill all lanes of a vector with one value."""
        undefined = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
        one = self.insert_element(undefined, value, _INT(0))
        return self.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(_INT, lanes), None))

    def less(self, one: ir.Value, other: ir.Value) -> ir.Value:
        return self.select(self.icmp_signed("<", one, other), one, other)

    def multiply_add(self, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
        """Emit a·b + c, rounded once if the processor has an instruction for it."""
        name = f"llvm.fmuladd.v{a.type.count}f32"
        function = self.module.globals.get(name)
        return self.call(function or ir.Function(self.module, ir.FunctionType(a.type, [a.type] * 3), name), [a, b, c])

    def repeat(
        self, count: ir.Value, carried: Sequence[ir.Value], body: Callable[..., Sequence[ir.Value] | None]
    ) -> list[ir.Value]:
        """Emit `for i in range(count): carried = body(i, *carried)`, and return what is carried at the end."""
        return self.loop(_LONG(0), lambda i: self.add(i, _LONG(1)), count, carried, body)

    def loop(
        self,
        first: ir.Value,
        following: Callable[[ir.Value], ir.Value],
        stop: ir.Value,
        carried: Sequence[ir.Value],
        body: Callable[..., Sequence[ir.Value] | None],
    ) -> list[ir.Value]:
        """Emit a loop that goes on from `i` to `following(i)` as long as this is below `stop`."""
        before, inside, after = self.block, self.append_basic_block(), self.append_basic_block()
        self.cbranch(self.icmp_signed("<", first, stop), inside, after)
        self.position_at_end(inside)
        i, *within = (self.phi(value.type) for value in (first, *carried))
        changed = body(i, *within) or []
        changed = [following(i), *changed]
        end = self.block
        for phi, start, change in zip((i, *within), (first, *carried), changed, strict=True):
            phi.add_incoming(start, before)
            phi.add_incoming(change, end)
        self.cbranch(self.icmp_signed("<", changed[0], stop), inside, after)
        self.position_at_end(after)
        results = [self.phi(value.type) for value in carried]
        for phi, start, change in zip(results, carried, changed[1:], strict=True):
            phi.add_incoming(start, before)
            phi.add_incoming(change, end)
        return results


def _function(module: ir.Module, name: str, *kinds: ir.Type) -> ir.Function:
    return ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), name)


def emit_packing(module: ir.Module) -> ir.Function:
    """Emit the function that sorts the centered codewords by group, number and codeword, and computes their bias.

    The bias is −½(‖e‖² + penalty), because argmin ‖x − e‖² + penalty = argmax x·e + bias.
    """
    pointers, sizes = [_FLOATS] * 3, [_LONG] * 3
    function = _function(module, "pack", *pointers, *sizes, _FLOATS, _FLOATS)
    codebook, penalty, centre, k, d, groups, packed, bias = function.args
    b = _Builder(function.append_basic_block())

    def members(pointers: Sequence[ir.Value], index: ir.Value) -> ir.Value:
        values = ir.Constant(_CODEWORDS, ir.Undefined)
        for place, pointer in enumerate(pointers):
            values = b.insert_element(values, b.load_at(pointer, index), _INT(place))
        return values

    def pack_group(group: ir.Value) -> None:
        first = b.mul(group, _LONG(GROUP))
        # Copies of the last codeword fill the last group. They can at most tie, and then the codeword itself wins.
        rows = [b.less(b.add(first, _LONG(place)), b.sub(k, _LONG(1))) for place in range(GROUP)]
        codewords, target = [b.at(codebook, b.mul(row, d)) for row in rows], b.at(packed, b.mul(first, d))

        def pack_number(j: ir.Value, total: ir.Value) -> list[ir.Value]:
            values = b.fsub(members(codewords, j), b.spread(b.load_at(centre, j), GROUP))
            b.store_vector(values, b.at(target, b.mul(j, _LONG(GROUP))))
            return [b.multiply_add(values, values, total)]

        penalties = members([b.at(penalty, row) for row in rows], _LONG(0))
        (total,) = b.repeat(d, [penalties], pack_number)
        b.store_vector(b.fmul(total, ir.Constant(_CODEWORDS, [-0.5] * GROUP)), b.at(bias, first))

    b.repeat(groups, [], pack_group)
    b.ret_void()
    return function


def emit_search(module: ir.Module, shape: Shape) -> ir.Function:
    """Emit the function that searches tile after tile, as long as `taken` says that another one is left."""
    transpose, find_groups, find_members = (
        emit(module, shape) for emit in (_emit_transposition, _emit_groups, _emit_members)
    )
    function = _function(module, "search", *[_FLOATS] * 4, *[_LONG] * 6, _FLOATS, _LONGS, _LONGS)
    vectors, centre, packed, bias, n, row_stride, stride, d, k, groups, tile, taken, codes = function.args
    b = _Builder(function.append_basic_block())
    best = b.alloca(_INT, _INT(shape.tile))

    def take_tile(_: object = None) -> ir.Value:
        return b.mul(b.atomic_rmw("add", taken, _LONG(1), "monotonic"), _LONG(shape.tile))

    def search_tile(first: ir.Value) -> None:
        count = b.less(b.sub(n, first), _LONG(shape.tile))
        rows = b.at(vectors, b.mul(first, row_stride))
        b.call(transpose, [rows, centre, count, row_stride, stride, d, tile])
        b.call(find_groups, [tile, packed, bias, d, groups, best])
        b.call(find_members, [tile, packed, bias, d, k, count, best, b.at(codes, first)])

    b.loop(take_tile(), take_tile, n, [], search_tile)
    b.ret_void()
    return function


def _emit_transposition(module: ir.Module, shape: Shape) -> ir.Function:
    """Emit the function that writes the centered vectors of a tile, number by number."""
    function = _function(module, "transpose", _FLOATS, _FLOATS, *[_LONG] * 4, _FLOATS)
    rows, centre, count, row_stride, stride, d, tile = function.args
    b = _Builder(function.append_basic_block())

    def transpose_row(lane: ir.Value) -> None:
        # The last vector fills the lanes that are left.
        row = b.at(rows, b.mul(b.less(lane, b.sub(count, _LONG(1))), row_stride))

        def transpose_number(j: ir.Value) -> None:
            value = b.fsub(b.load_at(row, b.mul(j, stride)), b.load_at(centre, j))
            b.store(value, b.at(tile, b.add(b.mul(j, _LONG(shape.tile)), lane)))

        b.repeat(d, [], transpose_number)

    b.repeat(_LONG(shape.tile), [], transpose_row)
    b.ret_void()
    return function


def _emit_groups(module: ir.Module, shape: Shape) -> ir.Function:
    """Emit the function that finds the group of the best score for each lane of a tile. All time is spent here."""
    function = _function(module, "find_groups", *[_FLOATS] * 3, _LONG, _LONG, _INT.as_pointer())
    tile, packed, bias, d, groups, best = function.args
    b = _Builder(function.append_basic_block())
    scores_kind, places_kind = (ir.VectorType(kind, shape.lanes) for kind in (_FLOAT, _INT))
    registers, members = range(shape.registers), [_LONG(place) for place in range(GROUP)]

    def score_group(group: ir.Value, *so_far: ir.Value) -> list[ir.Value]:
        first = b.mul(group, _LONG(GROUP))
        codewords, biases = b.at(packed, b.mul(first, d)), b.at(bias, first)

        def add_products(j: ir.Value, *sums: ir.Value) -> list[ir.Value]:
            lanes, numbers = b.at(tile, b.mul(j, _LONG(shape.tile))), b.at(codewords, b.mul(j, _LONG(GROUP)))
            x = [b.load_vector(scores_kind, b.at(lanes, _LONG(r * shape.lanes))) for r in registers]
            e = [b.spread(b.load_at(numbers, place), shape.lanes) for place in members]
            pairs = [(x[r], value) for value in e for r in registers]
            return [b.multiply_add(*pair, total) for pair, total in zip(pairs, sums, strict=True)]

        starts = [b.spread(b.load_at(biases, place), shape.lanes) for place in members for _ in registers]
        scores = b.repeat(d, starts, add_products)
        here = b.spread(b.trunc(group, _INT), shape.lanes)
        largest, places = [], []
        for r in registers:
            top = _largest(b, scores[r :: shape.registers])
            better = b.fcmp_ordered(">", top, so_far[r])
            largest.append(b.select(better, top, so_far[r]))
            places.append(b.select(better, here, so_far[shape.registers + r]))
        return largest + places

    lowest, zero = ir.Constant(scores_kind, [float("-inf")] * shape.lanes), ir.Constant(places_kind, None)
    found = b.repeat(groups, [lowest for _ in registers] + [zero for _ in registers], score_group)
    for r in registers:
        b.store_vector(found[shape.registers + r], b.at(best, _LONG(r * shape.lanes)))
    b.ret_void()
    return function


def _largest(b: _Builder, values: Sequence[ir.Value]) -> ir.Value:
    if len(values) == 1:
        return values[0]
    one, other = (_largest(b, values[start::2]) for start in range(2))
    return b.select(b.fcmp_ordered(">", one, other), one, other)


def _emit_members(module: ir.Module, shape: Shape) -> ir.Function:
    """Emit the function that scores the best group of each lane again, and writes which codeword of it is the best."""
    function = _function(module, "find_members", *[_FLOATS] * 3, *[_LONG] * 3, _INT.as_pointer(), _LONGS)
    tile, packed, bias, d, k, count, best, codes = function.args
    b = _Builder(function.append_basic_block())

    def find_member(lane: ir.Value) -> None:
        first = b.mul(b.zext(b.load_at(best, lane), _LONG), _LONG(GROUP))
        codewords = b.at(packed, b.mul(first, d))

        def add_products(j: ir.Value, sums: ir.Value) -> list[ir.Value]:
            x = b.spread(b.load_at(tile, b.add(b.mul(j, _LONG(shape.tile)), lane)), GROUP)
            return [b.multiply_add(x, b.load_vector(_CODEWORDS, b.at(codewords, b.mul(j, _LONG(GROUP)))), sums)]

        (scores,) = b.repeat(d, [b.load_vector(_CODEWORDS, b.at(bias, first))], add_products)
        largest, member = b.extract_element(scores, _INT(0)), _LONG(0)
        for place in range(1, GROUP):
            score = b.extract_element(scores, _INT(place))
            better = b.fcmp_ordered(">", score, largest)
            largest, member = b.select(better, score, largest), b.select(better, _LONG(place), member)
        # Codewords that are not finite may leave a lane with a copy of the last codeword.
        b.store(b.less(b.add(first, member), b.sub(k, _LONG(1))), b.at(codes, lane))

    b.repeat(count, [], find_member)
    b.ret_void()
    return function
