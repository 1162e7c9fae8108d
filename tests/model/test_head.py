"""The loss and its gradient by lot, against plain arithmetic with all words."""

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

WORDS, WIDTH = 300, 16


def make_inputs(num_rows: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rows, a head and targets: chances from one in three to one in a billion."""
    generator = torch.Generator().manual_seed(num_rows)
    rows = torch.randn(num_rows, WIDTH, generator=generator)
    head = torch.randn(WORDS, WIDTH, generator=generator)
    targets = torch.randint(0, WORDS, (num_rows,), generator=generator)
    targets[: num_rows // 4] = IGNORE_INDEX
    return rows, head, targets


def expected(num_rows: int) -> tuple[float, Tensor, Tensor]:
    rows, head, targets = (each.clone() for each in make_inputs(num_rows))
    nats = linear_cross_entropy(rows.requires_grad_().unsqueeze(0), head.requires_grad_(), targets.unsqueeze(0))
    return float(nats.detach()), *torch.autograd.grad(nats, (rows, head))


class FixedRng:
    """A generator that always draws the same."""

    def __init__(self, offset: float) -> None:
        self.offset = offset

    def random(self) -> float:
        return self.offset


def computed(
    num_rows: int, sample_threshold: float, offset: float, dtype: torch.dtype = torch.float32
) -> tuple[float, Tensor, Tensor]:
    rows, head, targets = make_inputs(num_rows)
    rows, head = rows.to(dtype), head.to(dtype)
    d_rows, d_head = torch.full_like(rows, torch.nan), torch.full_like(head, torch.nan)
    once = Head(head, num_rows, sample_threshold)
    for _ in range(2):  # nothing is left of the first time
        nats = once.compute(rows, targets.numpy(), 1.0, FixedRng(offset), d_rows, as_tensor(d_head))
    return nats, d_rows, d_head


@pytest.mark.parametrize("num_rows", [1, 40, ROWS_PER_SAMPLE, ROWS_PER_SAMPLE + 1, 3 * ROWS_PER_SAMPLE - 5])
def test_without_tickets_it_is_the_gradient_with_all_words(num_rows: int) -> None:
    for ours, theirs in zip(computed(num_rows, 0.0, 0.5), expected(num_rows), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("num_rows", [1, 40, ROWS_PER_SAMPLE + 7])
@pytest.mark.parametrize("sample_threshold", [0.05, 0.3, 1.0])
def test_the_loss_is_exact_and_the_gradient_right_on_average(num_rows: int, sample_threshold: float) -> None:
    offsets = (np.arange(2000) + 0.5) / 2000
    found = [computed(num_rows, sample_threshold, float(offset)) for offset in offsets]
    nats, d_rows, d_head = expected(num_rows)
    assert {each[0] for each in found} == {found[0][0]} and found[0][0] == pytest.approx(nats, rel=1e-5)
    # Over a grid of lots each word is off by up to a 2000th of a ticket: 300 of either sign by some 20 times that.
    torch.testing.assert_close(torch.stack([each[1] for each in found]).mean(0), d_rows, rtol=0, atol=0.01)
    torch.testing.assert_close(torch.stack([each[2] for each in found]).mean(0), d_head, rtol=0, atol=0.01)
    assert len({each[1].numpy().tobytes() for each in found}) > 1  # there is a lot


def sample(
    mass: list[float], sample_threshold: float, offset: float
) -> tuple[list[int], list[float], kernels.SampledWords]:
    words, weights = np.zeros(len(mass), np.int64), np.zeros(len(mass), np.float32)
    found = kernels.SampledWords(words, weights, np.zeros(len(mass), np.int32))
    count = kernels.sample_words(np.array(mass, np.float32), sample_threshold, offset, found)
    return words[:count].tolist(), weights[:count].tolist(), found


def test_in_bfloat16_the_gradient_is_right_on_average_too() -> None:
    offsets = (np.arange(500) + 0.5) / 500
    found = [computed(40, 0.3, float(offset), torch.bfloat16) for offset in offsets]
    for index, truth in ((1, expected(40)[1]), (2, expected(40)[2])):
        mean = torch.stack([each[index].float() for each in found]).mean(0)
        # What is rounded is the logits: they are 10, known to a part in 256, so chances to some percent.
        assert (mean - truth).norm() < 0.03 * truth.norm()


@given(st.integers(0, 300_000))
def test_sizes_are_few_and_hold_what_they_must(count: int) -> None:
    assert count <= padded_size(count) <= max(count + 63, 1.25 * count)
    assert padded_size(padded_size(count)) == padded_size(count)


def test_there_are_four_sizes_an_octave() -> None:
    assert {padded_size(count) for count in range(1025, 2049)} == {1280, 1536, 1792, 2048}


masses = st.lists(st.one_of(st.just(0.0), st.floats(0, 3, width=32)), min_size=1, max_size=60)


@given(masses, st.floats(0.001, 1), st.floats(0, 1, exclude_max=True))
def test_heavy_words_take_part_as_they_are_and_of_the_others_one_a_ticket(
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


@given(masses)
def test_without_tickets_all_words_take_part(mass: list[float]) -> None:
    assert sample(mass, 0.0, 0.9)[:2] == (list(range(len(mass))), [1.0] * len(mass))


def test_a_words_mass_is_its_chances_and_its_targets() -> None:
    rows, head, targets = make_inputs(40)
    logits = rows @ head.t()
    buffers = [np.empty(size, np.float32) for size in (WORDS, WORDS, 40, 40)]
    kernels.softmax_cross_entropy(logits.numpy(), targets.numpy(), kernels.SoftmaxStats(*buffers))
    mask = targets != IGNORE_INDEX
    expected_mass = logits.softmax(1)[mask].sum(0) + torch.bincount(targets[mask], minlength=WORDS)
    torch.testing.assert_close(torch.from_numpy(buffers[0]), expected_mass, rtol=1e-4, atol=1e-6)
