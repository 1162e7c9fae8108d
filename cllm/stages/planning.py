"""The plans of a new run: from the options, the configuration, the corpus and the speed of this machine."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from cllm.config import override
from cllm.corpus import Corpus
from cllm.dataset import Shard
from cllm.errors import UsageError
from cllm.machine import default_dtype
from cllm.model.config import TransformerConfig, num_parameters
from cllm.run import Run
from cllm.spheres import Sphere
from cllm.stages.memory_plan import MemoryPlan, plan_memory, reading_seconds, save_memory_plan, seconds_after
from cllm.stages.remembering import Remembering
from cllm.stages.session import Session
from cllm.tokenizer import Tokenizer
from cllm.training.choose import SHAPES, Speed, Task, choose_model, plan_of_seconds, plan_of_steps
from cllm.training.engine import engine_of
from cllm.training.plan import OptimizerConfig, Plan, Recipe, save_plan

# The scorecard's share of a budget, from its parts on a 2-core machine: processes start in 4 s, the prompts take 4 s,
# the speed of writing 4 s. On EPYC Zen 3 libuv's 378 KB took 43 s in all (2026-11-25), on Zen 4 20 s.
SCORECARD_SECONDS = 12.0
SCORED_BYTES_PER_SECOND = 8_000
SCORECARD_SHARE = 0.2  # of the budget at most: beyond that, a sample of the held-out files is scored
OTHER_BYTES = 1_000_000_000  # of memory: what reads beside the training, and what workers are forks of


def plan_run(session: Session, run: Run, sphere: Sphere, remembering: Remembering) -> None:
    """Save the plans of a prepared run: of its memory, and of its network."""
    session.report.phase("plan")
    corpus, tokenizer = Corpus.open(run.corpus), Tokenizer.load(run.tokenizer)
    about = (corpus, session.options.minutes * 60, session.num_workers, session.options.seed)
    save_memory_plan(memory := plan_memory(*about), run)
    if session.asked_plan is not None:
        plan = fitting(session, session.asked_plan, tokenizer)
    else:
        shard = Shard.open(run.dataset, "train")
        speed = 1.0 if session.options.steps is not None else remembering.calibrate()
        save_memory_plan(memory := plan_memory(*about, speed), run)
        reserve = reserved_seconds(session, corpus, memory, speed)
        lost = session.reading_share * min(reading_seconds(memory, corpus) / speed, session.seconds_left - reserve)
        plan = network_plan(session, tokenizer, shard, sphere, reserve, lost)
    save_plan(plan, run.plan)


def network_plan(
    session: Session, tokenizer: Tokenizer, shard: Shard, sphere: Sphere, reserve: float, lost: float
) -> Plan:
    """A plan made for this machine and this corpus.

    It leaves `reserve` seconds for what follows the training; `lost` seconds of all workers' time go to other work.
    """
    seconds = None if session.options.steps is not None else max(1.0, session.seconds_left - reserve - lost)
    dtype = session.engine_choice.dtype
    engine = engine_of(session.machine, default_dtype(session.machine) if dtype == "auto" else dtype)
    task = Task(
        vocab_size=tokenizer.vocab_size,
        tokens=shard.num_tokens,
        engine=engine,
        num_workers=session.num_workers,
        levels=session.levels,
        seconds=seconds,
        steps=session.options.steps,
        seed=session.options.seed,
        free_bytes=session.machine.available_bytes - OTHER_BYTES,
    )

    def measure(model: TransformerConfig, shapes: list[tuple[int, int]]) -> Speed:
        return measured(sphere, model, engine.dtype, shapes, session.recipe)

    model = override(choose_model(task, measure), session.section("model"), "model")
    if task.steps is not None:
        return as_configured(plan_of_steps(task, model), session.section("training"), session.optimizer)
    speed = measure(model, SHAPES)
    # What measuring took is gone from the budget.
    task = dataclasses.replace(task, seconds=max(1.0, session.seconds_left - reserve - lost))
    plan = plan_of_seconds(task, model, speed)
    assert plan.seconds is not None
    plan = dataclasses.replace(plan, seconds=plan.seconds + lost)
    return as_configured(plan, session.section("training"), session.optimizer)


def as_configured(plan: Plan, training: dict[str, Any], optimizer: OptimizerConfig) -> Plan:
    """A plan with what the configuration file says: the fields of its section [training], and an optimizer."""
    return dataclasses.replace(plan, recipe=override(plan.recipe, training, "training"), optimizer=optimizer)


def fitting(session: Session, plan: Plan, tokenizer: Tokenizer) -> Plan:
    """A saved plan, which must be for this repository's vocabulary; without a budget, so that nothing amends it."""
    if plan.model.vocab_size != tokenizer.vocab_size:
        raise UsageError(
            f"{session.options.plan} is for a vocabulary of {plan.model.vocab_size}, this repository's has "
            f"{tokenizer.vocab_size}: a plan belongs to the repository it was made for"
        )
    return dataclasses.replace(plan, seconds=None)


def reserved_seconds(session: Session, corpus: Corpus, memory: MemoryPlan, speed: float) -> float:
    """Seconds to leave for what follows the training, on a machine so many times as fast as the constants say."""
    size = sum(document.bytes for document in corpus.val)
    scorecard = SCORECARD_SECONDS + size / (SCORED_BYTES_PER_SECOND * session.num_workers)
    most = SCORECARD_SHARE * session.options.minutes * 60
    return min(most, scorecard / speed) + seconds_after(memory, corpus, session.num_workers) / speed


def measured(
    sphere: Sphere, model: TransformerConfig, dtype: str, shapes: list[tuple[int, int]], recipe: Recipe
) -> Speed:
    """The workers' speed at a network and some shapes, all measuring at once: the mean over them."""
    arguments = {"model": dataclasses.asdict(model), "dtype": dtype, "shapes": shapes}
    arguments["recipe"] = dataclasses.asdict(recipe)
    found = sphere.call_all("measure", [arguments] * len(sphere.workers))
    positions = np.mean([speed["positions"] for speed in found], 0)
    return Speed(positions=tuple(positions.tolist()), update=float(np.mean([speed["update"] for speed in found])))


def described(plan: Plan, shard: Shard, num_workers: int) -> Iterator[str]:
    """What is going to be done, in two lines."""
    model = plan.model
    yield (
        f"network: {model.n_layer} layers, {model.n_embd} wide, vocabulary {model.vocab_size:,}, "
        f"{num_parameters(model) / 1e6:.2f} M parameters, {plan.engine.dtype}"
    )
    positions = plan.positions
    phases = ", ".join(
        f"{phase.steps} steps of {positions} x {phase.tokens_per_position} tokens" for phase in plan.phases
    )
    dropout = f", dropout {plan.recipe.dropout:g}" if plan.recipe.dropout else ""
    time_text = f", at most {plan.seconds:.0f} s" if plan.seconds else ""
    yield f"plan: {phases}: {plan.tokens / shard.num_tokens:.1f} passes{dropout}{time_text}, {num_workers} workers"
