"""A place of the repository that agrees with both sides of a cursor: what stands there between them may belong here.

Matches are found by what stands before alone, and the latest is taken. Where the text after the cursor is known as
well, the place whose context is longest together with what follows is a better one.
"""

from dataclasses import dataclass

import numpy as np

from cllm.compiled import Array
from cllm.memory.index import Index

LEAST_BEFORE = 6  # bytes of context
LEAST_AFTER = 6  # bytes, without blanks, by which what follows is recognised
REACH = 1_000  # bytes from the place in which it must come
LONGEST_AFTER = 200  # bytes that count


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """A place of the text with so many bytes in common before it, and after what is missing here."""

    place: int
    before: int
    after: int


def agreeing_place(index: Index, text: Array, before: bytes, after: bytes) -> Agreement | None:
    """The place that agrees most with both sides; None where none agrees with what comes after."""
    anchor = after.lstrip()[:LONGEST_AFTER]
    if len(anchor.split(b"\n")[0].strip()) < LEAST_AFTER:
        return None
    best: Agreement | None = None
    for length, place in candidates(index, text, before):
        source = index.source(place)
        end = source.end if source is not None else place
        following = text[place : min(end, place + REACH + len(anchor))].tobytes()
        shared = longest_shared(following, anchor)
        if shared >= LEAST_AFTER and (best is None or length + shared > best.before + best.after):
            best = Agreement(place=place, before=length, after=shared)
    return best


def candidates(index: Index, text: Array, before: bytes) -> list[tuple[int, int]]:
    """(context, place): those of the longest context, and of each half as long, down to the shortest that counts."""
    seen = index.longest(text, before)
    found: dict[int, int] = {}
    length = seen.length
    while length >= LEAST_BEFORE:
        for place in index.places(text, before, length):
            found.setdefault(place, length)
        length //= 2
    return [(length, place) for place, length in found.items()]


def longest_shared(text: bytes, anchor: bytes) -> int:
    """Bytes of the anchor, from its beginning on, that the text has somewhere after something that is missing here."""
    head, best = anchor[:LEAST_AFTER], 0
    at = text.find(head)
    while at >= 0:
        length = common_beginning(text[at:], anchor)
        best = max(best, length) if text[:at].strip() else best
        at = text.find(head, at + 1)
    return best


def common_beginning(one: bytes, other: bytes) -> int:
    """Bytes that two texts have in common from the first on."""
    length = min(len(one), len(other))
    differ = np.flatnonzero(np.frombuffer(one[:length], np.uint8) != np.frombuffer(other[:length], np.uint8))
    return int(differ[0]) if len(differ) else length
