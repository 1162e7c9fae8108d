"""Search for the text of a gap.

The predictor proposes a line. Within a line, each of its beginnings is a candidate: the gap may end anywhere. On a line
of its own, the whole line is. The candidate that costs least together with what follows (`RightContext`) is taken, if
it costs less than nothing does; if it repeats what stands there or does not fit, other branches are tried.
"""

from collections.abc import Iterator

from cllm.generation.guide.decode_state import DecodeState
from cllm.generation.guide.guide import CLOSE_SECONDS, Guide
from cllm.generation.guide.search import SEARCH_SECONDS, BranchSearch, Progress, Suspects, decode_line, decode_lines
from cllm.generation.infill.right_context import RightContext

MAX_FILL_BRANCHES = 4  # lines that are proposed
MAX_BRANCHED_STEPS = 4  # first steps of a line that are decoded otherwise
MAX_CHECKED = 3  # candidates of a proposed line that are checked
MIN_REPRODUCED_BYTES = 4  # of the rest of the line: a proposal that has them has passed the gap's end
# Bits by which the next line must cost less after a written line: on a blank line, where 77 to 91% of the opened ones
# stay empty then, and in a line with text, where 2% of the unfinished and 67% of the finished ones stay as they are.
MIN_GAIN, MIN_GAIN_IN_LINE = -0.25, 2.0
# Bits by which a missing line is more probable where a blank line stands above or below the cursor's: another one would
# separate nothing.
GAIN_BESIDE_BLANK = 6.0


def decode_fill(state: DecodeState, guide: Guide | None, right: RightContext) -> Iterator[Progress]:
    """Decode the text of a gap; an empty one if nothing fits better than nothing."""
    if right.is_within_line:
        yield Progress(_fill_within_line(state, guide, right), True)
        return
    line = _propose_line(state, guide, right)
    if line is None or not _is_missing(line.text, guide, right):
        yield Progress(b"", True)
    elif line.is_last:
        yield line
    else:
        yield from _continue_block(state, guide, right, line)


def _continue_block(state: DecodeState, guide: Guide | None, right: RightContext, line: Progress) -> Iterator[Progress]:
    """Decode the lines after the first one; the text ends after the line that fits best."""
    texts = [line.text]
    for progress in decode_lines(state, guide):
        if progress.text.strip():
            texts.append(progress.text)
        yield progress._replace(is_last=False)
    texts.sort(key=lambda text: sum(right.costs_on_line(text)))
    if guide is not None:
        guide.budget.restart(CLOSE_SECONDS)
    yield Progress(next((text for text in texts if _is_right_part(text, guide, right)), b""), True)


def _fill_within_line(state: DecodeState, guide: Guide | None, right: RightContext) -> bytes:
    """The text of a gap within a line."""
    search, priced = BranchSearch(state, guide), {b"": right.cost_within_line(b"")}
    for number in range(MAX_FILL_BRANCHES):
        _decode_past_gap(state, right, is_greedy=number > 0)
        if not state.steps:
            break
        if guide is not None and number == 0:
            guide.budget.restart(SEARCH_SECONDS)
        texts = [*(state.text[:end] for end in _candidate_ends(state, right)), *right.name_middles]
        new = {text: right.cost_within_line(text) for text in texts if text not in priced}
        priced |= new
        for text in sorted(new, key=lambda text: new[text])[:MAX_CHECKED]:
            if new[text] >= priced[b""]:
                break
            if right.joins(text) and _fits(text, guide):
                return text
        search.push_alternatives(Suspects(0, min(MAX_BRANCHED_STEPS, len(state.steps)) - 1))
        if not search.take_best():
            break
    return b""


def _decode_past_gap(state: DecodeState, right: RightContext, *, is_greedy: bool) -> None:
    """Decode until the text has the beginning of the rest of the line, to the end of the line at most."""
    reproduced = right.rest.strip()[:MIN_REPRODUCED_BYTES]
    while not state.finish_reason and b"\n" not in state.generated and reproduced not in state.generated:
        state.step(is_greedy=is_greedy)


def _candidate_ends(state: DecodeState, right: RightContext) -> list[int]:
    """Where the gap may end: after each token, and before each byte with which the rest of the line begins."""
    line = state.text.partition(b"\n")[0]
    after_tokens = {len(step.text_before) for step in state.steps} | {len(state.text)}
    before_rest = {index for index, byte in enumerate(line) if byte == right.suffix[0]}
    return sorted(end for end in after_tokens | before_rest if 0 < end <= len(line) and line[:end].strip())


def _fits(text: bytes, guide: Guide | None) -> bool:
    return guide is None or (guide.parses(text) and guide.accepts(text) and not guide.budget.is_spent)


def _is_right_part(text: bytes, guide: Guide | None, right: RightContext) -> bool:
    """Whether lines may stand in a gap that they need not fill, so what is missing after them is no error."""
    if right.repeats(text):
        return False
    return _fits(text, guide) or (guide is not None and guide.adds_no_errors(text) and guide.accepts(text))


def _propose_line(state: DecodeState, guide: Guide | None, right: RightContext) -> Progress | None:
    """Decode a line for the cursor's line that does not repeat the next one; None if none was found."""
    search = BranchSearch(state, guide)
    for number in range(MAX_FILL_BRANCHES):
        line = decode_line(state, guide, is_greedy=number > 0)
        if line.text.strip() and not right.leaves_blank(line.text) and not right.repeats(line.text):
            return line
        search.push_alternatives(Suspects(0, min(MAX_BRANCHED_STEPS, len(state.steps)) - 1))
        if not search.take_best():
            return None
    return None


def _is_missing(line: bytes, guide: Guide | None, right: RightContext) -> bool:
    """Whether a proposed line is likelier than that nothing is missing; no file begins with a blank line."""
    if guide is not None and guide.removes_errors(line):
        return True
    if not right.is_on_blank_line:
        return right.gain_below(line) > MIN_GAIN_IN_LINE
    prior = GAIN_BESIDE_BLANK if right.is_beside_blank_line else 0.0
    return not right.prefix.strip() or right.has_own_indentation or right.gain_below(line) + prior > MIN_GAIN
