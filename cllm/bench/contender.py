"""Who takes part: something that learns by its own clock, a slice at a time, and is scored between the slices."""

import tempfile
import time
from abc import ABC, abstractmethod
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from cllm.bench.material import Material
from cllm.bench.plans import PlanOf
from cllm.machine import MemorySampler
from cllm.spheres import Nursery, Sphere
from cllm.stages.workers import ALLOCATOR
from cllm.training.budget import Budget
from cllm.training.launch import Workers, worker_environment
from cllm.training.loop import StepReport, train
from cllm.training.plan import save_plan

LONGEST_CALL_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Point:
    """A contender after so many seconds of learning."""

    seconds: float
    tokens: int
    bits_per_byte: float


class Contender(ABC):
    """A context manager, as its processes are: they start when it is entered.

    Its clock runs while it learns, and not while it is made ready, scored, or waits for the others.
    """

    module: str  # what a process of its runs
    sphere: Sphere

    def __init__(self, name: str, material: Material) -> None:
        self.name, self.material = name, material
        self.seconds, self.tokens, self.ready_seconds = 0.0, 0, 0.0
        self.peak_memory_bytes = 0  # of its processes, while it learns
        self.curve: list[Point] = []

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._nursery = stack.enter_context(Nursery([self.module], self.environment()))
            processes = self.start(self._nursery)
            stack.enter_context(processes)
            self.sphere = processes if isinstance(processes, Sphere) else processes.sphere
            self.make_ready()
            self._processes = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._processes.__exit__(*error)

    @abstractmethod
    def environment(self) -> dict[str, str]:
        """Of the processes."""

    @abstractmethod
    def start(self, nursery: Nursery) -> Sphere | Workers:
        """The processes."""

    @property
    def pids(self) -> list[int]:
        """All of its processes."""
        return [self._nursery.process.pid, *self.sphere.pids]

    @abstractmethod
    def make_ready(self) -> None:
        """Whatever comes before the first step."""

    def learn(self, until: float) -> None:
        """Learn until its clock shows so many seconds, or its time is over; `seconds` and `tokens` say how far."""
        with MemorySampler(self._nursery.process.pid) as sampler:  # and its descendants, which are all that learn
            self.advance(until)
        self.peak_memory_bytes = max(self.peak_memory_bytes, sampler.peak_bytes)

    @abstractmethod
    def advance(self, until: float) -> None:
        """Learn, without looking at the memory."""

    def look(self) -> Point:
        """Score the sample, which takes no time of the clock, and note it."""
        documents = range(len(self.material.scored_bytes))
        bits = self.sphere.deal("score", [{"document": number} for number in documents])
        size = sum(self.material.scored_bytes)
        self.curve.append(Point(seconds=self.seconds, tokens=self.tokens, bits_per_byte=sum(bits) / size))
        return self.curve[-1]

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds if self.seconds else 0.0


class Alone(Contender):
    """One process with all cores: `module` runs a `cllm.bench.process.Process`."""

    def __init__(
        self, name: str, module: str, material: Material, seconds: float, cores: int, seed: int, **settings: Any
    ) -> None:
        super().__init__(name, material)
        self.module, self._cores = module, cores
        self._begin: dict[str, Any] = {
            "folder": str(material.folder),
            "seconds": seconds,
            "threads": cores,
            "seed": seed,
            "settings": settings,
        }

    def environment(self) -> dict[str, str]:
        environment = {**worker_environment(), "OMP_NUM_THREADS": str(self._cores), "MKL_NUM_THREADS": str(self._cores)}
        environment |= {"TORCHINDUCTOR_COMPILE_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        environment["TORCHINDUCTOR_CACHE_DIR"] = str(self.material.folder / "inductor")
        return environment

    def start(self, nursery: Nursery) -> Sphere:
        return Sphere(nursery, self.module, 1)

    def make_ready(self) -> None:
        self.ready_seconds = self.sphere.call_one("begin", **self._begin)

    def peak(self, dtype: str) -> float:
        """GFLOP/s of a large product with all cores, now."""
        return float(self.sphere.call_one("peak", dtype=dtype, threads=self._cores))

    def advance(self, until: float) -> None:
        before = None
        while self.seconds < until and self.seconds != before:  # in calls that are answered soon
            before = self.seconds
            done = self.sphere.call_one("learn", until=min(until, before + LONGEST_CALL_SECONDS))
            self.seconds, self.tokens = done["seconds"], int(done["tokens"])


class Ours(Contender):
    """Workers that share a plan's steps, as `cllm train` does; `plan_of` makes the plan once they are there.

    With `plans_in_time` the plan's making, where the machine is measured, is on the clock.
    """

    module = "cllm.bench.worker"

    def __init__(
        self,
        name: str,
        material: Material,
        num_workers: int,
        plan_of: PlanOf,
        plans_in_time: bool = False,
    ) -> None:
        super().__init__(name, material)
        self._num_workers, self._plan_of, self._plans_in_time = num_workers, plan_of, plans_in_time
        self._began: float | None = None  # of the slice that is running
        self._last: StepReport | None = None

    def environment(self) -> dict[str, str]:
        return {**worker_environment(), **ALLOCATOR}

    def start(self, nursery: Nursery) -> Workers:
        self._workers = Workers(self._num_workers, nursery, self.module)
        return self._workers

    def make_ready(self) -> None:
        self.sphere.call_all("ready")
        began = time.perf_counter()
        plan = self._plan_of(self.sphere)
        path = Path(tempfile.mkdtemp(dir=self.material.folder)) / "plan.json"
        save_plan(plan, path)
        self._workers.join(self.material.folder, plan, path, [])
        self.ready_seconds = time.perf_counter() - began
        if self._plans_in_time:
            self.seconds = self.ready_seconds
        self.plan = plan
        self._budget = Budget(0.0, clock=self._clock)
        self._steps = train(self.sphere, plan, path, 0, self._budget.amend, lambda: len(self.sphere.workers))

    @property
    def is_done(self) -> bool:
        """Whether the plan's last step was taken."""
        return self._last is not None and self._last.step == self._last.steps

    def advance(self, until: float) -> None:
        if self.seconds >= until:
            return
        self._began = time.perf_counter()
        if self._last is None:
            self.sphere.call_one("initialise")
        for step in self._steps:
            if self._last is not None:
                self._budget.record(step.advance, step.seconds)
            self._last = step
            self.tokens += step.tokens
            if self._clock() >= until:
                break
        self.seconds, self._began = self._clock(), None

    def _clock(self) -> float:
        running = 0.0 if self._began is None else time.perf_counter() - self._began
        return self.seconds + running
