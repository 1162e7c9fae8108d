"""A completion and its stream: token by token, or line by line with a guide or with text to the right."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from cllm.generation.guide.decode_state import DecodeState
from cllm.generation.guide.guide import Guide
from cllm.generation.guide.search import Progress, decode_lines
from cllm.generation.infill.fill import decode_fill
from cllm.generation.infill.right_context import RightContext
from cllm.generation.predict.prompt_text import whole_characters


@dataclass
class Completion:
    """One sample: its text, its tokens, and the reason why generation ended.

    `finish_reason`: "stop" at a stopping criterion or the end of the text, "length" at the token limit, "" while
    generation continues. `valid`: whether the text is syntactically valid at the cursor, as an empty text is where
    nothing seems to be missing; None if validity was not requested or could not be checked; `reason` says why it is not
    True. `stopped_early`: the search found no valid
    continuation and the text was cut to a valid prefix.
    """

    text: str = ""
    tokens: list[int] = field(default_factory=list)
    finish_reason: str = ""
    valid: bool | None = None
    reason: str = ""
    stopped_early: bool = False


def stream(state: DecodeState, guide: Guide | None = None, right: RightContext | None = None) -> Iterator[Completion]:
    """Decode one completion; yield the same object, updated, after each line, or after each token without a guide.

    With text to the right, a line or block fills the gap before it (`infill.fill`). An incomplete UTF-8 character is
    withheld until its last byte, also at the end. The final text of a line or block may be shorter than the text
    before. Line ends are LF, those of what was learned.
    """
    completion = Completion()
    for progress in _decode(state, guide, right):
        completion.text = whole_characters(progress.text)
        completion.tokens = state.tokens(len(progress.text))
        completion.stopped_early = progress.is_cut
        if progress.is_last:
            is_whole = not progress.is_cut and progress.text == state.text
            completion.finish_reason = state.finish_reason if is_whole else "stop"
            completion.valid, completion.reason = _verdict(progress, guide)
        yield completion


def _verdict(progress: Progress, guide: Guide | None) -> tuple[bool | None, str]:
    """`valid` and `reason` of a final text; where nothing seems to be missing, nothing is valid."""
    if guide is None:
        return None, ""
    is_silent = not progress.text.strip() and not progress.is_cut
    return (True, "") if is_silent else guide.final_verdict(progress.text)


def _decode(state: DecodeState, guide: Guide | None, right: RightContext | None) -> Iterator[Progress]:
    if right is not None and state.until != "tokens":
        return decode_fill(state, guide, right)
    return _decode_tokens(state) if guide is None and state.until == "tokens" else decode_lines(state, guide)


def _decode_tokens(state: DecodeState) -> Iterator[Progress]:
    while not state.finish_reason:
        state.step()
        yield Progress(state.text, False)
    yield Progress(state.text, True)
