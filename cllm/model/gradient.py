"""The loss of some texts and its gradient, without autograd: every number has its place, made once.

The matrix products are PyTorch's, into tensors that are there already; what lies between them are kernels of one pass
(`kernels.py`). The slow twin is `Transformer` with autograd and `linear_cross_entropy`, with the same architecture in
the same order. Shapes as there; N = B T rows, one for each token.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cllm.compiled import Array
from cllm.model import kernels
from cllm.model.attention import blocks
from cllm.model.config import TransformerConfig
from cllm.model.loss import ROWS_PER_CHUNK
from cllm.model.transformer import rotary

Named = Mapping[str, Tensor]  # parameters, or what belongs to them, by their names


class Numbers(NamedTuple):
    """The same memory as a tensor, for products, and as an array, for kernels."""

    tensor: Tensor
    array: Array


def seen(tensor: Tensor) -> Numbers:
    """A tensor in both ways; bfloat16 are uint16 to NumPy."""
    tensor = tensor.detach()
    return Numbers(tensor, (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy())


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


class Attention:
    """x + attention(norm(x)), in the block whose parameters' names begin with `block`, for texts and tokens `shape`."""

    def __init__(self, config: TransformerConfig, weights: Named, block: str, shape: tuple[int, int]) -> None:
        num_texts, num_tokens = shape
        rows, heads, channels = num_texts * num_tokens, config.n_head, config.head_dim
        self._names = [f"{block}attention.{name}.weight" for name in ("qkv", "out", "q_norm", "k_norm")]
        self._qkv_weight, self._out_weight, q_weight, k_weight = (weights[name] for name in self._names)
        self._q_weight, self._k_weight = seen(q_weight).array, seen(k_weight).array
        self._d_q_weight, self._d_k_weight = torch.empty(channels), torch.empty(channels)
        self._back = torch.empty(channels).numpy()  # room for a head's gradient
        self._norm = Norm(weights, f"{block}attention_norm.weight", rows, config.norm_eps)
        self._eps, self._scales = config.norm_eps, torch.empty(rows, 2 * heads).numpy()
        self._cos, self._sin = (part[:, 0].numpy() for part in rotary(config, 0, num_tokens, torch.float32))
        new, by_head = self._qkv_weight.new_empty, (num_texts, heads, num_tokens, channels)
        self._qkv = seen(new(rows, 3 * heads * channels))
        self._q, self._k, self._v, self._attended = (seen(new(by_head)) for _ in range(4))
        self._d_q, self._d_k, self._d_v = (seen(new(by_head)) for _ in range(3))
        self._joined, self._d_joined = (seen(new(rows, heads * channels)) for _ in range(2))
        self._blocks = blocks(num_tokens, 0)
        self._chances = [seen(new(num_texts * heads, end - begin, visible)) for begin, end, visible in self._blocks]
        self._d_chances = seen(new(max(chances.tensor.numel() for chances in self._chances)))
        self._d_normed, self.out = (seen(new(rows, config.n_embd)) for _ in range(2))

    def forward(self, x: Numbers) -> Numbers:
        torch.mm(self._norm.forward(x), self._qkv_weight.t(), out=self._qkv.tensor)
        kernels.split_heads(
            self._qkv.array,
            self._q_weight,
            self._k_weight,
            self._eps,
            self._cos,
            self._sin,
            self._q.array,
            self._k.array,
            self._v.array,
            self._scales,
        )
        q, k, v, attended = (each.tensor.flatten(0, 1) for each in (self._q, self._k, self._v, self._attended))
        for (begin, end, visible), chances in zip(self._blocks, self._chances, strict=True):
            torch.bmm(q[:, begin:end], k[:, :visible].transpose(1, 2), out=chances.tensor)
            kernels.causal_softmax(chances.array)
            torch.bmm(chances.tensor, v[:, :visible], out=attended[:, begin:end])
        kernels.join_heads(self._attended.array, self._joined.array)
        torch.addmm(x.tensor, self._joined.tensor, self._out_weight.t(), out=self.out.tensor)
        return self.out

    def backward(self, gradient: Numbers, gradients: Named) -> None:
        """Turn the gradient of what came out into that of what came in."""
        qkv_name, out_name, q_name, k_name = self._names
        torch.mm(gradient.tensor.t(), self._joined.tensor, out=gradients[out_name])
        torch.mm(gradient.tensor, self._out_weight, out=self._d_joined.tensor)
        kernels.part_heads(self._d_joined.array, self._attended.array)
        self._scores_backward(self._attended.tensor.flatten(0, 1))
        self._d_q_weight.zero_()
        self._d_k_weight.zero_()
        kernels.split_heads_backward(
            self._d_q.array,
            self._d_k.array,
            self._d_v.array,
            self._qkv.array,
            self._q_weight,
            self._k_weight,
            self._cos,
            self._sin,
            self._scales,
            self._d_q_weight.numpy(),
            self._d_k_weight.numpy(),
            self._back,
        )
        gradients[q_name].copy_(self._d_q_weight)
        gradients[k_name].copy_(self._d_k_weight)
        torch.mm(self._qkv.tensor.t(), self._norm.normed.tensor, out=gradients[qkv_name])
        torch.mm(self._qkv.tensor, self._qkv_weight, out=self._d_normed.tensor)
        self._norm.backward(self._d_normed, gradient, gradients)

    def _scores_backward(self, d_attended: Tensor) -> None:
        """From the gradient of what was attended (B H, T, C) to those of queries, keys and values."""
        q, k, v = (each.tensor.flatten(0, 1) for each in (self._q, self._k, self._v))
        d_q, d_k, d_v = (each.tensor.flatten(0, 1) for each in (self._d_q, self._d_k, self._d_v))
        d_k.zero_()
        d_v.zero_()
        for (begin, end, visible), chances in zip(self._blocks, self._chances, strict=True):
            shape, size = chances.tensor.shape, chances.tensor.numel()
            d_scores = self._d_chances.tensor[:size].view(shape)
            torch.bmm(d_attended[:, begin:end], v[:, :visible].transpose(1, 2), out=d_scores)
            kernels.softmax_backward(self._d_chances.array[:size].reshape(shape), chances.array)
            torch.bmm(d_scores, k[:, :visible], out=d_q[:, begin:end])
            d_k[:, :visible].baddbmm_(d_scores.transpose(1, 2), q[:, begin:end])
            d_v[:, :visible].baddbmm_(chances.tensor.transpose(1, 2), d_attended[:, begin:end])


class FeedForward:
    """x + feed_forward(norm(x)), in the block whose parameters' names begin with `block`."""

    def __init__(self, config: TransformerConfig, weights: Named, block: str, num_rows: int) -> None:
        self._gate_up_name, self._down_name = (f"{block}feed_forward.{name}.weight" for name in ("gate_up", "down"))
        self._gate_up_weight, self._down_weight = weights[self._gate_up_name], weights[self._down_name]
        self._norm = Norm(weights, f"{block}feed_forward_norm.weight", num_rows, config.norm_eps)
        new = self._down_weight.new_empty
        self._gate_up = seen(new(num_rows, 2 * config.n_inner))
        self._active, self._d_active = (seen(new(num_rows, config.n_inner)) for _ in range(2))
        self._d_normed, self.out = (seen(new(num_rows, config.n_embd)) for _ in range(2))

    def forward(self, x: Numbers) -> Numbers:
        torch.mm(self._norm.forward(x), self._gate_up_weight.t(), out=self._gate_up.tensor)
        kernels.swiglu(self._gate_up.array, self._active.array)
        torch.addmm(x.tensor, self._active.tensor, self._down_weight.t(), out=self.out.tensor)
        return self.out

    def backward(self, gradient: Numbers, gradients: Named) -> None:
        """Turn the gradient of what came out into that of what came in."""
        torch.mm(gradient.tensor.t(), self._active.tensor, out=gradients[self._down_name])
        torch.mm(gradient.tensor, self._down_weight, out=self._d_active.tensor)
        kernels.swiglu_backward(self._d_active.array, self._gate_up.array)
        torch.mm(self._gate_up.tensor.t(), self._norm.normed.tensor, out=gradients[self._gate_up_name])
        torch.mm(self._gate_up.tensor, self._gate_up_weight, out=self._d_normed.tensor)
        self._norm.backward(self._d_normed, gradient, gradients)


class Gradient:
    """Of all weights of a network, which it reads anew at each call, for texts and tokens `shape` (B, T)."""

    def __init__(self, config: TransformerConfig, weights: Named, shape: tuple[int, int]) -> None:
        assert config.n_head == config.n_kv_head, "written for as many heads of keys as of queries"
        self._tied, num_rows = config.tied, shape[0] * shape[1]
        self._embedding = weights["embedding.weight"]
        self._head_name = "embedding.weight" if config.tied else "head.weight"
        self._head = weights[self._head_name]
        self._parts: list[Attention | FeedForward] = []
        for block in (f"blocks.{layer}." for layer in range(config.n_layer)):
            self._parts.append(Attention(config, weights, block, shape))
            self._parts.append(FeedForward(config, weights, block, num_rows))
        self._norm = Norm(weights, "norm.weight", num_rows, config.norm_eps)
        new = self._embedding.new_empty
        self._x, self._d_x, self._d_normed = (seen(new(num_rows, config.n_embd)) for _ in range(3))
        self._logits = seen(new(min(ROWS_PER_CHUNK, num_rows), config.vocab_size))

    @torch.no_grad()
    def compute(self, ids: Tensor, targets: Tensor, scale: float, gradients: Named) -> float:
        """The summed loss in nats of targets (B, T) after ids (B, T); its gradient, times `scale`, is written.

        A target below zero costs nothing. `gradients` are by the names of the parameters.
        """
        ids = ids.flatten()
        x = self._x
        torch.index_select(self._embedding, 0, ids, out=x.tensor)
        for part in self._parts:
            x = part.forward(x)
        nats = self._head_and_back(self._norm.forward(x), targets.flatten().numpy(), scale, gradients[self._head_name])
        self._d_x.tensor.zero_()
        self._norm.backward(self._d_normed, self._d_x, gradients)
        for part in reversed(self._parts):
            part.backward(self._d_x, gradients)
        d_embedding = gradients["embedding.weight"]
        if not self._tied:
            d_embedding.zero_()
        kernels.add_rows(self._d_x.array, ids.numpy(), seen(d_embedding).array)
        return nats

    def _head_and_back(self, normed: Tensor, targets: Array, scale: float, d_head: Tensor) -> float:
        """The loss, some rows at a time: their logits become their gradient while they are in the cache."""
        d_head.zero_()
        nats, most = 0.0, len(self._logits.tensor)
        for begin in range(0, len(targets), most):
            goals = targets[begin : begin + most]
            rows, logits = slice(begin, begin + len(goals)), self._logits.tensor[: len(goals)]
            torch.mm(normed[rows], self._head.t(), out=logits)
            nats += kernels.cross_entropy(self._logits.array[: len(goals)], goals, np.float32(scale))
            torch.mm(logits, self._head, out=self._d_normed.tensor[rows])
            d_head.addmm_(logits.t(), normed[rows])
        return nats
