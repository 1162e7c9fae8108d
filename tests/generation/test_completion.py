import pytest
import torch

from cllm.generation import Prompt, SamplingParams, complete
from cllm.generation.completion import heal, prompt_ids, stream
from cllm.generation.decode import decode
from cllm.model.config import TransformerConfig
from cllm.model.transformer import Transformer, initialise
from cllm.tokenizer import Tokenizer

TEXT = "int main(void) { return 0; }  // größer\n" * 30
TOKENIZER = Tokenizer.learn([TEXT.encode()], 320)
SPECIAL = TOKENIZER.special


@pytest.fixture(scope="module")
def model() -> Transformer:
    config = TransformerConfig(
        vocab_size=TOKENIZER.vocab_size,
        n_layer=2,
        n_head=2,
        n_kv_head=1,
        n_embd=32,
        head_dim=16,
        n_inner=48,
        context_length=64,
    )
    network = Transformer(config)
    initialise(network, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.3)
    return network.requires_grad_(False)


def greedy_without_cache(model: Transformer, prompt: list[int], count: int, banned: list[int]) -> list[int]:
    ids = list(prompt)
    for _ in range(count):
        logits = model.logits(torch.tensor([ids]))[0, -1]
        logits[banned] = float("-inf")
        ids.append(int(logits.argmax()))
    return ids[len(prompt) :]


def test_cached_decoding_equals_uncached_token_by_token(model: Transformer) -> None:
    prompt = TOKENIZER.encode(b"int main(")
    params = SamplingParams(max_tokens=40)
    decoded = [tokens[0] for tokens in decode(model, prompt, params, 1, [0, 1])]
    assert decoded == greedy_without_cache(model, prompt, 40, [0, 1])


def test_same_seed_same_text(model: Transformer) -> None:
    params = SamplingParams(max_tokens=30, temperature=1.0, seed=7)
    one, two = (complete(model, TOKENIZER, Prompt(prefix=b"int"), params, 3) for _ in range(2))
    assert [c.text for c in one] == [c.text for c in two]
    assert len({c.text for c in one}) == 3
    other = complete(model, TOKENIZER, Prompt(prefix=b"int"), SamplingParams(max_tokens=30, temperature=1.0, seed=8))
    assert other[0].text == one[1].text  # sample i of seed s is sample 0 of seed s + i


def test_a_text_may_be_longer_than_the_context(model: Transformer) -> None:
    params = SamplingParams(max_tokens=300, temperature=1.0)
    (completion,) = complete(model, TOKENIZER, Prompt(prefix=TEXT.encode()), params)
    assert completion.finish_reason in ("stop", "length")
    assert completion.finish_reason == "stop" or len(completion.tokens) == 300


def test_special_tokens_never_come_out(model: Transformer) -> None:
    params = SamplingParams(max_tokens=200, temperature=3.0)
    for completion in complete(model, TOKENIZER, Prompt(prefix=b"x"), params, 8):
        assert not set(completion.tokens) & set(SPECIAL.values())


def test_a_stop_string_ends_the_text_before_it(model: Transformer) -> None:
    params = SamplingParams(max_tokens=100, temperature=1.0, seed=3)
    (whole,) = complete(model, TOKENIZER, Prompt(prefix=b"int"), params)
    stop = whole.text[10:12]
    stopped_params = SamplingParams(max_tokens=100, temperature=1.0, seed=3, stop=(stop,))
    (stopped,) = complete(model, TOKENIZER, Prompt(prefix=b"int"), stopped_params)
    assert stopped.text == whole.text[: whole.text.index(stop)]
    assert stopped.finish_reason == "stop"


def test_zero_tokens_is_an_empty_text(model: Transformer) -> None:
    (completion,) = complete(model, TOKENIZER, Prompt(prefix=b"int"), SamplingParams(max_tokens=0))
    assert (completion.text, completion.finish_reason) == ("", "length")


@pytest.mark.parametrize("prefix", [b"", b" ", b"\xff\xfe", "gr\u00f6".encode()[:3]])
def test_odd_prompts_are_completed(model: Transformer, prefix: bytes) -> None:
    assert complete(model, TOKENIZER, Prompt(prefix=prefix), SamplingParams(max_tokens=5))[0].finish_reason


def test_the_stream_only_grows_and_holds_no_half_character(model: Transformer) -> None:
    params = SamplingParams(max_tokens=60, temperature=1.5, seed=1)
    before = ""
    for completions in stream(model, TOKENIZER, Prompt(prefix=b"// "), params):
        assert completions[0].text.startswith(before)
        before = completions[0].text


def test_the_prompt_for_the_middle_is_laid_out_as_it_was_learned() -> None:
    ids = prompt_ids(Prompt(prefix=b"int ", suffix=b"}\n", path="a.c"), TOKENIZER, 64, 8)
    header = [SPECIAL["<|file_sep|>"], *TOKENIZER.encode(b"a.c\n")]
    before = [SPECIAL["<|fim_prefix|>"], *TOKENIZER.encode(b"int ")]
    after = [SPECIAL["<|fim_suffix|>"], *TOKENIZER.encode(b"}\n")]
    assert ids == [*header, *before, *after, SPECIAL["<|fim_middle|>"]]


def test_a_long_prompt_keeps_what_is_next_to_the_cursor() -> None:
    before, after = TEXT.encode() + b"here", b"there" + TEXT.encode()
    ids = prompt_ids(Prompt(prefix=before, suffix=after), TOKENIZER, 64, 16)
    assert len(ids) <= 64 - 16
    place = ids.index(SPECIAL["<|fim_suffix|>"])
    assert TOKENIZER.decode(ids[:place]).endswith(b"here")
    assert TOKENIZER.decode(ids[place:]).startswith(b"there")
    plain = prompt_ids(Prompt(prefix=before), TOKENIZER, 64, 16)
    assert len(plain) <= 48 and TOKENIZER.decode(plain).endswith(b"here")


def test_a_token_that_was_cut_is_healed(model: Transformer) -> None:
    for cut in (b"int", b"int ", b"int mai"):
        ids = prompt_ids(Prompt(prefix=cut), TOKENIZER, 64, 8)
        shortened, typed, first = heal(ids, TOKENIZER)
        assert TOKENIZER.decode(shortened) + typed == b"\n\n" + cut
        assert first is not None and ids[-1] in first
        assert all(TOKENIZER.token_bytes(token).startswith(typed) for token in first)
        (completion,) = complete(model, TOKENIZER, Prompt(prefix=cut), SamplingParams(max_tokens=3))
        assert completion.tokens[0] in first
        expected = TOKENIZER.decode(completion.tokens)[len(typed) :].decode("utf-8", "replace")
        assert completion.text == expected
    space = heal(TOKENIZER.encode(b"int "), TOKENIZER)[2]
    assert space is not None and TOKENIZER.encode(b" main")[0] in space
