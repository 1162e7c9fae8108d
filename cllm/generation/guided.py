"""A completion that can stand where it is written: what a guide refuses is taken back, and another way is tried.

A line is written as it comes, then judged. If a word of it is wrong whatever follows, or at the end of the text the
file does not fit, some steps up to there are gone with other tokens: the ways that lose least likelihood first (a
best-first search, whose ways are each gone to their end). After so many ways the text is cut to what can stand.
"""

import heapq
from collections.abc import Iterator

from cllm.generation.guide import Guide
from cllm.generation.walk import Step, Walk

MOST_WAYS = 8  # that are tried for a line
MOST_TOKENS = 64  # that are written for a line, on all ways
MOST_OTHERS = 3  # tokens for a step
REACH = 4  # steps back from a wrong word that may be to blame; for a file that does not fit, all of the line
ENDS_A_WORD = (b",", b";", b"(", b")", b"[", b"]", b"{", b"}")


class Search:
    """Ways through a line that were not gone yet, by how much likelihood they lose (nats)."""

    def __init__(self, walk: Walk, guide: Guide) -> None:
        self._walk, self._guide = walk, guide
        self._ways: list[tuple[float, int, list[Step], int]] = []
        self._known: set[tuple[int, ...]] = set()
        self._loss, self._num_ways = 0.0, 1

    def note(self, first: int, last: int) -> None:
        """Consider other tokens for these steps of the walk."""
        steps = list(self._walk.steps)
        for place in range(last, first - 1, -1):
            begun = tuple(step.token for step in steps[:place])
            for loss, token in self._walk.others(place, MOST_OTHERS):
                content = self._walk.content(place, token)
                if (*begun, token) not in self._known and not self._is_wrong(steps[place].before, content):
                    self._known.add((*begun, token))
                    heapq.heappush(self._ways, (self._loss + loss, len(self._known), steps[: place + 1], token))

    def _is_wrong(self, before: bytes, content: bytes) -> bool:
        """Whether a token is wrong at once, ending with a sign that no longer word begins with."""
        return content.endswith(ENDS_A_WORD) and self._guide.fault(before + content, is_line=False) is not None

    def turn(self) -> bool:
        """Turn off to the best way that was not gone yet, if there is one."""
        if not self._ways or self._num_ways == MOST_WAYS:
            return False
        self._num_ways += 1
        self._loss, _, steps, token = heapq.heappop(self._ways)
        self._walk.turn(steps, token)
        return True


def write_valid(walk: Walk, guide: Guide) -> Iterator[tuple[bytes, bool]]:
    """Write a text that can stand; yields it as it grows by lines that can, and whether it was cut."""
    while True:
        text, is_cut = _write_line(walk, guide)
        yield text, is_cut
        if is_cut or walk.finish_reason:
            return


def _write_line(walk: Walk, guide: Guide) -> tuple[bytes, bool]:
    """Go on to the end of a line, or of the text, by ways that can stand; what is written, and whether it was cut."""
    settled, search, spent = len(walk.steps), Search(walk, guide), 0
    while True:
        walk.to_line_end(settled)
        spent += len(walk.steps) - settled
        if walk.finish_reason == "length" and walk.until != "line":
            return _cut_to_length(walk, guide), False
        blame = _blamed(walk, guide, settled)
        if blame is None:
            return walk.text, False
        search.note(*blame)
        if spent > MOST_TOKENS or not search.turn():
            return guide.mended(walk.text) or b"", True


def _cut_to_length(walk: Walk, guide: Guide) -> bytes:
    """A text that is long enough: to the end of a word, or where a block should end, of a line and its brackets."""
    if walk.until == "block" and (rounded := guide.rounded(walk.text)) is not None:
        return rounded
    walk.finish_word()
    return guide.mended(walk.text) or b""


def _blamed(walk: Walk, guide: Guide, settled: int) -> tuple[int, int] | None:
    """The first and the last step that may be to blame for what is wrong with the text, if anything is."""
    text, last = walk.text, len(walk.steps) - 1
    fault = guide.fault(text, is_line=True)
    if fault is not None:
        place = max((place for place, step in enumerate(walk.steps) if len(step.before) <= fault), default=0)
        return max(settled, place - REACH), place
    if not walk.finish_reason:
        return None if guide.accepts(text) else (settled, last)
    is_right = walk.finish_reason == "stop" and text.strip() and guide.fits(text) and guide.accepts(text)
    return None if is_right else (settled, last)
