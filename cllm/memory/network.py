"""What a network says of a document, in the memory's terms, a piece at a time: whole, it would be gigabytes."""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cllm.compiled import Array, Number, compiled
from cllm.memory.memory import NetworkSays
from cllm.memory.trie import Trie
from cllm.tokenizer import Tokenizer

PIECES_AHEAD = 3  # of 4 MB each that a thread computes while the memory reads


def in_memory_terms(chunks: Iterable[Tensor], trie: Trie) -> Iterator[NetworkSays]:
    """From logits (n, vocabulary) of one document's tokens after another."""
    ids = torch.from_numpy(trie.ids)
    for logits in chunks:
        yield network_says(logits.softmax(-1), ids)


def network_says(probabilities: Tensor, ids: Tensor) -> NetworkSays:
    """From probabilities (N, vocabulary), of which those of the trie's ids (V,) are kept, in that order."""
    of_text = probabilities.index_select(1, ids)
    cumulative = torch.zeros(len(of_text), len(ids) + 1)
    torch.cumsum(of_text, 1, out=cumulative[:, 1:])
    certainty = (of_text.amax(1) * 8).clamp(0, 7).to(torch.uint8)
    return NetworkSays(cumulative.numpy(), certainty.numpy())


def network_says_one(logits: Array, ids: Array, tokenizer: Tokenizer) -> tuple[NetworkSays, float]:
    """The same of one token, from logits (vocabulary,); and the probability that the text ends."""
    cumulative = np.empty((1, len(ids) + 1), np.float32)
    certainty, end = _softmax_sums(logits, ids, tokenizer.end_of_text, cumulative[0])
    return NetworkSays(cumulative, np.array([certainty], np.uint8)), end


@compiled
def _softmax_sums(logits: Array, ids: Array, end_of_text: Number, cumulative: Array) -> tuple[Number, Number]:
    most, sum_ = logits[0], np.float32(0)
    for id_ in range(len(logits)):
        most = max(most, logits[id_])
    for id_ in range(len(logits)):
        sum_ += np.exp(logits[id_] - most)
    scale = np.float32(1) / sum_
    total, best = np.float32(0), np.float32(0)
    cumulative[0] = total
    for place in range(len(ids)):
        chance = np.exp(logits[ids[place]] - most) * scale
        best = max(best, chance)
        total += chance
        cumulative[place + 1] = total
    return min(int(best * 8), 7), np.exp(logits[end_of_text] - most) * scale


def ids_of(document: bytes, tokenizer: Tokenizer) -> npt.NDArray[np.int64]:
    """A document's ids, and the end of the text: what a network reads, and the memory is told of."""
    return np.array([*tokenizer.encode(document), tokenizer.end_of_text], np.int64)
