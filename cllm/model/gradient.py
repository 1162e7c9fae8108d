"""The loss of some texts and its gradient, without autograd: every number has its place, made once.

The matrix products are PyTorch's, into tensors that are there already; what lies between them are kernels of one pass
(`kernels.py`). The slow twin, in the tests, is `Transformer` with autograd and `linear_cross_entropy`, with the same
architecture in the same order. Shapes as there; N = B T rows, one for each token.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from cllm.model import kernels
from cllm.model.attention import blocks
from cllm.model.config import TransformerConfig
from cllm.model.head import Head
from cllm.model.numbers import Numbers, seen
from cllm.model.transformer import Transformer, rotary

Named = Mapping[str, Tensor]  # parameters, or what belongs to them, by their names


class Norm:
    """RMSNorm of rows; what it makes of them stays until the next call."""

    def __init__(self, weights: Named, name: str, num_rows: int, eps: float) -> None:
        self._name, self._eps = name, eps
        weight = weights[name]
        self._weight, self._d_weight = seen(weight).array, torch.empty(len(weight))
        self._scales = torch.empty(num_rows).numpy()
        self.normed = seen(weight.new_empty(num_rows, len(weight)))

    def forward(self, x: Numbers) -> Tensor:
        self._x = x
        kernels.normalise(x.array, self._weight, self._eps, self.normed.array, self._scales)
        return self.normed.tensor

    def backward(self, gradient: Numbers, onto: Numbers, gradients: Named) -> None:
        """Add the gradient of what came in to `onto`."""
        self._d_weight.zero_()
        d_weight = self._d_weight.numpy()
        kernels.normalise_backward(gradient.array, self._x.array, self._weight, self._scales, onto.array, d_weight)
        gradients[self._name].copy_(self._d_weight)


class Scratch:
    """Room inside of a block, which is needed by one part at a time."""

    def __init__(self, config: TransformerConfig, new: Callable[..., Tensor], shape: tuple[int, int]) -> None:
        """`new` makes a tensor of a size; for texts and tokens `shape`."""
        num_texts, num_tokens = shape
        num_rows, heads, channels = num_texts * num_tokens, config.n_head, config.head_dim
        self.added = seen(new(num_rows, config.n_embd))
        self.normed = seen(new(num_rows, config.n_embd))
        self.active = seen(new(num_rows, config.n_inner))
        self.joined = seen(new(num_rows, heads * channels))
        self.heads = [seen(new(num_texts, heads, num_tokens, channels)) for _ in range(3)]
        largest = max((end - begin) * visible for begin, end, visible in blocks(num_tokens, 0))
        self.scores = seen(new(num_texts * heads * largest))
        self.head = torch.empty(channels).numpy()


class Addition:
    """x + rows weight^T; of the product a share of the numbers is left out (dropout, Srivastava et al. 2014)."""

    def __init__(self, weights: Named, name: str, num_rows: int, dropout: float, scratch: Scratch) -> None:
        self._name, self._weight, self._dropout, self._scratch = name, weights[name], np.float32(dropout), scratch
        self._out = seen(self._weight.new_empty(num_rows, len(self._weight)))

    def forward(self, x: Numbers, rows: Tensor, key: np.uint32) -> Numbers:
        """The sum; `key` chooses what is left out."""
        if not self._dropout:
            torch.addmm(x.tensor, rows, self._weight.t(), out=self._out.tensor)
            return self._out
        self._key = key
        torch.mm(rows, self._weight.t(), out=self._scratch.added.tensor)
        kernels.add_kept(x.array, self._scratch.added.array, key, self._dropout, self._out.array)
        return self._out

    def backward(self, gradient: Numbers, rows: Tensor, d_rows: Tensor, gradients: Named) -> None:
        """Write the gradient of the rows and that of the weight, given that of the sum."""
        added = gradient
        if self._dropout:
            added = self._scratch.added
            kernels.keep(gradient.array, self._key, self._dropout, added.array)
        torch.mm(added.tensor.t(), rows, out=gradients[self._name])
        torch.mm(added.tensor, self._weight, out=d_rows)


class Attention:
    """x + attention(norm(x)), in the block whose parameters' names begin with `block`, for texts and tokens `shape`."""

    def __init__(
        self,
        config: TransformerConfig,
        weights: Named,
        block: str,
        shape: tuple[int, int],
        dropout: float,
        scratch: Scratch,
    ) -> None:
        num_texts, num_tokens = shape
        rows, heads, channels = num_texts * num_tokens, config.n_head, config.head_dim
        self._names = [f"{block}attention.{name}.weight" for name in ("qkv", "q_norm", "k_norm")]
        self._qkv_weight, q_weight, k_weight = (weights[name] for name in self._names)
        self._norm, self._scratch = Norm(weights, f"{block}attention_norm.weight", rows, config.norm_eps), scratch
        cos, sin = (part[:, 0].numpy() for part in rotary(config, 0, num_tokens, torch.float32))
        self._turning = kernels.Turning(seen(q_weight).array, seen(k_weight).array, config.norm_eps, cos, sin)
        self._d_weights = torch.empty(2, channels)
        new = self._qkv_weight.new_empty
        self._qkv = seen(new(rows, len(self._qkv_weight)))
        self._scales = torch.empty(rows, heads + config.n_kv_head).numpy()
        self._heads = [seen(new(num_texts, heads, num_tokens, channels)) for _ in range(3)]
        self._attended = seen(new(num_texts, heads, num_tokens, channels))
        self._joined = seen(new(rows, heads * channels))
        self._blocks = blocks(num_tokens, 0)
        self._chances = [seen(new(num_texts * heads, end - begin, visible)) for begin, end, visible in self._blocks]
        self._addition = Addition(weights, f"{block}attention.out.weight", rows, dropout, scratch)

    def forward(self, x: Numbers, key: np.uint32) -> Numbers:
        torch.mm(self._norm.forward(x), self._qkv_weight.t(), out=self._qkv.tensor)
        kernels.split_heads(self._qkv.array, self._turning, by_head(self._heads), self._scales)
        q, k, v, attended = (each.tensor.flatten(0, 1) for each in (*self._heads, self._attended))
        for (begin, end, visible), chances in zip(self._blocks, self._chances, strict=True):
            torch.bmm(q[:, begin:end], k[:, :visible].transpose(1, 2), out=chances.tensor)
            kernels.causal_softmax(chances.array)
            torch.bmm(chances.tensor, v[:, :visible], out=attended[:, begin:end])
        self._by_token(self._joined).copy_(self._attended.tensor)
        return self._addition.forward(x, self._joined.tensor, key)

    def backward(self, gradient: Numbers, gradients: Named) -> None:
        """Turn the gradient of what came out into that of what came in."""
        qkv_name, q_name, k_name = self._names
        scratch = self._scratch
        self._addition.backward(gradient, self._joined.tensor, scratch.joined.tensor, gradients)
        self._attended.tensor.copy_(self._by_token(scratch.joined))
        self._scores_backward(self._attended.tensor.flatten(0, 1))
        d_weights = self._d_weights.zero_().numpy()
        d_heads = by_head(scratch.heads)
        kernels.split_heads_backward(d_heads, self._qkv.array, self._turning, self._scales, d_weights, scratch.head)
        gradients[q_name].copy_(self._d_weights[0])
        gradients[k_name].copy_(self._d_weights[1])
        torch.mm(self._qkv.tensor.t(), self._norm.normed.tensor, out=gradients[qkv_name])
        torch.mm(self._qkv.tensor, self._qkv_weight, out=scratch.normed.tensor)
        self._norm.backward(scratch.normed, gradient, gradients)

    def _by_token(self, rows: Numbers) -> Tensor:
        """Rows (N, H C), seen by head: (B, H, T, C)."""
        num_texts, heads, num_tokens, channels = self._attended.tensor.shape
        return rows.tensor.view(num_texts, num_tokens, heads, channels).transpose(1, 2)

    def _scores_backward(self, d_attended: Tensor) -> None:
        """From the gradient of what was attended (B H, T, C) to those of queries, keys and values."""
        q, k, v = (each.tensor.flatten(0, 1) for each in self._heads)
        d_q, d_k, d_v = (each.tensor.flatten(0, 1) for each in self._scratch.heads)
        d_k.zero_()
        d_v.zero_()
        for (begin, end, visible), chances in zip(self._blocks, self._chances, strict=True):
            shape, size = chances.tensor.shape, chances.tensor.numel()
            d_scores = self._scratch.scores.tensor[:size].view(shape)
            torch.bmm(d_attended[:, begin:end], v[:, :visible].transpose(1, 2), out=d_scores)
            kernels.softmax_backward(self._scratch.scores.array[:size].reshape(shape), chances.array)
            torch.bmm(d_scores, k[:, :visible], out=d_q[:, begin:end])
            d_k[:, :visible].baddbmm_(d_scores.transpose(1, 2), q[:, begin:end])
            d_v[:, :visible].baddbmm_(chances.tensor.transpose(1, 2), d_attended[:, begin:end])


def by_head(parts: Sequence[Numbers]) -> kernels.Heads:
    """Queries, keys and values, or their gradients."""
    q, k, v = (part.array for part in parts)
    return kernels.Heads(q, k, v)


class FeedForward:
    """x + feed_forward(norm(x)), in the block whose parameters' names begin with `block`."""

    def __init__(
        self, config: TransformerConfig, weights: Named, block: str, num_rows: int, dropout: float, scratch: Scratch
    ) -> None:
        self._name = f"{block}feed_forward.gate_up.weight"
        self._weight, self._scratch = weights[self._name], scratch
        self._norm = Norm(weights, f"{block}feed_forward_norm.weight", num_rows, config.norm_eps)
        new = self._weight.new_empty
        self._gate_up, self._active = seen(new(num_rows, 2 * config.n_inner)), seen(new(num_rows, config.n_inner))
        self._addition = Addition(weights, f"{block}feed_forward.down.weight", num_rows, dropout, scratch)

    def forward(self, x: Numbers, key: np.uint32) -> Numbers:
        torch.mm(self._norm.forward(x), self._weight.t(), out=self._gate_up.tensor)
        kernels.swiglu(self._gate_up.array, self._active.array)
        return self._addition.forward(x, self._active.tensor, key)

    def backward(self, gradient: Numbers, gradients: Named) -> None:
        """Turn the gradient of what came out into that of what came in."""
        scratch = self._scratch
        self._addition.backward(gradient, self._active.tensor, scratch.active.tensor, gradients)
        kernels.swiglu_backward(scratch.active.array, self._gate_up.array)
        torch.mm(self._gate_up.tensor.t(), self._norm.normed.tensor, out=gradients[self._name])
        torch.mm(self._gate_up.tensor, self._weight, out=scratch.normed.tensor)
        self._norm.backward(scratch.normed, gradient, gradients)


class Gradient:
    """Of all weights of a network, which it reads anew at each call, for texts and tokens `shape` (B, T)."""

    def __init__(
        self, config: TransformerConfig, weights: Named, shape: tuple[int, int], ticket: float, dropout: float
    ) -> None:
        """`ticket` as in `head.py`; `dropout` is the share of each block's additions that is left out."""
        self._tied, num_rows = config.tied, shape[0] * shape[1]
        self._embedding = weights["embedding.weight"]
        self._head_name = "embedding.weight" if config.tied else "head.weight"
        self._head = Head(weights[self._head_name], num_rows, ticket)
        scratch = Scratch(config, self._embedding.new_empty, shape)
        self._parts: list[Attention | FeedForward] = []
        for block in (f"blocks.{layer}." for layer in range(config.n_layer)):
            self._parts.append(Attention(config, weights, block, shape, dropout, scratch))
            self._parts.append(FeedForward(config, weights, block, num_rows, dropout, scratch))
        self._norm = Norm(weights, "norm.weight", num_rows, config.norm_eps)
        new = self._embedding.new_empty
        self._x, self._d_x, self._d_normed = (seen(new(num_rows, config.n_embd)) for _ in range(3))

    @torch.no_grad()
    def compute(self, ids: Tensor, targets: Tensor, scale: float, gradients: Named, seed: int) -> float:
        """The summed loss in nats of targets (B, T) after ids (B, T); its gradient, times `scale`, is written.

        A target below zero costs nothing. `gradients` are by the names of the parameters. `seed` chooses what is left
        out, and which words take part by lot.
        """
        ids, lot = ids.flatten(), np.random.default_rng(seed)
        keys = np.random.default_rng([seed, 1]).integers(1 << 32, size=len(self._parts), dtype=np.uint32)
        x = self._x
        torch.index_select(self._embedding, 0, ids, out=x.tensor)
        for part, key in zip(self._parts, keys, strict=True):
            x = part.forward(x, key)
        d_head = seen(gradients[self._head_name])
        normed, goals = self._norm.forward(x), targets.flatten().numpy()
        nats = self._head.compute(normed, goals, scale, lot, self._d_normed.tensor, d_head)
        self._d_x.tensor.zero_()
        self._norm.backward(self._d_normed, self._d_x, gradients)
        for part in reversed(self._parts):
            part.backward(self._d_x, gradients)
        d_embedding = gradients["embedding.weight"]
        if not self._tied:
            d_embedding.zero_()
        kernels.add_rows(self._d_x.array, ids.numpy(), seen(d_embedding).array)
        return nats


def gradient_of(model: Transformer, shape: tuple[int, int], *, ticket: float, dropout: float) -> Gradient:
    """Of a network's parameters."""
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    return Gradient(model.config, weights, shape, ticket, dropout)
