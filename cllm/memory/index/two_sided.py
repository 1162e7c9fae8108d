"""Two-sided matches: positions of the repository whose text agrees with both sides of a cursor.

The text between the two sides is a candidate for the gap. Other matches use the text before the cursor alone, and take
the latest position. Where the text after the cursor is known, the best position has the longest agreement of both
sides.
"""

from dataclasses import dataclass

import numpy as np

from cllm.jit.compiled import Array
from cllm.memory.index.index import Index

MIN_BEFORE_BYTES = 6  # of context before the cursor
MIN_AFTER_BYTES = 6  # of the first line after the cursor, blanks stripped, that must agree
MAX_GAP_BYTES = 1_000  # from the position, within which the text after the cursor must begin
MAX_AFTER_BYTES = 200  # of the text after the cursor that are compared


@dataclass(frozen=True, kw_only=True)
class TwoSidedMatch:
    """A position of the text, and the number of bytes that agree `before` it and `after` the gap."""

    position: int
    before: int
    after: int


def find_two_sided_match(index: Index, text: Array, before: bytes, after: bytes) -> TwoSidedMatch | None:
    """The position of the text (N,) uint8 that agrees best with both sides; None if none agrees with `after`."""
    anchor = after.lstrip()[:MAX_AFTER_BYTES]
    if len(anchor.split(b"\n")[0].strip()) < MIN_AFTER_BYTES:
        return None
    best: TwoSidedMatch | None = None
    for length, position in candidates(index, text, before):
        source = index.source_at(position)
        end = source.end if source is not None else position
        following = text[position : min(end, position + MAX_GAP_BYTES + len(anchor))].tobytes()
        common_length = longest_common_length(following, anchor)
        if common_length >= MIN_AFTER_BYTES and (best is None or length + common_length > best.before + best.after):
            best = TwoSidedMatch(position=position, before=length, after=common_length)
    return best


def candidates(index: Index, text: Array, before: bytes) -> list[tuple[int, int]]:
    """(context bytes, position) pairs of the longest context, and of each half as long, down to MIN_BEFORE_BYTES."""
    seen = index.longest_match(text, before)
    found: dict[int, int] = {}
    length = seen.length
    while length >= MIN_BEFORE_BYTES:
        for position in index.positions(text, before, length):
            found.setdefault(position, length)
        length //= 2
    return [(length, position) for position, length in found.items()]


def longest_common_length(text: bytes, anchor: bytes) -> int:
    """Length of the longest prefix of the anchor that occurs in the text after a gap that is not blank."""
    head, best = anchor[:MIN_AFTER_BYTES], 0
    at = text.find(head)
    while at >= 0:
        length = common_prefix_length(text[at:], anchor)
        best = max(best, length) if text[:at].strip() else best
        at = text.find(head, at + 1)
    return best


def common_prefix_length(one: bytes, other: bytes) -> int:
    """Length in bytes of the longest common prefix."""
    length = min(len(one), len(other))
    differ = np.flatnonzero(np.frombuffer(one[:length], np.uint8) != np.frombuffer(other[:length], np.uint8))
    return int(differ[0]) if len(differ) else length
