"""A sphere: one control node and the workers that touch it, at most twelve (the kissing number in three dimensions).

The control node computes nothing. It asks for workers, deals tasks to whichever is free, and collects answers; a task's
result does not depend on who did it. Here one sphere on one machine: its workers are forks of one process.
"""

import contextlib
import json
import selectors
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from cllm.spheres.nursery import Child, Nursery, WorkerLost, ending

MAX_WORKERS = 12
ANSWER_DEADLINE_SECONDS = 600.0  # the longest call compiles kernels first: a minute of one core
PATIENCE_SECONDS = 2.0  # for a worker to end by itself


class Worker:
    """A child process that answers calls; `rank` is its number in the sphere."""

    def __init__(self, rank: int, process: Child) -> None:
        self.rank, self.process = rank, process
        self._received = bytearray()

    def send(self, call: str, arguments: Mapping[str, Any]) -> None:
        try:
            self.process.calls.write(json.dumps({"call": call, "arguments": arguments}).encode() + b"\n")
            self.process.calls.flush()
        except BrokenPipeError:
            raise self.lost() from None

    def receive(self) -> tuple[bool, Any]:
        """(True, result) once a whole answer has come; call when `process.answers` are readable."""
        data = self.process.answers.read(1 << 16)
        if not data:
            raise self.lost()
        self._received += data
        if not self._received.endswith(b"\n"):
            return False, None
        reply = json.loads(self._received)
        self._received.clear()
        if "error" in reply:
            raise WorkerLost(reply["error"])
        assert "bug" not in reply, f"worker {self.rank} failed:\n{reply.get('bug')}"
        return True, reply["result"]

    def lost(self) -> WorkerLost:
        code = self.process.wait()
        assert code is not None
        return WorkerLost(
            f"worker {self.rank} (process {self.process.pid}) {ending(code)}; run the same command again to go on from "
            "the last checkpoint"
        )


class Sphere:
    """Workers that run the same `module`; a context manager that leaves none of them behind."""

    def __init__(self, nursery: Nursery, module: str, num_workers: int, more: Sequence[int] = ()) -> None:
        """They have the descriptors `more` (`Nursery.bear`)."""
        assert 1 <= num_workers <= MAX_WORKERS
        self.workers = [Worker(rank, nursery.bear(module, more)) for rank in range(num_workers)]
        self._selector = selectors.DefaultSelector()
        for worker in self.workers:
            self._selector.register(worker.process.answers, selectors.EVENT_READ, worker)

    def __enter__(self) -> "Sphere":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close(patience=0.0 if kind else PATIENCE_SECONDS)

    @property
    def pids(self) -> list[int]:
        return [worker.process.pid for worker in self.workers]

    def deal(self, call: str, tasks: Iterable[Mapping[str, Any]], num_workers: int | None = None) -> list[Any]:
        """Results of `call` with each task's arguments, in the order of the tasks; a free worker takes the next.

        Tasks are drawn one at a time as workers become free, so an iterator may end when time is up. With `num_workers`
        only so many work, and the others rest.
        """
        assert num_workers is None or 1 <= num_workers <= len(self.workers)
        waiting = enumerate(tasks)
        results: dict[int, Any] = {}
        working: dict[int, int] = {}  # rank -> task
        for worker in self.workers[:num_workers]:
            self._give(worker, call, waiting, working)
        while working:
            for worker, result in self._answers():
                results[working.pop(worker.rank)] = result
                self._give(worker, call, waiting, working)
        return [results[number] for number in range(len(results))]

    def call_all(self, call: str, arguments: Sequence[Mapping[str, Any]] | None = None) -> list[Any]:
        """Results by rank of `call`, made once on every worker, or on as many as there are arguments."""
        given = [{} for _ in self.workers] if arguments is None else arguments
        assert 1 <= len(given) <= len(self.workers)
        for worker, own in zip(self.workers, given, strict=False):
            worker.send(call, own)
        results: dict[int, Any] = {}
        while len(results) < len(given):
            results.update((worker.rank, result) for worker, result in self._answers())
        return [results[rank] for rank in range(len(given))]

    def call_one(self, call: str, **arguments: Any) -> Any:
        """Result of `call` made on the first worker."""
        self.begin(call, **arguments)
        return self.end()

    def begin(self, call: str, **arguments: Any) -> None:
        """Make `call` on the first worker without waiting for its result, which is `end`'s; no other call meanwhile."""
        self.workers[0].send(call, arguments)

    def has_answered(self) -> bool:
        """Whether `end` need not wait for the call that was begun."""
        return bool(self._selector.select(0))

    def end(self) -> Any:
        """Result of the call that was begun."""
        answers: list[tuple[Worker, Any]] = []
        while not answers:
            answers = self._answers()
        return answers[0][1]

    def close(self, patience: float) -> None:
        """End the workers: their input closes, and whoever has not ended after `patience` seconds is killed."""
        self._selector.close()
        for worker in self.workers:
            with contextlib.suppress(BrokenPipeError):
                worker.process.calls.close()
        for worker in self.workers:
            if not patience and not worker.process.is_born:
                pass  # it will find its input closed: in a hurry, PyTorch's import is not waited for
            elif worker.process.wait(patience) is None:
                worker.process.kill()
                worker.process.wait()
            worker.process.close()

    def _give(
        self, worker: Worker, call: str, waiting: Iterator[tuple[int, Mapping[str, Any]]], working: dict[int, int]
    ) -> None:
        if (following := next(waiting, None)) is not None:
            number, task = following
            working[worker.rank] = number
            worker.send(call, task)

    def _answers(self) -> list[tuple[Worker, Any]]:
        """The answers that have come, after waiting for at least a part of one."""
        ready = self._selector.select(ANSWER_DEADLINE_SECONDS)
        if not ready:
            raise WorkerLost(f"no worker answered for {ANSWER_DEADLINE_SECONDS:.0f} s; run the same command again")
        answers = []
        for key, _ in ready:
            complete, result = key.data.receive()
            if complete:
                answers.append((key.data, result))
        return answers
