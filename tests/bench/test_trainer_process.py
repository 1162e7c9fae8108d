import numpy as np
import pytest

from cllm.bench.shared.recipe import NanoGptRecipe
from cllm.bench.shared.trainer_process import sliding_windows


@pytest.mark.parametrize("length", [1, 7, 8, 9, 12, 13, 31])
def test_each_token_is_scored_once_with_at_least_half_a_context_before_it(length: int) -> None:
    ids = np.arange(1, length + 1)
    scored = []
    for inputs, targets in sliding_windows(ids, 8, 0):
        assert len(inputs) <= 8
        for place, target in enumerate(targets.tolist()):
            seen = inputs[: len(inputs) - len(targets) + place + 1].tolist()
            assert seen == list(range(target - len(seen), target))  # what stands before it, from an end-of-text on
            assert len(seen) == target or len(seen) > 4
            scored.append(target)
    assert scored == ids.tolist()


def test_the_learning_rate_rises_and_falls_to_a_tenth() -> None:
    recipe = NanoGptRecipe()
    rates = [recipe.learning_rate(progress / 1000) for progress in range(1001)]
    top = rates.index(max(rates))
    assert rates[:top] == sorted(rates[:top]) and rates[top:] == sorted(rates[top:], reverse=True)
    assert max(rates) == pytest.approx(1e-3) and rates[-1] == pytest.approx(1e-4) and rates[0] > 0
