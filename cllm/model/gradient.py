"""Loss and gradient of a batch without autograd, in buffers that are allocated once.

The matrix products are PyTorch's, into preallocated tensors; the operations between them are fused kernels
(`kernels.py`). The reference implementation, in the tests, is `Transformer` with autograd and `linear_cross_entropy`,
with the same architecture in the same order. Shapes as there; N = B T rows, one for each token.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from cllm.model import kernels
from cllm.model.attention import query_blocks
from cllm.model.config import TransformerConfig
from cllm.model.head import Head
from cllm.model.shared_tensor import SharedTensor, as_tensor
from cllm.model.transformer import Transformer, rotary_cos_sin

NamedTensors = Mapping[str, Tensor]  # parameters or their gradients, by parameter name


class RMSNorm:
    """RMSNorm of rows (N, D); the result stays in `normed` (N, D) until the next call."""

    def __init__(self, weights: NamedTensors, name: str, num_rows: int, eps: float) -> None:
        self._name, self._eps = name, eps
        weight = weights[name]
        self._weight, self._d_weight = as_tensor(weight).array, torch.empty(len(weight))
        self._scales = torch.empty(num_rows).numpy()
        self.normed = as_tensor(weight.new_empty(num_rows, len(weight)))

    def forward(self, x: SharedTensor) -> Tensor:
        self._x = x
        kernels.rms_norm(x.array, self._weight, self._eps, self.normed.array, self._scales)
        return self.normed.tensor

    def backward(self, gradient: SharedTensor, d_x: SharedTensor, gradients: NamedTensors) -> None:
        """Add the gradient of the input to `d_x`, given that of the output; write the weight's to `gradients`."""
        self._d_weight.zero_()
        d_weight = self._d_weight.numpy()
        kernels.rms_norm_backward(gradient.array, self._x.array, self._weight, self._scales, d_x.array, d_weight)
        gradients[self._name].copy_(self._d_weight)


class Scratch:
    """Scratch buffers that all blocks share, since one sublayer uses them at a time."""

    def __init__(self, config: TransformerConfig, new: Callable[..., Tensor], shape: tuple[int, int]) -> None:
        """`new` allocates a tensor of a given size; `shape` is (B, T)."""
        batch_size, num_tokens = shape
        num_rows, num_heads, head_dim = batch_size * num_tokens, config.n_head, config.head_dim
        self.projection = as_tensor(new(num_rows, config.n_embd))
        self.normed = as_tensor(new(num_rows, config.n_embd))
        self.activations = as_tensor(new(num_rows, config.n_inner))
        self.merged_heads = as_tensor(new(num_rows, num_heads * head_dim))
        self.qkv_gradients = [as_tensor(new(batch_size, num_heads, num_tokens, head_dim)) for _ in range(3)]
        largest = max((end - begin) * num_visible for begin, end, num_visible in query_blocks(num_tokens, 0))
        self.scores = as_tensor(new(batch_size * num_heads * largest))
        self.head_gradient = torch.empty(head_dim).numpy()


class ResidualLinear:
    """x + dropout(rows weight^T), (N, D) (dropout: Srivastava et al. 2014)."""

    def __init__(self, weights: NamedTensors, name: str, num_rows: int, dropout: float, scratch: Scratch) -> None:
        self._name, self._weight, self._dropout, self._scratch = name, weights[name], np.float32(dropout), scratch
        self._out = as_tensor(self._weight.new_empty(num_rows, len(self._weight)))

    def forward(self, x: SharedTensor, rows: Tensor, dropout_key: np.uint32) -> SharedTensor:
        """The sum (N, D); the dropout mask is a function of `dropout_key`."""
        if not self._dropout:
            torch.addmm(x.tensor, rows, self._weight.t(), out=self._out.tensor)
            return self._out
        self._dropout_key = dropout_key
        torch.mm(rows, self._weight.t(), out=self._scratch.projection.tensor)
        kernels.dropout_add(x.array, self._scratch.projection.array, dropout_key, self._dropout, self._out.array)
        return self._out

    def backward(self, gradient: SharedTensor, rows: Tensor, d_rows: Tensor, gradients: NamedTensors) -> None:
        """Write the gradients of the rows and the weight, given that of the sum (N, D)."""
        d_projection = gradient
        if self._dropout:
            d_projection = self._scratch.projection
            kernels.dropout_backward(gradient.array, self._dropout_key, self._dropout, d_projection.array)
        torch.mm(d_projection.tensor.t(), rows, out=gradients[self._name])
        torch.mm(d_projection.tensor, self._weight, out=d_rows)


class Attention:
    """x + attention(norm(x)) of the block with parameter prefix `block`; `shape` is (B, T), x (N, D)."""

    def __init__(
        self,
        config: TransformerConfig,
        weights: NamedTensors,
        block: str,
        shape: tuple[int, int],
        dropout: float,
        scratch: Scratch,
    ) -> None:
        batch_size, num_tokens = shape
        rows, heads, head_dim = batch_size * num_tokens, config.n_head, config.head_dim
        self._names = [f"{block}attention.{name}.weight" for name in ("qkv", "q_norm", "k_norm")]
        self._qkv_weight, q_weight, k_weight = (weights[name] for name in self._names)
        self._norm, self._scratch = RMSNorm(weights, f"{block}attention_norm.weight", rows, config.norm_eps), scratch
        cos, sin = (part[:, 0].numpy() for part in rotary_cos_sin(config, 0, num_tokens, torch.float32))
        self._rope = kernels.RopeTables(as_tensor(q_weight).array, as_tensor(k_weight).array, config.norm_eps, cos, sin)
        self._d_weights = torch.empty(2, head_dim)
        new = self._qkv_weight.new_empty
        self._qkv = as_tensor(new(rows, len(self._qkv_weight)))
        self._scales = torch.empty(rows, heads + config.n_kv_head).numpy()
        self._heads = [as_tensor(new(batch_size, heads, num_tokens, head_dim)) for _ in range(3)]
        self._attended = as_tensor(new(batch_size, heads, num_tokens, head_dim))
        self._merged_heads = as_tensor(new(rows, heads * head_dim))
        self._query_blocks = query_blocks(num_tokens, 0)
        self._probabilities = [
            as_tensor(new(batch_size * heads, end - begin, num_visible))
            for begin, end, num_visible in self._query_blocks
        ]
        self._residual_linear = ResidualLinear(weights, f"{block}attention.out.weight", rows, dropout, scratch)

    def forward(self, x: SharedTensor, dropout_key: np.uint32) -> SharedTensor:
        torch.mm(self._norm.forward(x), self._qkv_weight.t(), out=self._qkv.tensor)
        kernels.split_heads(self._qkv.array, self._rope, as_heads(self._heads), self._scales)
        q, k, v, attended = (each.tensor.flatten(0, 1) for each in (*self._heads, self._attended))
        for (begin, end, num_visible), probabilities in zip(self._query_blocks, self._probabilities, strict=True):
            torch.bmm(q[:, begin:end], k[:, :num_visible].transpose(1, 2), out=probabilities.tensor)
            kernels.causal_softmax(probabilities.array)
            torch.bmm(probabilities.tensor, v[:, :num_visible], out=attended[:, begin:end])
        self._view_by_head(self._merged_heads).copy_(self._attended.tensor)
        return self._residual_linear.forward(x, self._merged_heads.tensor, dropout_key)

    def backward(self, gradient: SharedTensor, gradients: NamedTensors) -> None:
        """Replace the gradient (N, D) of the output by that of the input; write those of the parameters."""
        qkv_name, q_name, k_name = self._names
        scratch = self._scratch
        self._residual_linear.backward(gradient, self._merged_heads.tensor, scratch.merged_heads.tensor, gradients)
        self._attended.tensor.copy_(self._view_by_head(scratch.merged_heads))
        self._scores_backward(self._attended.tensor.flatten(0, 1))
        d_weights = self._d_weights.zero_().numpy()
        d_heads = as_heads(scratch.qkv_gradients)
        kernels.split_heads_backward(
            d_heads, self._qkv.array, self._rope, self._scales, d_weights, scratch.head_gradient
        )
        gradients[q_name].copy_(self._d_weights[0])
        gradients[k_name].copy_(self._d_weights[1])
        torch.mm(self._qkv.tensor.t(), self._norm.normed.tensor, out=gradients[qkv_name])
        torch.mm(self._qkv.tensor, self._qkv_weight, out=scratch.normed.tensor)
        self._norm.backward(scratch.normed, gradient, gradients)

    def _view_by_head(self, rows: SharedTensor) -> Tensor:
        """Rows (N, H C), seen by head: (B, H, T, C)."""
        batch_size, heads, num_tokens, head_dim = self._attended.tensor.shape
        return rows.tensor.view(batch_size, num_tokens, heads, head_dim).transpose(1, 2)

    def _scores_backward(self, d_attended: Tensor) -> None:
        """Write the gradients of queries, keys and values, given that of the attention's output (B H, T, C)."""
        q, k, v = (each.tensor.flatten(0, 1) for each in self._heads)
        d_q, d_k, d_v = (each.tensor.flatten(0, 1) for each in self._scratch.qkv_gradients)
        d_k.zero_()
        d_v.zero_()
        for (begin, end, num_visible), probabilities in zip(self._query_blocks, self._probabilities, strict=True):
            shape, size = probabilities.tensor.shape, probabilities.tensor.numel()
            d_scores = self._scratch.scores.tensor[:size].view(shape)
            torch.bmm(d_attended[:, begin:end], v[:, :num_visible].transpose(1, 2), out=d_scores)
            kernels.softmax_backward(self._scratch.scores.array[:size].reshape(shape), probabilities.array)
            torch.bmm(d_scores, k[:, :num_visible], out=d_q[:, begin:end])
            d_k[:, :num_visible].baddbmm_(d_scores.transpose(1, 2), q[:, begin:end])
            d_v[:, :num_visible].baddbmm_(probabilities.tensor.transpose(1, 2), d_attended[:, begin:end])


def as_heads(parts: Sequence[SharedTensor]) -> kernels.Heads:
    """The arrays (B, H, T, C) of queries, keys and values, or of their gradients."""
    q, k, v = (part.array for part in parts)
    return kernels.Heads(q, k, v)


class FeedForward:
    """x + feed_forward(norm(x)), (N, D), of the block with parameter prefix `block`."""

    def __init__(
        self,
        config: TransformerConfig,
        weights: NamedTensors,
        block: str,
        num_rows: int,
        dropout: float,
        scratch: Scratch,
    ) -> None:
        self._name = f"{block}feed_forward.gate_up.weight"
        self._weight, self._scratch = weights[self._name], scratch
        self._norm = RMSNorm(weights, f"{block}feed_forward_norm.weight", num_rows, config.norm_eps)
        new = self._weight.new_empty
        self._gate_up, self._activations = (
            as_tensor(new(num_rows, 2 * config.n_inner)),
            as_tensor(new(num_rows, config.n_inner)),
        )
        self._residual_linear = ResidualLinear(weights, f"{block}feed_forward.down.weight", num_rows, dropout, scratch)

    def forward(self, x: SharedTensor, dropout_key: np.uint32) -> SharedTensor:
        torch.mm(self._norm.forward(x), self._weight.t(), out=self._gate_up.tensor)
        kernels.swiglu(self._gate_up.array, self._activations.array)
        return self._residual_linear.forward(x, self._activations.tensor, dropout_key)

    def backward(self, gradient: SharedTensor, gradients: NamedTensors) -> None:
        """Replace the gradient (N, D) of the output by that of the input; write those of the parameters."""
        scratch = self._scratch
        self._residual_linear.backward(gradient, self._activations.tensor, scratch.activations.tensor, gradients)
        kernels.swiglu_backward(scratch.activations.array, self._gate_up.array)
        torch.mm(self._gate_up.tensor.t(), self._norm.normed.tensor, out=gradients[self._name])
        torch.mm(self._gate_up.tensor, self._weight, out=scratch.normed.tensor)
        self._norm.backward(scratch.normed, gradient, gradients)


class ForwardBackward:
    """Computes loss and gradients of a network for batches of `shape` (B, T), with the present values of `weights`."""

    def __init__(
        self,
        config: TransformerConfig,
        weights: NamedTensors,
        shape: tuple[int, int],
        sample_threshold: float,
        dropout: float,
    ) -> None:
        """`sample_threshold` as in `head.py`; `dropout` is the probability of dropout in the residual additions."""
        self._tied, num_rows = config.tied, shape[0] * shape[1]
        self._embedding = weights["embedding.weight"]
        self._head_name = "embedding.weight" if config.tied else "head.weight"
        self._head = Head(weights[self._head_name], num_rows, sample_threshold)
        scratch = Scratch(config, self._embedding.new_empty, shape)
        self._sublayers: list[Attention | FeedForward] = []
        for block in (f"blocks.{layer}." for layer in range(config.n_layer)):
            self._sublayers.append(Attention(config, weights, block, shape, dropout, scratch))
            self._sublayers.append(FeedForward(config, weights, block, num_rows, dropout, scratch))
        self._norm = RMSNorm(weights, "norm.weight", num_rows, config.norm_eps)
        new = self._embedding.new_empty
        self._x, self._d_x, self._d_normed = (as_tensor(new(num_rows, config.n_embd)) for _ in range(3))

    @torch.no_grad()
    def compute(self, ids: Tensor, targets: Tensor, scale: float, gradients: NamedTensors, seed: int) -> float:
        """Summed loss in nats of targets (B, T), given ids (B, T); negative targets are ignored.

        The gradient, times `scale`, is written to `gradients`, by parameter name. `seed` determines the dropout masks
        and the sampled words.
        """
        ids, rng = ids.flatten(), np.random.default_rng(seed)
        dropout_keys = np.random.default_rng([seed, 1]).integers(1 << 32, size=len(self._sublayers), dtype=np.uint32)
        x = self._x
        torch.index_select(self._embedding, 0, ids, out=x.tensor)
        for sublayer, dropout_key in zip(self._sublayers, dropout_keys, strict=True):
            x = sublayer.forward(x, dropout_key)
        d_head = as_tensor(gradients[self._head_name])
        normed, flat_targets = self._norm.forward(x), targets.flatten().numpy()
        nats = self._head.compute(normed, flat_targets, scale, rng, self._d_normed.tensor, d_head)
        self._d_x.tensor.zero_()
        self._norm.backward(self._d_normed, self._d_x, gradients)
        for sublayer in reversed(self._sublayers):
            sublayer.backward(self._d_x, gradients)
        d_embedding = gradients["embedding.weight"]
        if not self._tied:
            d_embedding.zero_()
        kernels.add_rows(self._d_x.array, ids.numpy(), as_tensor(d_embedding).array)
        return nats


def build_forward_backward(
    model: Transformer, shape: tuple[int, int], *, sample_threshold: float, dropout: float
) -> ForwardBackward:
    """A `ForwardBackward` of a network's parameters; arguments as there."""
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    return ForwardBackward(model.config, weights, shape, sample_threshold, dropout)
