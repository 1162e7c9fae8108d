"""The vocabulary as a trie, which converts a distribution over tokens to one over decisions, bit by bit, and back.

Tokens are sorted by their bytes. A node is a prefix of tokens; those that begin with it are a range of the sorted
vocabulary: first the token that is the prefix itself, then those that continue with byte 0, 1, ..., 255. So the
probability of any range of next bytes is the difference of two cumulative sums.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cllm.tokenizer import Tokenizer


class Trie(NamedTuple):
    """A trie of N nodes over V tokens.

    `children` (N, 256): node after a byte, or -1. `range_starts` (N, 257): begin, in the sorted vocabulary, of the
    tokens that continue with this byte or a later one; the last is the node's range end. `is_token` (N,): whether the
    node is a token. `ids` (V,): token ids in sorted order, without special tokens.
    """

    children: npt.NDArray[np.int32]
    range_starts: npt.NDArray[np.int32]
    is_token: npt.NDArray[np.bool_]
    ids: npt.NDArray[np.int64]


def build_trie(tokenizer: Tokenizer) -> Trie:
    """Build the trie of all tokens except special ones."""
    special = set(tokenizer.special.values())
    pairs = sorted((tokenizer.token_bytes(i), i) for i in range(tokenizer.vocab_size) if i not in special)
    tokens = [token for token, _ in pairs]
    nodes: dict[bytes, int] = {b"": 0}
    begins, sizes, parents, bytes_ = [0], [0], [0], [0]  # of each node: its range, parent and byte
    for number, token in enumerate(tokens):
        sizes[0] += 1
        for length in range(1, len(token) + 1):
            prefix = token[:length]
            if prefix not in nodes:
                parents.append(nodes[prefix[:-1]])
                nodes[prefix] = len(nodes)
                begins.append(number)
                sizes.append(0)
                bytes_.append(prefix[-1])
            sizes[nodes[prefix]] += 1
    is_token = np.zeros(len(nodes), np.bool_)
    is_token[[nodes[token] for token in tokens]] = True
    reached = parents[1:], bytes_[1:]  # all but the root
    children = np.full((len(nodes), 256), -1, np.int32)
    children[reached] = np.arange(1, len(nodes))
    counts = np.zeros((len(nodes), 257), np.int32)
    counts[:, 0] = np.array(begins) + is_token
    counts[:, 1:][reached] = sizes[1:]
    range_starts = np.cumsum(counts, 1, dtype=np.int32)
    return Trie(children, range_starts, is_token, np.array([id_ for _, id_ in pairs], np.int64))
