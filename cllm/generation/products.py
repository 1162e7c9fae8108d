"""A matrix times a few vectors, in whole numbers: weights of 8 bits, each row by its own scale, and vectors of 16.

What a token costs is the fetching of the matrices, and a short row is soon summed and slowly added up: so 64 rows lie
beside each other, two columns at a time, one row in each place of the processor's vectors, whose sums need not be
added up at all. 17,000 rows of 256 take 0.04 ms, and 0.07 with four vectors; as bfloat16, row by row, as LLVM writes
it, 0.13 and 0.34 (Zen 5, one core, 2026-11-27). Of three repositories' held-out files the network says what it says in
bfloat16, to within 0.0001 bits a byte.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import numba
import numba.core.config
import numpy as np
from llvmlite import binding, ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from cllm.compiled import Array, Number, compiled, inlined
from cllm.vectors import BYTE, FLOAT, INTEGER, SIZE, WORD, Writing

# What Numba compiles for: this processor, unless its environment variables say another.
NAMED: Any = numba.core.config
FEATURES: dict[str, bool] = binding.get_host_cpu_features() if NAMED.CPU_NAME is None else {}
FEATURES |= {feature[1:]: feature[0] == "+" for feature in (NAMED.CPU_FEATURES or "").split(",") if feature}
LANES = 16 if FEATURES.get("avx512bw") else 8  # sums of 32 bits in one register
# An instruction that multiplies two pairs and adds them, where there is one; else LLVM writes it out.
PAIRS = "llvm.x86.avx512.pmaddw.d.512" if LANES == 16 else "llvm.x86.avx2.pmadd.wd" if FEATURES.get("avx2") else ""
SIDE_BY_SIDE = 4  # registers of sums for a vector: one would wait for its last sum
ROWS = SIDE_BY_SIDE * LANES
AT_ONCE = 4  # vectors: 16 sums, of 32 registers
MOST_WEIGHT, MOST_SUM, MOST_NUMBER = 127, 2**31 - 1, 2**15 - 1


class Matrix(NamedTuple):
    """A matrix (N, D): N is made a multiple of `ROWS` by rows of zeros, D even by a column of them."""

    weights: Array  # (N / ROWS, D / 2, ROWS, 2) int8
    scales: Array  # (N,) float32, by which a row is to be multiplied


def packed(matrix: Array) -> Matrix:
    """A matrix (N, D) of float32s, or several of one shape (..., N, D), rounded; `weights` and `scales` likewise."""
    *several, height, width = matrix.shape
    added = [(0, 0)] * len(several) + [(0, -height % ROWS), (0, width % 2)]
    whole = np.pad(matrix, added)
    scales = (np.abs(whole).max(-1) / MOST_WEIGHT).astype(np.float32)
    assert np.isfinite(scales).all(), "a weight is no number"
    rounded = np.rint(whole / np.where(scales > 0, scales, 1)[..., None]).astype(np.int8)
    tiles = rounded.reshape(*several, -1, ROWS, whole.shape[-1] // 2, 2).swapaxes(-2, -3)
    return Matrix(np.ascontiguousarray(tiles), scales)


def unpacked(matrix: Matrix) -> Array:
    """The matrices (..., N, D) that are multiplied by, with the zeros that were added."""
    rows = matrix.weights.swapaxes(-2, -3)
    return rows.reshape(*matrix.scales.shape, -1).astype(np.float32) * matrix.scales[..., None]


@compiled
def multiply(weights: Array, scales: Array, vectors: Array, numbers: Array, sizes: Array, products: Array) -> None:
    """Products (T, N) of a matrix with vectors (T, at least D) of float32s.

    `numbers` (T, at least D, even) int16 and `sizes` (T,) float32 are room for the vectors in whole numbers.
    """
    width, count = 2 * weights.shape[1], len(vectors)
    for vector in range(count):
        _round(vectors[vector, :width], numbers[vector, :width], sizes[vector : vector + 1])
    for tile in range(len(weights)):
        first = 0
        while count - first >= AT_ONCE:
            _multiply(weights, scales, tile, numbers, sizes, first, 4, products)
            first += AT_ONCE
        if count - first == 3:
            _multiply(weights, scales, tile, numbers, sizes, first, 3, products)
        elif count - first == 2:
            _multiply(weights, scales, tile, numbers, sizes, first, 2, products)
        elif count - first == 1:
            _multiply(weights, scales, tile, numbers, sizes, first, 1, products)


@inlined
def _round(vector: Array, numbers: Array, size: Array) -> None:
    """Round a vector to whole numbers, as large as they can be without a sum of products of more than 32 bits.

    That is 16 bits up to 516 columns, 13 up to 4,128.
    """
    most = np.float32(0)
    for place in range(len(vector)):
        most = max(most, abs(vector[place]))
    largest = np.float32(min(MOST_NUMBER, MOST_SUM // (MOST_WEIGHT * len(numbers))))
    inverse = largest / most if most > 0 else np.float32(0)
    for place in range(len(vector)):
        numbers[place] = np.int16(np.rint(vector[place] * inverse))
    size[0] = most / largest


@intrinsic(prefer_literal=True)
def _tile(
    _: Any, weights: Any, scales: Any, tile: Any, numbers: Any, sizes: Any, first: Any, count: Any, products: Any
) -> Any:
    kinds = {0: types.int8, 1: types.float32, 3: types.int16, 4: types.float32, 7: types.float32}
    given = (weights, scales, tile, numbers, sizes, first, count, products)
    assert all(given[place].dtype == kind for place, kind in kinds.items())

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        write = Writing(context, builder, signature, arguments)
        vectors = [builder.add(arguments[5], SIZE(number)) for number in range(count.literal_value)]
        nothing = ir.Constant(ir.VectorType(INTEGER, LANES), [0] * LANES)
        sums = [[write.variable(nothing) for _ in range(SIDE_BY_SIDE)] for _ in vectors]
        rows, starts = write.address(0, arguments[2]), [write.address(3, vector) for vector in vectors]
        with write.each(write.length(0, 1)) as column:
            pairs = [write.everywhere(write.load(start, column.index, INTEGER), LANES) for start in starts]
            for side in range(SIDE_BY_SIDE):
                place = builder.add(builder.mul(column.index, SIZE(2 * ROWS)), SIZE(2 * LANES * side))
                wide = builder.sext(write.load(rows, place, BYTE, 2 * LANES), ir.VectorType(WORD, 2 * LANES))
                for sum_, pair in zip(sums, pairs, strict=True):
                    product = _pairs(builder, wide, builder.bitcast(pair, wide.type))
                    builder.store(builder.add(builder.load(sum_[side]), product), sum_[side])
        for vector, sum_ in zip(vectors, sums, strict=True):
            size = write.everywhere(write.load(write.address(4, vector), SIZE(0), FLOAT), LANES)
            for side in range(SIDE_BY_SIDE):
                place = builder.add(builder.mul(arguments[2], SIZE(ROWS)), SIZE(LANES * side))
                scale = builder.fmul(write.load(write.address(1, SIZE(0)), place, FLOAT, LANES), size)
                whole = builder.sitofp(builder.load(sum_[side]), scale.type)
                write.store(builder.fmul(whole, scale), write.address(7, vector), place)
        return context.get_dummy_value()

    place = types.int64
    return types.void(weights, scales, place, numbers, sizes, place, count, products), generate


def _pairs(builder: Any, one: Any, other: Any) -> Any:
    """Of each two pairs (LANES, 2) of 16 bits the sum of their products, in 32."""
    sums = ir.VectorType(INTEGER, LANES)
    if PAIRS:
        kind = ir.FunctionType(sums, [one.type, other.type])
        function = cgutils.get_or_insert_function(builder.module, kind, PAIRS)  # type: ignore[no-untyped-call]
        return builder.call(function, [one, other])
    products = []
    for begin in (0, 1):
        places = ir.Constant(sums, list(range(begin, 2 * LANES, 2)))
        halves = [builder.sext(builder.shuffle_vector(each, each, places), sums) for each in (one, other)]
        products.append(builder.mul(*halves))
    return builder.add(*products)


# The products of one tile, `ROWS` rows, with `count` vectors (a number that is known when this is compiled) from the
# `first` on.
_multiply = cast(Callable[[Array, Array, Number, Array, Array, Number, int, Array], None], _tile)
