"""Trainers of benchmarks: each has its own clock, trains in time slices, and is scored between slices."""

import tempfile
import time
from abc import ABC, abstractmethod
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from cllm.bench.shared.dataset import BenchmarkDataset
from cllm.bench.shared.plans import PlanFactory
from cllm.machine import MemorySampler
from cllm.spheres import ForkServer, Sphere
from cllm.stages.workers import MALLOC_ENVIRONMENT
from cllm.training.budget import Budget
from cllm.training.launch import Workers, worker_environment
from cllm.training.loop import StepReport, train
from cllm.training.plan import save_plan

LONGEST_CALL_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """A trainer's result after some seconds of training."""

    seconds: float
    tokens: int
    bits_per_byte: float


class TimedTrainer(ABC):
    """A trainer with a clock; a context manager whose processes start when it is entered.

    The clock runs during training, but not during setup, scoring or other trainers' slices.
    """

    module: str  # the module that its processes run
    sphere: Sphere

    def __init__(self, name: str, dataset: BenchmarkDataset) -> None:
        self.name, self.dataset = name, dataset
        self.seconds, self.tokens, self.setup_seconds = 0.0, 0, 0.0
        self.peak_memory_bytes = 0  # of its processes, during training
        self.curve: list[CurvePoint] = []

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._fork_server = stack.enter_context(ForkServer([self.module], self.environment()))
            processes = self.start(self._fork_server)
            stack.enter_context(processes)
            self.sphere = processes if isinstance(processes, Sphere) else processes.sphere
            self.set_up()
            self._processes = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._processes.__exit__(*error)

    @abstractmethod
    def environment(self) -> dict[str, str]:
        """Return the environment variables of the processes."""

    @abstractmethod
    def start(self, fork_server: ForkServer) -> Sphere | Workers:
        """Start the processes."""

    @property
    def pids(self) -> list[int]:
        """Process ids of all processes, including the fork server."""
        return [self._fork_server.process.pid, *self.sphere.pids]

    @abstractmethod
    def set_up(self) -> None:
        """Prepare the first step."""

    def train_until(self, until: float) -> None:
        """Train until the clock shows `until` seconds or training is finished; updates `seconds` and `tokens`."""
        with MemorySampler(self._fork_server.process.pid) as sampler:  # with its descendants: all training processes
            self._train_until(until)
        self.peak_memory_bytes = max(self.peak_memory_bytes, sampler.peak_bytes)

    @abstractmethod
    def _train_until(self, until: float) -> None:
        """Train as `train_until`, without sampling memory."""

    def evaluate(self) -> CurvePoint:
        """Score the held-out sample with the clock stopped, and append the point to the curve."""
        documents = range(len(self.dataset.scored_bytes))
        bits = self.sphere.map_tasks("score", [{"document": number} for number in documents])
        size = sum(self.dataset.scored_bytes)
        self.curve.append(CurvePoint(seconds=self.seconds, tokens=self.tokens, bits_per_byte=sum(bits) / size))
        return self.curve[-1]

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds if self.seconds else 0.0


class SingleProcessTrainer(TimedTrainer):
    """A trainer with one process on all cores: `module` serves a `TrainerProcess`."""

    def __init__(
        self, name: str, module: str, dataset: BenchmarkDataset, seconds: float, cores: int, seed: int, **settings: Any
    ) -> None:
        super().__init__(name, dataset)
        self.module, self._cores = module, cores
        self._begin_arguments: dict[str, Any] = {
            "folder": str(dataset.folder),
            "seconds": seconds,
            "threads": cores,
            "seed": seed,
            "settings": settings,
        }

    def environment(self) -> dict[str, str]:
        environment = {**worker_environment(), "OMP_NUM_THREADS": str(self._cores), "MKL_NUM_THREADS": str(self._cores)}
        environment |= {"TORCHINDUCTOR_COMPILE_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        environment["TORCHINDUCTOR_CACHE_DIR"] = str(self.dataset.folder / "inductor")
        return environment

    def start(self, fork_server: ForkServer) -> Sphere:
        return Sphere(fork_server, self.module, 1)

    def set_up(self) -> None:
        self.setup_seconds = self.sphere.call_one("begin", **self._begin_arguments)

    def measure_peak_gflops(self, dtype: str) -> float:
        """Measure the GFLOP/s of a large matrix product on all cores."""
        return float(self.sphere.call_one("measure_peak_gflops", dtype=dtype, threads=self._cores))

    def _train_until(self, until: float) -> None:
        before = None
        while self.seconds < until and self.seconds != before:  # in calls of at most 60 s
            before = self.seconds
            done = self.sphere.call_one("train_until", until=min(until, before + LONGEST_CALL_SECONDS))
            self.seconds, self.tokens = done["seconds"], int(done["tokens"])


class CllmTrainer(TimedTrainer):
    """A trainer with workers that share a plan's steps, as `cllm train`; `make_plan` is called after they have started.

    With `counts_planning_time`, planning, which includes measuring the machine, runs on the clock.
    """

    module = "cllm.bench.shared.worker"

    def __init__(
        self,
        name: str,
        dataset: BenchmarkDataset,
        num_workers: int,
        make_plan: PlanFactory,
        counts_planning_time: bool = False,
    ) -> None:
        super().__init__(name, dataset)
        self._num_workers, self._make_plan, self._counts_planning_time = num_workers, make_plan, counts_planning_time
        self._began: float | None = None  # start of the current slice
        self._last_report: StepReport | None = None

    def environment(self) -> dict[str, str]:
        return {**worker_environment(), **MALLOC_ENVIRONMENT}

    def start(self, fork_server: ForkServer) -> Workers:
        self._workers = Workers(self._num_workers, fork_server, self.module)
        return self._workers

    def set_up(self) -> None:
        self.sphere.call_all("ping")
        began = time.perf_counter()
        plan = self._make_plan(self.sphere)
        path = Path(tempfile.mkdtemp(dir=self.dataset.folder)) / "plan.json"
        save_plan(plan, path)
        self._workers.load_run(self.dataset.folder, plan, path, [])
        self.setup_seconds = time.perf_counter() - began
        if self._counts_planning_time:
            self.seconds = self.setup_seconds
        self.plan = plan
        self._budget = Budget(0.0, clock=self._clock)
        self._steps = train(self.sphere, plan, path, 0, self._budget.amend, lambda: len(self.sphere.workers))

    @property
    def is_done(self) -> bool:
        """Whether the plan's last step is done."""
        return self._last_report is not None and self._last_report.step == self._last_report.plan.steps

    def _train_until(self, until: float) -> None:
        if self.seconds >= until:
            return
        self._began = time.perf_counter()
        if self._last_report is None:
            self.sphere.call_one("initialise")
        for step in self._steps:
            if self._last_report is not None:
                self._budget.record(step.progress_delta, step.seconds)
            self._last_report = step
            self.tokens += step.tokens
            if self._clock() >= until:
                break
        self.seconds, self._began = self._clock(), None

    def _clock(self) -> float:
        running = 0.0 if self._began is None else time.perf_counter() - self._began
        return self.seconds + running
