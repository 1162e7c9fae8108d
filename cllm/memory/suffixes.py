"""The exact index of a text: its places sorted by what stands before them, so that every context is found at once.

Places after the same bytes lie together, however many bytes those are. It is the suffix array of the text read
backwards (Manber and Myers 1990, "Suffix arrays: a new method for on-line string searches"), sorted by divsufsort
(Mori); the longest context seen is found by bisection, as in Liu et al. 2024, "Infini-gram" (arXiv:2401.17377).
"""

from typing import NamedTuple

import numpy as np
import pydivsufsort

from cllm.compiled import Array, Number, compiled


class Found(NamedTuple):
    """The longest end of a context that stands in the text: of `length` bytes, before the places `order[low:high]`."""

    length: int
    low: int
    high: int


def sorted_places(text: Array) -> Array:
    """The places 1 to n of a text (n,) uint8, sorted by the bytes before them, last byte first; (n,) int32."""
    if not len(text):
        return np.zeros(0, np.int32)
    backwards = text[::-1].copy()  # theirs takes no view
    order: Array = len(text) - pydivsufsort.divsufsort(backwards)
    order.flags.writeable = False  # as one that is mapped from a file: a kernel is compiled for each kind
    return order


def find(text: Array, order: Array, context: Array) -> Found:
    """The longest end of `context` in the text; all places, where not even its last byte is there."""
    return Found(*_find(text, order, context))


def find_end(text: Array, order: Array, context: Array, length: int) -> Found:
    """The places after the last `length` bytes of `context`, which may be none."""
    return Found(length, *_bounds(text, order, context, length))


@compiled
def _find(text: Array, order: Array, context: Array) -> tuple[Number, Number, Number]:
    low = _first_not_before(text, order, context, len(context))
    length = 0
    if low < len(order):
        length = _common(text, order[low], context)
    if low > 0:
        length = max(length, _common(text, order[low - 1], context))
    first, last = _bounds(text, order, context, length)
    return length, first, last


@compiled
def _first_not_before(text: Array, order: Array, context: Array, length: Number) -> Number:
    """The first place, in their order, that does not come before the last `length` bytes of the context."""
    low, high = 0, len(order)
    while low < high:
        middle = (low + high) >> 1
        if _comes_before(text, order[middle], context, length):
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def _bounds(text: Array, order: Array, context: Array, length: Number) -> tuple[Number, Number]:
    first = _first_not_before(text, order, context, length)
    low, high = first, len(order)
    while low < high:
        middle = (low + high) >> 1
        if _agrees(text, order[middle], context, length):
            low = middle + 1
        else:
            high = middle
    return first, low


@compiled
def _common(text: Array, place: Number, context: Array) -> Number:
    """Bytes before a place that are the last of the context."""
    most = min(place, len(context))
    length = 0
    while length < most and text[place - 1 - length] == context[len(context) - 1 - length]:
        length += 1
    return length


@compiled
def _agrees(text: Array, place: Number, context: Array, length: Number) -> bool:
    """Whether the last `length` bytes of the context stand before a place."""
    return bool(_common(text, place, context[len(context) - length :]) == length)


@compiled
def _comes_before(text: Array, place: Number, context: Array, length: Number) -> bool:
    """Whether what stands before a place comes, read backwards, before the last `length` bytes of the context."""
    for back in range(1, length + 1):
        if back > place:
            return True
        one, other = text[place - back], context[len(context) - back]
        if one != other:
            return bool(one < other)
    return False
