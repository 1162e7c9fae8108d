"""What the user asked for, and what every stage of a run needs to know of it."""

import dataclasses
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cllm.config import Settings, check_bounds, check_choice, load_settings, override
from cllm.corpus import CorpusConfig
from cllm.errors import ArtifactError, UsageError
from cllm.machine import Machine, detect_machine
from cllm.model.config import TransformerConfig
from cllm.progress import Reporter
from cllm.spheres import FANOUT
from cllm.tokenizer.tokenizer import MIN_VOCAB_SIZE
from cllm.training.choose import config_of_size
from cllm.training.plan import MAX_LEVELS, OptimizerConfig, Plan, TrainingConfig, load_plan, rounds_per_step

DEFAULT_PORT = 29400  # as torchrun's
WILDCARD_ADDRESSES = ("", "0.0.0.0", "::")
WEEK_MINUTES = 7 * 24 * 60
MAX_TOTAL_WORKERS = int(FANOUT**MAX_LEVELS)


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """What the user may say about a run; everything else is derived."""

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
            raise UsageError(f"--minutes {self.minutes:g} is not between 0 and {WEEK_MINUTES} (a week)")
        if self.steps is not None and not 1 <= self.steps <= 10_000_000:
            raise UsageError(f"--steps {self.steps} is not between 1 and 10,000,000")
        if self.workers is not None and not 1 <= self.workers <= MAX_TOTAL_WORKERS:
            raise UsageError(
                f"--workers {self.workers} is not between 1 and {MAX_TOTAL_WORKERS}: {FANOUT} spheres touch one, and "
                "as many each of these"
            )
        if self.listen is not None:
            if parse_endpoint("--listen", self.listen)[0] in WILDCARD_ADDRESSES:
                raise UsageError(
                    f"--listen {self.listen} would be every address of this machine: name the one by which the others "
                    "reach it, on a network whose machines trust each other"
                )
            if self.workers is not None and self.workers > FANOUT:
                raise UsageError(f"--workers {self.workers}: one of many machines has at most {FANOUT}")
        if self.plan is not None and self.steps is not None:
            raise UsageError("--plan and --steps are both given: a plan has its own number of steps")
        if not 0 <= self.seed < 1 << 31:
            raise UsageError(f"--seed {self.seed} is not between 0 and {(1 << 31) - 1}")

    @property
    def new_run_options(self) -> list[str]:
        """The options given that only a new run can follow."""
        defaults = TrainOptions()
        option_names = ("minutes", "steps", "plan", "seed", "config")
        return [f"--{name}" for name in option_names if getattr(self, name) != getattr(defaults, name)]


def parse_endpoint(option: str, text: str) -> tuple[str, int]:
    """The host and the port of HOST, HOST:PORT, or [HOST]:PORT where the host has colons."""
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
    """What concerns the process and not the numbers."""

    checkpoint_seconds: float = 30.0  # the most that a killed run loses

    def __post_init__(self) -> None:
        check_bounds(self, checkpoint_seconds=(0.01, 86_400))


@dataclass(frozen=True, kw_only=True)
class EngineChoice:
    """With what the numbers are computed; "auto" leaves it to the machine."""

    dtype: str = "auto"

    def __post_init__(self) -> None:
        check_choice("dtype", self.dtype, ("auto", "bfloat16", "float32"))


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    """The vocabulary to ask for; 0 derives it from the repository's size."""

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


def user_plan(path: Path) -> Plan:
    """The plan in a file that the user named."""
    try:
        return load_plan(path)
    except ArtifactError as error:
        raise UsageError(f"--plan: {error}") from None


@dataclass
class Job:
    """One command, from its first second to its scorecard. Wrong options and files are refused when it is made."""

    root: Path
    options: TrainOptions
    report: Reporter
    machine: Machine = field(default_factory=detect_machine)
    started_at: float = field(default_factory=time.monotonic)
    seconds_before_resume: float = 0.0  # that the run had taken when this command began to go on with it

    def __post_init__(self) -> None:
        self.settings: Settings = load_settings(self.options.config, SECTIONS) if self.options.config else {}
        self.config = override(RunConfig(), self.section("run"), "run")
        self.tokenizer_config = override(TokenizerConfig(), self.section("tokenizer"), "tokenizer")
        self.engine_choice = override(EngineChoice(), self.section("engine"), "engine")
        self.training = override(
            TrainingConfig(), self.section("training"), "training"
        )  # a plan's own may begin elsewhere
        self.optimizer = override(OptimizerConfig(), self.section("optimizer"), "optimizer")
        override(config_of_size(0, MIN_VOCAB_SIZE), self.section("model"), "model")  # refused now, not after the scan
        self.corpus_config = override(CorpusConfig(), self.section("corpus"), "corpus")
        self.user_plan: Plan | None = user_plan(self.options.plan) if self.options.plan else None
        self.cores = self.machine.cores  # which may be others while it runs

    @property
    def num_workers(self) -> int:
        """One for each core, if the user asked for no other number."""
        return self.options.workers or min(self.cores, FANOUT)

    @property
    def levels(self) -> int:
        """Of spheres, in a plan that is made for so many workers."""
        return 1 if self.num_workers <= FANOUT and self.listen is None else 2

    @property
    def listen(self) -> tuple[str, int] | None:
        """Where other machines come to take part."""
        return None if self.options.listen is None else parse_endpoint("--listen", self.options.listen)

    @property
    def num_idle(self) -> int:
        """How many workers leave their core to the memory while it reads: none, where a core is spare."""
        if self.levels > 1:
            return 0
        return max(0, min(self.num_workers - 1, self.num_workers - self.cores + 1))

    @property
    def memory_build_share(self) -> float:
        """The share of all workers' time that is gone while the memory reads."""
        if self.num_workers == self.cores == 1:
            return 0.5
        if self.levels > 1:
            return 1 / self.cores
        return 1 - rounds_per_step(self.num_workers) / rounds_per_step(self.num_workers - self.num_idle)

    def section(self, name: str) -> dict[str, Any]:
        """What the configuration file says in one section."""
        return self.settings.get(name, {})

    @property
    def elapsed_seconds(self) -> float:
        """Since the command began."""
        return time.monotonic() - self.started_at

    @property
    def total_seconds(self) -> float:
        """Of the run, those of the commands that were interrupted included."""
        return self.seconds_before_resume + self.elapsed_seconds

    @property
    def seconds_left(self) -> float:
        """Of the whole budget."""
        return self.options.minutes * 60 - self.elapsed_seconds
