"""The gradient without autograd against its slow twin, and its kernels against plain arithmetic."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cllm.compiled import Array, compiled
from cllm.model.config import TransformerConfig
from cllm.model.gradient import Gradient
from cllm.model.kernels import exp, narrow, wide
from cllm.model.loss import IGNORED, linear_cross_entropy
from cllm.model.transformer import Transformer, initialise

CONFIG = TransformerConfig(
    vocab_size=61, n_layer=2, n_head=2, n_kv_head=2, n_embd=24, head_dim=8, n_inner=40, context_length=400
)


def network(config: TransformerConfig, dtype: torch.dtype) -> Transformer:
    """One whose every parameter matters: none is zero, no norm is one."""
    model, generator = Transformer(config), torch.Generator().manual_seed(0)
    initialise(model, generator)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return model.to(dtype)


def both(
    config: TransformerConfig, shape: tuple[int, int], dtype: torch.dtype
) -> tuple[tuple[float, dict[str, torch.Tensor]], tuple[float, dict[str, torch.Tensor]]]:
    """Loss and gradients, without autograd and with it."""
    model, generator = network(config, dtype), torch.Generator().manual_seed(1)
    ids = torch.randint(0, config.vocab_size, (shape[0], shape[1] + 1), generator=generator)
    inputs, targets = ids[:, :-1], ids[:, 1:].clone()
    targets[0, : shape[1] // 3] = IGNORED
    nats = linear_cross_entropy(model(inputs), model.head_weight, targets)
    found = torch.autograd.grad(nats * 0.01, list(model.parameters()))
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    gradients = {name: torch.full_like(weight, torch.nan) for name, weight in weights.items()}
    gradient = Gradient(config, weights, shape)
    gradient.compute(torch.zeros_like(inputs), torch.zeros_like(targets), 1.0, gradients)  # leaves nothing behind
    ours = gradient.compute(inputs, targets, 0.01, gradients)
    return (ours, gradients), (nats.item(), dict(zip(weights, found, strict=True)))


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (3, 40), (1, 128), (2, 200), (1, 300)])
@pytest.mark.parametrize("tied", [True, False])
def test_it_is_the_gradient_of_autograd(shape: tuple[int, int], tied: bool) -> None:
    (nats, ours), (expected_nats, expected) = both(dataclasses.replace(CONFIG, tied=tied), shape, torch.float32)
    assert nats == pytest.approx(expected_nats, rel=1e-5)
    assert ours.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(ours[name], gradient, rtol=1e-4, atol=1e-6, msg=lambda text, name=name: name + text)


def test_in_bfloat16_it_is_as_close_to_the_truth_as_autograd_is() -> None:
    (nats, ours), (_, theirs) = both(CONFIG, (2, 160), torch.bfloat16)
    _, (expected_nats, expected) = both(CONFIG, (2, 160), torch.float32)
    assert nats == pytest.approx(expected_nats, rel=1e-2)
    for name, gradient in expected.items():
        errors = [(each[name].float() - gradient).norm() / gradient.norm() for each in (ours, theirs)]
        assert ours[name].dtype == torch.bfloat16 and errors[0] < max(0.02, 1.2 * errors[1]), (name, errors)


def test_what_is_written_is_the_same_bits_each_time() -> None:
    one, other = (both(CONFIG, (2, 60), torch.float32)[0] for _ in range(2))
    assert one[0] == other[0] and all(torch.equal(one[1][name], other[1][name]) for name in one[1])


@compiled
def powers(numbers: Array, results: Array) -> None:
    for place in range(len(numbers)):
        results[place] = exp(numbers[place])


@compiled
def rounded(numbers: Array, results: Array, again: Array) -> None:
    for place in range(len(numbers)):
        results[place] = narrow(numbers[place], results[place])
        again[place] = wide(results[place])


def test_exponentials_are_right_to_seven_digits() -> None:
    numbers = np.linspace(-87, 88, 1_000_003).astype(np.float32)
    results = np.empty_like(numbers)
    powers(numbers, results)
    truth = np.exp(numbers.astype(np.float64))
    assert (np.abs(results - truth) <= 3e-7 * truth).all()


def test_exponentials_beyond_float32_stay_finite() -> None:
    results = np.empty(4, np.float32)
    powers(np.array([-1e30, -200, 200, 1e30], np.float32), results)
    assert np.isfinite(results).all() and (results[:2] < 2e-38).all() and (results[2:] > 1e38).all()


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_numbers_are_rounded_to_bfloat16_as_pytorch_rounds_them(values: list[float]) -> None:
    numbers = np.array(values, np.float32)
    results, again = np.empty(len(values), np.uint16), np.empty(len(values), np.float32)
    rounded(numbers, results, again)
    expected: Any = torch.from_numpy(numbers).bfloat16()
    assert (results == expected.view(torch.uint16).numpy()).all()
    assert (again == expected.float().numpy()).all()
