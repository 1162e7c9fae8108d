"""Training plans of cllm's trainers in benchmarks."""

import dataclasses
import time
from collections.abc import Callable

from cllm.bench.shared.dataset import BenchmarkDataset
from cllm.bench.shared.recipe import NanoGptRecipe
from cllm.model.config import TransformerConfig
from cllm.spheres import Sphere
from cllm.stages.plan import measure_speed
from cllm.training.choose import SHAPES, PlanRequest, Timing, choose_model, plan_of_seconds, step_seconds
from cllm.training.plan import Engine, Phase, Plan, TrainingConfig

PlanFactory = Callable[[Sphere], Plan]


def network_config(recipe: NanoGptRecipe, vocab_size: int) -> TransformerConfig:
    """Return cllm's network in the recipe's shape: same depth and width, about as many feed-forward parameters.

    cllm's feed-forward has three matrices of D x F, the recipe's has two of D x 4 D; F is rounded up to a multiple of
    16.
    """
    return TransformerConfig(
        vocab_size=vocab_size,
        n_layer=recipe.n_layer,
        n_head=recipe.n_head,
        n_kv_head=recipe.n_head,
        n_embd=recipe.n_embd,
        head_dim=recipe.n_embd // recipe.n_head,
        n_inner=-(-8 * recipe.n_embd // 48) * 16,
        context_length=recipe.context_length,
    )


def recipe_plan_factory(
    recipe: NanoGptRecipe, dataset: BenchmarkDataset, engine: Engine, seconds: float, seed: int
) -> PlanFactory:
    """Return a factory of plans with as many steps as fit in `seconds`, at the recipe's shape, 12 rows per step."""

    def make_plan(sphere: Sphere) -> Plan:
        model = network_config(recipe, dataset.vocab_size)
        speed = measure_speed(sphere, model, engine.dtype, [(recipe.context_length, 1)], TrainingConfig())
        steps = max(1, round(seconds / step_seconds(speed, len(sphere.workers))[0]))
        phase = Phase(context=recipe.context_length, rows=1, until=1.0, steps=steps)
        return Plan(model=model, phases=(phase,), engine=engine, seconds=seconds, seed=seed)

    return make_plan


def cllm_train_plan_factory(
    dataset: BenchmarkDataset, engine: Engine, seconds: float, seed: int, free_bytes: float
) -> PlanFactory:
    """Return a factory of the plans that `cllm train` chooses for `seconds` and `free_bytes` of memory.

    `seconds` includes the measurement of the machine.
    """

    def make_plan(sphere: Sphere) -> Plan:
        began = time.perf_counter()
        request = PlanRequest(
            vocab_size=dataset.vocab_size,
            tokens=dataset.train_tokens,
            engine=engine,
            num_workers=len(sphere.workers),
            seconds=seconds,
            seed=seed,
            free_bytes=free_bytes,
        )

        def measure(model: TransformerConfig, shapes: list[tuple[int, int]]) -> Timing:
            return measure_speed(sphere, model, engine.dtype, shapes, TrainingConfig())

        model = choose_model(request, measure)
        speed = measure(model, SHAPES)
        seconds_left = max(1.0, seconds - (time.perf_counter() - began))
        return plan_of_seconds(dataclasses.replace(request, seconds=seconds_left), model, speed)

    return make_plan
