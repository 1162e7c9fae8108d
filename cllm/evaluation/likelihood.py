"""What a model makes of a document: the probability and the rank of every token, each from its own past alone.

The document is read from its first token to its end-of-text, in chunks of half the context with the half before kept
as keys and values. So each token is computed once, and none is predicted from less than half the context, except
where the file has not more.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from cllm.model.attention import QUERIES_PER_BLOCK
from cllm.model.cache import KVCache
from cllm.model.loss import ROWS_PER_CHUNK
from cllm.model.transformer import Transformer


@dataclass(frozen=True)
class Likelihood:
    """For each of a document's N tokens: its negative log-probability in nats, and how many tokens were likelier."""

    nats: npt.NDArray[np.float32]
    rank: npt.NDArray[np.int64]

    @property
    def bits(self) -> float:
        return float(self.nats.sum(dtype=np.float64)) / math.log(2)

    def top(self, k: int) -> int:
        """How many tokens were among the k likeliest."""
        return int((self.rank < k).sum())


@torch.inference_mode()
def likelihood(model: Transformer, ids: npt.NDArray[np.int64], end_of_text: int) -> Likelihood:
    """Score a document's ids (N,), which end with end-of-text; before the first stands an end-of-text as well."""
    half = model.config.context_length // 2
    cache = KVCache(model.config, 1, 2 * half, model.embedding.weight.dtype)
    # Filled up to whole blocks: a kernel is compiled and kept for every shape, and no token sees what follows it.
    filling = torch.full((-len(ids) % QUERIES_PER_BLOCK,), end_of_text)
    targets = torch.cat([torch.from_numpy(ids), filling])
    inputs = torch.cat([torch.tensor([end_of_text]), targets[:-1]])
    nats, ranks = [], []
    for chunk, goals in zip(torch.split(inputs, half), torch.split(targets, half), strict=True):
        cache.keep(half)
        hidden = model(chunk.unsqueeze(0), cache)[0]
        for rows, goal in zip(torch.split(hidden, ROWS_PER_CHUNK), torch.split(goals, ROWS_PER_CHUNK), strict=True):
            logits = torch.mm(rows, model.head_weight.t()).float()
            of_goal = logits.gather(1, goal.unsqueeze(1))
            nats.append(logits.logsumexp(-1) - of_goal.squeeze(1))
            ranks.append((logits > of_goal).sum(-1))
    return Likelihood(torch.cat(nats).numpy()[: len(ids)], torch.cat(ranks).numpy()[: len(ids)])
