"""What a model makes of a document's tokens: the probability and the rank of each."""

import math
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


class Likelihood:
    """Of N tokens: `nats` (N,), their negative log-probabilities, and `ranks` (N,), how many others were likelier.

    Filled in as the logits go by.
    """

    def __init__(self, ids: npt.NDArray[np.int64]) -> None:
        self.nats = np.zeros(len(ids), np.float32)
        self.ranks = np.zeros(len(ids), np.int32)
        self._targets = torch.from_numpy(ids).unsqueeze(1)

    def record(self, chunks: Iterable[Tensor]) -> Iterator[Tensor]:
        """Pass logits (n, V) on, in the order of the tokens, and note what they say of them."""
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
        """How many tokens were among the k likeliest."""
        return int((self.ranks < k).sum())
