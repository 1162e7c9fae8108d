"""The vocabulary as a trie, which converts a distribution over tokens to one over decisions, bit by bit, and back.

Tokens are sorted by their bytes. A node is a prefix of tokens; those that begin with it are a range of the sorted
vocabulary: first the token that is the prefix itself, then those that continue with byte 0, 1, ..., 255. So the
probability of any range of next bytes is the difference of two cumulative sums.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cllm.jit.compiled import Array, Number, inlined
from cllm.memory.mixer.decisions import TOKEN_BEGINS, Decision
from cllm.tokenizer import Tokenizer

MIN_NETWORK_PROBABILITY = np.float32(1e-7)
NO_NETWORK_P = np.float32(-1)


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


class TokenDistributions(NamedTuple):
    """A network's distributions of N consecutive tokens, over the V sorted tokens of the trie.

    `cumulative` (N, V + 1) fp32: cumulative sums of the probabilities. `confidence` (N,) uint8: the largest
    probability, in eighths. N is 0 without a network.
    """

    cumulative: Array
    confidence: Array


NO_DISTRIBUTIONS = TokenDistributions(np.zeros((0, 0), np.float32), np.zeros(0, np.uint8))


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


@inlined
def is_open(trie: Trie, node: Number, decision: Decision) -> bool:
    """Whether the vocabulary leaves a decision open at a node."""
    range_starts = trie.range_starts[node]
    if decision.index == TOKEN_BEGINS:
        return bool(trie.is_token[node] and range_starts[256] > range_starts[0])
    middle = range_starts[(decision.low + decision.high) >> 1]
    return bool(range_starts[decision.low] < middle < range_starts[decision.high])


@inlined
def implied_bit(trie: Trie, node: Number, decision: Decision) -> Number:
    """The bit that the vocabulary implies for a decision that is not open; at the root a token begins."""
    if decision.index == TOKEN_BEGINS:
        return 1 if node == 0 or trie.is_token[node] else 0
    range_starts = trie.range_starts[node]
    return 1 if range_starts[decision.high] > range_starts[(decision.low + decision.high) >> 1] else 0


@inlined
def network_p_one(
    network_probs: TokenDistributions, token: Number, trie: Trie, node: Number, decision: Decision
) -> Number:
    """The network's probability of a one of an open decision of the token in row `token` of its distributions.

    NO_NETWORK_P without a network. A node's own token is the first of its range of the sorted vocabulary.
    """
    cumulative = network_probs.cumulative
    if len(cumulative) == 0:
        return NO_NETWORK_P
    range_starts = trie.range_starts[node]
    if decision.index == TOKEN_BEGINS:
        after = cumulative[token, range_starts[0]]
        return _normalized_p_one(
            after - cumulative[token, range_starts[0] - 1], cumulative[token, range_starts[256]] - after
        )
    middle = cumulative[token, range_starts[(decision.low + decision.high) >> 1]]
    return _normalized_p_one(
        cumulative[token, range_starts[decision.high]] - middle, middle - cumulative[token, range_starts[decision.low]]
    )


@inlined
def _normalized_p_one(ones: Number, zeros: Number) -> Number:
    """ones / (ones + zeros), of probabilities that are differences of sums and may be slightly below 0."""
    ones = max(ones, np.float32(0)) + MIN_NETWORK_PROBABILITY
    return ones / (ones + max(zeros, np.float32(0)) + MIN_NETWORK_PROBABILITY)
