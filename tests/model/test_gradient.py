"""The gradient without autograd against autograd, and its kernels against reference implementations."""

import dataclasses
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from cllm.jit.compiled import Array, compiled
from cllm.model import kernels
from cllm.model.config import TransformerConfig, parameter_shapes
from cllm.model.gradient import build_forward_backward
from cllm.model.loss import IGNORE_INDEX, linear_cross_entropy
from cllm.model.scalars import exp, from_float, to_float
from cllm.model.transformer import Transformer, initialise, rotary_cos_sin

CONFIG = TransformerConfig(
    vocab_size=61, n_layer=2, n_head=2, n_kv_head=2, n_embd=24, head_dim=8, n_inner=40, context_length=400
)


def network(config: TransformerConfig, dtype: torch.dtype) -> Transformer:
    """A network whose parameters are all random: no projection is zero and no norm weight is one."""
    model, generator = Transformer(config), torch.Generator().manual_seed(0)
    initialise(model, generator)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return model.to(dtype)


def apply_dropout(key: int, rows: Tensor, dropout: float) -> Tensor:
    """Dropout of rows (N, D), a reference implementation."""
    mixed = key + torch.arange(rows.numel()) * 0x9E3779B1 & 0xFFFFFFFF
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        mixed = (mixed ^ mixed >> shift) * factor & 0xFFFFFFFF
    threshold = int(float(np.float32(dropout)) * 2**32)
    return rows * (mixed >= threshold).view_as(rows) / (1 - dropout)


def autograd_reference(
    model: Transformer, inputs: Tensor, targets: Tensor, scale: float, dropout: float, seed: int
) -> tuple[float, dict[str, Tensor]]:
    """Reference implementation: loss and gradients over all words."""
    x = model.embedding(inputs)
    cos, sin = rotary_cos_sin(model.config, 0, inputs.size(1), x.dtype)
    generator = np.random.default_rng([seed, 1])
    dropout_keys = iter(generator.integers(1 << 32, size=2 * model.config.n_layer, dtype=np.uint32).tolist())
    for block in model.blocks:
        x = x + apply_dropout(next(dropout_keys), block.attention(block.attention_norm(x), cos, sin, None), dropout)
        x = x + apply_dropout(next(dropout_keys), block.feed_forward(block.feed_forward_norm(x)), dropout)
    nats = linear_cross_entropy(model.norm(x), model.head_weight, targets)
    found = torch.autograd.grad(nats * scale, list(model.parameters()))
    return float(nats.item()), dict(zip((name for name, _ in model.named_parameters()), found, strict=True))


def compute_both(
    config: TransformerConfig, shape: tuple[int, int], dtype: torch.dtype, dropout: float = 0.0
) -> tuple[tuple[float, dict[str, Tensor]], tuple[float, dict[str, Tensor]]]:
    """Loss and gradients of `build_forward_backward` and of autograd."""
    model, generator = network(config, dtype), torch.Generator().manual_seed(1)
    ids = torch.randint(0, config.vocab_size, (shape[0], shape[1] + 1), generator=generator)
    inputs, targets = ids[:, :-1], ids[:, 1:].clone()
    targets[0, : shape[1] // 3] = IGNORE_INDEX
    gradients = {name: torch.full_like(parameter, torch.nan) for name, parameter in model.named_parameters()}
    fused = build_forward_backward(model, shape, sample_threshold=0.0, dropout=dropout)
    # The first call must not affect the second.
    fused.compute(torch.zeros_like(inputs), torch.zeros_like(targets), 1.0, gradients, 0)
    nats = fused.compute(inputs, targets, 0.01, gradients, 7)
    return (nats, gradients), autograd_reference(model, inputs, targets, 0.01, dropout, 7)


GROUPED = dataclasses.replace(CONFIG, n_head=4, n_kv_head=2)


CONFIGS = [CONFIG, dataclasses.replace(CONFIG, tied=False), GROUPED]


@pytest.mark.parametrize("dropout", [0.0, 0.3, 0.6])
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (3, 40), (1, 128), (2, 200), (1, 300)])
@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_loss_and_gradients_equal_autograd(shape: tuple[int, int], config: TransformerConfig, dropout: float) -> None:
    (nats, fused), (expected_nats, expected) = compute_both(config, shape, torch.float32, dropout)
    assert nats == pytest.approx(expected_nats, rel=1e-5)
    for name, gradient in expected.items():
        torch.testing.assert_close(fused[name], gradient, rtol=1e-4, atol=1e-6, msg=lambda text, name=name: name + text)


def errors_in_bfloat16(config: TransformerConfig, dropout: float) -> dict[str, tuple[float, float]]:
    """Relative error of each parameter's gradient in bfloat16: of `build_forward_backward` and of autograd."""
    (nats, fused), (_, autograd) = compute_both(config, (2, 160), torch.bfloat16, dropout)
    _, (expected_nats, expected) = compute_both(config, (2, 160), torch.float32, dropout)
    assert nats == pytest.approx(expected_nats, rel=1e-2)
    assert all(gradient.dtype == torch.bfloat16 for gradient in fused.values())
    errors = {}
    for name, gradient in expected.items():
        first, second = (float((each[name].float() - gradient).norm() / gradient.norm()) for each in (fused, autograd))
        errors[name] = first, second
    return errors


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_bfloat16_error_of_each_gradient_is_at_most_that_of_autograd(config: TransformerConfig) -> None:
    for name, (fused, autograd) in errors_in_bfloat16(config, 0.0).items():
        assert fused < max(0.02, 1.2 * autograd), name


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_bfloat16_mean_error_with_dropout_is_at_most_that_of_autograd(config: TransformerConfig) -> None:
    # The mean over all parameters: gradients of 8 elements vary too much one by one.
    fused, autograd = np.mean(list(errors_in_bfloat16(config, 0.3).values()), 0)
    assert fused < 1.1 * autograd


def test_gradients_are_bit_reproducible() -> None:
    first, second = (compute_both(CONFIG, (2, 60), torch.float32, 0.3)[0] for _ in range(2))
    assert first[0] == second[0] and all(torch.equal(first[1][name], second[1][name]) for name in first[1])


@pytest.mark.parametrize("dropout", [0.01, 0.5, 0.9])
def test_dropout_keeps_the_mean_and_masks_of_keys_are_independent(dropout: float) -> None:
    ones, found = np.ones((500, 400), np.float32), []
    for key in (np.uint32(0), np.uint32(1), np.uint32(2**32 - 1)):
        kept = np.empty_like(ones)
        kernels.dropout_backward(ones, key, np.float32(dropout), kept)
        assert kept.sum() == pytest.approx(ones.size, rel=4 * (dropout / (1 - dropout) / ones.size) ** 0.5)
        found.append(kept > 0)
    for first, second in combinations(found, 2):
        overlap, expected = (first & second).mean(), (1 - dropout) ** 2
        assert overlap == pytest.approx(expected, abs=5 * (expected / ones.size) ** 0.5)


def gradients_of(model: Transformer, targets: Tensor) -> tuple[float, dict[str, Tensor]]:
    found = {name: torch.empty_like(parameter) for name, parameter in model.named_parameters()}
    ids = torch.arange(targets.numel()).view_as(targets) % CONFIG.vocab_size
    gradient = build_forward_backward(model, (targets.size(0), targets.size(1)), sample_threshold=0.3, dropout=0.0)
    return gradient.compute(ids, targets, 1.0, found, 0), found


def test_gradients_are_zero_if_all_targets_are_ignored() -> None:
    nats, gradients = gradients_of(network(CONFIG, torch.float32), torch.full((2, 30), IGNORE_INDEX))
    assert nats == 0 and all((gradient == 0).all() for gradient in gradients.values())


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("name", [name for name in parameter_shapes(CONFIG) if "blocks.1" not in name])
def test_non_finite_weight_gives_a_non_finite_loss_or_gradient(name: str, value: float) -> None:
    model = network(CONFIG, torch.float32)
    dict(model.named_parameters())[name].data.view(-1)[3] = value
    nats, gradients = gradients_of(model, torch.ones(1, 30, dtype=torch.int64))
    square = sum(float(gradient.double().square().sum()) for gradient in gradients.values())
    assert not (np.isfinite(nats) and np.isfinite(square))


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_non_finite_weight_of_an_unused_word_gives_a_non_finite_loss(dtype: torch.dtype, value: float) -> None:
    model = network(CONFIG, dtype)
    model.head_weight.data[50, 3] = value  # no input, no target
    assert not np.isfinite(gradients_of(model, torch.ones(1, 30, dtype=torch.int64))[0])


@compiled
def exponentiate(inputs: Array, results: Array) -> None:
    for index in range(len(inputs)):
        results[index] = exp(inputs[index])


@compiled
def round_trip(inputs: Array, results: Array, restored: Array) -> None:
    for index in range(len(inputs)):
        results[index] = from_float(inputs[index], results[index])
        restored[index] = to_float(results[index])


def test_exp_is_accurate_to_3e_7() -> None:
    inputs = np.linspace(-87, 88, 1_000_003).astype(np.float32)
    results = np.empty_like(inputs)
    exponentiate(inputs, results)
    exact = np.exp(inputs.astype(np.float64))
    assert (np.abs(results - exact) <= 3e-7 * exact).all()


def test_exp_stays_finite_for_extreme_inputs() -> None:
    results = np.empty(4, np.float32)
    exponentiate(np.array([-1e30, -200, 200, 1e30], np.float32), results)
    assert np.isfinite(results).all() and (results[:2] < 2e-38).all() and (results[2:] > 1e38).all()


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_bfloat16_rounding_equals_pytorch(values: list[float]) -> None:
    inputs = np.array(values, np.float32)
    results, restored = np.empty(len(values), np.uint16), np.empty(len(values), np.float32)
    round_trip(inputs, results, restored)
    expected: Any = torch.from_numpy(inputs).bfloat16()
    assert (results == expected.view(torch.uint16).numpy()).all()
    assert (restored == expected.float().numpy()).all()
