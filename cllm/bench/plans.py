"""The plans that our contenders learn by."""

import dataclasses
import time
from collections.abc import Callable

from cllm.bench.material import Material
from cllm.bench.recipe import Recipe
from cllm.model.config import TransformerConfig
from cllm.spheres import Sphere
from cllm.stages.planning import measured
from cllm.training.choose import SHAPES, Speed, Task, choose_model, plan_of_seconds, step_seconds
from cllm.training.plan import Engine, Phase, Plan
from cllm.training.plan import Recipe as OurRecipe

PlanOf = Callable[[Sphere], Plan]


def network_of(recipe: Recipe, vocab_size: int) -> TransformerConfig:
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
        context_length=recipe.context,
    )


def recipe_plan(recipe: Recipe, material: Material, engine: Engine, seconds: float, seed: int) -> PlanOf:
    """As many steps as fit, at the recipe's shape and context, twelve rows each."""

    def plan_of(sphere: Sphere) -> Plan:
        model = network_of(recipe, material.vocab_size)
        speed = measured(sphere, model, engine.dtype, [(recipe.context, 1)], OurRecipe())
        steps = max(1, round(seconds / step_seconds(speed, len(sphere.workers))[0]))
        phase = Phase(context=recipe.context, rows=1, until=1.0, steps=steps)
        return Plan(model=model, phases=(phase,), engine=engine, seconds=seconds, seed=seed)

    return plan_of


def product_plan(material: Material, engine: Engine, seconds: float, seed: int, free_bytes: float) -> PlanOf:
    """What `cllm train` chooses for so many seconds of learning, its measurement included, and so much memory."""

    def plan_of(sphere: Sphere) -> Plan:
        began = time.perf_counter()
        task = Task(
            vocab_size=material.vocab_size,
            tokens=material.train_tokens,
            engine=engine,
            num_workers=len(sphere.workers),
            seconds=seconds,
            seed=seed,
            free_bytes=free_bytes,
        )

        def measure(model: TransformerConfig, shapes: list[tuple[int, int]]) -> Speed:
            return measured(sphere, model, engine.dtype, shapes, OurRecipe())

        model = choose_model(task, measure)
        speed = measure(model, SHAPES)
        left = max(1.0, seconds - (time.perf_counter() - began))
        return plan_of_seconds(dataclasses.replace(task, seconds=left), model, speed)

    return plan_of
