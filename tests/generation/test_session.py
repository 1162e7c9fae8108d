import random

import pytest
import torch
from sample_text import TEXT, TOKENIZER

from cllm.generation import Completer, Prompt, SamplingParams
from cllm.generation.predict.predictors import MemoryPredictor
from cllm.generation.predict.prompt import EncodedPrompt, encode_prompt
from cllm.generation.session import CompletionSession

FILE = TEXT.encode()[:400].replace(b"main_2", b"other")
PARAMS = SamplingParams(max_tokens=12)


def prompt_at(offset: int, suffix: bytes = b"\n}\n") -> Prompt:
    return Prompt(prefix=FILE[:offset], suffix=suffix, path="a.c")


@pytest.mark.parametrize("suffix", [b"", b"\n}\n"])
def test_a_session_writes_what_a_stranger_to_the_prompt_writes(completer: Completer, suffix: bytes) -> None:
    """Typing, jumping back, another file between: each completion, and the memory's state at the end, are the same."""
    rng = random.Random(0)
    places = [100, 101, 102, 103, 110, 140, 141, 90, 91, 300, 301, 399]
    with CompletionSession(completer) as session:
        for offset in places:
            prompt = prompt_at(offset, suffix if rng.random() < 0.9 else b"\nint x;\n")
            assert session.complete(prompt, PARAMS)[0].text == uncached_text(completer, session, prompt)
    if completer.memory is not None:
        assert completer.memory.size == len(TEXT.encode()) + TEXT.encode().count(b"\0") + 1


def uncached_text(completer: Completer, session: CompletionSession, prompt: Prompt) -> str:
    """By a predictor that reads the prompt from its beginning; the session reads it anew afterwards, too."""
    predictor, encoded = session._predictor, completer.encode_prompt(prompt, PARAMS.max_tokens)
    if not isinstance(predictor, MemoryPredictor):
        return completer.complete(prompt, PARAMS)[0].text
    session.reset()
    text = completer.complete(prompt, PARAMS)[0].text
    # Back to where the session was, by two steps: a beginning, and the rest of it.
    shorter = EncodedPrompt(
        **{**encoded.__dict__, "prefix_ids": encoded.prefix_ids[:-3], "network_ids": encoded.network_ids[:-3]}
    )
    session._predictor = completer.predictor(shorter if len(encoded.prefix_ids) > 9 else encoded).__enter__()
    assert session._predictor.extend(encoded)
    assert session.complete(prompt, PARAMS)[0].text == text
    return text


def test_what_a_longer_prompt_is_told_is_what_it_would_be_at_once(mixed_completer: Completer) -> None:
    short, long = (mixed_completer.encode_prompt(prompt_at(offset), 12) for offset in (60, 75))
    with mixed_completer.predictor(long) as predictor:
        predictor.restart()
        expected = predictor.log_probabilities(predictor.token_prefix, False)
    with mixed_completer.predictor(short) as predictor:
        assert isinstance(predictor, MemoryPredictor) and predictor.extend(long)
        predictor.restart()
        torch.testing.assert_close(
            predictor.log_probabilities(predictor.token_prefix, False), expected, rtol=1e-3, atol=1e-4
        )


def test_another_text_is_not_gone_on_with(mixed_completer: Completer) -> None:
    encoded = mixed_completer.encode_prompt(prompt_at(150), 12)
    with mixed_completer.predictor(encoded) as predictor:
        assert isinstance(predictor, MemoryPredictor)
        for other in (prompt_at(140), prompt_at(150, b"x"), Prompt(prefix=FILE[:150], suffix=b"\n}\n", path="b.c")):
            assert not predictor.extend(mixed_completer.encode_prompt(other, 12))
        assert predictor.extend(encoded)


def test_windows_move_in_steps_and_cover_what_they_may() -> None:
    begins = set()
    for length in range(300, 420):
        encoded = encode_prompt(Prompt(prefix=(b"ab cd\n" * 100)[:length]), TOKENIZER, 64, 16)
        begins.add(len(encoded.prefix_ids) - len(encoded.network_ids))
        assert 40 <= len(encoded.network_ids) <= 48 or len(encoded.network_ids) == len(encoded.prefix_ids)
    assert len(begins) < 40
