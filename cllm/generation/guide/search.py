"""Search for a completion that is valid at the cursor: lines that a guide rejects are decoded again on other branches.

Each line is decoded, then checked. If a word is an error whatever follows, or the finished text does not fit the file,
alternatives of the steps before the error are tried, in order of least lost log-likelihood (a best-first search that
decodes each branch to its line's end). After MAX_BRANCHES branches or SEARCH_SECONDS, the text is left as it is where
the grammar is no judge, and cut to a valid prefix elsewhere.
"""

import heapq
from collections.abc import Iterator
from typing import NamedTuple

from cllm.generation.guide.decode_state import DecodeState, Step
from cllm.generation.guide.guide import Guide
from cllm.generation.guide.line_shape import PLAIN, LineShape, leads_to

MAX_BRANCHES = 8  # branches per line
SEARCH_SECONDS = 0.025  # for a line's checks and its other branches, without the first
CUSTOMS_SECONDS = 0.01  # of them to look for similar lines of the repository, whose files take 2 to 16 ms each
MAX_LINE_TOKENS = 64  # tokens per line, on all branches together
MAX_ALTERNATIVES, MAX_SHAPED_ALTERNATIVES = 3, 8  # alternative tokens per step, asked for lines of a shape
MAX_UNCERTAIN_STEPS = 6  # steps of a line whose alternatives are asked for, 0.75 ms each
BACKTRACK_STEPS = 4  # steps before an erroneous word that are reconsidered; the whole line if the file does not fit
WORD_TERMINATORS = (b",", b";", b"(", b")", b"[", b"]", b"{", b"}")


class Progress(NamedTuple):
    """A text so far; whether it is final, and whether it was cut because no valid continuation was found."""

    text: bytes
    is_last: bool
    is_cut: bool = False


class Suspects(NamedTuple):
    """The first and last step that may have caused an error, and the shape of the text that the file needs instead."""

    first: int
    last: int
    needed: LineShape = PLAIN


class BranchSearch:
    """A queue of untried branches of a line, ordered by lost log-likelihood (nats)."""

    def __init__(self, state: DecodeState, guide: Guide | None) -> None:
        self._state, self._guide = state, guide
        self._queue: list[tuple[float, int, list[Step], int]] = []
        self._seen: set[tuple[int, ...]] = set()
        self._expanded: set[tuple[int, ...]] = set()  # prefixes whose alternatives are queued
        self._loss, self._num_branches = 0.0, 1

    def push_alternatives(self, suspects: Suspects) -> None:
        """Queue alternative tokens of the least certain of the suspect steps.

        If lines of another shape are needed, only tokens that lead to these, and more of those that begin a line.
        """
        steps, needed = list(self._state.steps), suspects.needed
        numbers = range(suspects.first, suspects.last + 1)
        prefixes = {number: tuple(step.token for step in steps[:number]) for number in numbers}
        new = [number for number in numbers if prefixes[number] not in self._expanded]
        begins_line = {number: needed != PLAIN and steps[number].begins_line for number in new}
        uncertain = sorted(new, key=lambda number: (not begins_line[number], steps[number].log_probability))
        for step_index in sorted(uncertain[:MAX_UNCERTAIN_STEPS], reverse=True):
            prefix = prefixes[step_index]
            self._expanded.add(prefix)
            limit = MAX_ALTERNATIVES if needed == PLAIN else MAX_SHAPED_ALTERNATIVES
            for loss, token in self._state.alternatives(step_index, limit):
                content = self._state.bytes_of(step_index, token)
                if needed != PLAIN and not begins_line[step_index] and not leads_to(content, needed):
                    continue
                if (*prefix, token) not in self._seen and not self._is_wrong(steps[step_index].text_before, content):
                    self._seen.add((*prefix, token))
                    heapq.heappush(self._queue, (self._loss + loss, len(self._seen), steps[: step_index + 1], token))

    def _is_wrong(self, before: bytes, content: bytes) -> bool:
        """Whether a token is already an error: it ends with punctuation that cannot begin a longer word."""
        if self._guide is None or not content.endswith(WORD_TERMINATORS):
            return False
        return self._guide.syntax_error_offset(before + content, is_line=False) is not None

    @property
    def is_conclusive(self) -> bool:
        """Whether a check of the current branch counts: after the time is over, only that of the first branch does."""
        return self._num_branches == 1 or not self._is_over

    @property
    def customs_seconds(self) -> float:
        """Time to look for lines of the repository like the first branch; the others have to parse."""
        return CUSTOMS_SECONDS if self._num_branches == 1 else 0.0

    @property
    def _is_over(self) -> bool:
        return self._guide is not None and self._guide.budget.is_spent

    def take_best(self) -> bool:
        """Branch to the best untried alternative; return False if there is none left or no time for it."""
        if not self._queue or self._num_branches == MAX_BRANCHES or self._is_over:
            return False
        self._num_branches += 1
        self._loss, _, steps, token = heapq.heappop(self._queue)
        self._state.branch(steps, token)
        return True


def decode_lines(state: DecodeState, guide: Guide | None) -> Iterator[Progress]:
    """Decode a text line by line, valid ones with a guide, until it ends or is cut."""
    while True:
        progress = decode_line(state, guide)
        yield progress
        if progress.is_last:
            return


def decode_line(state: DecodeState, guide: Guide | None, *, is_greedy: bool = False) -> Progress:
    """Decode to the end of the next line or of the text: one that repeats nothing and, with a guide, is valid.

    Other branches than the first are greedy: sampling takes 11 ms a token instead of 0.4 ms.
    """
    num_committed, search, num_tokens = len(state.steps), BranchSearch(state, guide), 0
    first: list[Step] | None = None
    while True:
        state.decode_to_line_end(num_committed, is_greedy=is_greedy or first is not None)
        if first is None:
            first = list(state.steps)
            if guide is not None:
                guide.budget.restart(SEARCH_SECONDS)
        num_tokens += len(state.steps) - num_committed
        if guide is not None and state.finish_reason == "length" and state.until != "line":
            return Progress(_truncate(state, guide), True)
        suspects = _suspect_steps(state, guide, num_committed, search.customs_seconds)
        if suspects is None and search.is_conclusive:
            return Progress(state.text, bool(state.finish_reason))
        if suspects is not None:
            search.push_alternatives(suspects)
        if num_tokens > MAX_LINE_TOKENS or not search.take_best():
            if first:
                state.branch(first, first[-1].token)
            return _without_proof(state, guide)


def _without_proof(state: DecodeState, guide: Guide | None) -> Progress:
    """The line for which no branch is right: as it is where the grammar cannot judge, otherwise cut."""
    text = _without_repetition(state)
    if guide is None:
        return Progress(text, True, is_cut=True)
    if state.repeated_from is None and text.strip() and guide.tolerates(text):
        return Progress(text, bool(state.finish_reason))
    whole_lines = text[: text.rstrip(b"\n").rfind(b"\n") + 1]
    closed_block = guide.closed_block(whole_lines) if state.until == "block" and whole_lines.strip() else None
    return Progress(closed_block or guide.repaired(text) or b"", True, is_cut=True)


def _truncate(state: DecodeState, guide: Guide) -> bytes:
    """Cut a text at the token limit to a closed block (`until` "block") or to the end of a word, and repair it."""
    text = _without_repetition(state)
    if state.until == "block" and (closed_block := guide.closed_block(text)) is not None:
        return closed_block
    if state.repeated_from is None:
        state.finish_word()
        text = state.text
    return guide.repaired(text) or b""


def _without_repetition(state: DecodeState) -> bytes:
    """The text up to where it begins to repeat itself."""
    return state.text if state.repeated_from is None else state.text[: state.repeated_from].rstrip()


def _suspect_steps(
    state: DecodeState, guide: Guide | None, num_committed: int, customs_seconds: float
) -> Suspects | None:
    """The steps that may have caused the text's error or repetition; None if the text has neither."""
    text, last = state.text, len(state.steps) - 1
    if state.repeated_from is not None:
        return Suspects(num_committed, last)
    if guide is None:
        return None
    if state.finish_reason and guide.is_misshapen(text):
        return Suspects(num_committed, last, guide.needed_shape())
    error_offset = guide.syntax_error_offset(text, is_line=True)
    is_ended = state.finish_reason == "stop" or text.endswith(b"\n")
    if error_offset is None and is_ended and not guide.can_go_on(text):
        error_offset = len(text)
    if error_offset is not None and not guide.is_customary(text, customs_seconds):
        step_index = max(
            (step_index for step_index, step in enumerate(state.steps) if len(step.text_before) <= error_offset),
            default=0,
        )
        return Suspects(max(num_committed, step_index - BACKTRACK_STEPS), step_index)
    if not state.finish_reason:
        return None if guide.accepts(text) else Suspects(num_committed, last)
    is_whole = state.finish_reason == "stop" and text.strip() and guide.accepts(text)
    is_right = is_whole and (guide.parses(text) or guide.is_customary(text, customs_seconds))
    return None if is_right else Suspects(num_committed, last, guide.needed_shape())
