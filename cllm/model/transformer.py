"""The network: maps token ids to hidden states. Qwen3 architecture, so that other programs can load its weights.

Pre-norm blocks of grouped-query attention (RMSNorm of each query and key head, rotary positions) and SwiGLU, no
biases. The projections of queries, keys and values are one matrix, and so are the gate and the up projection: fewer,
larger products. Shapes: B batch, T tokens, D width, H heads, C channels a head, F feed-forward width, V vocabulary.

The module is independent of files, data, processes and devices; loss and decoding are separate modules.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cllm.model.attention import causal_attention
from cllm.model.cache import KVCache
from cllm.model.config import TransformerConfig


def rotary_cos_sin(config: TransformerConfig, start: int, num_tokens: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Rotary cosines and sines (T, 1, C/2) at positions start, start + 1, ... (Su et al. 2021, RoFormer)."""
    frequencies = config.rope_theta ** (torch.arange(0, config.head_dim, 2, dtype=torch.float64) / -config.head_dim)
    angles = torch.arange(start, start + num_tokens, dtype=torch.float64)[:, None, None] * frequencies
    return angles.cos().to(dtype), angles.sin().to(dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate each pair (channel c, channel c + C/2) of x (B, T, H, C) by its position's angle."""
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


class RMSNorm(nn.Module):
    """x / rms(x) * weight over the last dimension of x (..., D) (Zhang & Sennrich 2019)."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


class Attention(nn.Module):
    """Grouped-query causal self-attention with normalised queries and keys, (B, T, D) -> (B, T, D)."""

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        self.config, self.layer = config, layer
        head_dim = config.head_dim
        self.qkv = nn.Linear(config.n_embd, (config.n_head + 2 * config.n_kv_head) * head_dim, bias=False)
        self.out = nn.Linear(config.n_head * head_dim, config.n_embd, bias=False)
        self.q_norm = RMSNorm(head_dim, config.norm_eps)
        self.k_norm = RMSNorm(head_dim, config.norm_eps)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, cache: KVCache | None) -> Tensor:
        batch, num_tokens, _ = x.shape
        num_heads, num_kv_heads = self.config.n_head, self.config.n_kv_head
        qkv = self.qkv(x).view(batch, num_tokens, num_heads + 2 * num_kv_heads, self.config.head_dim)
        q, k, v = qkv.split([num_heads, num_kv_heads, num_kv_heads], 2)
        q = rotate(self.q_norm(q), cos, sin).transpose(1, 2)
        k = rotate(self.k_norm(k), cos, sin).transpose(1, 2)
        v = v.transpose(1, 2)
        if cache is not None:
            k, v = cache.extend(self.layer, k, v)
        if num_heads != num_kv_heads:
            k, v = (t.repeat_interleave(num_heads // num_kv_heads, 1) for t in (k, v))
        return self.out(causal_attention(q, k, v).transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class FeedForward(nn.Module):
    """SwiGLU (Shazeer 2020): down(silu(gate(x)) * up(x)), (B, T, D) -> (B, T, D)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.gate_up = nn.Linear(config.n_embd, 2 * config.n_inner, bias=False)
        self.down = nn.Linear(config.n_inner, config.n_embd, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(x).chunk(2, -1)
        return self.down(F.silu(gate) * up)  # type: ignore[no-any-return]


class Block(nn.Module):
    """x + attention(norm(x)), then x + feed_forward(norm(x)), (B, T, D) -> (B, T, D)."""

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(config.n_embd, config.norm_eps)
        self.attention = Attention(config, layer)
        self.feed_forward_norm = RMSNorm(config.n_embd, config.norm_eps)
        self.feed_forward = FeedForward(config)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, cache: KVCache | None = None) -> Tensor:
        x = x + self.attention(self.attention_norm(x), cos, sin, cache)
        return x + self.feed_forward(self.feed_forward_norm(x))  # type: ignore[no-any-return]


class Transformer(nn.Module):
    """Maps token ids (B, T) to hidden states (B, T, D), whose product with `head_weight` (V, D) is the logits."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        # Given a weight, nn.Embedding draws none: on the meta device that would import PyTorch's compiler, for 1 s.
        self.embedding = nn.Embedding(
            config.vocab_size, config.n_embd, _weight=torch.empty(config.vocab_size, config.n_embd)
        )
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.n_layer))
        self.norm = RMSNorm(config.n_embd, config.norm_eps)
        if not config.tied:
            self.head = nn.Linear(config.n_embd, config.vocab_size, bias=False)

    @property
    def head_weight(self) -> Tensor:
        return self.embedding.weight if self.config.tied else self.head.weight

    def forward(self, ids: Tensor, cache: KVCache | None = None) -> Tensor:
        x = self.embedding(ids)
        cos, sin = rotary_cos_sin(self.config, cache.position if cache else 0, ids.size(1), x.dtype)
        for block in self.blocks:
            x = block(x, cos, sin, cache)
        if cache is not None:
            cache.advance(ids.size(1))
        return self.norm(x)  # type: ignore[no-any-return]

    def logits(self, ids: Tensor, cache: KVCache | None = None) -> Tensor:
        """Logits (B, T, V) in fp32 of the token after each position."""
        return F.linear(self(ids, cache), self.head_weight).float()


def initialise(model: Transformer, generator: torch.Generator) -> None:
    """Initialise the weights: matrices N(0, 1/3D), the variance of uniform(-1, 1)/sqrt(D), output projections zero.

    Each block starts as the identity (Zhang et al. 2019, Fixup); a tied embedding is small enough for a first loss of
    ln V, an untied one is N(0, 1/4) with a small head.
    """
    config = model.config
    for name, parameter in model.named_parameters():
        with torch.no_grad():
            if parameter.dim() == 1:
                parameter.fill_(1.0)
            elif name.endswith(("out.weight", "down.weight")):
                parameter.zero_()
            else:
                parameter.normal_(0.0, init_std(config, name), generator=generator)


def init_std(config: TransformerConfig, name: str) -> float:
    """Standard deviation of a matrix's initial values."""
    if name == "embedding.weight":
        return 0.02 if config.tied else 0.5
    return 0.002 if name == "head.weight" else 1 / math.sqrt(3 * config.n_embd)
