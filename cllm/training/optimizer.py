"""How a gradient changes a parameter: Muon for the matrices of the blocks, AdamW for everything else.

Muon (Jordan et al. 2024) steps along the momentum with its singular values made equal, by a few Newton-Schulz products
in what the plan's products read: bfloat16 where the processor has it (where it has not, these took nine times as long
as float32). Each function changes one whole parameter, on one thread: whichever process does it, the bits are the same.
"""

import torch
from torch import Tensor

from cllm.training.plan import OptimizerConfig

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # Jordan's quintic: steepest at zero, brings singular values near 1


def orthogonalise(x: Tensor, steps: int) -> Tensor:
    """Nearly U V^T of x = U S V^T, in x's precision: singular values between about 0.7 and 1.2."""
    a, b, c = NEWTON_SCHULZ
    tall = x.size(0) > x.size(1)
    x = x.t() if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.t()
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x.t() if tall else x


def update_matrix(
    weight: Tensor,
    momentum: Tensor,
    gradient: Tensor,
    rows: tuple[int, ...],
    scale: float,
    config: OptimizerConfig,
    dtype: torch.dtype,
) -> None:
    """One Muon step in place on fp32 `weight` and `momentum` (R, D), products in `dtype`; `rows` splits fused matrices.

    Nesterov momentum; tall matrices step by sqrt(R / D) more, which keeps the change of their output the same.
    """
    momentum.lerp_(gradient, 1 - config.matrix_momentum)
    direction = gradient.lerp(momentum, config.matrix_momentum)
    step = config.matrix_lr * scale
    weight.mul_(1 - step * config.matrix_weight_decay)
    for part, change in zip(torch.split(weight, list(rows)), torch.split(direction.to(dtype), list(rows)), strict=True):
        size = max(1.0, part.size(0) / part.size(1)) ** 0.5
        part.add_(orthogonalise(change, config.newton_schulz_steps).float(), alpha=-step * size)


def update_other(
    weight: Tensor, first: Tensor, second: Tensor, gradient: Tensor, step: int, scale: float, config: OptimizerConfig
) -> None:
    """One AdamW step in place (Loshchilov & Hutter 2019); `step` counts from 1; vectors do not decay."""
    beta1, beta2 = config.betas
    first.lerp_(gradient, 1 - beta1)
    second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    if weight.dim() > 1:
        weight.mul_(1 - config.lr * scale * config.weight_decay)
    denominator = (second / (1 - beta2**step)).sqrt_().add_(config.eps)
    weight.addcdiv_(first, denominator, value=-config.lr * scale / (1 - beta1**step))
