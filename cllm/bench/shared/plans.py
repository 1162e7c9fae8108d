"""The plans that our contenders learn by."""

import dataclasses
import time
from collections.abc import Callable

from cllm.bench.shared.dataset import BenchmarkDataset
from cllm.bench.shared.recipe import NanoGptRecipe
from cllm.model.config import TransformerConfig
from cllm.spheres import Sphere
from cllm.stages.plan import measure_speed
from cllm.training.choose import SHAPES, PlanRequest, Speed, choose_model, plan_of_seconds, step_seconds
from cllm.training.plan import Engine, Phase, Plan, TrainingConfig

PlanFactory = Callable[[Sphere], Plan]


def network_config(recipe: NanoGptRecipe, vocab_size: int) -> TransformerConfig:
    """A network of ours in the recipe's shape: as deep, as wide, and about as many parameters in the feed-forward.

    It has three matrices there, of D x F, where the recipe has two of D x 4 D; F is rounded up to a multiple of 16.
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
    """As many steps as fit, at the recipe's shape and context, twelve rows each."""

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
    """What `cllm train` chooses for so many seconds of learning, its measurement included, and so much memory."""

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

        def measure(model: TransformerConfig, shapes: list[tuple[int, int]]) -> Speed:
            return measure_speed(sphere, model, engine.dtype, shapes, TrainingConfig())

        model = choose_model(request, measure)
        speed = measure(model, SHAPES)
        seconds_left = max(1.0, seconds - (time.perf_counter() - began))
        return plan_of_seconds(dataclasses.replace(request, seconds=seconds_left), model, speed)

    return make_plan
