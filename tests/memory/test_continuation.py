"""The search through the trie against its slow twin, and texts that go on."""

import numpy as np
import pytest
from remembered import NEW, random_network

from cllm.memory.continuation import Continuation
from cllm.memory.memory import NOTHING, Memory, NetworkSays

# The same source, compiled as a part of two kernels, may sum in two orders; it depends on what was compiled before in
# the same process. Sums are looked up in tables, so a last bit can be the next entry: one of twelve mixers by 0.6%. In
# three orders of compiling the chances were the same bits or 0.0006 apart.
OTHER_KERNEL = 2e-3


def of_next(says: NetworkSays) -> NetworkSays:
    return NetworkSays(says.cumulative[-1:], says.certainty[-1:])


def but_next(says: NetworkSays) -> list[NetworkSays]:
    return [NetworkSays(says.cumulative[:-1], says.certainty[:-1])]


@pytest.mark.parametrize("prefix", [b"", b"int field_3(str", b"int field_3(struct node *node) {\n  re", b"\xc3\xa9 zz"])
@pytest.mark.parametrize("seed", [None, 1])
def test_the_search_finds_every_chance(memory: Memory, prefix: bytes, seed: int | None) -> None:
    ids = memory.tokenizer.encode(prefix)
    says = NOTHING if seed is None else random_network(memory, seed, len(ids) + 1)
    expected = memory.chances(prefix, says)
    with memory.forgetting(len(prefix)):
        text = Continuation(memory, ids, but_next(says) if seed else ())
        found = text.chances(of_next(says) if seed else NOTHING).copy()
        np.testing.assert_allclose(found, expected, rtol=OTHER_KERNEL)
        assert found.sum() == pytest.approx(1, abs=1e-6)
        best = text.chances(of_next(says) if seed else NOTHING, only_best=True).copy()
        assert best.argmax() == expected.argmax() and best.max() == pytest.approx(found.max(), rel=1e-5)
        some = text.chances(of_next(says) if seed else NOTHING, least=0.01).copy()
        np.testing.assert_array_equal(some, np.where(found >= 0.01, found, 0))


def test_forced_bytes_give_the_conditional_chances(memory: Memory) -> None:
    ids = memory.tokenizer.encode(b"int fie")
    tokens = [memory.tokenizer.token_bytes(token) for token in memory.trie.ids.tolist()]
    for forced in (b"l", b"re", b" "):
        fits = np.array([token.startswith(forced) for token in tokens] + [False])
        with memory.forgetting(100):
            text = Continuation(memory, ids)
            free, bound = text.chances().copy(), text.chances(forced=forced).copy()
        np.testing.assert_allclose(bound, np.where(fits, free, 0) / free[fits].sum(), rtol=1e-5)


def test_a_given_chance_of_the_end_is_taken(memory: Memory) -> None:
    with memory.forgetting(100):
        text = Continuation(memory, memory.tokenizer.encode(b"int fie"))
        free, given = text.chances().copy(), text.chances(end_chance=0.25).copy()
    assert given[-1] == 0.25
    np.testing.assert_allclose(given[:-1], free[:-1] / free[:-1].sum() * 0.75, rtol=1e-5)


def test_passing_tokens_moves_the_cursor_as_reading_them_does(memory: Memory) -> None:
    ids = memory.tokenizer.encode(NEW)
    with memory.forgetting(200):
        text = Continuation(memory, ids[:3])
        first = text.chances().copy()
        for token in ids[3:]:
            text.accept(token)
        passed = text.cursor
        text.restart()
        np.testing.assert_array_equal(text.chances(), first)
        begin = memory.lay(ids[3:])
        memory.walk(text.cursor, begin, memory.size, NOTHING, learning=False)
        for one, other in zip(passed, text.cursor, strict=True):
            np.testing.assert_array_equal(one, other)


def test_the_network_may_be_silent_at_first(memory: Memory) -> None:
    ids = memory.tokenizer.encode(NEW)
    says = random_network(memory, 5, len(ids) - 4)
    with memory.forgetting(100):
        chances = Continuation(memory, ids, [says], silent=4).chances()
        assert chances.sum() == pytest.approx(1, abs=1e-6)


def test_the_likeliest_tokens_go_on_as_the_repository_does(memory: Memory) -> None:
    with memory.forgetting(200):
        text = Continuation(memory, memory.tokenizer.encode(b"int field_77(struct node *node) {\n  return"))
        written = b""
        for _ in range(12):
            best = int(text.chances(only_best=True).argmax())
            token = int(memory.trie.ids[best])
            written += memory.tokenizer.token_bytes(token)
            text.accept(token)
    assert written.startswith(b" node->field_")
