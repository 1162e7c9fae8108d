"""Completion of prompts: encoding, caching, seeds, stop strings, streaming and healing."""

import numpy as np
import pytest
from sample_text import TEXT, TOKENIZER, prefilled

from cllm.generation import Completer, Prompt, SamplingParams
from cllm.generation.completion import stream
from cllm.generation.guide.decode_state import DecodeState
from cllm.generation.predict.network import Network
from cllm.generation.predict.prompt import EncodedPrompt, encode_prompt
from cllm.generation.predict.prompt_text import whole_characters
from cllm.generation.predict.sequence import NetworkSequence
from cllm.memory.memory import Memory

SPECIAL = TOKENIZER.special


def test_decoding_equals_prefill(network: Network) -> None:
    prompt = TOKENIZER.encode(b"int main(")
    text, decoded = prefilled(network, prompt), list[int]()
    for _ in range(40):
        decoded.append(int(text.logits.argmax()))
        text.accept(decoded[-1])
        np.testing.assert_allclose(text.logits, prefilled(network, prompt + decoded).logits, rtol=1e-3, atol=1e-3)
    text.restart()
    assert int(text.logits.argmax()) == decoded[0]


def test_prefill_yields_the_logits_of_the_prompt(network: Network) -> None:
    prompt = TOKENIZER.encode(b"int main_3(void) { return")
    sequence = NetworkSequence(network)
    logits = np.concatenate([*sequence.prefill(prompt[:7], 6), *sequence.prefill(prompt[7:], len(prompt) - 7)])
    expected = [prefilled(network, prompt[:end]).logits for end in range(1, len(prompt))]
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-3)
    assert list(NetworkSequence(network).prefill(prompt, 0)) == []


def test_same_seed_gives_the_same_text(completer: Completer) -> None:
    params = SamplingParams(max_tokens=30, temperature=1.5, seed=7)
    one, two = (completer.complete(Prompt(prefix=b"int"), params, 3) for _ in range(2))
    assert [c.text for c in one] == [c.text for c in two]
    assert len({c.text for c in one}) == 3
    other = completer.complete(Prompt(prefix=b"int"), SamplingParams(max_tokens=30, temperature=1.5, seed=8))
    assert other[0].text == one[1].text  # sample i of seed s is sample 0 of seed s + i


def test_text_may_exceed_the_context_length(completer: Completer) -> None:
    params = SamplingParams(max_tokens=300, temperature=1.0)
    (completion,) = completer.complete(Prompt(prefix=TEXT.encode()), params)
    assert completion.finish_reason in ("stop", "length")
    assert completion.finish_reason == "stop" or len(completion.tokens) == 300


def test_special_tokens_are_never_generated(completer: Completer) -> None:
    params = SamplingParams(max_tokens=100, temperature=3.0)
    for completion in completer.complete(Prompt(prefix=b"x"), params, 4):
        assert not set(completion.tokens) & set(SPECIAL.values())


def test_text_ends_before_a_stop_string(completer: Completer) -> None:
    params = SamplingParams(max_tokens=100, temperature=1.0, seed=3)
    (full,) = completer.complete(Prompt(prefix=b"int"), params)
    # Without replacement characters, which stand for invalid bytes; one at the end can be an incomplete character.
    stop = next(full.text[i : i + 2] for i in range(10, 80) if full.text[i - 1 : i + 2].isascii())
    stopped_params = SamplingParams(max_tokens=100, temperature=1.0, seed=3, stop=(stop,))
    (stopped,) = completer.complete(Prompt(prefix=b"int"), stopped_params)
    assert stopped.text == full.text[: full.text.index(stop)]
    assert stopped.finish_reason == "stop"


def test_zero_tokens_give_an_empty_text(completer: Completer) -> None:
    (completion,) = completer.complete(Prompt(prefix=b"int"), SamplingParams(max_tokens=0))
    assert (completion.text, completion.finish_reason) == ("", "length")


@pytest.mark.parametrize("prefix", [b"", b" ", b"\xff\xfe", "gr\u00f6".encode()[:3]])
@pytest.mark.parametrize("suffix", [b"", b"}\n"])
@pytest.mark.parametrize("path", [None, "a.c"])
def test_unusual_prompts_are_completed(completer: Completer, prefix: bytes, suffix: bytes, path: str | None) -> None:
    prompt = Prompt(prefix=prefix, suffix=suffix, path=path)
    assert completer.complete(prompt, SamplingParams(max_tokens=5))[0].finish_reason


def test_streamed_text_only_grows(completer: Completer) -> None:
    params = SamplingParams(max_tokens=60, temperature=1.5, seed=1)
    encoded = completer.encode_prompt(Prompt(prefix=b"// "), 60)
    before = ""
    with completer.predictor(encoded) as predictor:
        for completion in stream(DecodeState(predictor, TOKENIZER, params)):
            assert completion.text.startswith(before)
            before = completion.text


def test_prompt_with_a_suffix_is_encoded_as_spm() -> None:
    encoded = encode_prompt(Prompt(prefix=b"int ma", suffix=b"}\n", path="a.c"), TOKENIZER, 64, 8)
    header = [SPECIAL["<|file_sep|>"], *TOKENIZER.encode(b"a.c\n")]
    after = [SPECIAL["<|fim_prefix|>"], SPECIAL["<|fim_suffix|>"], *TOKENIZER.encode(b"}\n"), SPECIAL["<|fim_middle|>"]]
    assert encoded.network_ids == [*header, *after, *TOKENIZER.encode(b"int")]
    assert (encoded.prefix_ids, encoded.suffix_ids) == (TOKENIZER.encode(b"int"), TOKENIZER.encode(b"}\n"))
    assert encoded.token_prefix == b" ma" and TOKENIZER.decode(encoded.prefix_ids) + encoded.token_prefix == b"int ma"
    assert encoded.num_predicted == len(encoded.prefix_ids)


def test_long_prompt_keeps_the_text_next_to_the_cursor() -> None:
    before, after = TEXT.encode() + b"here", b"there" + TEXT.encode()
    for suffix in (after, b""):
        encoded = encode_prompt(Prompt(prefix=before, suffix=suffix), TOKENIZER, 64, 16)
        assert len(encoded.network_ids) <= 64 - 16
        assert (TOKENIZER.decode(encoded.network_ids) + encoded.token_prefix).endswith(b"here")
        assert (
            encoded.network_ids[len(encoded.network_ids) - encoded.num_predicted :]
            == encoded.prefix_ids[len(encoded.prefix_ids) - encoded.num_predicted :]
        )
        assert TOKENIZER.decode(encoded.prefix_ids) + encoded.token_prefix == (b"" if suffix else b"\n\n") + before
    assert encoded.num_predicted == len(encoded.network_ids) - 1


@pytest.mark.parametrize("prefix", [b"int", b"int ", b"int mai"])
def test_cut_token_is_healed(completer: Completer, prefix: bytes) -> None:
    encoded = completer.encode_prompt(Prompt(prefix=prefix), 8)
    assert TOKENIZER.decode(encoded.prefix_ids) + encoded.token_prefix == b"\n\n" + prefix
    (completion,) = completer.complete(Prompt(prefix=prefix), SamplingParams(max_tokens=3))
    with completer.predictor(encoded) as predictor:
        token_prefix = predictor.token_prefix
    assert encoded.token_prefix.endswith(token_prefix) and TOKENIZER.token_bytes(completion.tokens[0]).startswith(
        token_prefix
    )
    expected = TOKENIZER.decode(completion.tokens)[len(token_prefix) :]
    assert completion.text == whole_characters(expected)


def encoded_prompt(prefix: bytes) -> EncodedPrompt:
    return encode_prompt(Prompt(prefix=prefix), TOKENIZER, 64, 8)


def test_only_best_has_the_argmax_of_all_tokens(completer: Completer) -> None:
    for prefix in (b"int main_", b"int main_2(void) {", b"// gr"):
        encoded = encoded_prompt(prefix)
        with completer.predictor(encoded) as predictor:
            for token_prefix in (encoded.token_prefix, b""):
                full = predictor.log_probabilities(token_prefix, False)
                best = predictor.log_probabilities(token_prefix, True)
                assert int(full.argmax()) == int(best.argmax())
                assert np.exp(full).sum() == pytest.approx(1, abs=5e-3)


def test_completion_leaves_the_memory_unchanged(memory: Memory, mixed_completer: Completer) -> None:
    before = [array.copy() for array in memory.state]
    size = memory.size
    mixed_completer.complete(Prompt(prefix=b"int other(", suffix=b"}\n"), SamplingParams(max_tokens=5))
    assert memory.size == size
    assert all((one == two).all() for one, two in zip(before, memory.state, strict=True))


def test_memory_continues_text_it_was_trained_on(memory_completer: Completer) -> None:
    lines = TEXT.splitlines(keepends=True)
    prompt = Prompt(prefix="".join([*lines[:3], lines[3][: lines[3].index("return")]]).encode())
    (completion,) = memory_completer.complete(prompt, SamplingParams(max_tokens=8))
    assert completion.text.startswith("return 3; }  // gr\u00f6\u00dfer\nint main_4"[: len(completion.text)])
