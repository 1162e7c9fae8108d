import numpy as np
import pytest

from cllm.memory.mixer.trie import Trie, build_trie
from cllm.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train([b"int main(void) { return main(); }\n" * 20, b"intern\n" * 20], 330)


@pytest.fixture(scope="module")
def trie(tokenizer: Tokenizer) -> Trie:
    return build_trie(tokenizer)


def test_each_token_has_a_node_and_the_id_at_its_range_start(tokenizer: Tokenizer, trie: Trie) -> None:
    for place, number in enumerate(trie.ids.tolist()):
        node = 0
        for byte in tokenizer.token_bytes(number):
            node = int(trie.children[node, byte])
            assert node > 0
        assert trie.is_token[node]
        assert trie.range_starts[node, 0] - 1 == place


def test_the_ranges_of_a_node_hold_the_tokens_that_continue_with_each_byte(tokenizer: Tokenizer, trie: Trie) -> None:
    tokens = [tokenizer.token_bytes(number) for number in trie.ids.tolist()]
    assert tokens == sorted(tokens)
    prefixes = {token[:length] for token in tokens for length in range(len(token) + 1)}
    for prefix in prefixes:
        node = 0
        for byte in prefix:
            node = int(trie.children[node, byte])
        for byte in range(256):
            found = tokens[trie.range_starts[node, byte] : trie.range_starts[node, byte + 1]]
            assert found == [token for token in tokens if token.startswith(prefix + bytes([byte]))]


def test_special_tokens_are_not_in_the_trie(tokenizer: Tokenizer, trie: Trie) -> None:
    assert not set(tokenizer.special.values()) & set(trie.ids.tolist())
    assert len(trie.ids) == tokenizer.vocab_size - len(tokenizer.special)
    assert np.array_equal(np.sort(trie.range_starts[0]), trie.range_starts[0]) and trie.range_starts[0, 256] == len(
        trie.ids
    )
