"""Logistic mixing: probabilities are stretched to ln(p / (1 - p)), weighted, summed, and squashed back.

Both functions are tables, for speed. Squash is accurate to 0.3%; stretch is coarse, in steps of 1/4096 of the
probability, so that its values lie between -9.02 and 9.02. The theory is in Mahoney 2005, "Adaptive weighing of
context models for lossless data compression", and Mattern 2016, "On Statistical Data Compression": a step of online
gradient descent on the cost of each bit.
"""

import numpy as np

from cllm.jit.compiled import Array, Number, inlined

LINEAR_INPUT_SCALE = np.float32(4)  # factor of the second input, p - 1/2
LIMIT = np.float32(11.99)  # of the argument of squash
TABLE_SIZE = 4096
SQUASH_SCALE = np.float32(TABLE_SIZE / 24)
_CENTRES = (np.arange(TABLE_SIZE) + 0.5) / TABLE_SIZE
STRETCHED = np.log(_CENTRES / (1 - _CENTRES)).astype(np.float32)
SQUASHED = (1 / (1 + np.exp(-(np.arange(TABLE_SIZE) + 0.5 - TABLE_SIZE / 2) / float(SQUASH_SCALE)))).astype(np.float32)
# Bins of an adaptive probability map: stretched probabilities -8, -7.5, ..., 8.
APM_BINS = 33
APM_INIT = (1 / (1 + np.exp(-(np.arange(APM_BINS) - 16) / 2))).astype(np.float32)


@inlined
def clamp(value: Number, limit: Number) -> Number:
    return min(max(value, -limit), limit)


@inlined
def stretch(probability: Number) -> Number:
    """ln(p / (1 - p)), of a probability in [0, 1]."""
    return STRETCHED[min(int(probability * np.float32(TABLE_SIZE)), TABLE_SIZE - 1)]


@inlined
def squash(value: Number) -> Number:
    """1 / (1 + exp(-value))."""
    return SQUASHED[int((clamp(value, LIMIT) + np.float32(12)) * SQUASH_SCALE)]


@inlined
def dot_product(weights: Array, row: Number, first: Number, inputs: Array, number: Number, count: Number) -> Number:
    """Dot product of `count` values: row `row` of weights (R, W) from `first` on, and row `number` of inputs (N, I)."""
    total = np.float32(0)
    for place in range(count):
        total += weights[row, first + place] * inputs[number, place]
    return total
