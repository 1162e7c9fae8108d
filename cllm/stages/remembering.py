"""The memory of a run: its process reads while the network learns, and hears the network when that is done."""

import time
from pathlib import Path
from typing import Any, Self

from cllm.artifacts import sha256_of, verify_directory
from cllm.corpus import Corpus
from cllm.errors import ArtifactError
from cllm.run import Run
from cllm.spheres import Nursery, Sphere, WorkerLost
from cllm.stages.memory_plan import READ_BYTES_PER_SECOND, MemoryPlan, described, load_memory_plan, reading_seconds
from cllm.stages.session import Session
from cllm.training.plan import load_plan

WORKER = "cllm.memory.worker"
FIRST_BYTES = 100_000  # are read alone on the machine: 1 to 2 s, which tell how fast it is
SLOWEST, FASTEST = 0.5, 3.0  # that it is taken for


def has_memory(run: Run) -> bool:
    """Whether the run's memory is there, verifies, and is that of its model."""
    try:
        return bool(verify_directory(run.memory).get("weights_sha256") == verify_directory(run.model)["weights_sha256"])
    except ArtifactError:
        return False


class Remembering:
    """The process that remembers; a context manager. `begin` starts it, `finish` waits for it.

    While it reads, it takes a core. Where the workers have all of them, one rests, instead of all waiting at the end of
    every step for one that shares its core (2% more tokens in five minutes, docs/LOG.md).
    """

    def __init__(self, session: Session, run: Run, nursery: Nursery) -> None:
        self._session, self._run, self._nursery = session, run, nursery
        self._sphere: Sphere | None = None
        self._plan: MemoryPlan | None = None  # that it reads by
        self._speed, self._reads_until = 1.0, 0.0  # as planned
        self._first: dict[str, float] = {}  # what came of the first part
        self._read: dict[str, float] = {}  # and of all
        self._lost: WorkerLost | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        if self._sphere is not None:
            self._sphere.__exit__(*error)

    def calibrate(self) -> float:
        """Read the first part; how fast this machine reads, by how fast the constants of `memory_plan` take it for."""
        self._start(FIRST_BYTES)
        assert self._sphere is not None
        self._first = self._sphere.end()
        if self._first["bytes"] >= FIRST_BYTES:
            found = self._first["bytes"] / self._first["seconds"] / READ_BYTES_PER_SECOND
            self._speed = min(max(SLOWEST, found), FASTEST)
        return self._speed

    def begin(self) -> None:
        """Read all, or what is left of it, in the background, while the network learns for as long as its plan says."""
        corpus = Corpus.open(self._run.corpus)
        plan = load_memory_plan(self._run, corpus)
        self._session.report.say(described(plan, corpus))
        if self._sphere is not None and plan == self._plan:
            self._sphere.begin("read_rest")
        else:
            self._start(None)  # anew, where the plan is another one now that this machine's speed is known
        self._reads_until = time.monotonic() + reading_seconds(plan, corpus) / self._speed

    def _start(self, first: int | None) -> None:
        """Have a process that reads so many bytes, or everything."""
        self._plan, self._first = load_memory_plan(self._run, Corpus.open(self._run.corpus)), {}
        self._sphere = self._sphere or Sphere(self._nursery, WORKER, 1)
        self._sphere.begin(
            "begin",
            corpus=str(self._run.corpus),
            tokenizer=str(self._run.tokenizer),
            documents=self._plan.read,
            more=self._plan.heard,
            first=first,
        )

    def num_resting(self) -> int:
        """How many of the workers are to rest now."""
        return self._session.num_resting if self._is_reading() else 0

    def lost_seconds(self, seconds: float) -> float:
        """What of all workers' time in so many seconds the rest of the reading is going to take."""
        reads = min(seconds, self._reads_until - time.monotonic()) if self._is_reading() else 0.0
        return max(0.0, reads) * self._session.reading_share

    def _is_reading(self) -> bool:
        if self._sphere is None or self._read or self._lost:
            return False
        if self._sphere.has_answered():
            self._listen()
        return not (self._read or self._lost)

    def _listen(self) -> None:
        """Take what comes of the reading."""
        assert self._sphere is not None
        try:
            rest = self._sphere.end()
            self._read = {key: rest[key] + self._first.get(key, 0.0) for key in rest}
        except WorkerLost as lost:  # which `finish` says: the network is learned first
            self._lost = lost

    def finish(self) -> None:
        """Read the rest with the network that was learned, and save the memory; then know the held-out files, too."""
        if self._sphere is None:
            self.begin()
        assert self._sphere is not None
        report, run = self._session.report, self._run
        report.phase("memory")
        began = time.monotonic()
        if self._is_reading():
            self._listen()
        if self._lost:
            raise self._lost
        waited = time.monotonic() - began
        dtype = load_plan(run.plan).engine.dtype
        self._sphere.call_one("hear", model=str(run.model), dtype=dtype, threads=max(1, self._session.num_workers - 1))
        plan = load_memory_plan(run, Corpus.open(run.corpus))
        heard = []
        for number, document in enumerate(plan.heard):
            report.update(number / len(plan.heard))
            heard.append(self._sphere.call_one("read_with_network", document=document))
        facts = {
            "weights_sha256": verify_directory(run.model)["weights_sha256"],
            "tokenizer_sha256": sha256_of(run.tokenizer),
            "read": self._read,
            "heard": {key: sum(each[key] for each in heard) for key in ("bits", "bytes")},
            "seconds": {"waited": waited, "heard": time.monotonic() - began - waited},
        }
        self._sphere.call_one("save", directory=str(run.memory), facts=facts)
        self._sphere.call_one("update", **update_arguments(run, run.corpus))


def update(run: Run, corpus: Path, nursery: Nursery) -> dict[str, Any]:
    """Bring what completes up to date with a corpus; which paths are `new` to it, or `gone`."""
    with Sphere(nursery, WORKER, 1) as sphere:
        found: dict[str, Any] = sphere.call_one("update", **update_arguments(run, corpus))
    return found


def update_arguments(run: Run, corpus: Path) -> dict[str, str]:
    paths = {"memory": run.memory, "tokenizer": run.tokenizer, "corpus": corpus, "directory": run.update}
    return {name: str(path) for name, path in paths.items()}
