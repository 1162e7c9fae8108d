"""The training plan, fixed before a run begins; a run is a function of its plan.

Progress goes from 0 to 1 and drives everything that changes during a run: the phase (the length of the rows), the
learning rate, and when the `dev` documents are added. A step advances progress by its share of the planned time. If the
machine turns out slower or faster than measured, an amendment changes the number of steps that remain from some step
on; it is saved before it takes effect. The same plan with the same amendments gives bit-identical weights.
"""

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from cllm.artifacts import read_json, write_json
from cllm.config import check_bounds, check_choice
from cllm.errors import ArtifactError, UsageError
from cllm.model.config import TransformerConfig
from cllm.spheres.order import FANOUT

MAX_LEVELS = 2  # 12 positions, each one micro-batch, or each a sphere of 12 micro-batches
SCHEMA_VERSION = 7
DTYPES = ("bfloat16", "float32")
MAX_STEPS = 10_000_000


@dataclass(frozen=True, kw_only=True)
class Phase:
    """Steps whose micro-batches hold `rows` rows of `context` tokens each, until progress reaches `until`."""

    context: int
    rows: int
    until: float
    steps: int

    def __post_init__(self) -> None:
        check_bounds(self, context=(2, 1 << 20), rows=(1, 1 << 16), until=(1e-9, 1), steps=(1, MAX_STEPS))

    @property
    def tokens_per_micro_batch(self) -> int:
        return self.rows * self.context


@dataclass(frozen=True, kw_only=True)
class Amendment:
    """From `step` on, the rest of the progress is covered in `remaining` steps."""

    step: int
    remaining: int

    def __post_init__(self) -> None:
        check_bounds(self, step=(0, MAX_STEPS), remaining=(1, MAX_STEPS))


@dataclass(frozen=True, kw_only=True)
class Engine:
    """What a run is computed with; another engine gives almost the same weights, but not bit-identical ones."""

    dtype: str  # of the matrix products: "bfloat16" or "float32"
    instruction_set: str
    torch_version: str
    numba_version: str

    def __post_init__(self) -> None:
        check_choice("dtype", self.dtype, DTYPES)


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Step sizes at the full learning rate; weight decay is relative to the step size."""

    matrix_lr: float = 0.02
    matrix_momentum: float = 0.95
    matrix_weight_decay: float = 0.4
    lr: float = 0.01
    betas: tuple[float, float] = (0.8, 0.95)
    eps: float = 1e-10
    weight_decay: float = (
        2.0  # of the embedding and the head: without it, rare words have a far higher loss (docs/LOG.md)
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "betas", tuple(self.betas))  # JSON has lists only
        check_bounds(
            self,
            matrix_lr=(0, 10),
            matrix_momentum=(0, 1),
            matrix_weight_decay=(0, 100),
            lr=(0, 10),
            betas=(0, 0.99999),
            eps=(0, 1),
            weight_decay=(0, 100),
        )
        if len(self.betas) != 2:
            raise UsageError(f"betas has {len(self.betas)} values, expected 2")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Learning-rate schedule, regularization, and data settings of a run."""

    warmup: float = 0.02  # share of the progress in which the learning rate rises
    cooldown: float = 0.5  # share of the progress in which it falls
    min_lr_ratio: float = 0.02  # final learning rate, relative to the full one
    dropout: float = 0.0
    # Words whose probabilities sum to less than this are sampled in the head's gradient (model/head.py); 0: exact
    # gradient of all words.
    sample_threshold: float = 0.3
    # Share of rows with fill-in-the-middle. At 0.3 held-out files, read left to right, cost 3% more bits.
    fim_rate: float = 0.1
    # Progress from which the dev documents are trained on too. At 1 they never are, so the memory and the network can
    # be weighted against each other on text that neither has seen. It costs the network nothing (docs/LOG.md).
    dev_from: float = 1.0
    # Steps between two averagings of the machines' weights (each machine uses its own gradients in between); 1: all
    # gradients are summed in every step. Larger values are for slow links; the weights then depend on the number of
    # machines.
    sync_every: int = 1

    def __post_init__(self) -> None:
        check_bounds(
            self,
            warmup=(0, 1),
            cooldown=(0, 1),
            min_lr_ratio=(0, 1),
            dropout=(0, 0.9),
            sample_threshold=(0, 1),
            fim_rate=(0, 1),
            dev_from=(0, 1),
            sync_every=(1, 10_000),
        )


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All settings of a run."""

    model: TransformerConfig
    phases: tuple[Phase, ...]
    engine: Engine
    optimizer: OptimizerConfig = OptimizerConfig()
    training: TrainingConfig = TrainingConfig()
    levels: int = 1  # of spheres
    seed: int = 0
    seconds: float | None = None  # wall-clock budget of the training; None: no limit
    max_steps: int | None = None  # limit for amendments, regardless of the time left
    amendments: tuple[Amendment, ...] = ()

    def __post_init__(self) -> None:
        check_bounds(self, seed=(0, (1 << 31) - 1), levels=(1, MAX_LEVELS))
        if self.seconds is not None:
            check_bounds(self, seconds=(0, 1e9))
        if self.max_steps is not None:
            check_bounds(self, max_steps=(1, MAX_STEPS))
        ends = [phase.until for phase in self.phases]
        if not ends or ends[-1] != 1 or any(end <= begin for begin, end in pairwise(ends)):
            raise UsageError(f"the phases end at {ends}; these values must increase, and the last must be 1")
        if longest := [phase.context for phase in self.phases if phase.context > self.model.context_length]:
            raise UsageError(
                f"a phase has rows of {longest[0]} tokens; the model's context_length is {self.model.context_length}"
            )
        steps = sum(phase.steps for phase in self.phases)
        for amendment in self.amendments:
            if amendment.step >= steps:
                raise UsageError(f"an amendment is for step {amendment.step}, but the run has {steps} steps")
            steps = amendment.step + amendment.remaining

    @property
    def identity(self) -> str:
        """SHA-256 (hex) of all that is fixed before a run begins; checkpoints carry it to identify their plan."""
        fixed = {**dataclasses.asdict(self), "seconds": None, "max_steps": None, "amendments": None}
        return hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()

    @property
    def amendments_as_json(self) -> list[dict[str, int]]:
        """All amendments, as sent to workers and other machines; `with_amendments` reads them."""
        return [dataclasses.asdict(amendment) for amendment in self.amendments]

    def with_amendments(self, amendments: list[dict[str, int]]) -> "Plan":
        """This plan with these amendments instead of its own; ArtifactError if they are not valid."""
        try:
            return dataclasses.replace(self, amendments=tuple(Amendment(**each) for each in amendments))
        except (TypeError, ValueError, UsageError) as error:
            raise ArtifactError(f"the amendments {amendments} do not fit the plan: {error}") from None

    @property
    def num_micro_batches(self) -> int:
        """Micro-batches per step."""
        return int(FANOUT**self.levels)

    @property
    def steps(self) -> int:
        """Total number of steps, amendments included."""
        return len(timeline(self))

    @property
    def tokens(self) -> int:
        """Tokens in all steps."""
        return self.num_micro_batches * sum(
            self.phases[step_info.phase].tokens_per_micro_batch for step_info in timeline(self)
        )


@dataclass(frozen=True)
class StepInfo:
    """A step's phase, the number of steps of the same phase before it, and the progress before it."""

    phase: int
    phase_step: int
    progress: float


@lru_cache(maxsize=4)
def timeline(plan: Plan) -> tuple[StepInfo, ...]:
    """A `StepInfo` for each step of the plan, with its amendments applied in turn."""
    begins = [0.0, *[phase.until for phase in plan.phases[:-1]]]
    progress = np.concatenate(
        [
            begin + (phase.until - begin) * np.arange(phase.steps) / phase.steps
            for begin, phase in zip(begins, plan.phases, strict=True)
        ]
    )
    for amendment in plan.amendments:
        rest = progress[amendment.step :]
        points = np.arange(amendment.remaining) * (len(rest) / amendment.remaining)
        rest = np.interp(
            points, np.arange(len(rest) + 1), [*rest, 1.0]
        )  # evenly spaced up to 1, also if there are more steps
        progress = np.concatenate([progress[: amendment.step], rest])
    phases = np.searchsorted([phase.until for phase in plan.phases[:-1]], progress, "right")
    step_infos, counts = [], [0] * len(plan.phases)
    for phase, value in zip(phases.tolist(), progress.tolist(), strict=True):
        step_infos.append(StepInfo(phase, counts[phase], value))
        counts[phase] += 1
    return tuple(step_infos)


def learning_rate_scale(training: TrainingConfig, progress: float) -> float:
    """The learning rate at `progress`, relative to the full one: linear warm-up, constant, linear cooldown.

    The trapezoidal schedule of Hägele et al. 2024 (arXiv:2405.18392).
    """
    up = min(1.0, (progress + 0.005) / training.warmup) if training.warmup else 1.0
    down = min(1.0, (1 - progress) / training.cooldown) if training.cooldown else 1.0
    return up * (training.min_lr_ratio + (1 - training.min_lr_ratio) * down)


def rounds_per_step(num_workers: int, levels: int = 1) -> int:
    """The number of micro-batches that a worker computes one after another in a step."""
    return math.ceil(int(FANOUT**levels) / num_workers)


def save_plan(plan: Plan, path: Path) -> None:
    write_json(path, {"schema_version": SCHEMA_VERSION, **dataclasses.asdict(plan)})


def load_plan(path: Path) -> Plan:
    """Read a saved plan; ArtifactError if it has another schema version, an unknown or missing key, or a bad value."""
    value = read_json(path)
    if not isinstance(value, dict) or value.pop("schema_version", None) != SCHEMA_VERSION:
        raise ArtifactError(f"{path} is not a plan of schema version {SCHEMA_VERSION}: train again with --fresh")
    try:
        return Plan(
            model=_build(TransformerConfig, value.pop("model")),
            phases=tuple(_build(Phase, phase) for phase in value.pop("phases")),
            engine=_build(Engine, value.pop("engine")),
            optimizer=_build(OptimizerConfig, value.pop("optimizer")),
            training=_build(TrainingConfig, value.pop("training")),
            amendments=tuple(_build(Amendment, amendment) for amendment in value.pop("amendments")),
            **value,
        )
    except KeyError as error:
        raise ArtifactError(f"{path} is not a valid plan: it has no {error}") from None
    except (TypeError, ValueError, UsageError) as error:
        raise ArtifactError(f"{path} is not a valid plan: {error}") from None


def _build(kind: Any, value: Any) -> Any:
    return kind(**value)
