"""The options and configuration of a run, as every stage needs them."""

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cllm.config import Settings, check_bounds, check_choice, load_settings, override
from cllm.corpus.ingest import CorpusConfig
from cllm.errors import ArtifactError, UsageError
from cllm.machine import Machine, detect_machine
from cllm.model.config import TransformerConfig
from cllm.progress import Reporter
from cllm.spheres import FANOUT
from cllm.tokenizer.tokenizer import MIN_VOCAB_SIZE
from cllm.training.choose import config_of_size
from cllm.training.plan import MAX_LEVELS, OptimizerConfig, Plan, TrainingConfig, load_plan, rounds_per_step

DEFAULT_PORT = 29400  # the default of torchrun
WILDCARD_ADDRESSES = ("", "0.0.0.0", "::")
WEEK_MINUTES = 7 * 24 * 60
MAX_TOTAL_WORKERS = int(FANOUT**MAX_LEVELS)


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """The command-line options of a run; everything else is derived. UsageError if a value is not allowed."""

    minutes: float = 5.0
    steps: int | None = None
    plan: Path | None = None
    workers: int | None = None
    listen: str | None = None
    seed: int = 0
    config: Path | None = None
    fresh: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.minutes <= WEEK_MINUTES:
            raise UsageError(
                f"--minutes {self.minutes:g} is not allowed: give more than 0 and at most {WEEK_MINUTES} (one week)"
            )
        if self.steps is not None and not 1 <= self.steps <= 10_000_000:
            raise UsageError(f"--steps {self.steps} is not between 1 and 10,000,000")
        if self.workers is not None and not 1 <= self.workers <= MAX_TOTAL_WORKERS:
            raise UsageError(
                f"--workers {self.workers} is not between 1 and {MAX_TOTAL_WORKERS}, two levels of {FANOUT}"
            )
        if self.listen is not None:
            if parse_endpoint("--listen", self.listen)[0] in WILDCARD_ADDRESSES:
                raise UsageError(
                    f"--listen {self.listen} would listen on every address of this machine: give the one address that "
                    "the other machines can reach, in a network whose machines trust each other"
                )
            if self.workers is not None and self.workers > FANOUT:
                raise UsageError(f"--workers {self.workers} with --listen: a machine has at most {FANOUT} workers")
        if self.plan is not None and self.steps is not None:
            raise UsageError("--plan and --steps are both given: a plan has its own number of steps")
        if not 0 <= self.seed < 1 << 31:
            raise UsageError(f"--seed {self.seed} is not between 0 and {(1 << 31) - 1}")

    @property
    def new_run_options(self) -> dict[str, Any]:
        """The options that apply only to a new run, as JSON values."""
        paths = {
            name: None if path is None else str(path.resolve())
            for name, path in (("plan", self.plan), ("config", self.config))
        }
        return {"minutes": self.minutes, "steps": self.steps, "seed": self.seed, **paths}

    def unused_options(self, options_of_run: Mapping[str, Any]) -> list[str]:
        """The given options that apply only to a new run, and differ from those that a run was started with."""
        defaults, given = TrainOptions().new_run_options, self.new_run_options
        return [f"--{name}" for name, value in given.items() if value not in (defaults[name], options_of_run.get(name))]


def parse_endpoint(option: str, text: str) -> tuple[str, int]:
    """The host and port of "HOST", "HOST:PORT" or "[IPV6]:PORT"; UsageError if the port is not valid."""
    host, port = text, str(DEFAULT_PORT)
    if text.startswith("[") and "]" in text:
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":") or port
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    if not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise UsageError(f"{option} {text}: {port!r} is not a port; give HOST or HOST:PORT")
    return host, int(port)


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Settings that do not affect the result of a run."""

    checkpoint_seconds: float = 30.0  # between checkpoints: the training time that a killed run can lose

    def __post_init__(self) -> None:
        check_bounds(self, checkpoint_seconds=(0.01, 86_400))


@dataclass(frozen=True, kw_only=True)
class EngineChoice:
    """The dtype to compute with; "auto" chooses it by the machine."""

    dtype: str = "auto"

    def __post_init__(self) -> None:
        check_choice("dtype", self.dtype, ("auto", "bfloat16", "float32"))


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    """The vocabulary size; 0 derives it from the size of the repository."""

    vocab_size: int = 0

    def __post_init__(self) -> None:
        if self.vocab_size:
            check_bounds(self, vocab_size=(MIN_VOCAB_SIZE, 1 << 20))


def field_names(kind: Any) -> list[str]:
    return [part.name for part in dataclasses.fields(kind)]


DERIVED = ("vocab_size", "context_length")  # from the tokenizer and from the phases
SECTIONS: dict[str, list[str]] = {
    "corpus": field_names(CorpusConfig),
    "tokenizer": field_names(TokenizerConfig),
    "model": [name for name in field_names(TransformerConfig) if name not in DERIVED],
    "training": field_names(TrainingConfig),
    "engine": field_names(EngineChoice),
    "optimizer": field_names(OptimizerConfig),
    "run": field_names(RunConfig),
}


PLAN_SECTIONS = frozenset({"model", "training", "engine", "optimizer"})  # a plan has their values


def user_plan(path: Path) -> Plan:
    """Load the plan in a file given with --plan; UsageError if it is not a valid plan."""
    try:
        return load_plan(path)
    except ArtifactError as error:
        raise UsageError(f"--plan: {error}") from None


@dataclass
class Job:
    """One command, from its start to its scorecard. Construction raises UsageError for invalid options and files."""

    root: Path
    options: TrainOptions
    report: Reporter
    machine: Machine = field(default_factory=detect_machine)
    started_at: float = field(default_factory=time.monotonic)
    seconds_before_resume: float = 0.0  # used by the run's earlier commands
    phase_seconds: dict[str, float] = field(default_factory=dict)  # of each phase so far

    def __post_init__(self) -> None:
        self.settings: Settings = load_settings(self.options.config, SECTIONS) if self.options.config else {}
        self.config = override(RunConfig(), self.section("run"), "run")
        self.tokenizer_config = override(TokenizerConfig(), self.section("tokenizer"), "tokenizer")
        self.engine_choice = override(EngineChoice(), self.section("engine"), "engine")
        self.training = override(
            TrainingConfig(), self.section("training"), "training"
        )  # a user's plan can have other defaults
        self.optimizer = override(OptimizerConfig(), self.section("optimizer"), "optimizer")
        override(
            config_of_size(0, MIN_VOCAB_SIZE), self.section("model"), "model"
        )  # reject invalid values now, not after the scan
        self.corpus_config = override(CorpusConfig(), self.section("corpus"), "corpus")
        self.user_plan: Plan | None = user_plan(self.options.plan) if self.options.plan else None
        self.cores = self.machine.cores  # can change while the command runs
        self._extension_seconds = 0.0
        self._phase: tuple[str, float] | None = None  # the present phase, and its begin by time.monotonic()

    @property
    def num_workers(self) -> int:
        """The number of workers: --workers, or one per core and at most 12."""
        return self.options.workers or min(self.cores, FANOUT)

    @property
    def levels(self) -> int:
        """Levels of spheres in a new plan: 2 for more than 12 workers or several machines, else 1."""
        return 1 if self.num_workers <= FANOUT and self.listen is None else 2

    @property
    def listen(self) -> tuple[str, int] | None:
        """The address and port at which other machines can join, or None."""
        return None if self.options.listen is None else parse_endpoint("--listen", self.options.listen)

    @property
    def num_idle(self) -> int:
        """The number of workers that stay idle while the memory is built; 0 if there is a core to spare."""
        if self.levels > 1:
            return 0
        return max(0, min(self.num_workers - 1, self.num_workers - self.cores + 1))

    @property
    def memory_build_share(self) -> float:
        """The share of all workers' time that is lost while the memory is built."""
        if self.num_workers == self.cores == 1:
            return 0.5
        if self.levels > 1:
            return 1 / self.cores
        return 1 - rounds_per_step(self.num_workers) / rounds_per_step(self.num_workers - self.num_idle)

    def start_phase(self, name: str) -> None:
        """Report the begin of a phase, and count its seconds from here on; the previous phase has ended."""
        now = time.monotonic()
        if self._phase is not None:
            before, began = self._phase
            self.phase_seconds[before] = self.phase_seconds.get(before, 0.0) + now - began
        self._phase = name, now
        self.report.start_phase(name)

    def section(self, name: str) -> dict[str, Any]:
        """The values of one section of the configuration file; empty if there is none."""
        return self.settings.get(name, {})

    @property
    def budget_seconds(self) -> float:
        """The wall-clock time of the whole run."""
        return self.options.minutes * 60 + self._extension_seconds

    @property
    def has_budget(self) -> bool:
        """Whether the run has to end in time: not with a given number of steps, or a given plan."""
        return self.options.steps is None and self.options.plan is None

    @property
    def elapsed_seconds(self) -> float:
        """Seconds since the command began."""
        return time.monotonic() - self.started_at

    @property
    def total_seconds(self) -> float:
        """Seconds of the run, including those of its earlier, interrupted commands."""
        return self.seconds_before_resume + self.elapsed_seconds

    @property
    def seconds_left(self) -> float:
        """Seconds that remain of the budget, in all commands of the run; negative if it is exceeded."""
        return self.budget_seconds - self.total_seconds

    def adopt_options(self, options_of_run: Mapping[str, Any]) -> None:
        """Use the options that a run was started with, as far as they apply only to a new run."""
        names = ("minutes", "steps", "seed")
        values = {name: options_of_run[name] for name in names if name in options_of_run}
        plan = options_of_run.get("plan")
        self.options = dataclasses.replace(self.options, **values, plan=None if plan is None else Path(plan))

    def extend_budget(self, seconds: float) -> None:
        """Let at least `seconds` be left of the budget: a resumed run lost an unknown time."""
        self._extension_seconds += max(0.0, seconds - self.seconds_left)

    def seconds_before(self, reserved: float) -> float | None:
        """The limit, in seconds, of work after which `reserved` seconds of the budget must be left; None: no limit."""
        return max(0.0, self.seconds_left - reserved) if self.has_budget else None
