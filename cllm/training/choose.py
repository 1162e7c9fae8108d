"""Choose a plan for a wall-clock budget: the size of the network and the number of steps.

The constants were chosen by measurement (docs/LOG.md); each comment gives the figures. They are for repositories of
kilobytes to gigabytes and budgets of 30 s to hours.
"""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

from cllm.model.config import TransformerConfig
from cllm.spheres.order import FANOUT
from cllm.training.layout import needed_bytes
from cllm.training.plan import MAX_STEPS, Engine, Phase, Plan, TrainingConfig, rounds_per_step

# (n_layer, n_embd, heads of 64 channels, n_inner): each has about twice the matrix parameters of the previous one.
MODEL_SIZES = (
    (2, 128, 2, 384),
    (3, 192, 3, 576),
    (4, 256, 4, 768),
    (5, 384, 6, 1024),
    (8, 512, 8, 1408),
    (10, 640, 10, 1728),
    (12, 768, 12, 2048),
)
HEAD_DIM = 64
DEFAULT_SIZE = 2
# (context, until): short rows first, as they allow more steps in the same time. With 1,024 from progress 0.7 on, libuv,
# three and networkx cost 5, 7 and 12% more bits after the same time (docs/LOG.md, 2026-11-26).
CONTEXTS = ((256, 0.5), (512, 1.0))
SHAPES = [(context, 1) for context, _ in CONTEXTS]  # (context, rows) of micro-batches
# Minimum training tokens per matrix parameter. If the time is the limit: compared with the next smaller network and
# twice as many tokens in the same seconds, 3 x 192 cost 4 to 7% more bits with 0.6 or 0.7 (libuv, networkx, three), 20%
# fewer with 1.2 (libuv, all held-out files), 21% fewer with 1.5 (networkx); 4 x 256 with 1.0 cost 2% more (libuv; with
# the memory 0.3% fewer, at half the decoding speed). If the epochs are the limit: 216,000 tokens of C, 16 epochs, gave
# 1.290, 1.274, 1.244 bits per byte with 2 x 128, 3 x 192 and 4 x 256, which has 0.9 tokens per parameter there; fewer
# tokens were not tried.
MIN_TOKENS_PER_PARAMETER_IN_TIME, MIN_TOKENS_PER_PARAMETER_ALL_EPOCHS = 1.0, 0.8
# libuv, held-out bits per byte after 5, 8 and 12 epochs: 3 x 192 0.628, 0.597, 0.590; 4 x 256 0.610, 0.576, and with
# dropout 0.566. More epochs were not tried.
MAX_EPOCHS = 16.0
# Dropout of 0.1 is used above this number of epochs, where it costs nothing (libuv, 3 x 192: 0.596 with it,
# 0.597 without).
MAX_EPOCHS_WITHOUT_DROPOUT, DROPOUT = 8.0, 0.1
MIN_TOKENS = 500_000  # for a repository with fewer tokens in `MAX_EPOCHS`: about 120 steps
STEP_OVERHEAD = 1.04  # beyond micro-batches and updates: the sum, and waiting for the last micro-batch


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds on one core: of one micro-batch at each requested (context, rows), and of updating all parameters."""

    micro_batch_seconds: tuple[float, ...]
    update_seconds: float


Measure = Callable[[TransformerConfig, list[tuple[int, int]]], Timing]


@dataclass(frozen=True, kw_only=True)
class PlanRequest:
    """The inputs of a plan: data size, engine, workers, and a budget in seconds or a number of steps."""

    vocab_size: int
    tokens: int  # in the documents that are trained on
    engine: Engine
    num_workers: int
    levels: int = 1  # of spheres
    seconds: float | None = None  # of training
    steps: int | None = None
    seed: int = 0
    free_bytes: float = math.inf  # of memory


def vocab_size_for(num_bytes: int) -> int:
    """The vocabulary size for a corpus of `num_bytes`: smaller corpora get smaller vocabularies."""
    return 1024 if num_bytes < 200_000 else 2048 if num_bytes < 1_000_000 else 4096 if num_bytes < 50_000_000 else 8192


def config_of_size(number: int, vocab_size: int) -> TransformerConfig:
    """The network configuration `MODEL_SIZES[number]`."""
    n_layer, n_embd, n_head, n_inner = MODEL_SIZES[number]
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


def max_training_tokens(request: PlanRequest) -> float:
    """The maximum number of tokens to train on, regardless of the time: `MAX_EPOCHS`, at least `MIN_TOKENS`."""
    return max(MAX_EPOCHS * request.tokens, MIN_TOKENS)


def choose_model(request: PlanRequest, measure: Measure) -> TransformerConfig:
    """The largest network that fits into memory and gets enough tokens in the given time and epochs.

    Sizes are measured in turn, from the smallest: an estimate from operation counts is wrong by a quarter (the head
    takes fewer than the count, small products run slower). Without a time limit, `DEFAULT_SIZE`.
    """
    if request.seconds is None:
        return config_of_size(DEFAULT_SIZE, request.vocab_size)
    best, max_tokens = config_of_size(0, request.vocab_size), max_training_tokens(request)
    for number in range(1, len(MODEL_SIZES)):
        config = config_of_size(number, request.vocab_size)
        has_few_epochs = max_tokens < MIN_TOKENS_PER_PARAMETER_ALL_EPOCHS * config.num_matrix_parameters
        needed = needed_bytes(config, request.engine.dtype, request.levels, request.num_workers)
        if has_few_epochs or needed > request.free_bytes:
            break
        seconds_per_step = step_seconds(measure(config, SHAPES[:1]), request.num_workers, request.levels)[0]
        min_tokens = min(max_tokens, MIN_TOKENS_PER_PARAMETER_IN_TIME * config.num_matrix_parameters)
        if request.seconds * FANOUT**request.levels * CONTEXTS[0][0] / seconds_per_step < min_tokens:
            break
        best = config
    return best


def plan_of_steps(request: PlanRequest, model: TransformerConfig) -> Plan:
    """A plan for a network and `request.steps` steps, without a time budget."""
    assert request.steps is not None
    timing = Timing(
        micro_batch_seconds=tuple(model.training_flops_per_token(c) * c for c, _ in CONTEXTS), update_seconds=0.0
    )  # in operations instead of seconds: only the ratio of the phases counts
    seconds_per_step = step_seconds(timing, request.num_workers, request.levels)
    return _plan(request, model, _phases_of_steps(request.steps, seconds_per_step))


def plan_of_seconds(request: PlanRequest, model: TransformerConfig, timing: Timing) -> Plan:
    """A plan for a network and a budget of `request.seconds`, from the network's timing at `SHAPES`."""
    assert request.seconds is not None
    seconds_per_step = step_seconds(timing, request.num_workers, request.levels)
    phases = _phases_of_seconds(request.seconds, seconds_per_step)
    share = max_training_tokens(request) / _tokens(phases, request)
    max_steps = min(MAX_STEPS, math.ceil(share * sum(phase.steps for phase in phases)))
    plan = _plan(request, model, _phases_of_seconds(request.seconds * min(1.0, share), seconds_per_step))
    return dataclasses.replace(plan, seconds=request.seconds, max_steps=max(plan.steps, max_steps))


def step_seconds(timing: Timing, num_workers: int, levels: int = 1) -> list[float]:
    """Seconds of a step in each phase, with `num_workers` workers."""
    return [
        (seconds * rounds_per_step(num_workers, levels) + timing.update_seconds / num_workers) * STEP_OVERHEAD
        for seconds in timing.micro_batch_seconds
    ]


def _tokens(phases: tuple[Phase, ...], request: PlanRequest) -> int:
    """Tokens of all steps of the given phases."""
    return int(FANOUT**request.levels) * sum(phase.steps * phase.tokens_per_micro_batch for phase in phases)


def _phases_of_seconds(budget: float, seconds_per_step: list[float]) -> tuple[Phase, ...]:
    """Phases that fill `budget` seconds, given the seconds of a step in each."""
    phases, begin = [], 0.0
    for (context, until), each in zip(CONTEXTS, seconds_per_step, strict=True):
        steps = max(1, round(budget * (until - begin) / each))
        phases.append(Phase(context=context, rows=1, until=until, steps=steps))
        begin = until
    return tuple(phases)


def _phases_of_steps(steps: int, seconds_per_step: list[float]) -> tuple[Phase, ...]:
    """Phases with `steps` steps in total, divided in proportion to each phase's share of the time."""
    begins = [0.0, *[until for _, until in CONTEXTS[:-1]]]
    weights = [
        (until - begin) / each for (_, until), begin, each in zip(CONTEXTS, begins, seconds_per_step, strict=True)
    ]
    counts = [max(1, int(steps * weight / sum(weights))) for weight in weights]
    counts[0] = max(1, steps - sum(counts[1:]))
    used = counts[: max(1, steps)]  # with fewer steps than phases, the last phases are dropped
    last = len(used) - 1
    return tuple(
        Phase(context=context, rows=1, until=1.0 if index == last else until, steps=count)
        for index, ((context, until), count) in enumerate(zip(CONTEXTS, used, strict=False))
    )


def _plan(request: PlanRequest, model: TransformerConfig, phases: tuple[Phase, ...]) -> Plan:
    longest = max(phase.context for phase in phases)
    num_epochs = _tokens(phases, request) / request.tokens
    return Plan(
        model=dataclasses.replace(model, context_length=longest),
        phases=phases,
        engine=request.engine,
        training=TrainingConfig(dropout=DROPOUT if num_epochs > MAX_EPOCHS_WITHOUT_DROPOUT else 0.0),
        levels=request.levels,
        seed=request.seed,
    )
