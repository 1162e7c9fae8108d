"""The gradient without autograd against its slow twin, and its kernels against plain arithmetic."""

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
    """One whose every parameter matters: none is zero, no norm is one."""
    model, generator = Transformer(config), torch.Generator().manual_seed(0)
    initialise(model, generator)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return model.to(dtype)


def apply_dropout(key: int, rows: Tensor, dropout: float) -> Tensor:
    """What of rows (N, D) dropout leaves, by plain arithmetic."""
    mixed = key + torch.arange(rows.numel()) * 0x9E3779B1 & 0xFFFFFFFF
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        mixed = (mixed ^ mixed >> shift) * factor & 0xFFFFFFFF
    threshold = int(float(np.float32(dropout)) * 2**32)
    return rows * (mixed >= threshold).view_as(rows) / (1 - dropout)


def by_autograd(
    model: Transformer, inputs: Tensor, targets: Tensor, scale: float, dropout: float, seed: int
) -> tuple[float, dict[str, Tensor]]:
    """The slow twin: loss and gradients of all words."""
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


def both(
    config: TransformerConfig, shape: tuple[int, int], dtype: torch.dtype, dropout: float = 0.0
) -> tuple[tuple[float, dict[str, Tensor]], tuple[float, dict[str, Tensor]]]:
    """Loss and gradients, without autograd and with it."""
    model, generator = network(config, dtype), torch.Generator().manual_seed(1)
    ids = torch.randint(0, config.vocab_size, (shape[0], shape[1] + 1), generator=generator)
    inputs, targets = ids[:, :-1], ids[:, 1:].clone()
    targets[0, : shape[1] // 3] = IGNORE_INDEX
    gradients = {name: torch.full_like(parameter, torch.nan) for name, parameter in model.named_parameters()}
    ours = build_forward_backward(model, shape, sample_threshold=0.0, dropout=dropout)
    ours.compute(torch.zeros_like(inputs), torch.zeros_like(targets), 1.0, gradients, 0)  # leaves nothing behind
    nats = ours.compute(inputs, targets, 0.01, gradients, 7)
    return (nats, gradients), by_autograd(model, inputs, targets, 0.01, dropout, 7)


SHARED = dataclasses.replace(CONFIG, n_head=4, n_kv_head=2)


CONFIGS = [CONFIG, dataclasses.replace(CONFIG, tied=False), SHARED]


@pytest.mark.parametrize("dropout", [0.0, 0.3, 0.6])
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (3, 40), (1, 128), (2, 200), (1, 300)])
@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_it_is_the_gradient_of_autograd(shape: tuple[int, int], config: TransformerConfig, dropout: float) -> None:
    (nats, ours), (expected_nats, expected) = both(config, shape, torch.float32, dropout)
    assert nats == pytest.approx(expected_nats, rel=1e-5)
    for name, gradient in expected.items():
        torch.testing.assert_close(ours[name], gradient, rtol=1e-4, atol=1e-6, msg=lambda text, name=name: name + text)


def errors_in_bfloat16(config: TransformerConfig, dropout: float) -> dict[str, tuple[float, float]]:
    """How far each parameter's gradient is off, of its length: ours, and that of autograd."""
    (nats, ours), (_, theirs) = both(config, (2, 160), torch.bfloat16, dropout)
    _, (expected_nats, expected) = both(config, (2, 160), torch.float32, dropout)
    assert nats == pytest.approx(expected_nats, rel=1e-2)
    assert all(gradient.dtype == torch.bfloat16 for gradient in ours.values())
    errors = {}
    for name, gradient in expected.items():
        one, other = (float((each[name].float() - gradient).norm() / gradient.norm()) for each in (ours, theirs))
        errors[name] = one, other
    return errors


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_in_bfloat16_it_is_as_close_to_the_truth_as_autograd_is(config: TransformerConfig) -> None:
    for name, (ours, theirs) in errors_in_bfloat16(config, 0.0).items():
        assert ours < max(0.02, 1.2 * theirs), name


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_in_bfloat16_with_dropout_it_is_as_close_on_the_whole(config: TransformerConfig) -> None:
    ours, theirs = np.mean(list(errors_in_bfloat16(config, 0.3).values()), 0)  # a vector of 8 numbers strays more
    assert ours < 1.1 * theirs


def test_what_is_written_is_the_same_bits_each_time() -> None:
    one, other = (both(CONFIG, (2, 60), torch.float32, 0.3)[0] for _ in range(2))
    assert one[0] == other[0] and all(torch.equal(one[1][name], other[1][name]) for name in one[1])


@pytest.mark.parametrize("dropout", [0.01, 0.5, 0.9])
def test_what_is_left_is_a_share_and_another_one_for_each_key(dropout: float) -> None:
    ones, found = np.ones((500, 400), np.float32), []
    for key in (np.uint32(0), np.uint32(1), np.uint32(2**32 - 1)):
        left = np.empty_like(ones)
        kernels.dropout_backward(ones, key, np.float32(dropout), left)
        assert left.sum() == pytest.approx(ones.size, rel=4 * (dropout / (1 - dropout) / ones.size) ** 0.5)
        found.append(left > 0)
    for one, other in combinations(found, 2):
        both_left, expected = (one & other).mean(), (1 - dropout) ** 2
        assert both_left == pytest.approx(expected, abs=5 * (expected / ones.size) ** 0.5)


def gradients_of(model: Transformer, targets: Tensor) -> tuple[float, dict[str, Tensor]]:
    found = {name: torch.empty_like(parameter) for name, parameter in model.named_parameters()}
    ids = torch.arange(targets.numel()).view_as(targets) % CONFIG.vocab_size
    gradient = build_forward_backward(model, (targets.size(0), targets.size(1)), sample_threshold=0.3, dropout=0.0)
    return gradient.compute(ids, targets, 1.0, found, 0), found


def test_where_all_targets_are_ignored_nothing_is_learned() -> None:
    nats, gradients = gradients_of(network(CONFIG, torch.float32), torch.full((2, 30), IGNORE_INDEX))
    assert nats == 0 and all((gradient == 0).all() for gradient in gradients.values())


@pytest.mark.parametrize("wrong", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("name", [name for name in parameter_shapes(CONFIG) if "blocks.1" not in name])
def test_weights_that_are_no_numbers_show(name: str, wrong: float) -> None:
    model = network(CONFIG, torch.float32)
    dict(model.named_parameters())[name].data.view(-1)[3] = wrong
    nats, gradients = gradients_of(model, torch.ones(1, 30, dtype=torch.int64))
    square = sum(float(gradient.double().square().sum()) for gradient in gradients.values())
    assert not (np.isfinite(nats) and np.isfinite(square))


@pytest.mark.parametrize("wrong", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_word_without_a_chance_that_is_no_number_shows(dtype: torch.dtype, wrong: float) -> None:
    model = network(CONFIG, dtype)
    model.head_weight.data[50, 3] = wrong  # no input, no target
    assert not np.isfinite(gradients_of(model, torch.ones(1, 30, dtype=torch.int64))[0])


@compiled
def exponentials(numbers: Array, results: Array) -> None:
    for index in range(len(numbers)):
        results[index] = exp(numbers[index])


@compiled
def rounded(numbers: Array, results: Array, again: Array) -> None:
    for index in range(len(numbers)):
        results[index] = from_float(numbers[index], results[index])
        again[index] = to_float(results[index])


def test_exponentials_are_right_to_seven_digits() -> None:
    numbers = np.linspace(-87, 88, 1_000_003).astype(np.float32)
    results = np.empty_like(numbers)
    exponentials(numbers, results)
    truth = np.exp(numbers.astype(np.float64))
    assert (np.abs(results - truth) <= 3e-7 * truth).all()


def test_exponentials_beyond_float32_stay_finite() -> None:
    results = np.empty(4, np.float32)
    exponentials(np.array([-1e30, -200, 200, 1e30], np.float32), results)
    assert np.isfinite(results).all() and (results[:2] < 2e-38).all() and (results[2:] > 1e38).all()


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_numbers_are_rounded_to_bfloat16_as_pytorch_rounds_them(values: list[float]) -> None:
    numbers = np.array(values, np.float32)
    results, again = np.empty(len(values), np.uint16), np.empty(len(values), np.float32)
    rounded(numbers, results, again)
    expected: Any = torch.from_numpy(numbers).bfloat16()
    assert (results == expected.view(torch.uint16).numpy()).all()
    assert (again == expected.float().numpy()).all()
