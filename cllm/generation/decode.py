"""Prefill and decode: a prompt's ids in, one token for each of N samples out, again and again.

The prompt is computed once, however many samples follow. When the cache is full its older half is forgotten: keys
are rotary, so the rest stays as it is.
"""

from collections.abc import Iterator

import torch

from cllm.generation.sampling import SamplingParams, draw
from cllm.model.cache import KVCache
from cllm.model.transformer import Transformer


@torch.inference_mode()
def decode(
    model: Transformer,
    prompt: list[int],
    params: SamplingParams,
    num_samples: int,
    banned: list[int],
    first: list[int] | None = None,
) -> Iterator[list[int]]:
    """Yield the next token of every sample, `params.max_tokens` times; ids in `banned` never come.

    `first`, where given, are the only ids that may come first. A prompt longer than the context loses its beginning.
    """
    context = model.config.context_length
    dtype = model.embedding.weight.dtype
    prompt = prompt[-(context - 1) :]
    cache = KVCache(model.config, num_samples, context, dtype)
    ids = torch.tensor([prompt]).expand(num_samples, -1)
    generators = [torch.Generator().manual_seed(params.seed + sample) for sample in range(num_samples)]
    for _ in range(params.max_tokens):
        hidden = model(ids, cache)[:, -1]
        logits = torch.mm(hidden, model.head_weight.t()).float()
        logits[:, banned] = float("-inf")
        if first is not None:
            others = torch.ones(logits.size(1), dtype=torch.bool)
            others[first] = False
            logits[:, others] = float("-inf")
            first = None
        tokens = draw(logits, params, generators)
        yield tokens.tolist()
        ids = tokens.unsqueeze(1)
        if cache.length == cache.capacity:
            cache.keep(context // 2)
