"""Compiles functions on integers, written in a small part of Python, so that they run as fast as C.

The functions of `kernels` are ordinary Python: they can be read, tested and run as they stand. Here, LLVM compiles the
same text for the processor. All numbers in it are integers of 64 bits, so that a compiled function and the Python
function compute the same numbers on every machine. Where LLVM cannot compile, Python runs the functions, slowly.

What a function may consist of: assignments, `for … in range(…)`, `while`, `if`, conditional expressions, calls of other
kernels, `return` as the last statement, and elements of arrays. A parameter without annotation is an integer; the
annotations below are arrays. Quotients are those of non-negative numbers.
"""

import ast
import ctypes
import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any

import numpy as np
from llvmlite import binding, ir

Kernel = Callable[..., Any]

ARRAYS = {"Bytes": (8, False), "Chars": (8, True), "Shorts": (16, True), "Ints": (32, True), "Longs": (64, True)}
"""Bits of the elements of each type of array, and whether they have a sign."""

_TYPES = {"Bytes": np.uint8, "Chars": np.int8, "Shorts": np.int16, "Ints": np.int32, "Longs": np.int64}
_LONG = ir.IntType(64)
_ARITHMETIC: dict[type[ast.AST], str] = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.FloorDiv: "sdiv",
    ast.BitAnd: "and_",
    ast.BitOr: "or_",
    ast.BitXor: "xor",
    ast.LShift: "shl",
    ast.RShift: "ashr",
}
_COMPARISONS: dict[type[ast.AST], str] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}


@cache
def compiled(*functions: Kernel) -> Mapping[str, Kernel]:
    """Compile functions that call each other, and return them by name; they take arrays as NumPy's, and integers.

    If this machine cannot compile, the functions run as Python.
    """
    try:
        return _Compiled(functions).callables
    except (RuntimeError, OSError):  # LLVM does not know this processor, or may not run what it has compiled
        return {function.__name__: interpreted(function) for function in functions}


def interpreted(function: Kernel) -> Kernel:
    """Return a function that runs a kernel as Python, with arrays as NumPy's."""
    kinds = _kinds(_syntax(function))

    def run(*arguments: Any) -> int:
        return function(*[_checked(value, kind, memoryview) for value, kind in zip(arguments, kinds, strict=True)]) or 0

    return run


class _Compiled:
    """Functions as machine code."""

    def __init__(self, functions: Sequence[Kernel]) -> None:
        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
        target = binding.Target.from_default_triple()
        features = binding.get_host_cpu_features().flatten()
        machine = target.create_target_machine(cpu=binding.get_host_cpu_name(), features=features, opt=3, jit=True)
        module = ir.Module()
        module.triple = machine.triple
        known: dict[str, ir.Function] = {}
        syntax = [_syntax(function) for function in functions]
        for own in syntax:
            known[own.name] = _Emitter(module, own, known).function
        parsed = binding.parse_assembly(str(module))
        if hasattr(binding, "create_pass_builder"):
            options = binding.create_pipeline_tuning_options(speed_level=3)
            builder = binding.create_pass_builder(machine, options)
            builder.getModulePassManager().run(parsed, builder)
        self.engine = binding.create_mcjit_compiler(parsed, machine)  # owns the code
        self.engine.finalize_object()
        self.callables = {own.name: self._callable(own) for own in syntax}

    def _callable(self, syntax: ast.FunctionDef) -> Kernel:
        kinds = _kinds(syntax)
        types = [ctypes.c_int64 if kind is None else ctypes.c_void_p for kind in kinds]
        # Called this way, the code runs without the lock of the interpreter.
        function = ctypes.CFUNCTYPE(ctypes.c_int64, *types)(self.engine.get_function_address(syntax.name))

        def run(*arguments: Any) -> int:
            return function(*[_checked(value, kind, _address) for value, kind in zip(arguments, kinds, strict=True)])

        run.engine = self.engine  # type: ignore[attr-defined] # the code lives as long as what calls it
        return run


def _address(array: np.ndarray) -> int:
    return array.ctypes.data


def _checked(value: Any, kind: str | None, convert: Callable[[Any], Any]) -> Any:
    if kind is None:
        return int(value)
    if value.dtype != _TYPES[kind] or not value.flags.c_contiguous:
        raise TypeError(f"expected a contiguous array of {np.dtype(_TYPES[kind])}, got {value.dtype}")
    return convert(value.reshape(-1))


def _syntax(function: Kernel) -> ast.FunctionDef:
    (syntax,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(syntax, ast.FunctionDef)
    return syntax


def _kinds(syntax: ast.FunctionDef) -> list[str | None]:
    """Return the type of array of each parameter; None for an integer."""
    names = [argument.annotation.id if isinstance(argument.annotation, ast.Name) else "" for argument in _of(syntax)]
    return [name if name in ARRAYS else None for name in names]


def _of(syntax: ast.FunctionDef) -> list[ast.arg]:
    return syntax.args.args


class _Emitter:
    """Emits one function in the intermediate language of LLVM."""

    def __init__(self, module: ir.Module, syntax: ast.FunctionDef, known: Mapping[str, ir.Function]) -> None:
        self.known = known
        self.kinds = dict(zip((argument.arg for argument in _of(syntax)), _kinds(syntax), strict=True))
        types = [_LONG if kind is None else ir.IntType(ARRAYS[kind][0]).as_pointer() for kind in self.kinds.values()]
        self.function = ir.Function(module, ir.FunctionType(_LONG, types), syntax.name)
        self.builder = ir.IRBuilder(self.function.append_basic_block())
        self.places: dict[str, ir.Value] = {}
        self.arrays: dict[str, ir.Value] = {}
        names = {node.id for node in ast.walk(syntax) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        for name in sorted(names | {name for name, kind in self.kinds.items() if kind is None}):
            self.places[name] = self.builder.alloca(_LONG)
        for (name, kind), value in zip(self.kinds.items(), self.function.args, strict=True):
            if kind is None:
                self.builder.store(value, self.places[name])
            else:
                value.add_attribute("noalias")  # no two arrays of a call overlap
                self.arrays[name] = value
        self._block(syntax.body)
        if not self.builder.block.is_terminated:
            self.builder.ret(_LONG(0))

    def _block(self, statements: Sequence[ast.stmt]) -> None:
        for statement in statements:
            match statement:
                case ast.Assign(targets=[target], value=value):
                    self._store(target, self._value(value))
                case ast.AugAssign(target=target, op=op, value=value):
                    read = ast.parse(ast.unparse(target), mode="eval").body
                    self._store(target, self._binary(op, self._value(read), self._value(value)))
                case ast.For(target=ast.Name(id=name), iter=ast.Call(args=arguments)):
                    self._for(name, [self._value(argument) for argument in arguments], statement.body)
                case ast.While(test=test, body=body):
                    self._while(partial(self._condition, test), body)
                case ast.If(test=test, body=body, orelse=orelse):
                    self._if(test, body, orelse)
                case ast.Return(value=value):
                    self.builder.ret(_LONG(0) if value is None else self._value(value))
                case ast.Expr(value=ast.Constant()):
                    pass  # the docstring
                case ast.Expr(value=value):
                    self._value(value)
                case _:
                    raise SyntaxError(f"a kernel cannot contain {ast.unparse(statement)}")

    def _store(self, target: ast.expr, value: ir.Value) -> None:
        if isinstance(target, ast.Name):
            self.builder.store(value, self.places[target.id])
            return
        pointer, (bits, _) = self._element(target)
        self.builder.store(value if bits == 64 else self.builder.trunc(value, ir.IntType(bits)), pointer)

    def _element(self, expression: ast.expr) -> tuple[ir.Value, tuple[int, bool]]:
        assert isinstance(expression, ast.Subscript)
        assert isinstance(expression.value, ast.Name)
        kind = self.kinds[expression.value.id]
        assert kind is not None
        return self.builder.gep(self.arrays[expression.value.id], [self._value(expression.slice)]), ARRAYS[kind]

    def _for(self, name: str, bounds: Sequence[ir.Value], body: Sequence[ast.stmt]) -> None:
        first, stop = bounds if len(bounds) == 2 else (_LONG(0), bounds[0])
        counter = self.builder.alloca(_LONG)
        self.builder.store(first, counter)

        def goes_on() -> ir.Value:
            value = self.builder.load(counter)
            self.builder.store(value, self.places[name])
            self.builder.store(self.builder.add(value, _LONG(1)), counter)
            return self.builder.icmp_signed("<", value, stop)

        self._while(goes_on, body)

    def _while(self, goes_on: Callable[[], ir.Value], body: Sequence[ast.stmt]) -> None:
        head, inside, after = (self.function.append_basic_block() for _ in range(3))
        self.builder.branch(head)
        self.builder.position_at_end(head)
        self.builder.cbranch(goes_on(), inside, after)
        self.builder.position_at_end(inside)
        self._block(body)
        self.builder.branch(head)
        self.builder.position_at_end(after)

    def _if(self, test: ast.expr, body: Sequence[ast.stmt], orelse: Sequence[ast.stmt]) -> None:
        then, other, after = (self.function.append_basic_block() for _ in range(3))
        self.builder.cbranch(self._condition(test), then, other)
        for block, statements in ((then, body), (other, orelse)):
            self.builder.position_at_end(block)
            self._block(statements)
            self.builder.branch(after)
        self.builder.position_at_end(after)

    def _condition(self, expression: ast.expr) -> ir.Value:
        match expression:
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                return self.builder.icmp_signed(_COMPARISONS[type(op)], self._value(left), self._value(right))
            case ast.BoolOp(op=op, values=values):
                first, *others = map(self._condition, values)
                for other in others:
                    first = (
                        self.builder.and_(first, other) if isinstance(op, ast.And) else self.builder.or_(first, other)
                    )
                return first
        return self.builder.icmp_signed("!=", self._value(expression), _LONG(0))

    def _value(self, expression: ast.expr) -> ir.Value:
        match expression:
            case ast.Constant(value=int(value)):
                return _LONG(int(value))
            case ast.Name(id=name):
                return self.builder.load(self.places[name])
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self.builder.neg(self._value(operand))
            case ast.BinOp(left=left, op=op, right=right):
                return self._binary(op, self._value(left), self._value(right))
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self.builder.select(self._condition(test), self._value(body), self._value(orelse))
            case ast.Subscript():
                pointer, (bits, signed) = self._element(expression)
                value = self.builder.load(pointer)
                if bits == 64:
                    return value
                return self.builder.sext(value, _LONG) if signed else self.builder.zext(value, _LONG)
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return self.builder.call(self.known[name], [self._argument(argument) for argument in arguments])
        raise SyntaxError(f"a kernel cannot contain {ast.unparse(expression)}")

    def _argument(self, expression: ast.expr) -> ir.Value:
        if isinstance(expression, ast.Name) and expression.id in self.arrays:
            return self.arrays[expression.id]
        return self._value(expression)

    def _binary(self, op: ast.operator, left: ir.Value, right: ir.Value) -> ir.Value:
        return getattr(self.builder, _ARITHMETIC[type(op)])(left, right)
