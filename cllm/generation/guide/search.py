"""A completion that can stand where it is written: what a guide refuses is taken back, and another way is tried.

A line is written as it comes, then judged. If a word of it is wrong whatever follows, or at the end of the text the
file does not fit, some steps up to there are gone with other tokens: the ways that lose least likelihood first (a
best-first search, whose ways are each gone to their end). After so many ways the text is cut to what can stand.
"""

import heapq
from collections.abc import Iterator

from cllm.generation.guide.decode_state import DecodeState, Step
from cllm.generation.guide.guide import Guide

MAX_BRANCHES = 8  # that are tried for a line
MAX_LINE_TOKENS = 64  # that are written for a line, on all ways
MAX_ALTERNATIVES = 3  # tokens for a step
BACKTRACK_STEPS = 4  # steps back from a wrong word that may be to blame; for a file that does not fit, all of the line
WORD_TERMINATORS = (b",", b";", b"(", b")", b"[", b"]", b"{", b"}")


class BranchSearch:
    """Ways through a line that were not gone yet, by how much likelihood they lose (nats)."""

    def __init__(self, state: DecodeState, guide: Guide) -> None:
        self._state, self._guide = state, guide
        self._queue: list[tuple[float, int, list[Step], int]] = []
        self._seen: set[tuple[int, ...]] = set()
        self._loss, self._num_branches = 0.0, 1

    def push_alternatives(self, first: int, last: int) -> None:
        """Consider other tokens for these steps of the walk."""
        steps = list(self._state.steps)
        for step_index in range(last, first - 1, -1):
            prefix = tuple(step.token for step in steps[:step_index])
            for loss, token in self._state.alternatives(step_index, MAX_ALTERNATIVES):
                content = self._state.bytes_of(step_index, token)
                if (*prefix, token) not in self._seen and not self._is_wrong(steps[step_index].text_before, content):
                    self._seen.add((*prefix, token))
                    heapq.heappush(self._queue, (self._loss + loss, len(self._seen), steps[: step_index + 1], token))

    def _is_wrong(self, before: bytes, content: bytes) -> bool:
        """Whether a token is wrong at once, ending with a sign that no longer word begins with."""
        return (
            content.endswith(WORD_TERMINATORS) and self._guide.error_offset(before + content, is_line=False) is not None
        )

    def take_best(self) -> bool:
        """Turn off to the best way that was not gone yet, if there is one."""
        if not self._queue or self._num_branches == MAX_BRANCHES:
            return False
        self._num_branches += 1
        self._loss, _, steps, token = heapq.heappop(self._queue)
        self._state.branch(steps, token)
        return True


def decode_valid(state: DecodeState, guide: Guide) -> Iterator[tuple[bytes, bool]]:
    """Write a text that can stand; yields it as it grows by lines that can, and whether it was cut."""
    while True:
        text, is_truncated = _decode_line(state, guide)
        yield text, is_truncated
        if is_truncated or state.finish_reason:
            return


def _decode_line(state: DecodeState, guide: Guide) -> tuple[bytes, bool]:
    """Go on to the end of a line, or of the text, by ways that can stand; what is written, and whether it was cut."""
    num_committed, search, num_tokens = len(state.steps), BranchSearch(state, guide), 0
    while True:
        state.decode_to_line_end(num_committed)
        num_tokens += len(state.steps) - num_committed
        if state.finish_reason == "length" and state.until != "line":
            return _truncate(state, guide), False
        suspects = _suspect_steps(state, guide, num_committed)
        if suspects is None:
            return state.text, False
        search.push_alternatives(*suspects)
        if num_tokens > MAX_LINE_TOKENS or not search.take_best():
            return guide.repaired(state.text) or b"", True


def _truncate(state: DecodeState, guide: Guide) -> bytes:
    """A text that is long enough: to the end of a word, or where a block should end, of a line and its brackets."""
    if state.until == "block" and (closed_block := guide.closed_block(state.text)) is not None:
        return closed_block
    state.finish_word()
    return guide.repaired(state.text) or b""


def _suspect_steps(state: DecodeState, guide: Guide, num_committed: int) -> tuple[int, int] | None:
    """The first and the last step that may be to blame for what is wrong with the text, if anything is."""
    text, last = state.text, len(state.steps) - 1
    error_offset = guide.error_offset(text, is_line=True)
    if error_offset is not None:
        step_index = max(
            (step_index for step_index, step in enumerate(state.steps) if len(step.text_before) <= error_offset),
            default=0,
        )
        return max(num_committed, step_index - BACKTRACK_STEPS), step_index
    if not state.finish_reason:
        return None if guide.accepts(text) else (num_committed, last)
    is_right = state.finish_reason == "stop" and text.strip() and guide.fits(text) and guide.accepts(text)
    return None if is_right else (num_committed, last)
