"""The binary decisions that code a text, and the marks of its bytes.

    before a byte   does a token begin here?           decision 0, coded inside a token that could end here
                    if so: does the text end here?
    the byte        its high bit, then bits 6 to 0     decisions 1 to 8

Only decisions that the vocabulary leaves open are coded: bits on which all tokens of the trie agree are implied. So the
products of the decisions' probabilities are the tokens' probabilities, which sum to one.
"""

from typing import NamedTuple

import numpy as np

from cllm.jit.compiled import Number, inlined

# Marks of a byte: inside a token, a token begins, the text has ended before it.
MARK_INSIDE, MARK_BEGIN, MARK_END = 0, 1, 2
NUM_DECISIONS = 9  # of a byte
TOKEN_BEGINS, HIGH_BIT = 0, 1  # decisions
LOW_NIBBLE = 5  # decisions from here on are in a byte's second slot
# Numba compiles a kernel again when it is called with a literal; as NumPy scalars these are typed like variables.
ZERO, ONE, ALL_BYTES = np.int64(0), np.int64(1), np.int64(256)


class Decision(NamedTuple):
    """The decision `index` (0 to 8; NUM_DECISIONS after the last) of a byte, and what the decisions before it fix.

    `partial`: a 1 bit followed by the bits of those decisions. `low`, `high`: the byte is in [low, high).
    """

    index: Number
    partial: Number
    low: Number
    high: Number


@inlined
def first_decision() -> Decision:
    """The decision whether a token begins."""
    return Decision(ZERO, ONE, ZERO, ALL_BYTES)


@inlined
def next_decision(decision: Decision, bit: Number) -> Decision:
    """The decision after this one, whose bit is `bit`."""
    low, high = decision.low, decision.high
    if decision.index > TOKEN_BEGINS:
        middle = (low + high) >> 1
        low, high = (middle if bit else low), (high if bit else middle)
    return Decision(decision.index + 1, decision.partial * 2 + bit, low, high)
