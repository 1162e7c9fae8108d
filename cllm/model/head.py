"""The output head's cross-entropy, which is exact, and its sampled softmax gradient, which is unbiased.

The products with the head are half of a small network's step, two of three of them for the gradient. Nearly all words
have a negligible probability and contribute nearly nothing to the gradient. So for a chunk of rows the gradient is
computed only for sampled words: those whose probability summed over the rows, plus 1 for each row of which they are the
target, is at least `sample_threshold`; and of the others, by systematic sampling, one per `sample_threshold` of
cumulative probability, each weighted to count as `sample_threshold`. The expectation is the exact gradient; no word's
mass deviates from its own by more than `sample_threshold`. (Sampling the columns of a product, the heavy ones always:
Liu et al. 2023, arXiv:2305.15265; leaving out negligible ones without sampling: Wijmans et al. 2024, arXiv:2411.09009.)
"""

import math

import numpy as np
import torch
from torch import Tensor

from cllm.jit.compiled import Array
from cllm.model import kernels
from cllm.model.shared_tensor import SharedTensor, as_tensor

ROWS_PER_SAMPLE = 256
MIN_STEP = 64  # smallest increment of `padded_size`


def padded_size(count: int) -> int:
    """`count` rounded up to one of four sizes per octave: PyTorch caches a kernel for each shape in bfloat16."""
    step = max(MIN_STEP, 1 << max(0, (count - 1).bit_length() - 3))
    return -(-count // step) * step


class Head:
    """The head (V, D) of a network, for N = `num_rows` rows; a `sample_threshold` of 0 includes every word."""

    def __init__(self, weight: Tensor, num_rows: int, sample_threshold: float) -> None:
        vocab_size, width = weight.shape
        self._weight, self._sample_threshold = weight, sample_threshold
        max_rows, max_words = min(ROWS_PER_SAMPLE, num_rows), padded_size(vocab_size)
        self._logits = as_tensor(weight.new_empty(max_rows, vocab_size))
        self._softmax_stats = kernels.SoftmaxStats(
            mass=np.empty(vocab_size, np.float32),
            exp_logits=np.empty(vocab_size, np.float32),
            max_logits=np.empty(max_rows, np.float32),
            inverse_sums=np.empty(max_rows, np.float32),
        )
        self._sampled = kernels.SampledWords(
            words=np.zeros(max_words, np.int64),
            weights=np.empty(max_words, np.float32),
            columns=np.zeros(vocab_size, np.int32),
        )
        self._words = torch.from_numpy(self._sampled.words)
        self._d_logits = as_tensor(weight.new_empty(max_rows * max_words))
        self._weights = as_tensor(weight.new_empty(max_words, width))

    def compute(
        self,
        normed: Tensor,
        targets: Array,
        scale: float,
        rng: np.random.Generator,
        d_normed: Tensor,
        d_head: SharedTensor,
    ) -> float:
        """Summed loss in nats of targets (N,), given normed hidden states (N, D); negative targets are ignored.

        The gradients, times `scale`, are written to `d_normed` (N, D) and `d_head` (V, D).
        """
        d_head.tensor.zero_()
        # A NaN or infinity in the weights of words that are not sampled would not appear in the gradient.
        nats, chunk_rows = 0.0 if self._weight.sum().isfinite() else math.nan, len(self._logits.tensor)
        for begin in range(0, len(targets), chunk_rows):
            chunk_targets = targets[begin : begin + chunk_rows]
            rows, logits = slice(begin, begin + len(chunk_targets)), self._logits.tensor[: len(chunk_targets)]
            torch.mm(normed[rows], self._weight.t(), out=logits)
            nats += kernels.softmax_cross_entropy(
                self._logits.array[: len(chunk_targets)], chunk_targets, self._softmax_stats
            )
            count = kernels.sample_words(self._softmax_stats.mass, self._sample_threshold, rng.random(), self._sampled)
            self._backward(chunk_targets, count, np.float32(scale), normed[rows], d_normed[rows], d_head)
        return nats

    def _backward(
        self,
        chunk_targets: Array,
        count: int,
        scale: np.float32,
        normed: Tensor,
        d_normed: Tensor,
        d_head: SharedTensor,
    ) -> None:
        """Write the gradients of a chunk, from its `count` sampled words."""
        padded_count = padded_size(count)
        shape, size = (len(chunk_targets), padded_count), len(chunk_targets) * padded_count
        found = self._d_logits.array[:size].reshape(shape)
        kernels.sampled_gradient(
            self._logits.array, chunk_targets, self._softmax_stats, self._sampled, count, scale, found
        )
        d_logits, weights = self._d_logits.tensor[:size].view(shape), self._weights.tensor[:padded_count]
        torch.index_select(self._weight, 0, self._words[:padded_count], out=weights)
        torch.mm(d_logits, weights, out=d_normed)
        torch.mm(d_logits.t(), normed, out=weights)  # the weights' buffer is reused for their gradient
        kernels.add_rows(self._weights.array[:count], self._sampled.words, d_head.array)
