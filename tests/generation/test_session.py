import random

import pytest
import torch
from written import TEXT, TOKENIZER

from cllm.generation import Prompt, SamplingParams, Writer
from cllm.generation.predictors import MemoryPredictor
from cllm.generation.prompt import Laid, lay_out
from cllm.generation.session import Session

FILE = TEXT.encode()[:400].replace(b"main_2", b"other")
PARAMS = SamplingParams(max_tokens=12)


def prompt_at(place: int, suffix: bytes = b"\n}\n") -> Prompt:
    return Prompt(prefix=FILE[:place], suffix=suffix, path="a.c")


@pytest.mark.parametrize("suffix", [b"", b"\n}\n"])
def test_a_session_writes_what_a_stranger_to_the_prompt_writes(writer: Writer, suffix: bytes) -> None:
    """Typing, jumping back, another file between: each completion, and the memory's state at the end, are the same."""
    drawn = random.Random(0)
    places = [100, 101, 102, 103, 110, 140, 141, 90, 91, 300, 301, 399]
    with Session(writer) as session:
        for place in places:
            prompt = prompt_at(place, suffix if drawn.random() < 0.9 else b"\nint x;\n")
            assert session.complete(prompt, PARAMS)[0].text == strange(writer, session, prompt)
    if writer.memory is not None:
        assert writer.memory.size == len(TEXT.encode()) + TEXT.encode().count(b"\0") + 1


def strange(writer: Writer, session: Session, prompt: Prompt) -> str:
    """By a predictor that reads the prompt from its beginning; the session reads it anew afterwards, too."""
    kept, laid = session._predictor, writer.lay_out(prompt, PARAMS.max_tokens)
    if not isinstance(kept, MemoryPredictor):
        return writer.complete(prompt, PARAMS)[0].text
    session.forget()
    text = writer.complete(prompt, PARAMS)[0].text
    # Back to where the session was, by two steps: a beginning, and the rest of it.
    shorter = Laid(**{**laid.__dict__, "before": laid.before[:-3], "network": laid.network[:-3]})
    session._predictor = writer.predictor(shorter if len(laid.before) > 9 else laid).__enter__()
    assert session._predictor.extend(laid)
    assert session.complete(prompt, PARAMS)[0].text == text
    return text


def test_what_a_longer_prompt_is_told_is_what_it_would_be_at_once(mixed_writer: Writer) -> None:
    short, long = (mixed_writer.lay_out(prompt_at(place), 12) for place in (60, 75))
    with mixed_writer.predictor(long) as predictor:
        predictor.restart()
        expected = predictor.log_probabilities(predictor.typed, False)
    with mixed_writer.predictor(short) as predictor:
        assert isinstance(predictor, MemoryPredictor) and predictor.extend(long)
        predictor.restart()
        torch.testing.assert_close(predictor.log_probabilities(predictor.typed, False), expected, rtol=1e-3, atol=1e-4)


def test_another_text_is_not_gone_on_with(mixed_writer: Writer) -> None:
    laid = mixed_writer.lay_out(prompt_at(150), 12)
    with mixed_writer.predictor(laid) as predictor:
        assert isinstance(predictor, MemoryPredictor)
        for other in (prompt_at(140), prompt_at(150, b"x"), Prompt(prefix=FILE[:150], suffix=b"\n}\n", path="b.c")):
            assert not predictor.extend(mixed_writer.lay_out(other, 12))
        assert predictor.extend(laid)


def test_windows_move_in_steps_and_cover_what_they_may() -> None:
    begins = set()
    for length in range(300, 420):
        laid = lay_out(Prompt(prefix=(b"ab cd\n" * 100)[:length]), TOKENIZER, 64, 16)
        begins.add(len(laid.before) - len(laid.network))
        assert 40 <= len(laid.network) <= 48 or len(laid.network) == len(laid.before)
    assert len(begins) < 40
