"""What the user asked for, and what every stage of a run needs to know of it."""

import dataclasses
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cllm.config import Settings, check_bounds, check_choice, load_settings, override
from cllm.corpus import CorpusConfig
from cllm.errors import ArtifactError, UsageError
from cllm.machine import Machine, describe
from cllm.model.config import TransformerConfig
from cllm.progress import Reporter
from cllm.spheres import MAX_WORKERS
from cllm.tokenizer.tokenizer import SMALLEST_VOCABULARY
from cllm.training.choose import rung
from cllm.training.plan import MOST_LEVELS, OptimizerConfig, Plan, Recipe, load_plan, rounds

DEFAULT_PORT = 29400  # as torchrun's
EVERY_ADDRESS = ("", "0.0.0.0", "::")
WEEK_MINUTES = 7 * 24 * 60
MOST_WORKERS = int(MAX_WORKERS**MOST_LEVELS)


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
        if self.workers is not None and not 1 <= self.workers <= MOST_WORKERS:
            raise UsageError(
                f"--workers {self.workers} is not between 1 and {MOST_WORKERS}: {MAX_WORKERS} spheres touch one, and "
                "as many each of these"
            )
        if self.listen is not None:
            if endpoint("--listen", self.listen)[0] in EVERY_ADDRESS:
                raise UsageError(
                    f"--listen {self.listen} would be every address of this machine: name the one by which the others "
                    "reach it, on a network whose machines trust each other"
                )
            if self.workers is not None and self.workers > MAX_WORKERS:
                raise UsageError(f"--workers {self.workers}: one of many machines has at most {MAX_WORKERS}")
        if self.plan is not None and self.steps is not None:
            raise UsageError("--plan and --steps are both given: a plan has its own number of steps")
        if not 0 <= self.seed < 1 << 31:
            raise UsageError(f"--seed {self.seed} is not between 0 and {(1 << 31) - 1}")

    @property
    def about_a_new_run(self) -> list[str]:
        """The options given that only a new run can follow."""
        defaults = TrainOptions()
        asked = ("minutes", "steps", "plan", "seed", "config")
        return [f"--{name}" for name in asked if getattr(self, name) != getattr(defaults, name)]


def endpoint(option: str, text: str) -> tuple[str, int]:
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
            check_bounds(self, vocab_size=(SMALLEST_VOCABULARY, 1 << 20))


def names(kind: Any) -> list[str]:
    return [part.name for part in dataclasses.fields(kind)]


DERIVED = ("vocab_size", "context_length")  # from the tokenizer and from the phases
SECTIONS: dict[str, list[str]] = {
    "corpus": names(CorpusConfig),
    "tokenizer": names(TokenizerConfig),
    "model": [name for name in names(TransformerConfig) if name not in DERIVED],
    "training": names(Recipe),
    "engine": names(EngineChoice),
    "optimizer": names(OptimizerConfig),
    "run": names(RunConfig),
}


def asked_plan(path: Path) -> Plan:
    """The plan in a file that the user named."""
    try:
        return load_plan(path)
    except ArtifactError as error:
        raise UsageError(f"--plan: {error}") from None


@dataclass
class Session:
    """One command, from its first second to its scorecard. Wrong options and files are refused when it is made."""

    root: Path
    options: TrainOptions
    report: Reporter
    machine: Machine = field(default_factory=describe)
    began: float = field(default_factory=time.monotonic)
    seconds_before: float = 0.0  # that the run had taken when this command began to go on with it

    def __post_init__(self) -> None:
        self.settings: Settings = load_settings(self.options.config, SECTIONS) if self.options.config else {}
        self.config = override(RunConfig(), self.section("run"), "run")
        self.tokenizer_config = override(TokenizerConfig(), self.section("tokenizer"), "tokenizer")
        self.engine_choice = override(EngineChoice(), self.section("engine"), "engine")
        self.recipe = override(Recipe(), self.section("training"), "training")  # a plan's own may begin elsewhere
        self.optimizer = override(OptimizerConfig(), self.section("optimizer"), "optimizer")
        override(rung(0, SMALLEST_VOCABULARY), self.section("model"), "model")  # refused now, not after the scan
        self.corpus_config = override(CorpusConfig(), self.section("corpus"), "corpus")
        self.asked_plan: Plan | None = asked_plan(self.options.plan) if self.options.plan else None
        self.cores = self.machine.cores  # which may be others while it runs

    @property
    def num_workers(self) -> int:
        """One for each core, if the user asked for no other number."""
        return self.options.workers or min(self.cores, MAX_WORKERS)

    @property
    def levels(self) -> int:
        """Of spheres, in a plan that is made for so many workers."""
        return 1 if self.num_workers <= MAX_WORKERS and self.listen is None else 2

    @property
    def listen(self) -> tuple[str, int] | None:
        """Where other machines come to take part."""
        return None if self.options.listen is None else endpoint("--listen", self.options.listen)

    @property
    def num_resting(self) -> int:
        """How many workers leave their core to the memory while it reads: none, where a core is spare."""
        if self.levels > 1:
            return 0
        return max(0, min(self.num_workers - 1, self.num_workers - self.cores + 1))

    @property
    def reading_share(self) -> float:
        """The share of all workers' time that is gone while the memory reads."""
        if self.num_workers == self.cores == 1:
            return 0.5
        if self.levels > 1:
            return 1 / self.cores
        return 1 - rounds(self.num_workers) / rounds(self.num_workers - self.num_resting)

    def section(self, name: str) -> dict[str, Any]:
        """What the configuration file says in one section."""
        return self.settings.get(name, {})

    @property
    def seconds(self) -> float:
        """Since the command began."""
        return time.monotonic() - self.began

    @property
    def total_seconds(self) -> float:
        """Of the run, those of the commands that were interrupted included."""
        return self.seconds_before + self.seconds

    @property
    def seconds_left(self) -> float:
        """Of the whole budget."""
        return self.options.minutes * 60 - self.seconds
