"""A network's token distributions as the memory uses them, computed in chunks: of a whole document they take GBs."""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cllm.jit.compiled import Array, Number, compiled
from cllm.memory.mixer.trie import TokenDistributions, Trie
from cllm.tokenizer import Tokenizer

PREFETCH_CHUNKS = 3  # of 4 MB each, computed by a thread while the memory is trained


def to_token_distributions(chunks: Iterable[Tensor], trie: Trie) -> Iterator[TokenDistributions]:
    """Token distributions of each chunk of logits (N, vocab_size) of one document's consecutive tokens."""
    ids = torch.from_numpy(trie.ids)
    for logits in chunks:
        yield token_distributions(logits.softmax(-1), ids)


def token_distributions(probabilities: Tensor, ids: Tensor) -> TokenDistributions:
    """Token distributions from probabilities (N, vocab_size): those of the trie's ids (V,), in that order."""
    text_probabilities = probabilities.index_select(1, ids)
    cumulative = torch.zeros(len(text_probabilities), len(ids) + 1)
    torch.cumsum(text_probabilities, 1, out=cumulative[:, 1:])
    confidence = (text_probabilities.amax(1) * 8).clamp(0, 7).to(torch.uint8)
    return TokenDistributions(cumulative.numpy(), confidence.numpy())


def token_distribution_of_logits(logits: Array, ids: Array, tokenizer: Tokenizer) -> tuple[TokenDistributions, float]:
    """Distribution of one token from logits (vocab_size,) and the trie's ids (V,); and the text's end probability."""
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
    """Token ids (N,) of a document and the end-of-text token: the tokens that a network predicts for the memory."""
    return np.array([*tokenizer.encode(document), tokenizer.end_of_text], np.int64)
