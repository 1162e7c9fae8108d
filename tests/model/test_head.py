"""The head's exact loss and its sampled softmax gradient, against the gradient over all words."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from cllm.model import kernels
from cllm.model.head import ROWS_PER_SAMPLE, Head, padded_size
from cllm.model.loss import IGNORE_INDEX, linear_cross_entropy
from cllm.model.shared_tensor import as_tensor

VOCAB_SIZE, WIDTH = 300, 16


def make_inputs(num_rows: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rows, a head and targets, with probabilities from 1/3 down to 1e-9."""
    generator = torch.Generator().manual_seed(num_rows)
    rows = torch.randn(num_rows, WIDTH, generator=generator)
    head = torch.randn(VOCAB_SIZE, WIDTH, generator=generator)
    targets = torch.randint(0, VOCAB_SIZE, (num_rows,), generator=generator)
    targets[: num_rows // 4] = IGNORE_INDEX
    return rows, head, targets


def reference(num_rows: int) -> tuple[float, Tensor, Tensor]:
    rows, head, targets = (each.clone() for each in make_inputs(num_rows))
    nats = linear_cross_entropy(rows.requires_grad_().unsqueeze(0), head.requires_grad_(), targets.unsqueeze(0))
    return float(nats.detach()), *torch.autograd.grad(nats, (rows, head))


class ConstantRng:
    """A generator that always returns the same number."""

    def __init__(self, offset: float) -> None:
        self.offset = offset

    def random(self) -> float:
        return self.offset


def compute_sampled(
    num_rows: int, sample_threshold: float, offset: float, dtype: torch.dtype = torch.float32
) -> tuple[float, Tensor, Tensor]:
    rows, head, targets = make_inputs(num_rows)
    rows, head = rows.to(dtype), head.to(dtype)
    d_rows, d_head = torch.full_like(rows, torch.nan), torch.full_like(head, torch.nan)
    sampled_head = Head(head, num_rows, sample_threshold)
    for _ in range(2):  # the first call must not affect the second
        nats = sampled_head.compute(rows, targets.numpy(), 1.0, ConstantRng(offset), d_rows, as_tensor(d_head))
    return nats, d_rows, d_head


@pytest.mark.parametrize("num_rows", [1, 40, ROWS_PER_SAMPLE, ROWS_PER_SAMPLE + 1, 3 * ROWS_PER_SAMPLE - 5])
def test_threshold_zero_gives_the_exact_gradient(num_rows: int) -> None:
    for found, expected in zip(compute_sampled(num_rows, 0.0, 0.5), reference(num_rows), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("num_rows", [1, 40, ROWS_PER_SAMPLE + 7])
@pytest.mark.parametrize("sample_threshold", [0.05, 0.3, 1.0])
def test_loss_is_exact_and_sampled_gradient_is_unbiased(num_rows: int, sample_threshold: float) -> None:
    offsets = (np.arange(2000) + 0.5) / 2000
    found = [compute_sampled(num_rows, sample_threshold, float(offset)) for offset in offsets]
    nats, d_rows, d_head = reference(num_rows)
    assert {each[0] for each in found} == {found[0][0]} and found[0][0] == pytest.approx(nats, rel=1e-5)
    # On a grid of 2000 offsets each word's mean mass is off by up to threshold / 2000; 300 such errors of random sign
    # add up to about 20 times that.
    torch.testing.assert_close(torch.stack([each[1] for each in found]).mean(0), d_rows, rtol=0, atol=0.01)
    torch.testing.assert_close(torch.stack([each[2] for each in found]).mean(0), d_head, rtol=0, atol=0.01)
    assert len({each[1].numpy().tobytes() for each in found}) > 1  # the gradient depends on the offset


def sample(
    mass: list[float], sample_threshold: float, offset: float
) -> tuple[list[int], list[float], kernels.SampledWords]:
    words, weights = np.zeros(len(mass), np.int64), np.zeros(len(mass), np.float32)
    found = kernels.SampledWords(words, weights, np.zeros(len(mass), np.int32))
    count = kernels.sample_words(np.array(mass, np.float32), sample_threshold, offset, found)
    return words[:count].tolist(), weights[:count].tolist(), found


def test_bfloat16_sampled_gradient_is_unbiased() -> None:
    offsets = (np.arange(500) + 0.5) / 500
    found = [compute_sampled(40, 0.3, float(offset), torch.bfloat16) for offset in offsets]
    for index, exact in ((1, reference(40)[1]), (2, reference(40)[2])):
        mean = torch.stack([each[index].float() for each in found]).mean(0)
        # The logits are rounded: around 10 with a relative error of 1/256, so probabilities are off by a few percent.
        assert (mean - exact).norm() < 0.03 * exact.norm()


@given(st.integers(0, 300_000))
def test_padded_size_is_sufficient_bounded_and_idempotent(count: int) -> None:
    assert count <= padded_size(count) <= max(count + 63, 1.25 * count)
    assert padded_size(padded_size(count)) == padded_size(count)


def test_padded_size_has_four_values_per_octave() -> None:
    assert {padded_size(count) for count in range(1025, 2049)} == {1280, 1536, 1792, 2048}


MASSES = st.lists(st.one_of(st.just(0.0), st.floats(0, 3, width=32)), min_size=1, max_size=60)


@given(MASSES, st.floats(0.001, 1), st.floats(0, 1, exclude_max=True))
def test_heavy_words_are_included_and_light_words_sampled_once_per_threshold(
    mass: list[float], sample_threshold: float, offset: float
) -> None:
    words, weights, found = sample(mass, sample_threshold, offset)
    heavy = [word for word, each in enumerate(mass) if float(np.float32(each)) >= sample_threshold]
    light = [word for word in words if word not in heavy]
    assert words == sorted(set(words)) and set(heavy) <= set(words)
    assert [found.columns[word] for word in words] == list(range(len(words)))
    for word, weight in zip(words, weights, strict=True):
        assert weight == 1 if word in heavy else weight * mass[word] == pytest.approx(sample_threshold, rel=1e-5)
    expected_count = sum(each for word, each in enumerate(mass) if word not in heavy) / sample_threshold
    assert abs(len(light) - expected_count) <= 1 + 1e-4 * expected_count


@given(MASSES)
def test_threshold_zero_includes_all_words(mass: list[float]) -> None:
    assert sample(mass, 0.0, 0.9)[:2] == (list(range(len(mass))), [1.0] * len(mass))


def test_mass_is_the_sum_of_probabilities_and_target_counts() -> None:
    rows, head, targets = make_inputs(40)
    logits = rows @ head.t()
    buffers = [np.empty(size, np.float32) for size in (VOCAB_SIZE, VOCAB_SIZE, 40, 40)]
    kernels.softmax_cross_entropy(logits.numpy(), targets.numpy(), kernels.SoftmaxStats(*buffers))
    mask = targets != IGNORE_INDEX
    expected_mass = logits.softmax(1)[mask].sum(0) + torch.bincount(targets[mask], minlength=VOCAB_SIZE)
    torch.testing.assert_close(torch.from_numpy(buffers[0]), expected_mass, rtol=1e-4, atol=1e-6)
