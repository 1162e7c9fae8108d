"""Optimizers: Muon for the matrices of the blocks, AdamW for all other parameters.

Muon (Jordan et al. 2024) steps along the momentum after setting its singular values nearly equal with a few
Newton-Schulz iterations. These run in the plan's dtype: bfloat16 if the processor supports it (without support they
took nine times as long as in float32). Each function updates one part on one thread, so the result is bit-identical in
every process.
"""

import torch
from torch import Tensor

from cllm.training.plan import OptimizerConfig

# (a, b, c) of x -> a x + b x^3 + c x^5, applied in turn: each minimises the distance to 1 on the interval to which the
# previous ones map singular values of 0.02 to 1 (Polar Express, Amsel et al. 2025, arXiv:2505.16932, for three
# iterations). These values end between 0.9 and 1.1; 0.01 becomes 0.5. Five iterations of Jordan's quintic leave a mean
# distance to 1 of 0.17, these three 0.12 (docs/LOG.md, 2026-11-26).
NORM_MARGIN = 1.02
NEWTON_SCHULZ = (
    (7.710969, -22.113755, 16.248743),
    (3.215276, -2.411172, 0.501300),
    (2.218308, -1.593990, 0.410748),
)


def orthogonalise(x: Tensor) -> Tensor:
    """Approximately U V^T for x = U S V^T; `x` and the result are (R, D), in x's dtype."""
    tall = x.size(0) > x.size(1)
    x = x.t() if tall else x
    x = x / (x.norm() + 1e-7)
    gram = x @ x.t()
    # sqrt(sum S^4) is a tighter bound on the largest S^2 than sum S^2. The quintics rise steeply beyond 1 (1.006 would
    # become 60), hence a margin for the rounding of bfloat16.
    size = NORM_MARGIN * gram.norm() + 1e-20
    gram, x = gram / size, x / size.sqrt()
    for number, (a, b, c) in enumerate(NEWTON_SCHULZ):
        gram = x @ x.t() if number else gram
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.t() if tall else x


def muon_step(
    weight: Tensor, momentum: Tensor, gradient: Tensor, scale: float, config: OptimizerConfig, dtype: torch.dtype
) -> None:
    """One Muon step in place on fp32 `weight` and `momentum` (R, D); matrix products run in `dtype`.

    With Nesterov momentum. Tall matrices take a step sqrt(R / D) times as large, which keeps the change of their output
    the same.
    """
    momentum.lerp_(gradient, 1 - config.matrix_momentum)
    direction = gradient.lerp(momentum, config.matrix_momentum).to(dtype)
    lr = config.matrix_lr * scale
    weight.mul_(1 - lr * config.matrix_weight_decay)
    size = max(1.0, weight.size(0) / weight.size(1)) ** 0.5
    weight.add_(orthogonalise(direction).float(), alpha=-lr * size)


def adamw_step(
    weight: Tensor,
    first_moment: Tensor,
    second_moment: Tensor,
    gradient: Tensor,
    step: int,
    scale: float,
    config: OptimizerConfig,
) -> None:
    """One AdamW step in place (Loshchilov & Hutter 2019); `step` counts from 1.

    `weight`, both moments and `gradient` are fp32 (any shape, all the same); vectors have no weight decay.
    """
    beta1, beta2 = config.betas
    first_moment.lerp_(gradient, 1 - beta1)
    second_moment.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    if weight.dim() > 1:
        weight.mul_(1 - config.lr * scale * config.weight_decay)
    denominator = (second_moment / (1 - beta2**step)).sqrt_().add_(config.eps)
    weight.addcdiv_(first_moment, denominator, value=-config.lr * scale / (1 - beta1**step))
