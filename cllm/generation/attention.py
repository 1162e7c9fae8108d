"""What one query finds in a cache, as a kernel: keys and values may be float32, or bfloat16 seen as uint16."""

import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from cllm.compiled import Array, Number, inlined
from cllm.model.scalars import ZERO, exp, wide
from cllm.vectors import FLOAT, INTEGER, SIZE, WORD, Writing

LANES = 16  # channels that are summed in one register
SIDE_BY_SIDE = 4  # tokens: a sum waits for itself


@inlined
def attend(query: Array, keys: Array, values: Array, scores: Array, attended: Array) -> None:
    """Softmax of the query's products with the keys (N, C), and the sum of the values (N, C) weighed by it."""
    scale = np.float32(1 / math.sqrt(len(query)))
    most = np.float32(-3e38)
    for key in range(len(keys)):
        score = ZERO
        for channel in range(len(query)):
            score += query[channel] * wide(keys[key, channel])
        scores[key] = score * scale
        most = max(most, scores[key])
    total = ZERO
    for key in range(len(keys)):
        scores[key] = exp(scores[key] - most)
        total += scores[key]
    in_vectors = len(query) - len(query) % LANES
    for channel in range(0, in_vectors, LANES):
        _add_up(values, scores, channel, attended)
    for channel in range(in_vectors, len(query)):
        attended[channel] = 0
        for key in range(len(keys)):
            attended[channel] += scores[key] * wide(values[key, channel])
    for channel in range(len(query)):
        attended[channel] /= total


@intrinsic
def _sum(_: Any, values: Any, weights: Any, channel: Any, sums: Any) -> Any:
    is_wide = values.dtype == types.float32
    assert weights.dtype == sums.dtype == types.float32 and (is_wide or values.dtype == types.uint16)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        write = Writing(context, builder, signature, arguments)
        several = ir.VectorType(FLOAT, LANES)
        sums = [write.variable(ir.Constant(several, [0.0] * LANES)) for _ in range(SIDE_BY_SIDE)]

        def add(token: Any, sum_: Any) -> None:
            weight = write.everywhere(write.load(write.address(1, SIZE(0)), token, FLOAT), LANES)
            value = write.load(write.address(0, token), arguments[2], FLOAT if is_wide else WORD, LANES)
            if not is_wide:
                bits = builder.zext(value, ir.VectorType(INTEGER, LANES))
                value = builder.bitcast(builder.shl(bits, write.everywhere(INTEGER(16), LANES)), several)
            weighed = builder.fmul(weight, value, flags=("fast",))
            builder.store(builder.fadd(builder.load(sum_), weighed, flags=("fast",)), sum_)

        count = write.length(0, 0)
        rounds = builder.udiv(count, SIZE(SIDE_BY_SIDE))
        with write.each(rounds) as several_tokens:
            first = builder.mul(several_tokens.index, SIZE(SIDE_BY_SIDE))
            for side, sum_ in enumerate(sums):
                add(builder.add(first, SIZE(side)), sum_)
        with write.each(count, builder.mul(rounds, SIZE(SIDE_BY_SIDE))) as token:
            add(token.index, sums[0])
        one, two, three, four = (builder.load(sum_) for sum_ in sums)
        whole = builder.fadd(builder.fadd(one, two), builder.fadd(three, four))
        write.store(whole, write.address(3, SIZE(0)), arguments[2])
        return context.get_dummy_value()

    return types.void(values, weights, types.int64, sums), generate


# The sums of `LANES` channels, from one on, of values (N, C), each token's weighed by its weight.
_add_up = cast(Callable[[Array, Array, Number, Array], None], _sum)
