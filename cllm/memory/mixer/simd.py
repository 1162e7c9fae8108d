"""Vectorised update of a row of weights: weights += step * inputs.

Numba cannot prove that two arrays do not overlap, and checks at run time before each vectorised loop; this intrinsic
does not check. Random rows are updated in half the time, and a memory trains 7% faster (2026-11-25).
"""

from collections.abc import Callable
from typing import Any, cast

from numba.core import types
from numba.extending import intrinsic

from cllm.jit.compiled import Array, Number
from cllm.jit.vectors import FLOAT, INT64, LlvmBuilder

LANES = 8  # 32-bit floats: one AVX register; LLVM splits the vectors for processors with smaller ones


@intrinsic(prefer_literal=True)
def _train_weights(_: Any, weights: Any, row: Any, first: Any, inputs: Any, number: Any, count: Any, step: Any) -> Any:
    length = count.literal_value
    assert length % LANES == 0
    assert all(array.dtype == types.float32 and array.layout == "C" for array in (weights, inputs))

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, row_, first_, _, number_, _, step_ = arguments
        llvm = LlvmBuilder(context, builder, signature, arguments)
        steps = llvm.splat(step_, LANES)
        weight, input_ = llvm.element_address(llvm.row_address(0, row_), first_, FLOAT), llvm.row_address(3, number_)
        for begin in map(INT64, range(0, length, LANES)):
            change = builder.fmul(llvm.load(input_, begin, FLOAT, LANES), steps, flags=("fast",))
            changed = builder.fadd(llvm.load(weight, begin, FLOAT, LANES), change, flags=("fast",))
            llvm.store(changed, weight, begin)
        return context.get_dummy_value()

    place = types.int64
    return types.void(weights, place, place, inputs, place, count, types.float32), generate


# Add `step` times row `number` of inputs to `count` weights of a row, from `first` on; `count` is a multiple of eight
# and a compile-time constant. With bounds checks on, `mixing.dot_product` has checked the same indices.
train_weights = cast(Callable[[Array, Number, Number, Array, Number, int, Number], None], _train_weights)
