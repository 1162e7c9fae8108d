import pytest
import torch

from cllm.errors import UsageError
from cllm.generation.sampling import SamplingParams, draw, keep_min_p, keep_top_k, keep_top_p

LOGITS = torch.log(torch.tensor([[0.5, 0.25, 0.15, 0.07, 0.03]]))


def kept(logits: torch.Tensor) -> list[int]:
    return torch.isfinite(logits[0]).nonzero().flatten().tolist()


@pytest.mark.parametrize(("k", "expected"), [(0, 5), (1, 1), (3, 3), (99, 5)])
def test_top_k(k: int, expected: int) -> None:
    assert kept(keep_top_k(LOGITS, k)) == list(range(expected))


@pytest.mark.parametrize(("p", "expected"), [(1.0, 5), (0.0, 1), (0.49, 1), (0.51, 2), (0.76, 3), (0.95, 4)])
def test_top_p(p: float, expected: int) -> None:
    assert kept(keep_top_p(LOGITS, p)) == list(range(expected))


@pytest.mark.parametrize(("p", "expected"), [(0.0, 5), (1.0, 1), (0.4, 2), (0.1, 4)])
def test_min_p(p: float, expected: int) -> None:
    assert kept(keep_min_p(LOGITS, p)) == list(range(expected))


def test_temperature_zero_takes_the_likeliest() -> None:
    assert draw(LOGITS, SamplingParams(), []).tolist() == [0]


def test_draws_follow_the_distribution() -> None:
    generators = [torch.Generator().manual_seed(seed) for seed in range(4000)]
    drawn = draw(LOGITS.expand(4000, -1), SamplingParams(temperature=1.0), generators)
    shares = torch.bincount(drawn, minlength=5) / 4000
    torch.testing.assert_close(shares, LOGITS[0].exp(), atol=0.03, rtol=0)


def test_a_colder_draw_is_sharper() -> None:
    generators = [torch.Generator().manual_seed(seed) for seed in range(1000)]
    drawn = draw(LOGITS.expand(1000, -1), SamplingParams(temperature=0.3), generators)
    assert (drawn == 0).float().mean() > 0.8


@pytest.mark.parametrize("wrong", [{"temperature": -1}, {"top_p": 2}, {"max_tokens": -1}, {"min_p": float("nan")}])
def test_values_out_of_bounds_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        SamplingParams(**wrong)  # type: ignore[arg-type]
