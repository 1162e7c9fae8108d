"""A completion and its stream: token by token, or line by line with a guide."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from cllm.generation.guide.decode_state import DecodeState
from cllm.generation.guide.guide import Guide
from cllm.generation.guide.search import decode_valid
from cllm.generation.predict.prompt_text import whole_characters


@dataclass
class Completion:
    """One sample: its text, its tokens, and the reason why generation ended.

    `finish_reason`: "stop" at a stopping criterion or the end of the text, "length" at the token limit, "" while
    generation continues. `valid`: whether the text is syntactically valid at the cursor; None if validity was not
    requested. `stopped_early`: the search found no valid continuation and the text was cut to a valid prefix.
    """

    text: str = ""
    tokens: list[int] = field(default_factory=list)
    finish_reason: str = ""
    valid: bool | None = None
    stopped_early: bool = False


def stream(state: DecodeState, guide: Guide | None = None) -> Iterator[Completion]:
    """Decode one completion; yield the same object, updated, after each token, or after each line with a guide.

    An incomplete UTF-8 character is withheld until its last byte, also at the end. With a guide, the final text may be
    shorter than the text before. Line ends are LF, those of what was learned.
    """
    completion = Completion()
    for text, is_truncated in _decode_unguided(state) if guide is None else decode_valid(state, guide):
        is_last = bool(state.finish_reason) or is_truncated
        completion.text = whole_characters(text)
        completion.tokens = state.tokens(len(text))
        completion.stopped_early = is_truncated
        if is_last:
            completion.finish_reason = "stop" if is_truncated else state.finish_reason
            completion.valid = bool(completion.text.strip()) if guide is not None else None
        yield completion


def _decode_unguided(state: DecodeState) -> Iterator[tuple[bytes, bool]]:
    while not state.finish_reason:
        state.step()
        yield state.text, False
    yield state.text, False
