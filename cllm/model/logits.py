"""Logits of every token of a document, each given the tokens before it.

The document is processed from its first token to its end-of-text, in chunks of half the context length, with the keys
and values of the half before kept. So each token is computed once, and is predicted from at least half the context,
unless the document has fewer tokens before it.
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
    """Yield logits (n, V) fp32 in chunks of rows, one row for each of a document's ids (N,).

    The ids end with end-of-text, and another end-of-text is prepended as the first input. The logits of all special
    tokens are included.
    """
    half = model.config.context_length // 2
    cache = KVCache(model.config, 1, 2 * half, model.embedding.weight.dtype)
    # Padded to whole blocks, since a kernel is compiled and cached for each shape; attention is causal, so the padding
    # has no effect.
    padding = torch.full((-len(ids) % QUERIES_PER_BLOCK,), end_of_text)
    inputs = torch.cat([torch.tensor([end_of_text]), torch.from_numpy(ids[:-1]), padding])
    num_remaining = len(ids)
    for chunk in torch.split(inputs, half):
        cache.keep_last(half)
        hidden = model(chunk.unsqueeze(0), cache)[0]
        for rows in torch.split(hidden[:num_remaining], ROWS_PER_CHUNK):
            yield torch.mm(rows, model.head_weight.t()).float()
        num_remaining = max(0, num_remaining - len(hidden))
