"""A run of sixteen float32 numbers as one value inside Numba kernels.

LLVM turns loops over rows into vector instructions by itself, but not the loops that matter here: those that keep
several rows in registers while many others pass by. So a kernel says it: ``load`` sixteen numbers, ``fma`` them into
an accumulator, ``store`` them. On a processor whose registers are narrower, LLVM splits them; the results agree.
"""

from __future__ import annotations

import math
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

#: numbers in one run; rows of training matrices are padded with zeros to a multiple of it
WIDTH = 16
_FLOATS = ir.VectorType(ir.FloatType(), WIDTH)


class Lanes(types.Type):
    """Numba's type of one run."""

    def __init__(self) -> None:
        super().__init__(name="Lanes16")


LANES = Lanes()


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _FLOATS)


def _pointer(context: Any, builder: Any, kind: Any, matrix: Any, row: Any, column: Any) -> Any:
    # Rows are contiguous; `row` and `column` are checked by nobody, as everywhere in a kernel.
    array = context.make_array(kind)(context, builder, matrix)
    stride = builder.extract_value(array.strides, 0)
    offset = builder.add(builder.mul(row, stride), builder.mul(column, ir.Constant(column.type, 4)))
    return cgutils.pointer_add(builder, array.data, offset, ir.PointerType(_FLOATS))


@intrinsic
def load(typing: Any, matrix: Any, row: Any, column: Any) -> Any:
    """Sixteen numbers of ``matrix[row]`` from ``column`` on."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_pointer(context, builder, signature.args[0], *args), align=4)

    return LANES(matrix, types.intp, types.intp), code


@intrinsic
def store(typing: Any, matrix: Any, row: Any, column: Any, run: Any) -> Any:
    """Write sixteen numbers to ``matrix[row]`` from ``column`` on."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[3], _pointer(context, builder, signature.args[0], *args[:3]), align=4)
        return context.get_dummy_value()

    return types.none(matrix, types.intp, types.intp, LANES), code


@intrinsic
def splat(typing: Any, number: Any) -> Any:
    """One number sixteen times."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        one = builder.insert_element(ir.Constant(_FLOATS, ir.Undefined), args[0], ir.Constant(ir.IntType(32), 0))
        places = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
        return builder.shuffle_vector(one, ir.Constant(_FLOATS, ir.Undefined), places)

    return LANES(types.float32), code


@intrinsic
def fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """``a * b + c``, in one step where the processor has one."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(_FLOATS, [_FLOATS] * 3)
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.v{WIDTH}f32"), args)

    return LANES(LANES, LANES, LANES), code


@intrinsic
def prefetch(typing: Any, matrix: Any, row: Any, column: Any) -> Any:
    """Ask for a part of ``matrix[row]`` before it is needed."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        ask = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        place = builder.bitcast(_pointer(context, builder, signature.args[0], *args), byte)
        builder.call(ask, [place, number(1), number(3), number(1)])
        return context.get_dummy_value()

    return types.none(matrix, types.intp, types.intp), code


@intrinsic
def sigmoid(typing: Any, run: Any) -> Any:
    """``1 / (1 + exp(-x))`` within 1e-6, of numbers cut to ±40."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def floats(value: float) -> Any:
            return ir.Constant(_FLOATS, [value] * WIDTH)

        def whole(value: int) -> Any:
            return ir.Constant(numbers, [value] * WIDTH)

        numbers = ir.VectorType(ir.IntType(32), WIDTH)
        # exp(-x) = 2**t, t = nearest whole number + a rest within ±0.5
        t = builder.fmul(args[0], floats(-1 / math.log(2)))
        for limit, beyond in ((60.0, ">"), (-60.0, "<")):
            t = builder.select(builder.fcmp_ordered(beyond, t, floats(limit)), floats(limit), t)
        near = builder.sub(builder.fptosi(builder.fadd(t, floats(64.5)), numbers), whole(64))
        rest = builder.fsub(t, builder.sitofp(near, _FLOATS))
        power = floats(math.log(2) ** 6 / math.factorial(6))
        for degree in range(5, -1, -1):
            power = builder.fadd(builder.fmul(power, rest), floats(math.log(2) ** degree / math.factorial(degree)))
        scale = builder.bitcast(builder.shl(builder.add(near, whole(127)), whole(23)), _FLOATS)
        return builder.fdiv(floats(1.0), builder.fadd(floats(1.0), builder.fmul(power, scale)))

    return LANES(LANES), code


@intrinsic
def add(typing: Any, a: Any, b: Any) -> Any:
    """``a + b``."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fadd(*args)

    return LANES(LANES, LANES), code


@intrinsic
def multiply(typing: Any, a: Any, b: Any) -> Any:
    """``a * b``."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fmul(*args)

    return LANES(LANES, LANES), code


@intrinsic
def fold(typing: Any, a: Any, b: Any, step: Any) -> Any:
    """Half of the way to two sums: in each group of ``2 * step`` lanes, the lanes of ``a`` and ``b`` that are ``step``
    apart are added; those of ``a`` land in the first half of the group, those of ``b`` in the second."""
    width = step.literal_value if isinstance(step, types.IntegerLiteral) else None
    if width is None:
        return None

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        low, high = [], []
        for group in range(0, WIDTH, 2 * width):
            low += list(range(group, group + width)) + list(range(WIDTH + group, WIDTH + group + width))
            high += list(range(group + width, group + 2 * width))
            high += list(range(WIDTH + group + width, WIDTH + group + 2 * width))
        kind = ir.VectorType(ir.IntType(32), WIDTH)
        left = builder.shuffle_vector(args[0], args[1], ir.Constant(kind, low))
        right = builder.shuffle_vector(args[0], args[1], ir.Constant(kind, high))
        return builder.fadd(left, right)

    return LANES(LANES, LANES, step), code
