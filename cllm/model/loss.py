"""Fused linear layer and cross-entropy, in chunks of rows, without the logits of all rows.

The logits of all rows and their gradient would be N x V values in fp32 each: by far the largest tensors of a step. Here
a chunk of rows goes through product, softmax and gradient while it is in the cache; the two gradients (of the hidden
states and of the head) are computed in forward. The idea is that of Liger and Cut Cross-Entropy (Wijmans et al. 2024),
in plain PyTorch.
"""

from typing import Any

import torch
from torch import Tensor

IGNORE_INDEX = -1  # a target without loss
ROWS_PER_CHUNK = 128


class LinearCrossEntropy(torch.autograd.Function):
    """Summed negative log-likelihood (nats, fp32) of targets (N,) given hidden (N, D) and head weight (V, D)."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        d_hidden = torch.empty_like(hidden)
        d_weight = torch.zeros_like(weight)
        total = torch.zeros((), dtype=torch.float32)
        for rows, chunk_targets, d_rows in zip(
            *(torch.split(t, ROWS_PER_CHUNK) for t in (hidden, targets, d_hidden)), strict=True
        ):
            log_probabilities = torch.log_softmax(torch.mm(rows, weight.t()).float(), -1)
            mask = (chunk_targets != IGNORE_INDEX).unsqueeze(1)
            chunk_targets = chunk_targets.clamp(min=0).unsqueeze(1)
            total -= (log_probabilities.gather(1, chunk_targets) * mask).sum()
            if not any(ctx.needs_input_grad):
                continue
            d_logits = log_probabilities.exp_().scatter_add_(
                1, chunk_targets, torch.full_like(chunk_targets, -1, dtype=torch.float32)
            )
            d_logits = d_logits.mul_(mask).to(hidden.dtype)
            torch.mm(d_logits, weight, out=d_rows)
            d_weight.addmm_(d_logits.t(), rows)
        ctx.save_for_backward(d_hidden, d_weight)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        (d_total,) = gradients
        d_hidden, d_weight = ctx.saved_tensors
        return d_hidden * d_total.to(d_hidden.dtype), d_weight * d_total.to(d_weight.dtype), None


def linear_cross_entropy(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Summed loss in nats of targets (B, T), given hidden states (B, T, D) and the head's weight (V, D).

    Targets equal to `IGNORE_INDEX` are ignored.
    """
    loss: Tensor = LinearCrossEntropy.apply(hidden.flatten(0, 1), weight, targets.flatten())  # type: ignore[no-untyped-call]
    return loss
