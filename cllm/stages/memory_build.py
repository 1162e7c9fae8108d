"""The memory build of a run: a process trains the memory during the training, and with the network afterwards."""

import time
from pathlib import Path
from typing import Any, Self

from cllm.artifacts import sha256_of
from cllm.corpus import Corpus
from cllm.machine import WorkTimer
from cllm.spheres import ForkServer, Sphere, WorkerLost
from cllm.stages.job import Job
from cllm.stages.memory_plan import (
    ALONE_BYTES_PER_SECOND,
    WITH_NETWORK_BYTES_PER_SECOND,
    MemoryPlan,
    build_seconds,
    describe_memory_plan,
)
from cllm.stages.reserve import Reserve, reserve_for
from cllm.stages.trained_model import TrainedModel
from cllm.workspace.run import Run

WORKER = "cllm.memory.worker"
CALIBRATION_BYTES = 100_000  # built before the training, 1 to 2 s, to measure the machine's speed
MIN_SPEED, MAX_SPEED = 0.5, 3.0  # the measured speed is clamped to this range


class MemoryBuild:
    """The process that builds the memory; a context manager. `begin` starts the build, `finish` waits for it.

    The build takes one core. If the workers use all cores, one worker is idle meanwhile, so that the others do not wait
    at the end of every step for a worker that shares its core (2% more tokens in 5 minutes, docs/LOG.md).
    """

    def __init__(self, job: Job, run: Run, corpus: Corpus, fork_server: ForkServer) -> None:
        self._job, self._run, self._corpus, self._fork_server = job, run, corpus, fork_server
        self._sphere: Sphere | None = None
        self._plan: MemoryPlan | None = None  # of the build in progress
        self._speed, self._builds_until = 1.0, 0.0  # the planned end, by time.monotonic()
        self._calibration: dict[str, float] = {}  # result of the first part
        self._alone: dict[str, float] = {}  # result of all documents built alone
        self._failure: WorkerLost | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        if self._sphere is not None:
            self._sphere.__exit__(*error)

    def calibrate(self, plan: MemoryPlan) -> float:
        """Build the first part of a plan; returns this machine's speed, relative to the constants of `memory_plan`."""
        self._start(plan, first_bytes=CALIBRATION_BYTES)
        assert self._sphere is not None
        self._calibration = self._sphere.wait_result()
        if self._calibration["bytes"] >= CALIBRATION_BYTES:
            found = self._calibration["bytes"] / self._calibration["seconds"] / ALONE_BYTES_PER_SECOND
            self._speed = min(max(MIN_SPEED, found), MAX_SPEED)
        return self._speed

    def begin(self, plan: MemoryPlan) -> None:
        """Build the rest of a plan, or all of it, in the background, until the training has to end."""
        self._job.report.log(describe_memory_plan(plan, self._corpus))
        seconds = self._job.seconds_before(self._reserve(plan).total)
        if self._sphere is not None and plan == self._plan:
            self._sphere.start_call("build_rest", seconds=seconds)
        else:
            self._start(plan, seconds=seconds)  # restart, as the plan differs now that the machine's speed is known
        self._builds_until = time.monotonic() + build_seconds(plan, self._corpus) / self._speed

    def _reserve(self, plan: MemoryPlan) -> Reserve:
        return reserve_for(self._job, self._corpus, plan, self._speed)

    def _start(self, plan: MemoryPlan, first_bytes: int | None = None, seconds: float | None = None) -> None:
        """Start the process, and build a plan, within the limits of `MemoryWorker.build`."""
        self._plan, self._calibration = plan, {}
        self._sphere = self._sphere or Sphere(self._fork_server, WORKER, 1)
        self._sphere.start_call(
            "build",
            corpus=str(self._run.corpus_path),
            dataset=str(self._run.dataset_path),
            tokenizer=str(self._run.tokenizer_path),
            documents=plan.alone,
            with_network=plan.with_network,
            first_bytes=first_bytes,
            seconds=seconds,
        )

    def num_idle(self) -> int:
        """The number of workers that are to be idle now."""
        return self._job.num_idle if self._is_building() else 0

    def lost_seconds(self, seconds: float) -> float:
        """Seconds of all workers' time in the next `seconds` that the rest of the build will take."""
        remaining_seconds = min(seconds, self._builds_until - time.monotonic()) if self._is_building() else 0.0
        return max(0.0, remaining_seconds) * self._job.memory_build_share

    def _is_building(self) -> bool:
        if self._sphere is None or self._alone or self._failure:
            return False
        if self._sphere.has_result():
            self._collect()
        return not (self._alone or self._failure)

    def _collect(self) -> None:
        """Wait for the result of the build, and store it or its failure."""
        assert self._sphere is not None
        try:
            rest = self._sphere.wait_result()
            self._alone = {key: rest[key] + self._calibration.get(key, 0.0) for key in rest}
        except WorkerLost as error:  # `finish` raises it, after the network is trained
            self._failure = error

    def finish(self, plan: MemoryPlan, model: TrainedModel) -> None:
        """Train the memory with the trained network, and save it; then write the update with the held-out files.

        Raises WorkerLost if the build failed.
        """
        if self._sphere is None:
            self.begin(plan)
        assert self._sphere is not None
        run = self._run
        self._job.start_phase("memory")
        began = time.monotonic()
        if self._is_building():
            self._collect()
        if self._failure:
            raise self._failure
        waited = time.monotonic() - began
        threads = max(1, self._job.num_workers - 1)
        self._sphere.call_one("load_network", model=str(run.model_path), dtype=model.dtype, threads=threads)
        reserve = self._reserve(plan)
        with_network = self._build_with_network(plan, reserve.save + reserve.update + reserve.scorecard)
        metadata = {
            "weights_sha256": model.weights_sha256,
            "tokenizer_sha256": sha256_of(run.tokenizer_path),
            "alone": self._alone,
            "with_network": {key: sum(each[key] for each in with_network) for key in ("bits", "bytes")},
            "seconds": {"wait": waited, "with_network": time.monotonic() - began - waited},
        }
        self._job.start_phase("save memory")
        self._sphere.call_one("save", directory=str(run.memory_path), metadata=metadata)
        self._job.start_phase("update memory")
        seconds = self._job.seconds_before(reserve.scorecard)
        updated = self._sphere.call_one("update", **update_memory_arguments(run, run.corpus_path), seconds=seconds)
        self._report_left_out(len(plan.with_network) - len(with_network), updated["not_trained_on"])

    def _build_with_network(self, plan: MemoryPlan, reserved_seconds: float) -> list[dict[str, float]]:
        """Train on documents with the network, except those that the time before the rest does not suffice for.

        Returns `bits` and `bytes` of each.
        """
        assert self._sphere is not None
        rate = WITH_NETWORK_BYTES_PER_SECOND * self._job.num_workers * self._speed
        timer, found = WorkTimer(self._job.seconds_before(reserved_seconds), rate), []
        documents = self._corpus.train
        for number, document in enumerate(plan.with_network):
            self._job.report.update(number / len(plan.with_network))
            size = documents[document].bytes
            if timer.has_time_for(size):
                found.append(self._sphere.call_one("build_with_network", document=document))
                timer.add(size)
        return found

    def _report_left_out(self, num_with_network: int, num_held_out: int) -> None:
        """Log what there was no time for."""
        num_alone = int(self._alone.get("left_out", 0))
        if num_alone + num_with_network:
            self._job.report.log(
                f"no time for {num_alone + num_with_network} files that the memory was to be trained on: they can be "
                "copied from, but do not shape its predictions"
            )
        if num_held_out:
            self._job.report.log(f"no time to train on {num_held_out} held-out files: `cllm update` does it")


def update_memory(run: Run, corpus: Path, fork_server: ForkServer) -> dict[str, Any]:
    """Update the memory used for completions to a corpus; returns the paths that are `new` to it or `stale`."""
    with Sphere(fork_server, WORKER, 1) as sphere:
        found: dict[str, Any] = sphere.call_one("update", **update_memory_arguments(run, corpus))
    return found


def update_memory_arguments(run: Run, corpus: Path) -> dict[str, str]:
    paths = {"memory": run.memory_path, "tokenizer": run.tokenizer_path, "corpus": corpus, "directory": run.update_path}
    return {name: str(path) for name, path in paths.items()}
