"""A place of the repository that agrees with both sides of a cursor: what stands there between them may belong here.

Matches are found by what stands before alone, and the latest is taken. Where the text after the cursor is known as
well, the place whose context is longest together with what follows is a better one.
"""

from dataclasses import dataclass

import numpy as np

from cllm.jit.compiled import Array
from cllm.memory.index.index import Index

MIN_BEFORE_BYTES = 6  # bytes of context
MIN_AFTER_BYTES = 6  # bytes, without blanks, by which what follows is recognised
MAX_GAP_BYTES = 1_000  # bytes from the place in which it must come
MAX_AFTER_BYTES = 200  # bytes that count


@dataclass(frozen=True, kw_only=True)
class TwoSidedMatch:
    """A place of the text with so many bytes in common before it, and after what is missing here."""

    position: int
    before: int
    after: int


def find_two_sided_match(index: Index, text: Array, before: bytes, after: bytes) -> TwoSidedMatch | None:
    """The place that agrees most with both sides; None where none agrees with what comes after."""
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
    """(context, place): those of the longest context, and of each half as long, down to the shortest that counts."""
    seen = index.longest_match(text, before)
    found: dict[int, int] = {}
    length = seen.length
    while length >= MIN_BEFORE_BYTES:
        for position in index.positions(text, before, length):
            found.setdefault(position, length)
        length //= 2
    return [(length, position) for position, length in found.items()]


def longest_common_length(text: bytes, anchor: bytes) -> int:
    """Bytes of the anchor, from its beginning on, that the text has somewhere after something that is missing here."""
    head, best = anchor[:MIN_AFTER_BYTES], 0
    at = text.find(head)
    while at >= 0:
        length = common_prefix_length(text[at:], anchor)
        best = max(best, length) if text[:at].strip() else best
        at = text.find(head, at + 1)
    return best


def common_prefix_length(one: bytes, other: bytes) -> int:
    """Bytes that two texts have in common from the first on."""
    length = min(len(one), len(other))
    differ = np.flatnonzero(np.frombuffer(one[:length], np.uint8) != np.frombuffer(other[:length], np.uint8))
    return int(differ[0]) if len(differ) else length
