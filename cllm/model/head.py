"""The loss of the words that follow rows, and its gradient: the loss is exact, the gradient right on average.

The products with the head are half of a small network's step, two of three of them for the gradient. In it the words
that have no chance worth speaking of, nearly all of them, weigh nearly nothing. So for some rows at a time only these
words take part: those whose chances, summed over the rows, are at least `sample_threshold`, among them all targets;
and of the
others as many as their chances, laid end to end, hold whole tickets, each then counting as a whole ticket. Whatever
the lot, on average this is the gradient; it never strays from it by more than a ticket for a word, where a target
counts as one. (Sampling the columns of a product, the heavy ones always: Liu et al. 2023, arXiv:2305.15265; to leave
out those that weigh nothing, without the lot: Wijmans et al. 2024, arXiv:2411.09009.)
"""

import math

import numpy as np
import torch
from torch import Tensor

from cllm.jit.compiled import Array
from cllm.model import kernels
from cllm.model.shared_tensor import SharedTensor, as_tensor

ROWS_PER_SAMPLE = 256
MIN_STEP = 64  # of the sizes of what is multiplied


def padded_size(count: int) -> int:
    """At least `count`, one of four sizes an octave: PyTorch keeps a kernel of its own for every shape in bfloat16."""
    step = max(MIN_STEP, 1 << max(0, (count - 1).bit_length() - 3))
    return -(-count // step) * step


class Head:
    """The head (V, D) of a network, for N rows; with a ticket of 0 every word takes part."""

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
        """The summed loss in nats of targets (N,) after rows (N, D); its gradients, times `scale`, are written.

        A target below zero costs nothing.
        """
        d_head.tensor.zero_()
        # Of words that do not take part, no number that is none would show in the gradient.
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
        """The gradient by the `count` words that were drawn."""
        padded_count = padded_size(count)
        shape, size = (len(chunk_targets), padded_count), len(chunk_targets) * padded_count
        found = self._d_logits.array[:size].reshape(shape)
        kernels.sampled_gradient(
            self._logits.array, chunk_targets, self._softmax_stats, self._sampled, count, scale, found
        )
        d_logits, weights = self._d_logits.tensor[:size].view(shape), self._weights.tensor[:padded_count]
        torch.index_select(self._weight, 0, self._words[:padded_count], out=weights)
        torch.mm(d_logits, weights, out=d_normed)
        torch.mm(d_logits.t(), normed, out=weights)  # their gradient takes their place
        kernels.add_rows(self._weights.array[:count], self._sampled.words, d_head.array)
