"""The loss of the words that follow rows, and its gradient: the loss is exact, the gradient right on average.

The products with the head are half of a small network's step, two of three of them for the gradient. In it the words
that have no chance worth speaking of, nearly all of them, weigh nearly nothing. So for some rows at a time only these
words take part: those whose chances, summed over the rows, are at least `ticket`, among them all targets; and of the
others as many as their chances, laid end to end, hold whole tickets, each then counting as a whole ticket. Whatever
the lot, on average this is the gradient; it never strays from it by more than a ticket for a word, where a target
counts as one. (Sampling the columns of a product, the heavy ones always: Liu et al. 2023, arXiv:2305.15265; to leave
out those that weigh nothing, without the lot: Wijmans et al. 2024, arXiv:2411.09009.)
"""

import math

import numpy as np
import torch
from torch import Tensor

from cllm.compiled import Array
from cllm.model import kernels
from cllm.model.numbers import Numbers, seen

ROWS_PER_DRAW = 256
LEAST_STEP = 64  # of the sizes of what is multiplied


def padded(count: int) -> int:
    """At least `count`, one of four sizes an octave: PyTorch keeps a kernel of its own for every shape in bfloat16."""
    step = max(LEAST_STEP, 1 << max(0, (count - 1).bit_length() - 3))
    return -(-count // step) * step


class Head:
    """The head (V, D) of a network, for N rows; with a ticket of 0 every word takes part."""

    def __init__(self, weight: Tensor, num_rows: int, ticket: float) -> None:
        num_words, width = weight.shape
        self._weight, self._ticket = weight, ticket
        most_rows, most_words = min(ROWS_PER_DRAW, num_rows), padded(num_words)
        self._logits = seen(weight.new_empty(most_rows, num_words))
        self._softmax = kernels.Softmax(
            mass=np.empty(num_words, np.float32),
            powers=np.empty(num_words, np.float32),
            shifts=np.empty(most_rows, np.float32),
            shares=np.empty(most_rows, np.float32),
        )
        self._drawn = kernels.Drawn(
            words=np.zeros(most_words, np.int64),
            weights=np.empty(most_words, np.float32),
            places=np.zeros(num_words, np.int32),
        )
        self._words = torch.from_numpy(self._drawn.words)
        self._d_logits = seen(weight.new_empty(most_rows * most_words))
        self._weights = seen(weight.new_empty(most_words, width))

    def compute(
        self, normed: Tensor, targets: Array, scale: float, lot: np.random.Generator, d_normed: Tensor, d_head: Numbers
    ) -> float:
        """The summed loss in nats of targets (N,) after rows (N, D); its gradients, times `scale`, are written.

        A target below zero costs nothing.
        """
        d_head.tensor.zero_()
        # Of words that do not take part, no number that is none would show in the gradient.
        nats, most = 0.0 if self._weight.sum().isfinite() else math.nan, len(self._logits.tensor)
        for begin in range(0, len(targets), most):
            goals = targets[begin : begin + most]
            rows, logits = slice(begin, begin + len(goals)), self._logits.tensor[: len(goals)]
            torch.mm(normed[rows], self._weight.t(), out=logits)
            nats += kernels.softmax(self._logits.array[: len(goals)], goals, self._softmax)
            count = kernels.draw_words(self._softmax.mass, self._ticket, lot.random(), self._drawn)
            self._backward(goals, count, np.float32(scale), normed[rows], d_normed[rows], d_head)
        return nats

    def _backward(
        self, goals: Array, count: int, scale: np.float32, normed: Tensor, d_normed: Tensor, d_head: Numbers
    ) -> None:
        """The gradient by the `count` words that were drawn."""
        num_words = padded(count)
        shape, size = (len(goals), num_words), len(goals) * num_words
        found = self._d_logits.array[:size].reshape(shape)
        kernels.drawn_gradient(self._logits.array, goals, self._softmax, self._drawn, count, scale, found)
        d_logits, weights = self._d_logits.tensor[:size].view(shape), self._weights.tensor[:num_words]
        torch.index_select(self._weight, 0, self._words[:num_words], out=weights)
        torch.mm(d_logits, weights, out=d_normed)
        torch.mm(d_logits.t(), normed, out=weights)  # their gradient takes their place
        kernels.add_rows(self._weights.array[:count], self._drawn.words, d_head.array)
