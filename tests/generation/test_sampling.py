"""Top-k, top-p and min-p filters, temperature, and checks of the sampling parameters."""

import pytest
import torch

from cllm.errors import UsageError
from cllm.generation.predict.sampling import SamplingParams, keep_min_p, keep_top_k, keep_top_p, sample_token

LOGITS = torch.log(torch.tensor([0.5, 0.25, 0.15, 0.07, 0.03]))


def kept_ids(logits: torch.Tensor) -> list[int]:
    return torch.isfinite(logits).nonzero().flatten().tolist()


@pytest.mark.parametrize(("k", "expected"), [(0, 5), (1, 1), (3, 3), (99, 5)])
def test_top_k_keeps_the_k_most_probable_tokens(k: int, expected: int) -> None:
    assert kept_ids(keep_top_k(LOGITS, k)) == list(range(expected))


@pytest.mark.parametrize(("p", "expected"), [(1.0, 5), (0.0, 1), (0.49, 1), (0.51, 2), (0.76, 3), (0.95, 4)])
def test_top_p_keeps_the_smallest_set_with_probability_p(p: float, expected: int) -> None:
    assert kept_ids(keep_top_p(LOGITS, p)) == list(range(expected))


@pytest.mark.parametrize(("p", "expected"), [(0.0, 5), (1.0, 1), (0.4, 2), (0.1, 4)])
def test_min_p_keeps_tokens_relative_to_the_most_probable(p: float, expected: int) -> None:
    assert kept_ids(keep_min_p(LOGITS, p)) == list(range(expected))


def test_temperature_zero_takes_the_argmax() -> None:
    assert sample_token(LOGITS, SamplingParams(), torch.Generator()) == 0


def samples(count: int, temperature: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    params = SamplingParams(temperature=temperature)
    return torch.tensor([sample_token(LOGITS, params, generator) for _ in range(count)])


def test_samples_follow_the_distribution() -> None:
    frequencies = torch.bincount(samples(4000, 1.0), minlength=5) / 4000
    torch.testing.assert_close(frequencies, LOGITS.exp(), atol=0.03, rtol=0)


def test_low_temperature_sharpens_the_distribution() -> None:
    assert (samples(1000, 0.3) == 0).float().mean() > 0.8


@pytest.mark.parametrize("values", [{"temperature": -1}, {"top_p": 2}, {"max_tokens": -1}, {"min_p": float("nan")}])
def test_value_out_of_bounds_raises_an_error_naming_it(values: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(values))):
        SamplingParams(**values)  # type: ignore[arg-type]
