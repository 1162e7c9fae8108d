"""How a gradient changes a parameter: Muon for the matrices of the blocks, AdamW for everything else.

Muon (Jordan et al. 2024) steps along the momentum with its singular values made equal, by a few Newton-Schulz products
in what the plan's products read: bfloat16 where the processor has it (where it has not, these took nine times as long
as float32). Each function changes one part, on one thread: whichever process does it, the bits are the same.
"""

import torch
from torch import Tensor

from cllm.training.plan import OptimizerConfig

# x -> a x + b x^3 + c x^5, one after another: each is the nearest to 1 where the one before leaves singular values that
# were 0.02 to 1 (Polar Express, Amsel et al. 2025, arXiv:2505.16932, for three). They end as 0.9 to 1.1; one of 0.01
# becomes 0.5. Five times Jordan's quintic leaves them 0.17 from 1 in the mean, these 0.12 (docs/LOG.md, 2026-11-26).
NORM_MARGIN = 1.02
NEWTON_SCHULZ = (
    (7.710969, -22.113755, 16.248743),
    (3.215276, -2.411172, 0.501300),
    (2.218308, -1.593990, 0.410748),
)


def orthogonalise(x: Tensor) -> Tensor:
    """Nearly U V^T of x = U S V^T, in x's precision."""
    tall = x.size(0) > x.size(1)
    x = x.t() if tall else x
    x = x / (x.norm() + 1e-7)
    gram = x @ x.t()
    # The root of the sum of S^4 is a closer bound of the largest S^2 than the sum of S^2. Beyond 1 the quintics rise
    # steeply, 1.006 would become 60: hence a margin for what bfloat16 rounds.
    size = NORM_MARGIN * gram.norm() + 1e-20
    gram, x = gram / size, x / size.sqrt()
    for number, (a, b, c) in enumerate(NEWTON_SCHULZ):
        gram = x @ x.t() if number else gram
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.t() if tall else x


def muon_step(
    weight: Tensor, momentum: Tensor, gradient: Tensor, scale: float, config: OptimizerConfig, dtype: torch.dtype
) -> None:
    """One Muon step in place on fp32 `weight` and `momentum` (R, D), products in `dtype`.

    Nesterov momentum; tall matrices step by sqrt(R / D) more, which keeps the change of their output the same.
    """
    momentum.lerp_(gradient, 1 - config.matrix_momentum)
    direction = gradient.lerp(momentum, config.matrix_momentum).to(dtype)
    step = config.matrix_lr * scale
    weight.mul_(1 - step * config.matrix_weight_decay)
    size = max(1.0, weight.size(0) / weight.size(1)) ** 0.5
    weight.add_(orthogonalise(direction).float(), alpha=-step * size)


def adamw_step(
    weight: Tensor,
    first_moment: Tensor,
    second_moment: Tensor,
    gradient: Tensor,
    step: int,
    scale: float,
    config: OptimizerConfig,
) -> None:
    """One AdamW step in place (Loshchilov & Hutter 2019); `step` counts from 1; vectors do not decay."""
    beta1, beta2 = config.betas
    first_moment.lerp_(gradient, 1 - beta1)
    second_moment.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    if weight.dim() > 1:
        weight.mul_(1 - config.lr * scale * config.weight_decay)
    denominator = (second_moment / (1 - beta2**step)).sqrt_().add_(config.eps)
    weight.addcdiv_(first_moment, denominator, value=-config.lr * scale / (1 - beta1**step))
