"""The vocabulary as a trie, so that a distribution over tokens becomes one over decisions, bit by bit, and back.

Tokens are sorted by their bytes. A node is a prefix of tokens; those that begin with it are one stretch of the sorted
vocabulary, the token that is the prefix itself first, then those that go on with byte 0, 1, ..., 255. So the
probability of any range of next bytes is the difference of two cumulative sums.
"""

from bisect import bisect_left
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cllm.tokenizer import Tokenizer


class Trie(NamedTuple):
    """`children` (N, 256): node after a byte, or -1. `first` (N, 257): where in the sorted vocabulary the tokens begin
    that go on with this byte or a later one; the last, where the node's stretch ends. `ends` (N,): whether the node is
    a token. `ids` (V,): token ids in sorted order, special tokens left out.
    """

    children: npt.NDArray[np.int32]
    first: npt.NDArray[np.int32]
    ends: npt.NDArray[np.bool_]
    ids: npt.NDArray[np.int64]


def build_trie(tokenizer: Tokenizer) -> Trie:
    """The trie of all tokens that stand for text."""
    special = set(tokenizer.special.values())
    pairs = sorted((tokenizer.token_bytes(i), i) for i in range(tokenizer.vocab_size) if i not in special)
    tokens = [token for token, _ in pairs]
    nodes: dict[bytes, int] = {b"": 0}
    for token in tokens:
        for length in range(1, len(token) + 1):
            nodes.setdefault(token[:length], len(nodes))
    children = np.full((len(nodes), 256), -1, np.int32)
    first = np.zeros((len(nodes), 257), np.int32)
    ends = np.zeros(len(nodes), np.bool_)
    for prefix, node in nodes.items():
        begin = bisect_left(tokens, prefix)
        ends[node] = bool(prefix) and tokens[begin] == prefix
        if prefix:
            children[nodes[prefix[:-1]], prefix[-1]] = node
        first[node] = _firsts(tokens, prefix, begin + int(ends[node]))
    return Trie(children, first, ends, np.array([id_ for _, id_ in pairs], np.int64))


def _firsts(tokens: list[bytes], prefix: bytes, begin: int) -> list[int]:
    """Begin of each next byte's stretch among the tokens that are longer than `prefix`, and their end."""
    end = begin
    counts = [0] * 256
    while end < len(tokens) and tokens[end].startswith(prefix):
        counts[tokens[end][len(prefix)]] += 1
        end += 1
    return [begin + int(before) for before in np.concatenate([[0], np.cumsum(counts)])]
