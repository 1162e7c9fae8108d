"""What a network says of a document, in the memory's terms, a piece at a time: whole, it would be gigabytes."""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cllm.jit.compiled import Array, Number, compiled
from cllm.memory.memory import TokenDistributions
from cllm.memory.mixer.trie import Trie
from cllm.tokenizer import Tokenizer

PREFETCH_CHUNKS = 3  # of 4 MB each that a thread computes while the memory reads


def to_token_distributions(chunks: Iterable[Tensor], trie: Trie) -> Iterator[TokenDistributions]:
    """From logits (n, vocabulary) of one document's tokens after another."""
    ids = torch.from_numpy(trie.ids)
    for logits in chunks:
        yield token_distributions(logits.softmax(-1), ids)


def token_distributions(probabilities: Tensor, ids: Tensor) -> TokenDistributions:
    """From probabilities (N, vocabulary), of which those of the trie's ids (V,) are kept, in that order."""
    text_probabilities = probabilities.index_select(1, ids)
    cumulative = torch.zeros(len(text_probabilities), len(ids) + 1)
    torch.cumsum(text_probabilities, 1, out=cumulative[:, 1:])
    confidence = (text_probabilities.amax(1) * 8).clamp(0, 7).to(torch.uint8)
    return TokenDistributions(cumulative.numpy(), confidence.numpy())


def token_distribution_of_logits(logits: Array, ids: Array, tokenizer: Tokenizer) -> tuple[TokenDistributions, float]:
    """The same of one token, from logits (vocabulary,); and the probability that the text ends."""
    cumulative = np.empty((1, len(ids) + 1), np.float32)
    confidence, end = _softmax_sums(logits, ids, tokenizer.end_of_text, cumulative[0])
    return TokenDistributions(cumulative, np.array([confidence], np.uint8)), end


@compiled
def _softmax_sums(logits: Array, ids: Array, end_of_text: Number, cumulative: Array) -> tuple[Number, Number]:
    max_logit, sum_ = logits[0], np.float32(0)
    for id_ in range(len(logits)):
        max_logit = max(max_logit, logits[id_])
    for id_ in range(len(logits)):
        sum_ += np.exp(logits[id_] - max_logit)
    scale = np.float32(1) / sum_
    total, best = np.float32(0), np.float32(0)
    cumulative[0] = total
    for place in range(len(ids)):
        probability = np.exp(logits[ids[place]] - max_logit) * scale
        best = max(best, probability)
        total += probability
        cumulative[place + 1] = total
    return min(int(best * 8), 7), np.exp(logits[end_of_text] - max_logit) * scale


def encode_document(document: bytes, tokenizer: Tokenizer) -> npt.NDArray[np.int64]:
    """A document's ids, and the end of the text: what a network reads, and the memory is told of."""
    return np.array([*tokenizer.encode(document), tokenizer.end_of_text], np.int64)
