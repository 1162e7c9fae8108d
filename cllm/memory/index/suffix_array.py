"""Suffix array of the reversed text: positions sorted by the bytes before them, to look up contexts of any length.

Positions after the same context are adjacent. The array (Manber and Myers 1990, "Suffix arrays: a new method for
on-line string searches") is built by divsufsort (Mori); the longest context that occurs is found by binary search, as
in Liu et al. 2024, "Infini-gram" (arXiv:2401.17377).
"""

from typing import NamedTuple

import numpy as np
import pydivsufsort

from cllm.jit.compiled import Array, Number, compiled


class SuffixRange(NamedTuple):
    """A suffix of a context, of `length` bytes, that precedes the positions `suffix_array[low:high]` of the text."""

    length: int
    low: int
    high: int


def build_suffix_array(text: Array) -> Array:
    """Positions 1 to N of a text (N,) uint8, sorted by the bytes before them, last byte first; (N,) int32."""
    if not len(text):
        return np.zeros(0, np.int32)
    backwards = text[::-1].copy()  # pydivsufsort takes no views
    suffix_array: Array = len(text) - pydivsufsort.divsufsort(backwards)
    suffix_array.flags.writeable = False  # as a mapped file is: Numba would compile for both types
    return suffix_array


def longest_suffix_range(text: Array, suffix_array: Array, context: Array) -> SuffixRange:
    """The longest suffix of `context` (C,) that occurs in the text (N,), uint8 each; all positions if none does."""
    return SuffixRange(*_longest_suffix_range(text, suffix_array, context))


def suffix_range(text: Array, suffix_array: Array, context: Array, length: int) -> SuffixRange:
    """The range of positions after the last `length` bytes of `context` (C,) in the text (N,); may be empty."""
    return SuffixRange(length, *_equal_range(text, suffix_array, context, length))


@compiled
def _longest_suffix_range(text: Array, suffix_array: Array, context: Array) -> tuple[Number, Number, Number]:
    low = _lower_bound(text, suffix_array, context, len(context))
    length = 0
    if low < len(suffix_array):
        length = _common_suffix_length(text, suffix_array[low], context)
    if low > 0:
        length = max(length, _common_suffix_length(text, suffix_array[low - 1], context))
    first, last = _equal_range(text, suffix_array, context, length)
    return length, first, last


@compiled
def _lower_bound(text: Array, suffix_array: Array, context: Array, length: Number) -> Number:
    """Index of the first suffix that does not sort before the last `length` bytes of the context."""
    low, high = 0, len(suffix_array)
    while low < high:
        middle = (low + high) >> 1
        if _sorts_before(text, suffix_array[middle], context, length):
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def _equal_range(text: Array, suffix_array: Array, context: Array, length: Number) -> tuple[Number, Number]:
    first = _lower_bound(text, suffix_array, context, length)
    low, high = first, len(suffix_array)
    while low < high:
        middle = (low + high) >> 1
        if _ends_with(text, suffix_array[middle], context, length):
            low = middle + 1
        else:
            high = middle
    return first, low


@compiled
def _common_suffix_length(text: Array, position: Number, context: Array) -> Number:
    """Number of bytes before a position that equal the last ones of the context."""
    limit = min(position, len(context))
    length = 0
    while length < limit and text[position - 1 - length] == context[len(context) - 1 - length]:
        length += 1
    return length


@compiled
def _ends_with(text: Array, position: Number, context: Array, length: Number) -> bool:
    """Whether the last `length` bytes of the context precede a position."""
    return bool(_common_suffix_length(text, position, context[len(context) - length :]) == length)


@compiled
def _sorts_before(text: Array, position: Number, context: Array, length: Number) -> bool:
    """Whether the text before a position, reversed, sorts before the last `length` bytes of the context, reversed."""
    for back in range(1, length + 1):
        if back > position:
            return True
        one, other = text[position - back], context[len(context) - back]
        if one != other:
            return bool(one < other)
    return False
