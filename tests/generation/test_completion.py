import pytest
import torch
from written import TEXT, TOKENIZER, behind

from cllm.generation import Prompt, SamplingParams, Writer
from cllm.generation.completion import stream
from cllm.generation.network import NetworkText
from cllm.generation.prompt import Laid, lay_out
from cllm.generation.walk import Walk
from cllm.memory.memory import Memory
from cllm.model.transformer import Transformer

SPECIAL = TOKENIZER.special


def greedy_without_cache(model: Transformer, prompt: list[int], count: int) -> list[int]:
    ids = list(prompt)
    for _ in range(count):
        ids.append(int(model.logits(torch.tensor([ids]))[0, -1].argmax()))
    return ids[len(prompt) :]


def test_cached_decoding_equals_uncached_token_by_token(model: Transformer) -> None:
    prompt = TOKENIZER.encode(b"int main(")
    text, decoded = behind(model, prompt), []
    for _ in range(40):
        decoded.append(int(text.logits.argmax()))
        text.accept(decoded[-1])
    assert decoded == greedy_without_cache(model, prompt, 40)
    text.restart()
    assert int(text.logits.argmax()) == decoded[0]


def test_what_the_network_said_of_its_prompt(model: Transformer) -> None:
    prompt = TOKENIZER.encode(b"int main_3(void) { return")
    network = NetworkText(model)
    said = torch.cat(list(network.read(prompt[:7], 6)) + list(network.read(prompt[7:], len(prompt) - 7)))
    torch.testing.assert_close(said, model.logits(torch.tensor([prompt]))[0, :-1])
    assert list(NetworkText(model).read(prompt, 0)) == []


def test_same_seed_same_text(writer: Writer) -> None:
    params = SamplingParams(max_tokens=30, temperature=1.5, seed=7)
    one, two = (writer.complete(Prompt(prefix=b"int"), params, 3) for _ in range(2))
    assert [c.text for c in one] == [c.text for c in two]
    assert len({c.text for c in one}) == 3
    other = writer.complete(Prompt(prefix=b"int"), SamplingParams(max_tokens=30, temperature=1.5, seed=8))
    assert other[0].text == one[1].text  # sample i of seed s is sample 0 of seed s + i


def test_a_text_may_be_longer_than_the_context(writer: Writer) -> None:
    params = SamplingParams(max_tokens=300, temperature=1.0)
    (completion,) = writer.complete(Prompt(prefix=TEXT.encode()), params)
    assert completion.finish_reason in ("stop", "length")
    assert completion.finish_reason == "stop" or len(completion.tokens) == 300


def test_special_tokens_never_come_out(writer: Writer) -> None:
    params = SamplingParams(max_tokens=100, temperature=3.0)
    for completion in writer.complete(Prompt(prefix=b"x"), params, 4):
        assert not set(completion.tokens) & set(SPECIAL.values())


def test_a_stop_string_ends_the_text_before_it(writer: Writer) -> None:
    params = SamplingParams(max_tokens=100, temperature=1.0, seed=3)
    (whole,) = writer.complete(Prompt(prefix=b"int"), params)
    stop = next(
        two for i in range(10, 80) if (two := whole.text[i : i + 2]).isascii()
    )  # bytes that are no character aside
    stopped_params = SamplingParams(max_tokens=100, temperature=1.0, seed=3, stop=(stop,))
    (stopped,) = writer.complete(Prompt(prefix=b"int"), stopped_params)
    assert stopped.text == whole.text[: whole.text.index(stop)]
    assert stopped.finish_reason == "stop"


def test_zero_tokens_is_an_empty_text(writer: Writer) -> None:
    (completion,) = writer.complete(Prompt(prefix=b"int"), SamplingParams(max_tokens=0))
    assert (completion.text, completion.finish_reason) == ("", "length")


@pytest.mark.parametrize("prefix", [b"", b" ", b"\xff\xfe", "gr\u00f6".encode()[:3]])
@pytest.mark.parametrize("suffix", [b"", b"}\n"])
@pytest.mark.parametrize("path", [None, "a.c"])
def test_odd_prompts_are_completed(writer: Writer, prefix: bytes, suffix: bytes, path: str | None) -> None:
    prompt = Prompt(prefix=prefix, suffix=suffix, path=path)
    assert writer.complete(prompt, SamplingParams(max_tokens=5))[0].finish_reason


def test_the_stream_only_grows_and_holds_no_half_character(writer: Writer) -> None:
    params = SamplingParams(max_tokens=60, temperature=1.5, seed=1)
    laid = writer.lay_out(Prompt(prefix=b"// "), 60)
    before = ""
    with writer.predictor(laid) as predictor:
        for completion in stream(Walk(predictor, TOKENIZER, params)):
            assert completion.text.startswith(before)
            before = completion.text


def test_the_prompt_for_the_middle_is_laid_out_as_it_was_learned() -> None:
    laid = lay_out(Prompt(prefix=b"int ma", suffix=b"}\n", path="a.c"), TOKENIZER, 64, 8)
    header = [SPECIAL["<|file_sep|>"], *TOKENIZER.encode(b"a.c\n")]
    after = [SPECIAL["<|fim_prefix|>"], SPECIAL["<|fim_suffix|>"], *TOKENIZER.encode(b"}\n"), SPECIAL["<|fim_middle|>"]]
    assert laid.network == [*header, *after, *TOKENIZER.encode(b"int")]
    assert (laid.before, laid.after) == (TOKENIZER.encode(b"int"), TOKENIZER.encode(b"}\n"))
    assert laid.typed == b" ma" and TOKENIZER.decode(laid.before) + laid.typed == b"int ma"
    assert laid.predicted == len(laid.before)


def test_a_long_prompt_keeps_what_is_next_to_the_cursor() -> None:
    before, after = TEXT.encode() + b"here", b"there" + TEXT.encode()
    for suffix in (after, b""):
        laid = lay_out(Prompt(prefix=before, suffix=suffix), TOKENIZER, 64, 16)
        assert len(laid.network) <= 64 - 16
        assert (TOKENIZER.decode(laid.network) + laid.typed).endswith(b"here")
        assert laid.network[len(laid.network) - laid.predicted :] == laid.before[len(laid.before) - laid.predicted :]
        assert TOKENIZER.decode(laid.before) + laid.typed == (b"" if suffix else b"\n\n") + before
    assert laid.predicted == len(laid.network) - 1


@pytest.mark.parametrize("cut", [b"int", b"int ", b"int mai"])
def test_a_token_that_was_cut_is_healed(writer: Writer, cut: bytes) -> None:
    laid = writer.lay_out(Prompt(prefix=cut), 8)
    assert TOKENIZER.decode(laid.before) + laid.typed == b"\n\n" + cut
    (completion,) = writer.complete(Prompt(prefix=cut), SamplingParams(max_tokens=3))
    with writer.predictor(laid) as predictor:
        typed = predictor.typed
    assert laid.typed.endswith(typed) and TOKENIZER.token_bytes(completion.tokens[0]).startswith(typed)
    expected = TOKENIZER.decode(completion.tokens)[len(typed) :].decode("utf-8", "replace")
    assert completion.text == expected


def laid_out(prefix: bytes) -> Laid:
    return lay_out(Prompt(prefix=prefix), TOKENIZER, 64, 8)


def test_the_best_token_is_the_best_of_all(writer: Writer) -> None:
    for prefix in (b"int main_", b"int main_2(void) {", b"// gr"):
        laid = laid_out(prefix)
        with writer.predictor(laid) as predictor:
            for typed in (laid.typed, b""):
                whole = predictor.log_probabilities(typed, False)
                best = predictor.log_probabilities(typed, True)
                assert int(whole.argmax()) == int(best.argmax())
                assert whole.exp().sum() == pytest.approx(1, abs=5e-3)


def test_a_prompt_leaves_no_trace_in_the_memory(memory: Memory, mixed_writer: Writer) -> None:
    before = [array.copy() for array in memory.learned]
    size = memory.size
    mixed_writer.complete(Prompt(prefix=b"int other(", suffix=b"}\n"), SamplingParams(max_tokens=5))
    assert memory.size == size
    assert all((one == two).all() for one, two in zip(before, memory.learned, strict=True))


def test_the_memory_goes_on_as_it_has_read(memory_writer: Writer) -> None:
    lines = TEXT.splitlines(keepends=True)
    prompt = Prompt(prefix="".join([*lines[:3], lines[3][: lines[3].index("return")]]).encode())
    (completion,) = memory_writer.complete(prompt, SamplingParams(max_tokens=8))
    assert completion.text.startswith("return 3; }  // gr\u00f6\u00dfer\nint main_4"[: len(completion.text)])
