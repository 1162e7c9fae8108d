"""Plans of a new run, made from the options, the configuration, the corpus and the speed of this machine."""

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from cllm.config import override
from cllm.corpus import Corpus
from cllm.errors import UsageError
from cllm.machine import default_dtype
from cllm.model.config import TransformerConfig, num_parameters
from cllm.spheres import ForkServer, Sphere
from cllm.stages.job import PLAN_SECTIONS, Job
from cllm.stages.memory_build import MemoryBuild
from cllm.stages.memory_plan import (
    MemoryPlan,
    build_seconds,
    load_memory_plan,
    plan_memory,
    save_memory_plan,
)
from cllm.stages.prepare import Dataset
from cllm.stages.reserve import SCORECARD_SHARE, reserve_for
from cllm.training.choose import SHAPES, PlanRequest, Timing, choose_model, plan_of_seconds, plan_of_steps
from cllm.training.engine import engine_of
from cllm.training.launch import launch_measurers
from cllm.training.plan import OptimizerConfig, Plan, TrainingConfig, load_plan, save_plan
from cllm.workspace.run import Run

RESERVED_BYTES = 1_000_000_000  # of memory, for the memory's build process and the fork server


@dataclass(frozen=True, kw_only=True)
class RunPlans:
    """The plans of a run: for the training of the network, and for that of the memory."""

    training: Plan
    memory: MemoryPlan


def load_plans(run: Run, corpus: Corpus) -> RunPlans:
    """Load the plans of a planned run; ArtifactError if one is not valid or does not match the corpus."""
    return RunPlans(training=load_plan(run.plan_path), memory=load_memory_plan(run, corpus))


def plan_run(job: Job, run: Run, dataset: Dataset, fork_server: ForkServer, memory_build: MemoryBuild) -> RunPlans:
    """Make and save the plans of a prepared run."""
    job.start_phase("plan")
    corpus = dataset.corpus
    memory_plan_arguments = (corpus, job.budget_seconds, job.num_workers, job.options.seed)
    memory_plan = plan_memory(*memory_plan_arguments)
    if job.user_plan is not None:
        plan = plan_without_budget(job, job.user_plan, dataset)
    else:
        speed = 1.0 if job.options.steps is not None else memory_build.calibrate(memory_plan)
        memory_plan = plan_memory(*memory_plan_arguments, speed)
        reserve_seconds = reserve_for(job, corpus, memory_plan, speed).total
        training_seconds = max(0.0, job.seconds_left - reserve_seconds)
        lost_seconds = job.memory_build_share * min(build_seconds(memory_plan, corpus) / speed, training_seconds)
        with launch_measurers(job.num_workers, fork_server) as sphere:
            plan = network_plan(job, dataset, sphere, reserve_seconds, lost_seconds)
        if plan.seconds is not None and (share := plan.tokens / dataset.shard.num_tokens) < 1:
            enough = (job.elapsed_seconds + plan.seconds / share + reserve_seconds) / (1 - SCORECARD_SHARE)
            job.report.log(
                f"--minutes {job.options.minutes:g} is short for this repository: the network is trained on about "
                f"{share:.0%} of its text; --minutes {math.ceil(enough / 60)} is enough to train on all of it once"
            )
    save_memory_plan(memory_plan, run)
    save_plan(plan, run.plan_path)  # last: a run with this file is planned
    return RunPlans(training=plan, memory=memory_plan)


def network_plan(job: Job, dataset: Dataset, sphere: Sphere, reserve_seconds: float, lost_seconds: float) -> Plan:
    """A training plan for this machine and this corpus.

    It leaves `reserve_seconds` for the stages after the training, and assumes that other work takes `lost_seconds` of
    all workers' time.
    """
    seconds = None if job.options.steps is not None else max(1.0, job.seconds_left - reserve_seconds - lost_seconds)
    dtype = job.engine_choice.dtype
    engine = engine_of(job.machine, default_dtype(job.machine) if dtype == "auto" else dtype)
    request = PlanRequest(
        vocab_size=dataset.tokenizer.vocab_size,
        tokens=dataset.shard.num_tokens,
        engine=engine,
        num_workers=job.num_workers,
        levels=job.levels,
        seconds=seconds,
        steps=job.options.steps,
        seed=job.options.seed,
        free_bytes=job.machine.available_bytes - RESERVED_BYTES,
    )

    def measure(model: TransformerConfig, shapes: list[tuple[int, int]]) -> Timing:
        return measure_speed(sphere, model, engine.dtype, shapes, job.training)

    model = override(choose_model(request, measure), job.section("model"), "model")
    if request.steps is not None:
        return apply_config(plan_of_steps(request, model), job.section("training"), job.optimizer)
    speed = measure(model, SHAPES)
    # The budget is smaller by the time that the measurements took.
    request = dataclasses.replace(request, seconds=max(1.0, job.seconds_left - reserve_seconds - lost_seconds))
    plan = plan_of_seconds(request, model, speed)
    assert plan.seconds is not None
    plan = dataclasses.replace(plan, seconds=plan.seconds + lost_seconds)
    return apply_config(plan, job.section("training"), job.optimizer)


def apply_config(plan: Plan, training: dict[str, Any], optimizer: OptimizerConfig) -> Plan:
    """A plan with the configuration file's fields of section [training], and its optimizer."""
    return dataclasses.replace(plan, training=override(plan.training, training, "training"), optimizer=optimizer)


def plan_without_budget(job: Job, plan: Plan, dataset: Dataset) -> Plan:
    """A saved plan without its time budget, so that it is not amended.

    Raises UsageError if it is for another vocabulary size than the repository's.
    """
    if plan.model.vocab_size != (vocab_size := dataset.tokenizer.vocab_size):
        raise UsageError(
            f"{job.options.plan} is for a vocabulary of {plan.model.vocab_size} words, but this repository's has "
            f"{vocab_size}: use a plan that was made for this repository"
        )
    if sections := sorted(PLAN_SECTIONS & job.settings.keys()):
        job.report.log(
            f"{', '.join(f'[{name}]' for name in sections)} of --config not used: the plan has its own values"
        )
    return dataclasses.replace(plan, seconds=None)


def measure_speed(
    sphere: Sphere, model: TransformerConfig, dtype: str, shapes: list[tuple[int, int]], training: TrainingConfig
) -> Timing:
    """The mean speed of all workers, which measure at the same time, for a network and some (context, rows)."""
    arguments = {"model": dataclasses.asdict(model), "dtype": dtype, "shapes": shapes}
    arguments["training"] = dataclasses.asdict(training)
    found = sphere.call_all("measure", [arguments] * len(sphere.workers))
    micro_batch_seconds = np.mean([speed["micro_batch_seconds"] for speed in found], 0)
    return Timing(
        micro_batch_seconds=tuple(micro_batch_seconds.tolist()),
        update_seconds=float(np.mean([speed["update_seconds"] for speed in found])),
    )


def describe_plan(plan: Plan, num_tokens: int, num_workers: int) -> Iterator[str]:
    """The network and the plan as two progress lines."""
    model = plan.model
    yield (
        f"network: {model.n_layer} layers, {model.n_embd} wide, vocabulary {model.vocab_size:,}, "
        f"{num_parameters(model) / 1e6:.2f} M parameters, {plan.engine.dtype}"
    )
    micro_batches = plan.num_micro_batches
    phases = ", ".join(
        f"{phase.steps} steps of {micro_batches} x {phase.tokens_per_micro_batch} tokens" for phase in plan.phases
    )
    dropout = f", dropout {plan.training.dropout:g}" if plan.training.dropout else ""
    time_text = f", at most {plan.seconds:.0f} s" if plan.seconds else ""
    yield f"plan: {phases}: {plan.tokens / num_tokens:.1f} epochs{dropout}{time_text}, {num_workers} workers"
