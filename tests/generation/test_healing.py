"""Token healing: completion with the cursor inside a word."""

import re

import numpy as np
import pytest
from sample_text import TEXT, TOKENIZER

from cllm.generation import Completer, Prompt, SamplingParams
from cllm.generation.predict.healing import PrefixProbabilities, heal
from cllm.memory.continuation import Continuation
from cllm.memory.memory import Memory


def test_word_cut_at_any_byte_is_completed_as_in_the_training_text(memory_completer: Completer) -> None:
    line = TEXT.splitlines(keepends=True)[7].encode()
    for length in range(len(b"int m"), len(b"int main_2(void)")):
        (completion,) = memory_completer.complete(Prompt(prefix=line[:length]), SamplingParams(max_tokens=4))
        completed = line[:length].decode() + completion.text
        assert re.match(r"int main_\d\(void\)", completed + "(void)"[len(completed) - len("int main_2") :]), completed


@pytest.mark.parametrize("token_prefix", [b"m", b" main", b" return", b"// gr\xc3\xb6", b"\n", b"    "])
def test_prefix_probability_equals_the_sum_over_tokens(memory: Memory, token_prefix: bytes) -> None:
    before = TOKENIZER.encode(b"int main_2(void) {")
    with memory.rollback_on_exit(100):
        text = Continuation(memory, before)
        probabilities = text.probabilities(end_probability=0.0)[:-1].copy()
        covering, inside = text.prefix_probability(token_prefix)
    tokens = [TOKENIZER.token_bytes(int(id_)) for id_ in memory.trie.ids]
    assert covering == pytest.approx(
        sum(probabilities[i] for i, token in enumerate(tokens) if token.startswith(token_prefix)), 1e-4
    )
    expected = {
        int(memory.trie.ids[i]): probabilities[i]
        for i, token in enumerate(tokens)
        if token_prefix.startswith(token) and token != token_prefix
    }
    assert dict(inside) == pytest.approx(expected, rel=1e-4, abs=1e-12)


def test_most_probable_split_is_chosen() -> None:
    probabilities = {
        (): {b"a": 0.5, b"ab": 0.2, b"abc": 0.05},
        (b"a",): {b"bc": 0.3, b"b": 0.1},
        (b"ab",): {b"cd": 0.9},
    }

    def probabilities_after(tokens: list[int], rest: bytes) -> PrefixProbabilities:
        after = probabilities.get(tuple(TOKENIZER.token_bytes(token) for token in tokens), {})
        inside = [(TOKENIZER.id_of(t), p) for t, p in after.items() if rest.startswith(t) and t != rest]
        return PrefixProbabilities(
            sum(p for t, p in after.items() if t.startswith(rest)), [(t, p) for t, p in inside if t is not None]
        )

    # Only a, b and c are tokens here, so only these can occur in a split.
    assert heal(b"", probabilities_after, TOKENIZER) == []
    assert [TOKENIZER.token_bytes(token) for token in heal(b"abc", probabilities_after, TOKENIZER)] == [b"a"]


def test_bytes_without_a_possible_split_are_encoded() -> None:
    token_prefix = np.random.default_rng(0).integers(128, 256, 40).astype(np.uint8).tobytes()
    assert (
        heal(token_prefix, lambda _, __: PrefixProbabilities(0.0, []), TOKENIZER) == TOKENIZER.encode(token_prefix)[:-1]
    )


@pytest.mark.parametrize("token_prefix", [b" " * 48, b"=" * 60, bytes(range(128, 168)), b"x" * 200])
def test_long_and_unusual_token_prefixes_are_completed(completer: Completer, token_prefix: bytes) -> None:
    (completion,) = completer.complete(Prompt(prefix=b"int a;\n" + token_prefix), SamplingParams(max_tokens=3))
    assert completion.finish_reason
