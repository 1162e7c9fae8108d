"""Top-k, top-p and min-p filters, temperature, and checks of the sampling parameters."""

import numpy as np
import pytest

from cllm.errors import UsageError
from cllm.generation.predict.sampling import (
    SamplingParams,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    log_softmax,
    sample_token,
)
from cllm.jit.compiled import Array

PROBABILITIES = np.array([0.5, 0.25, 0.15, 0.07, 0.03], np.float32)
LOGITS = np.log(PROBABILITIES)


def kept_ids(logits: Array) -> list[int]:
    return np.flatnonzero(np.isfinite(logits)).tolist()  # type: ignore[no-any-return]


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
    assert sample_token(LOGITS, SamplingParams(), np.random.default_rng(0)) == 0


def samples(count: int, temperature: float) -> Array:
    generator, params = np.random.default_rng(0), SamplingParams(temperature=temperature)
    return np.array([sample_token(LOGITS, params, generator) for _ in range(count)])


def test_samples_follow_the_distribution() -> None:
    np.testing.assert_allclose(np.bincount(samples(4000, 1.0), minlength=5) / 4000, PROBABILITIES, atol=0.03)


def test_low_temperature_sharpens_the_distribution() -> None:
    assert np.mean(samples(1000, 0.3) == 0) > 0.8


def test_filters_combine_and_impossible_tokens_are_never_sampled() -> None:
    logits = np.append(LOGITS, np.float32(-np.inf))
    params, generator = SamplingParams(temperature=5.0, top_k=3, top_p=0.9), np.random.default_rng(1)
    assert {sample_token(logits, params, generator) for _ in range(300)} == {0, 1, 2}
    np.testing.assert_allclose(np.exp(log_softmax(logits)), [*PROBABILITIES, 0], rtol=1e-6)


@pytest.mark.parametrize("values", [{"temperature": -1}, {"top_p": 2}, {"max_tokens": -1}, {"min_p": float("nan")}])
def test_value_out_of_bounds_raises_an_error_naming_it(values: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(values))):
        SamplingParams(**values)  # type: ignore[arg-type]
