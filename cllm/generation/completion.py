"""A completion and its stream: token by token, or line by line with a guide."""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass, field

from cllm.generation.guide.decode_state import DecodeState
from cllm.generation.guide.guide import Guide
from cllm.generation.guide.search import decode_valid


@dataclass
class Completion:
    """One sample: its text, its tokens, and the reason why generation ended.

    `finish_reason`: "stop" at a stopping criterion or the end of the text, "length" at the token limit, "" while
    generation continues. `valid`: whether the text is syntactically valid at the cursor; None if validity was not
    requested or could not be checked; `reason` says why it is not True. `stopped_early`: the search found no valid
    continuation and the text was cut to a valid prefix.
    """

    text: str = ""
    tokens: list[int] = field(default_factory=list)
    finish_reason: str = ""
    valid: bool | None = None
    reason: str = ""
    stopped_early: bool = False


def stream(state: DecodeState, guide: Guide | None = None) -> Iterator[Completion]:
    """Decode one completion; yield the same object, updated, after each token, or after each line with a guide.

    An incomplete UTF-8 character is withheld until its last byte. With a guide, the final text may be shorter than
    the text before.
    """
    completion = Completion()
    for text, is_truncated in _decode_unguided(state) if guide is None else decode_valid(state, guide):
        is_last = bool(state.finish_reason) or is_truncated
        completion.text = codecs.getincrementaldecoder("utf-8")("replace").decode(text, is_last)
        completion.tokens = state.tokens(len(text))
        completion.stopped_early = is_truncated
        if is_last:
            completion.finish_reason = "stop" if is_truncated else state.finish_reason
            completion.valid, completion.reason = guide.final_verdict(text) if guide is not None else (None, "")
        yield completion


def _decode_unguided(state: DecodeState) -> Iterator[tuple[bytes, bool]]:
    while not state.finish_reason:
        state.step()
        yield state.text, False
    yield state.text, False
