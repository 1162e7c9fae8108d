"""What a completion is, and how it comes: token by token, or where a guide watches, line by line."""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass, field

from cllm.generation.guide import Guide
from cllm.generation.guided import write_valid
from cllm.generation.walk import Walk


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


def stream(walk: Walk, guide: Guide | None = None) -> Iterator[Completion]:
    """One completion; yields the same object whenever there is more of it.

    A character that is not finished waits for the rest of it. With a guide, the text may at last be less than it was.
    """
    completion = Completion()
    for text, is_cut in _written(walk) if guide is None else write_valid(walk, guide):
        is_last = bool(walk.finish_reason) or is_cut
        completion.text = codecs.getincrementaldecoder("utf-8")("replace").decode(text, is_last)
        completion.tokens = walk.tokens(len(text))
        completion.stopped_early = is_cut
        if is_last:
            completion.finish_reason = "stop" if is_cut else walk.finish_reason
            completion.valid = bool(text.strip()) if guide is not None else None
        yield completion


def _written(walk: Walk) -> Iterator[tuple[bytes, bool]]:
    while not walk.finish_reason:
        walk.step()
        yield walk.text, False
    yield walk.text, False
