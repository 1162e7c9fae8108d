"""A network's token distributions as the memory uses them, computed in chunks: of a whole document they take GBs."""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from cllm.jit.compiled import Array, Number, compiled
from cllm.memory.mixer.trie import TokenDistributions, Trie
from cllm.model.scalars import ZERO, exp
from cllm.tokenizer import Tokenizer

PREFETCH_CHUNKS = 3  # of 4 MB each, computed by a thread while the memory is trained


def to_token_distributions(chunks: Iterable[Array], trie: Trie) -> Iterator[TokenDistributions]:
    """Token distributions of each chunk of logits (N, vocab_size) of one document's consecutive tokens."""
    for logits in chunks:
        yield token_distributions(logits, trie)[0]


def token_distributions(logits: Array, trie: Trie, end_of_text: int = 0) -> tuple[TokenDistributions, Array]:
    """Token distributions from logits (N, vocab_size), and the probabilities (N,) of the token `end_of_text`."""
    count = len(logits)
    cumulative, confidence = np.empty((count, len(trie.ids) + 1), np.float32), np.empty(count, np.uint8)
    end_probabilities, exponentials = np.empty(count, np.float32), np.empty(logits.shape[1], np.float32)
    _softmax_sums(
        np.ascontiguousarray(logits), trie.ids, end_of_text, exponentials, cumulative, confidence, end_probabilities
    )
    return TokenDistributions(cumulative, confidence), end_probabilities


@compiled
def _softmax_sums(
    logits: Array,
    ids: Array,
    end_of_text: Number,
    exponentials: Array,
    cumulative: Array,
    confidence: Array,
    end_probabilities: Array,
) -> None:
    """Fill the last three arrays, as in `token_distributions`; `exponentials` (vocab_size,) is a buffer."""
    for row in range(len(logits)):
        max_logit, sum_ = logits[row, 0], ZERO
        for id_ in range(logits.shape[1]):
            max_logit = max(max_logit, logits[row, id_])
        for id_ in range(logits.shape[1]):
            exponentials[id_] = exp(logits[row, id_] - max_logit)
            sum_ += exponentials[id_]
        scale, total, best = np.float32(1) / sum_, ZERO, ZERO
        cumulative[row, 0] = ZERO
        for place in range(len(ids)):
            probability = exponentials[ids[place]] * scale
            best = max(best, probability)
            total += probability
            cumulative[row, place + 1] = total
        confidence[row] = min(int(best * 8), 7)
        end_probabilities[row] = exponentials[end_of_text] * scale


def encode_document(document: bytes, tokenizer: Tokenizer) -> npt.NDArray[np.int64]:
    """Token ids (N,) of a document and the end-of-text token: the tokens that a network predicts for the memory."""
    return np.array([*tokenizer.encode(document), tokenizer.end_of_text], np.int64)
