"""Sessions that extend a prompt: results equal those of prefilling it from the beginning."""

import random
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest
from sample_text import TEXT, TOKENIZER

from cllm.generation import Completer, Prompt, SamplingParams
from cllm.generation.predict.predictors import MemoryPredictor, Predictor
from cllm.generation.predict.prompt import EncodedPrompt, encode_prompt
from cllm.generation.session import CompletionSession

FILE = TEXT.encode()[:400].replace(b"main_2", b"other")
PARAMS = SamplingParams(max_tokens=12)


def prompt_at(offset: int, suffix: bytes = b"\n}\n") -> Prompt:
    return Prompt(prefix=FILE[:offset], suffix=suffix, path="a.c")


@pytest.mark.parametrize("suffix", [b"", b"\n}\n"])
def test_session_completions_equal_uncached_completions(completer: Completer, suffix: bytes) -> None:
    """Prompts as from typing, jumping back, and another suffix: every completion equals the uncached one.

    At the end, the memory has its original size.
    """
    rng = random.Random(0)
    offsets = [100, 101, 102, 103, 110, 140, 141, 90, 91, 300, 301, 399]
    with CompletionSession(completer) as session:
        for offset in offsets:
            prompt = prompt_at(offset, suffix if rng.random() < 0.9 else b"\nint x;\n")
            assert session.complete(prompt, PARAMS)[0].text == uncached_text(completer, session, prompt)
    if completer.memory is not None:
        assert completer.memory.size == len(TEXT.encode()) + TEXT.encode().count(b"\0") + 1


def uncached_text(completer: Completer, session: CompletionSession, prompt: Prompt) -> str:
    """The completion by a new predictor; afterwards the session's predictor is restored in two prefills."""
    predictor, encoded = session._predictor, completer.encode_prompt(prompt, PARAMS.max_tokens)
    if not isinstance(predictor, MemoryPredictor):
        return completer.complete(prompt, PARAMS)[0].text
    session.reset()
    text = completer.complete(prompt, PARAMS)[0].text
    # Restore the session in two steps: prefill a shorter prompt, then extend it.
    shorter = EncodedPrompt(
        **{**encoded.__dict__, "prefix_ids": encoded.prefix_ids[:-3], "network_ids": encoded.network_ids[:-3]}
    )
    session._predictor = completer.predictor(shorter if len(encoded.prefix_ids) > 9 else encoded).__enter__()
    assert session._predictor.move_to(encoded)
    assert session.complete(prompt, PARAMS)[0].text == text
    return text


def test_extended_prompt_equals_the_longer_prompt(mixed_completer: Completer) -> None:
    short, long = (mixed_completer.encode_prompt(prompt_at(offset), 12) for offset in (60, 75))
    with mixed_completer.predictor(long) as predictor:
        predictor.restart()
        expected = predictor.log_probabilities(predictor.token_prefix, False)
    with mixed_completer.predictor(short) as predictor:
        assert isinstance(predictor, MemoryPredictor) and predictor.move_to(long)
        predictor.restart()
        np.testing.assert_allclose(
            predictor.log_probabilities(predictor.token_prefix, False), expected, rtol=1e-3, atol=1e-4
        )


def test_extend_rejects_prompts_that_are_not_extensions(mixed_completer: Completer) -> None:
    encoded = mixed_completer.encode_prompt(prompt_at(150), 12)
    with mixed_completer.predictor(encoded) as predictor:
        assert isinstance(predictor, MemoryPredictor)
        for other in (prompt_at(140), prompt_at(150, b"x"), Prompt(prefix=FILE[:150], suffix=b"\n}\n", path="b.c")):
            assert not predictor.move_to(mixed_completer.encode_prompt(other, 12))
        assert predictor.move_to(encoded)


def test_prompt_window_moves_in_steps_and_fills_the_context() -> None:
    begins = set()
    for length in range(300, 420):
        encoded = encode_prompt(Prompt(prefix=(b"ab cd\n" * 100)[:length]), TOKENIZER, 64, 16)
        begins.add(len(encoded.prefix_ids) - len(encoded.network_ids))
        assert 40 <= len(encoded.network_ids) <= 48 or len(encoded.network_ids) == len(encoded.prefix_ids)
    assert len(begins) < 40


@pytest.mark.parametrize("has_network", [False, True])
def test_an_edited_prompt_equals_a_new_one(mixed_completer: Completer, has_network: bool) -> None:
    """Text is typed, deleted and replaced; without a network, all digits of the probabilities are the same."""
    completer = mixed_completer if has_network else replace(mixed_completer, network=None)
    rng, text, num_moved, found = random.Random(1), FILE[:150], 0, []
    with ExitStack() as stack:
        predictor: Predictor | None = None
        for _ in range(40):
            is_typed = rng.random() < 0.5
            text = text + FILE[: rng.randrange(1, 9)] if is_typed else text[: -rng.randrange(1, 30)]
            text += rng.choice([b"", b"x", b"\n", b" = 3;\n"])
            encoded = completer.encode_prompt(Prompt(prefix=text, suffix=b"\n}\n", path="a.c"), 12)
            if isinstance(predictor, MemoryPredictor) and predictor.move_to(encoded):
                num_moved += not is_typed
            else:
                stack.close()
                predictor = stack.enter_context(completer.predictor(encoded, is_editable=True))
            predictor.restart()
            found.append((encoded, predictor.log_probabilities(predictor.token_prefix, False)))
    assert num_moved >= 6
    for encoded, log_probabilities in found:
        with completer.predictor(encoded) as predictor:
            predictor.restart()
            expected = predictor.log_probabilities(predictor.token_prefix, False)
            if has_network:
                np.testing.assert_allclose(log_probabilities, expected, rtol=1e-3, atol=1e-4)
            else:
                assert np.array_equal(log_probabilities, expected)
