"""Muon's orthogonalization and step, and AdamW against PyTorch."""

import numpy as np
import pytest
import torch

from cllm.training.optimizer import NEWTON_SCHULZ, adamw_step, muon_step, orthogonalise
from cllm.training.plan import OptimizerConfig

CONFIG = OptimizerConfig(matrix_weight_decay=0.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(32, 32), (16, 48), (48, 16)])
def test_orthogonalised_singular_values_are_near_one(shape: tuple[int, int], dtype: torch.dtype) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    values = torch.linalg.svdvals(orthogonalise(x).float())
    assert values.min() > 0.6 and values.max() < 1.3


def test_orthogonalised_keeps_the_singular_vectors() -> None:
    x = torch.randn(24, 24, generator=torch.Generator().manual_seed(0))
    u, _, vt = torch.linalg.svd(x)
    similarity = (orthogonalise(x).float() * (u @ vt)).sum() / 24
    assert similarity > 0.8


def test_newton_schulz_polynomials_are_minimax() -> None:
    low, high = 0.02, 1.0
    for a, b, c in NEWTON_SCHULZ:
        x = np.linspace(low, high, 200_001)
        error = 1 - (a * x + b * x**3 + c * x**5)
        largest = np.abs(error).max()
        extremes = np.sign(error[np.abs(error) > 0.9999 * largest])
        # Chebyshev: the minimax polynomial attains its largest error at least four times, with alternating signs.
        assert np.count_nonzero(np.diff(extremes)) + 1 == 4
        low, high = 1 - largest, 1 + largest
    assert largest < 0.1


def test_zero_matrix_stays_zero() -> None:
    assert (orthogonalise(torch.zeros(8, 16)) == 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("noise", [0.0, 1e-3, 1e-2])
def test_singular_values_of_nearly_rank_one_matrices_are_bounded(noise: float, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    for shape in [(10, 14), (64, 24), (32, 32)] * 10:
        left, right = (torch.randn(length, generator=generator) for length in shape)
        x = torch.outer(left, right) + noise * torch.randn(shape, generator=generator)
        assert torch.linalg.svdvals(orthogonalise(x.to(dtype)).float()).max() < 1.15


@pytest.mark.parametrize("scale", [1e-12, 1e-8, 1e6, 1e10])
def test_orthogonalisation_is_scale_invariant(scale: float) -> None:
    x = torch.randn(16, 24, generator=torch.Generator().manual_seed(0))
    if scale < 1e-10:  # numerically zero: it is not scaled up
        assert orthogonalise(x * scale).abs().max() <= 1
    else:
        torch.testing.assert_close(orthogonalise(x * scale), orthogonalise(x), rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize(("shape", "scale"), [((16, 16), 1.0), ((64, 16), 2.0), ((16, 64), 1.0)])
def test_muon_step_uses_nesterov_momentum(shape: tuple[int, int], scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    weight, *gradients = (torch.randn(shape, generator=generator) for _ in range(3))
    config = OptimizerConfig(matrix_lr=0.1, matrix_momentum=0.75, matrix_weight_decay=0.5)
    found, state = weight.clone(), torch.zeros(shape)
    momentum = torch.zeros(shape)
    for gradient in gradients:
        muon_step(found, state, gradient, 0.5, config, torch.float32)
        momentum = 0.75 * momentum + 0.25 * gradient
        weight = weight * (1 - 0.05 * 0.5) - 0.05 * scale * orthogonalise(0.25 * gradient + 0.75 * momentum)
    torch.testing.assert_close(state, momentum)
    torch.testing.assert_close(found, weight, rtol=1e-4, atol=1e-5)


def test_adamw_equals_pytorch() -> None:
    generator = torch.Generator().manual_seed(0)
    found = torch.randn(8, 8, generator=generator)
    expected = found.clone().requires_grad_()
    first_moment, second_moment = torch.zeros(8, 8), torch.zeros(8, 8)
    config = OptimizerConfig(lr=0.01, betas=(0.8, 0.95), eps=1e-10, weight_decay=0.1)
    optimizer = torch.optim.AdamW([expected], lr=0.01, betas=(0.8, 0.95), eps=1e-10, weight_decay=0.1)
    for step in range(1, 6):
        gradient = torch.randn(8, 8, generator=generator)
        expected.grad = gradient.clone()
        optimizer.step()
        adamw_step(found, first_moment, second_moment, gradient, step, 1.0, config)
    torch.testing.assert_close(found, expected.detach())
