"""The next-token search against its reference implementation, and the tokens accepted after a prompt."""

import numpy as np
import pytest
from reference_search import reference_probabilities
from sample_memory import NEW, random_network

from cllm.memory.continuation import Continuation
from cllm.memory.memory import Memory
from cllm.memory.mixer.trie import NO_DISTRIBUTIONS, TokenDistributions

# The same source, compiled as a part of two kernels, may sum in two orders; it depends on what was compiled before in
# the same process. Sums are looked up in tables, so a last bit can be the next entry: one of twelve mixers by 0.6%. In
# three orders of compiling the probabilities were bit-identical or 0.0006 apart.
KERNEL_RTOL = 2e-3


def of_next(network_probs: TokenDistributions) -> TokenDistributions:
    return TokenDistributions(network_probs.cumulative[-1:], network_probs.confidence[-1:])


def all_but_next(network_probs: TokenDistributions) -> list[TokenDistributions]:
    return [TokenDistributions(network_probs.cumulative[:-1], network_probs.confidence[:-1])]


@pytest.mark.parametrize("prefix", [b"", b"int field_3(str", b"int field_3(struct node *node) {\n  re", b"\xc3\xa9 zz"])
@pytest.mark.parametrize("seed", [None, 1])
def test_the_search_equals_the_reference_implementation(memory: Memory, prefix: bytes, seed: int | None) -> None:
    ids = memory.tokenizer.encode(prefix)
    network_probs = NO_DISTRIBUTIONS if seed is None else random_network(memory, seed, len(ids) + 1)
    expected = reference_probabilities(memory, prefix, network_probs)
    with memory.rollback_on_exit(len(prefix)):
        text = Continuation(memory, ids, all_but_next(network_probs) if seed else ())
        found = text.probabilities(of_next(network_probs) if seed else NO_DISTRIBUTIONS).copy()
        np.testing.assert_allclose(found, expected, rtol=KERNEL_RTOL)
        assert found.sum() == pytest.approx(1, abs=1e-6)
        best = text.probabilities(of_next(network_probs) if seed else NO_DISTRIBUTIONS, only_best=True).copy()
        assert best.argmax() == expected.argmax() and best.max() == pytest.approx(found.max(), rel=1e-5)
        some = text.probabilities(of_next(network_probs) if seed else NO_DISTRIBUTIONS, min_probability=0.01).copy()
        np.testing.assert_array_equal(some, np.where(found >= 0.01, found, 0))


def test_forced_bytes_give_conditional_probabilities(memory: Memory) -> None:
    ids = memory.tokenizer.encode(b"int fie")
    tokens = [memory.tokenizer.token_bytes(token) for token in memory.trie.ids.tolist()]
    for forced in (b"l", b"re", b" "):
        fits = np.array([token.startswith(forced) for token in tokens] + [False])
        with memory.rollback_on_exit(100):
            text = Continuation(memory, ids)
            free, bound = text.probabilities().copy(), text.probabilities(forced=forced).copy()
        np.testing.assert_allclose(bound, np.where(fits, free, 0) / free[fits].sum(), rtol=1e-5)


def test_a_given_end_probability_is_used(memory: Memory) -> None:
    with memory.rollback_on_exit(100):
        text = Continuation(memory, memory.tokenizer.encode(b"int fie"))
        free, given = text.probabilities().copy(), text.probabilities(end_probability=0.25).copy()
    assert given[-1] == 0.25
    np.testing.assert_allclose(given[:-1], free[:-1] / free[:-1].sum() * 0.75, rtol=1e-5)


def test_accept_advances_the_text_state_as_the_coder_does(memory: Memory) -> None:
    ids = memory.tokenizer.encode(NEW)
    with memory.rollback_on_exit(200):
        text = Continuation(memory, ids[:3])
        first = text.probabilities().copy()
        for token in ids[3:]:
            text.accept(token)
        passed = text.text_state
        text.restart()
        np.testing.assert_array_equal(text.probabilities(), first)
        begin = memory.append_tokens(ids[3:])
        memory.run_coder(text.text_state, begin, memory.size, NO_DISTRIBUTIONS, is_learning=False)
        for one, other in zip(passed, text.text_state, strict=True):
            np.testing.assert_array_equal(one, other)


def test_the_first_tokens_of_a_prompt_may_have_no_network_distributions(memory: Memory) -> None:
    ids = memory.tokenizer.encode(NEW)
    network_probs = random_network(memory, 5, len(ids) - 4)
    with memory.rollback_on_exit(100):
        probabilities = Continuation(memory, ids, [network_probs], num_without_network=4).probabilities()
        assert probabilities.sum() == pytest.approx(1, abs=1e-6)


def test_greedy_decoding_continues_as_the_trained_documents(memory: Memory) -> None:
    with memory.rollback_on_exit(200):
        text = Continuation(memory, memory.tokenizer.encode(b"int field_77(struct node *node) {\n  return"))
        written = b""
        for _ in range(12):
            best = int(text.probabilities(only_best=True).argmax())
            token = int(memory.trie.ids[best])
            written += memory.tokenizer.token_bytes(token)
            text.accept(token)
    assert written.startswith(b" node->field_")


def test_the_cost_of_a_text_is_that_of_its_tokens_and_leaves_the_position(memory: Memory) -> None:
    before, after = b"int field_77(struct node *node) {\n", b"  return node->field_7"
    ids = memory.tokenizer.encode(after)
    with memory.rollback_on_exit(200):
        text = Continuation(memory, memory.tokenizer.encode(before))
        expected = 0.0
        for token in ids:
            expected -= np.log2(text.probabilities()[memory.trie.ids.tolist().index(token)])
            text.accept(token)
        passed = text.probabilities().copy()
        (cost,) = text.costs([after])
        np.testing.assert_array_equal(text.probabilities(), passed)
        # The last token's end is priced, too, which the next token's distribution holds.
        assert expected <= cost <= expected + 12
        assert text.costs([b""]) == [0.0] and text.costs([after]) == [cost]
        right, wrong = (text.costs([word, b" node->field_7;\n}\n"]) for word in (b"  return", b"  rnturn"))
        assert sum(right) < sum(wrong) and right[0] < wrong[0]
        assert text.costs([b"  return"]) == [pytest.approx(right[0])]
