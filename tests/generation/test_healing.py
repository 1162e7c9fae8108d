"""A cursor inside a word."""

import re

import numpy as np
import pytest
from written import TEXT, TOKENIZER

from cllm.generation import Prompt, SamplingParams, Writer
from cllm.generation.healing import Split, heal
from cllm.memory.continuation import Continuation
from cllm.memory.memory import Memory


def test_wherever_a_word_is_cut_the_memory_goes_on_as_it_was_written(memory_writer: Writer) -> None:
    line = TEXT.splitlines(keepends=True)[7].encode()
    for cut in range(len(b"int m"), len(b"int main_2(void)")):
        (completion,) = memory_writer.complete(Prompt(prefix=line[:cut]), SamplingParams(max_tokens=4))
        whole = line[:cut].decode() + completion.text
        assert re.match(r"int main_\d\(void\)", whole + "(void)"[len(whole) - len("int main_2") :]), whole


@pytest.mark.parametrize("typed", [b"m", b" main", b" return", b"// gr\xc3\xb6", b"\n", b"    "])
def test_chances_of_beginnings_are_those_of_the_tokens(memory: Memory, typed: bytes) -> None:
    before = TOKENIZER.encode(b"int main_2(void) {")
    with memory.forgetting(100):
        text = Continuation(memory, before)
        chances = text.chances(end_chance=0.0)[:-1].copy()
        begins, whole = text.split(typed)
    tokens = [TOKENIZER.token_bytes(int(id_)) for id_ in memory.trie.ids]
    assert begins == pytest.approx(sum(chances[i] for i, token in enumerate(tokens) if token.startswith(typed)), 1e-4)
    expected = {
        int(memory.trie.ids[i]): chances[i]
        for i, token in enumerate(tokens)
        if typed.startswith(token) and token != typed
    }
    assert dict(whole) == pytest.approx(expected, rel=1e-4, abs=1e-12)


def test_the_likeliest_way_is_taken() -> None:
    chances = {(): {b"a": 0.5, b"ab": 0.2, b"abc": 0.05}, (b"a",): {b"bc": 0.3, b"b": 0.1}, (b"ab",): {b"cd": 0.9}}

    def split_after(tokens: list[int], rest: bytes) -> Split:
        after = chances.get(tuple(TOKENIZER.token_bytes(token) for token in tokens), {})
        whole = [(TOKENIZER.id_of(t), p) for t, p in after.items() if rest.startswith(t) and t != rest]
        return Split(
            sum(p for t, p in after.items() if t.startswith(rest)), [(t, p) for t, p in whole if t is not None]
        )

    # a, b and c alone are tokens here, so that is all that the ways are made of.
    assert heal(b"", split_after, TOKENIZER) == []
    assert [TOKENIZER.token_bytes(token) for token in heal(b"abc", split_after, TOKENIZER)] == [b"a"]


def test_bytes_that_no_way_leads_through_are_encoded() -> None:
    typed = np.random.default_rng(0).integers(128, 256, 40).astype(np.uint8).tobytes()
    assert heal(typed, lambda _, __: Split(0.0, []), TOKENIZER) == TOKENIZER.encode(typed)[:-1]


@pytest.mark.parametrize("typed", [b" " * 48, b"=" * 60, bytes(range(128, 168)), b"x" * 200])
def test_long_and_odd_pieces_are_gone_on_with(writer: Writer, typed: bytes) -> None:
    (completion,) = writer.complete(Prompt(prefix=b"int a;\n" + typed), SamplingParams(max_tokens=3))
    assert completion.finish_reason
