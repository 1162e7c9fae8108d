"""Scalar operations of kernels: conversion between float32 and bfloat16, viewed as uint16; and exp."""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from cllm.jit.compiled import Number, inlined

ZERO, HALF, ONE = np.float32(0), np.float32(0.5), np.float32(1)
# exp(x) = 2^n exp(r), with n ln 2 + r = x, ln 2 in two parts and exp(r) a polynomial: Cephes' expf (Moshier 1992).
MIN_EXPONENT, MAX_EXPONENT = np.float32(-87), np.float32(88)
LOG2_E, LN_2, LN_2_REST = np.float32(1.4426950408889634), np.float32(0.693359375), np.float32(-2.12194440e-4)
P0, P1, P2 = np.float32(1.9875691500e-4), np.float32(1.3981999507e-3), np.float32(8.3334519073e-3)
P3, P4, P5 = np.float32(4.1665795894e-2), np.float32(1.6666665459e-1), np.float32(5.0000001201e-1)
WORD, INTEGER, FLOAT = ir.IntType(16), ir.IntType(32), ir.FloatType()


@intrinsic
def _to_float(_: Any, number: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if number == types.float32:
            return arguments[0]
        bits = builder.shl(builder.zext(arguments[0], INTEGER), ir.Constant(INTEGER, 16))
        return builder.bitcast(bits, FLOAT)

    return types.float32(number), generate


@intrinsic
def _from_float(_: Any, number: Any, like: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if like == types.float32:
            return arguments[0]
        bits = builder.bitcast(arguments[0], INTEGER)
        odd = builder.and_(builder.lshr(bits, ir.Constant(INTEGER, 16)), ir.Constant(INTEGER, 1))
        rounded = builder.add(bits, builder.add(odd, ir.Constant(INTEGER, 0x7FFF)))
        return builder.trunc(builder.lshr(rounded, ir.Constant(INTEGER, 16)), WORD)

    return like(types.float32, like), generate


@intrinsic
def _power_of_two(_: Any, exponent: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        whole = builder.fptosi(arguments[0], INTEGER)
        bits = builder.shl(builder.add(whole, ir.Constant(INTEGER, 127)), ir.Constant(INTEGER, 23))
        return builder.bitcast(bits, FLOAT)

    return types.float32(types.float32), generate


# An array's element (float32, or bfloat16 viewed as uint16) as float32.
to_float = cast(Callable[[Number], Number], _to_float)
# A float32 in the dtype of a second argument, rounded to nearest, ties to even.
from_float = cast(Callable[[Number, Number], Number], _from_float)
# 2^n of an integer n from -126 to 127, float32 each.
power_of_two = cast(Callable[[Number], Number], _power_of_two)


@inlined
def exp(x: Number) -> Number:
    """e^x with a relative error of at most 3e-7; x is clamped to -87 to 88."""
    x = min(max(x, MIN_EXPONENT), MAX_EXPONENT)
    whole = np.floor(x * LOG2_E + HALF)
    rest = x - whole * LN_2 - whole * LN_2_REST
    power = ((((P0 * rest + P1) * rest + P2) * rest + P3) * rest + P4) * rest + P5
    return (power * rest * rest + rest + ONE) * power_of_two(whole)
