"""What a completion is, and how it comes: token by token, or where a guide watches, line by line."""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass, field

from cllm.generation.guide.decode_state import DecodeState
from cllm.generation.guide.guide import Guide
from cllm.generation.guide.search import decode_valid


@dataclass
class Completion:
    """One sample: its text so far, its tokens, and why it ended ("" while it goes on).

    `finish_reason`: "stop" where it ends by itself, "length" where it may be no longer. `valid`: whether its syntax is
    right where it stands; None where nobody asked. `stopped_early`: no way on was found, and it was cut to what is
    valid.
    """

    text: str = ""
    tokens: list[int] = field(default_factory=list)
    finish_reason: str = ""
    valid: bool | None = None
    stopped_early: bool = False


def stream(state: DecodeState, guide: Guide | None = None) -> Iterator[Completion]:
    """One completion; yields the same object whenever there is more of it.

    A character that is not finished waits for the rest of it. With a guide, the text may at last be less than it was.
    """
    completion = Completion()
    for text, is_truncated in _decode_unguided(state) if guide is None else decode_valid(state, guide):
        is_last = bool(state.finish_reason) or is_truncated
        completion.text = codecs.getincrementaldecoder("utf-8")("replace").decode(text, is_last)
        completion.tokens = state.tokens(len(text))
        completion.stopped_early = is_truncated
        if is_last:
            completion.finish_reason = "stop" if is_truncated else state.finish_reason
            completion.valid = bool(text.strip()) if guide is not None else None
        yield completion


def _decode_unguided(state: DecodeState) -> Iterator[tuple[bytes, bool]]:
    while not state.finish_reason:
        state.step()
        yield state.text, False
    yield state.text, False
