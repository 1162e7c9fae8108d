"""A network reads a document: the logits of every token, each from its own past alone.

The document is read from its first token to its end-of-text, in chunks of half the context with the half before kept
as keys and values. So each token is computed once, and none is predicted from less than half the context, except
where the file has not more.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cllm.model.attention import QUERIES_PER_BLOCK
from cllm.model.cache import KVCache
from cllm.model.loss import ROWS_PER_CHUNK
from cllm.model.transformer import Transformer


@torch.inference_mode()
def document_logits(model: Transformer, ids: npt.NDArray[np.int64], end_of_text: int) -> Iterator[Tensor]:
    """Logits (n, V), fp32, some rows at a time, one row for each of a document's ids (N,).

    The ids end with end-of-text; before the first stands an end-of-text as well. Logits of special tokens other than
    it are there too.
    """
    half = model.config.context_length // 2
    cache = KVCache(model.config, 1, 2 * half, model.embedding.weight.dtype)
    # Filled up to whole blocks: a kernel is compiled and kept for every shape, and no token sees what follows it.
    padding = torch.full((-len(ids) % QUERIES_PER_BLOCK,), end_of_text)
    inputs = torch.cat([torch.tensor([end_of_text]), torch.from_numpy(ids[:-1]), padding])
    num_remaining = len(ids)
    for chunk in torch.split(inputs, half):
        cache.keep_last(half)
        hidden = model(chunk.unsqueeze(0), cache)[0]
        for rows in torch.split(hidden[:num_remaining], ROWS_PER_CHUNK):
            yield torch.mm(rows, model.head_weight.t()).float()
        num_remaining = max(0, num_remaining - len(hidden))
