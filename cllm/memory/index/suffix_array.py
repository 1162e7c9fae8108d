"""The exact index of a text: its places sorted by what stands before them, so that every context is found at once.

Places after the same bytes lie together, however many bytes those are. It is the suffix array of the text read
backwards (Manber and Myers 1990, "Suffix arrays: a new method for on-line string searches"), sorted by divsufsort
(Mori); the longest context seen is found by bisection, as in Liu et al. 2024, "Infini-gram" (arXiv:2401.17377).
"""

from typing import NamedTuple

import numpy as np
import pydivsufsort

from cllm.jit.compiled import Array, Number, compiled


class SuffixRange(NamedTuple):
    """The longest end of a context that stands in the text: of `length` bytes, before the places
    `suffix_array[low:high]`.
    """

    length: int
    low: int
    high: int


def build_suffix_array(text: Array) -> Array:
    """The places 1 to n of a text (n,) uint8, sorted by the bytes before them, last byte first; (n,) int32."""
    if not len(text):
        return np.zeros(0, np.int32)
    backwards = text[::-1].copy()  # theirs takes no view
    suffix_array: Array = len(text) - pydivsufsort.divsufsort(backwards)
    suffix_array.flags.writeable = False  # as one that is mapped from a file: a kernel is compiled for each kind
    return suffix_array


def longest_suffix_range(text: Array, suffix_array: Array, context: Array) -> SuffixRange:
    """The longest end of `context` in the text; all places, where not even its last byte is there."""
    return SuffixRange(*_longest_suffix_range(text, suffix_array, context))


def suffix_range(text: Array, suffix_array: Array, context: Array, length: int) -> SuffixRange:
    """The places after the last `length` bytes of `context`, which may be none."""
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
    """The first place, in their order, that does not come before the last `length` bytes of the context."""
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
    """Bytes before a place that are the last of the context."""
    limit = min(position, len(context))
    length = 0
    while length < limit and text[position - 1 - length] == context[len(context) - 1 - length]:
        length += 1
    return length


@compiled
def _ends_with(text: Array, position: Number, context: Array, length: Number) -> bool:
    """Whether the last `length` bytes of the context stand before a place."""
    return bool(_common_suffix_length(text, position, context[len(context) - length :]) == length)


@compiled
def _sorts_before(text: Array, position: Number, context: Array, length: Number) -> bool:
    """Whether what stands before a place comes, read backwards, before the last `length` bytes of the context."""
    for back in range(1, length + 1):
        if back > position:
            return True
        one, other = text[position - back], context[len(context) - back]
        if one != other:
            return bool(one < other)
    return False
