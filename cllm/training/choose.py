"""From a wall-clock budget to a plan: how large a network, how many steps.

The numbers here are choices made by measurement (docs/LOG.md); each says from which. They are for repositories of
kilobytes to gigabytes and budgets of half a minute to hours.
"""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

from cllm.model.config import TransformerConfig
from cllm.training.plan import POSITIONS, Engine, Phase, Plan

# (n_layer, n_embd, heads of 64 channels, n_inner): each has about twice the matrix parameters of the one before.
LADDER = (
    (2, 128, 2, 384),
    (3, 192, 3, 576),
    (4, 256, 4, 768),
    (5, 384, 6, 1024),
    (8, 512, 8, 1408),
    (10, 640, 10, 1728),
    (12, 768, 12, 2048),
)
HEAD_DIM = 64
# (context, until): short rows first, more steps for the time; half of the time is spent at 256 tokens.
CONTEXTS = ((256, 0.5), (512, 0.85), (1024, 1.0))
TOKENS_PER_PARAMETER = 0.4  # learn from at least this many tokens for each matrix parameter
MAX_PASSES = 5.0  # over the repository's tokens; more made held-out files worse (docs/LOG.md)
MIN_STEPS = 120  # for a repository so small that its passes are fewer steps
STEP_OVERHEAD = 1.04  # beyond positions and updates: summing, waiting for the last position


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Seconds on one core: of one micro-batch at each (context, rows) asked for, and of updating all parameters."""

    positions: tuple[float, ...]
    update: float


Measure = Callable[[TransformerConfig, list[tuple[int, int]]], Speed]


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a plan is made for."""

    vocab_size: int
    tokens: int  # of the documents that are learned
    engine: Engine
    num_workers: int
    seconds: float | None = None  # of training
    steps: int | None = None
    seed: int = 0


def vocab_size_for(num_bytes: int) -> int:
    """Vocabulary to ask for, by the bytes that are learned: fewer words where there is little to learn them from."""
    return 1024 if num_bytes < 200_000 else 2048 if num_bytes < 1_000_000 else 4096 if num_bytes < 50_000_000 else 8192


def shape(rung: int, vocab_size: int) -> TransformerConfig:
    """The network at a rung of the ladder."""
    n_layer, n_embd, n_head, n_inner = LADDER[rung]
    return TransformerConfig(
        vocab_size=vocab_size,
        n_layer=n_layer,
        n_head=n_head,
        n_kv_head=n_head,
        n_embd=n_embd,
        head_dim=HEAD_DIM,
        n_inner=n_inner,
        context_length=CONTEXTS[-1][0],
    )


def choose_model(task: Task, flops_per_second: float) -> TransformerConfig:
    """The largest rung that sees enough tokens in the time; at least the one that keeps to MAX_PASSES, if any does."""
    assert task.seconds is not None
    best = shape(0, task.vocab_size)
    for rung in range(1, len(LADDER)):
        config = shape(rung, task.vocab_size)
        tokens = task.seconds * flops_per_second / config.training_flops_per_token(CONTEXTS[0][0])
        if tokens < TOKENS_PER_PARAMETER * config.matrix_parameters:
            break
        best = config
    return best


def make_plan(task: Task, measure: Measure, model: TransformerConfig | None = None) -> Plan:
    """A plan for `task`: from its steps if it fixes them, else from its seconds and what `measure` says."""
    if task.steps is not None:
        model = model or shape(2, task.vocab_size)
        speed = Speed(positions=tuple(model.training_flops_per_token(c) * c for c, _ in CONTEXTS), update=0.0)
        return _plan(task, model, _phases_of_steps(task.steps, step_seconds(speed, task.num_workers)), None)
    assert task.seconds is not None
    if model is None:
        probe = shape(2, task.vocab_size)
        context = CONTEXTS[0][0]
        speed = measure(probe, [(context, 1)])
        position_flops = probe.training_flops_per_token(context) * context
        # Updates cost time too, so the rate is that of a whole step.
        step = step_seconds(speed, task.num_workers)[0]
        model = choose_model(task, position_flops * POSITIONS / step)
    speed = measure(model, [(context, 1) for context, _ in CONTEXTS])
    seconds = step_seconds(speed, task.num_workers)
    phases = _phases_of_seconds(task.seconds, seconds)
    tokens = sum(phase.steps * phase.tokens_per_step for phase in phases)
    most = max(MAX_PASSES * task.tokens, MIN_STEPS * tokens / sum(phase.steps for phase in phases))
    budget = task.seconds * min(1.0, most / tokens)
    return _plan(task, model, _phases_of_seconds(budget, seconds), task.seconds)


def step_seconds(speed: Speed, num_workers: int) -> list[float]:
    """Seconds of a step in each phase, with so many workers."""
    rounds = math.ceil(POSITIONS / num_workers)
    return [(position * rounds + speed.update / num_workers) * STEP_OVERHEAD for position in speed.positions]


def _phases_of_seconds(budget: float, seconds: list[float]) -> tuple[Phase, ...]:
    phases, begin = [], 0.0
    for (context, until), each in zip(CONTEXTS, seconds, strict=True):
        steps = max(1, round(budget * (until - begin) / each))
        phases.append(Phase(context=context, rows=1, until=until, steps=steps))
        begin = until
    return tuple(phases)


def _phases_of_steps(steps: int, seconds: list[float]) -> tuple[Phase, ...]:
    """Phases with `steps` in all, each phase in proportion to its share of the time; every step is in some phase."""
    begins = [0.0, *[until for _, until in CONTEXTS[:-1]]]
    weights = [(until - begin) / each for (_, until), begin, each in zip(CONTEXTS, begins, seconds, strict=True)]
    counts = [max(1, int(steps * weight / sum(weights))) for weight in weights]
    counts[0] = max(1, steps - sum(counts[1:]))
    used = counts[: max(1, steps)]  # fewer steps than phases: the last phases go
    last = len(used) - 1
    return tuple(
        Phase(context=context, rows=1, until=1.0 if place == last else until, steps=count)
        for place, ((context, until), count) in enumerate(zip(CONTEXTS, used, strict=False))
    )


def _plan(task: Task, model: TransformerConfig, phases: tuple[Phase, ...], seconds: float | None) -> Plan:
    model = dataclasses.replace(model, context_length=max(phase.context for phase in phases))
    return Plan(model=model, phases=phases, engine=task.engine, seed=task.seed, seconds=seconds, dev_from=0.85)
