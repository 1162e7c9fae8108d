"""Attention kernel for one query over a cache; keys and values are float32, or bfloat16 viewed as uint16."""

import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from cllm.jit.compiled import Array, Number, inlined
from cllm.jit.vectors import FLOAT, INT16, INT32, INT64, LlvmBuilder
from cllm.model.scalars import ZERO, exp, to_float

LANES = 16  # channels per vector register
NUM_ACCUMULATORS = 4  # tokens summed in independent registers, which hides the latency of the addition


@inlined
def attend(query: Array, keys: Array, values: Array, scores: Array, attended: Array) -> None:
    """Scaled dot-product attention of one query (C,) over keys and values (N, C); C channels, N tokens.

    `scores` (at least N,) receives the unnormalised softmax weights, `attended` (C,) the weighted sum of the values.
    """
    scale = np.float32(1 / math.sqrt(len(query)))
    max_score = np.float32(-3e38)
    for key in range(len(keys)):
        score = ZERO
        for channel in range(len(query)):
            score += query[channel] * to_float(keys[key, channel])
        scores[key] = score * scale
        max_score = max(max_score, scores[key])
    total = ZERO
    for key in range(len(keys)):
        scores[key] = exp(scores[key] - max_score)
        total += scores[key]
    vectorized_end = len(query) - len(query) % LANES
    for channel in range(0, vectorized_end, LANES):
        _weighted_sum(values, scores, channel, attended)
    for channel in range(vectorized_end, len(query)):
        attended[channel] = 0
        for key in range(len(keys)):
            attended[channel] += scores[key] * to_float(values[key, channel])
    for channel in range(len(query)):
        attended[channel] /= total


@intrinsic
def _weighted_sum_intrinsic(_: Any, values: Any, weights: Any, channel: Any, sums: Any) -> Any:
    is_float32 = values.dtype == types.float32
    assert weights.dtype == sums.dtype == types.float32 and (is_float32 or values.dtype == types.uint16)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        llvm = LlvmBuilder(context, builder, signature, arguments)
        vector_type = ir.VectorType(FLOAT, LANES)
        sums = [llvm.alloca(ir.Constant(vector_type, [0.0] * LANES)) for _ in range(NUM_ACCUMULATORS)]

        def add(token: Any, sum_: Any) -> None:
            weight = llvm.splat(llvm.load(llvm.row_address(1, INT64(0)), token, FLOAT), LANES)
            value = llvm.load(llvm.row_address(0, token), arguments[2], FLOAT if is_float32 else INT16, LANES)
            if not is_float32:
                bits = builder.zext(value, ir.VectorType(INT32, LANES))
                value = builder.bitcast(builder.shl(bits, llvm.splat(INT32(16), LANES)), vector_type)
            weighed = builder.fmul(weight, value, flags=("fast",))
            builder.store(builder.fadd(builder.load(sum_), weighed, flags=("fast",)), sum_)

        count = llvm.length(0, 0)
        num_blocks = builder.udiv(count, INT64(NUM_ACCUMULATORS))
        with llvm.loop(num_blocks) as block:
            first = builder.mul(block.index, INT64(NUM_ACCUMULATORS))
            for side, sum_ in enumerate(sums):
                add(builder.add(first, INT64(side)), sum_)
        with llvm.loop(count, builder.mul(num_blocks, INT64(NUM_ACCUMULATORS))) as token:
            add(token.index, sums[0])
        one, two, three, four = (builder.load(sum_) for sum_ in sums)
        total_vector = builder.fadd(builder.fadd(one, two), builder.fadd(three, four))
        llvm.store(total_vector, llvm.row_address(3, INT64(0)), arguments[2])
        return context.get_dummy_value()

    return types.void(values, weights, types.int64, sums), generate


# Weighted sum of values (N, C) over tokens, for the `LANES` channels that start at a given channel.
_weighted_sum = cast(Callable[[Array, Array, Number, Array], None], _weighted_sum_intrinsic)
