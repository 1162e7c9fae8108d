"""Probability and rank of each token of a document under a model."""

import math
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


class Likelihood:
    """Negative log-probabilities and ranks of N tokens, given as ids (N,) int64; filled in by `record`.

    `nats` (N,) float32: negative log-probability. `ranks` (N,) int32: number of tokens that were more probable.
    """

    def __init__(self, ids: npt.NDArray[np.int64]) -> None:
        self.nats = np.zeros(len(ids), np.float32)
        self.ranks = np.zeros(len(ids), np.int32)
        self._targets = torch.from_numpy(ids).unsqueeze(1)

    def record(self, chunks: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield the chunks of logits (n, V) unchanged, in token order, and fill in `nats` and `ranks` from them."""
        begin = 0
        for logits in chunks:
            end = begin + len(logits)
            target_logits = logits.gather(1, self._targets[begin:end])
            self.nats[begin:end] = logits.logsumexp(-1) - target_logits.squeeze(1)
            self.ranks[begin:end] = (logits > target_logits).sum(-1)
            begin = end
            yield logits

    @property
    def bits(self) -> float:
        return float(self.nats.sum(dtype=np.float64)) / math.log(2)

    def top(self, k: int) -> int:
        """Return the number of tokens that were among the k most probable."""
        return int((self.ranks < k).sum())
