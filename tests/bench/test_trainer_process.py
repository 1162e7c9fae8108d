"""Sliding windows over a document, and the recipe's learning rate."""

import numpy as np
import pytest

from cllm.bench.shared.recipe import NanoGptRecipe
from cllm.bench.shared.trainer_process import sliding_windows


@pytest.mark.parametrize("length", [1, 7, 8, 9, 12, 13, 31])
def test_windows_score_each_token_once_with_at_least_half_the_context(length: int) -> None:
    ids = np.arange(1, length + 1)
    scored = []
    for inputs, targets in sliding_windows(ids, 8, 0):
        assert len(inputs) <= 8
        for index, target in enumerate(targets.tolist()):
            context = inputs[: len(inputs) - len(targets) + index + 1].tolist()
            # The tokens before it, or from the end-of-text at the start.
            assert context == list(range(target - len(context), target))
            assert len(context) == target or len(context) > 4
            scored.append(target)
    assert scored == ids.tolist()


def test_recipe_learning_rate_warms_up_and_decays_to_a_tenth() -> None:
    recipe = NanoGptRecipe()
    rates = [recipe.learning_rate(progress / 1000) for progress in range(1001)]
    top = rates.index(max(rates))
    assert rates[:top] == sorted(rates[:top]) and rates[top:] == sorted(rates[top:], reverse=True)
    assert max(rates) == pytest.approx(1e-3) and rates[-1] == pytest.approx(1e-4) and rates[0] > 0
