"""The control node's handle of a worker process: sends calls, receives answers, detects that it ended or hangs."""

import json
import select
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cllm.machine import cpu_seconds, descendants
from cllm.spheres.fork_server import ChildProcess, WorkerLost, describe_exit

ANSWER_DEADLINE_SECONDS = 600.0  # the longest call compiles kernels first: a minute of one core
IDLE_CHECK_SECONDS = 1.0  # between two checks of a worker with a pending call
MAX_IDLE_CHECKS = 10  # consecutive checks without CPU time during a pending call after which a worker counts as hung


class WorkerFailure(WorkerLost):
    """A worker ended, hung, or returned an invalid answer; the call can be retried on another worker."""


class InvalidResult(WorkerFailure):
    """A worker's result is invalid. It is rejected once per call: the result of the retry is accepted."""


@dataclass(frozen=True)
class Call:
    """A request to a worker: a function's name, and its arguments for each task."""

    name: str
    tasks: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Answer:
    """The results of a call, one per task, and the seconds from the call to them."""

    worker: "RemoteWorker"
    call: Call
    results: list[Any]
    seconds: float


class RemoteWorker:
    """A child process that answers calls; `rank` is its number in the sphere.

    `send` and `receive` raise WorkerFailure if the process has ended; `receive` also if the answer is malformed, and
    WorkerLost if the call failed with an error, and AssertionError with the worker's traceback if it has a bug.
    """

    def __init__(self, rank: int, process: ChildProcess, max_idle_checks: int = MAX_IDLE_CHECKS) -> None:
        self.rank, self.process, self._max_idle_checks = rank, process, max_idle_checks
        self.pending: Call | None = None  # sent and not answered yet
        self.retried = False  # whether an invalid result of the pending call was rejected before
        self.num_done: Counter[str] = Counter()  # tasks with an accepted result, by the name of the call
        self.seconds: defaultdict[str, float] = defaultdict(float)  # of these, from call to answer
        self.num_replacements = 0
        self._sent_at = 0.0
        self._call_number = 0
        self._received = bytearray()
        self._last_cpu_seconds, self._idle_checks = 0.0, 0

    def send(self, call: Call) -> None:
        self.pending, self._idle_checks, self._sent_at = call, 0, time.monotonic()
        self._call_number += 1
        message = {"call": call.name, "number": self._call_number, "tasks": call.tasks}
        try:
            self.process.calls.write(json.dumps(message).encode() + b"\n")
            self.process.calls.flush()
        except BrokenPipeError:
            raise self.exit_failure() from None

    def receive(self) -> Answer | None:
        """Read from `process.answers`, which must be readable; the answer, or None if it is not complete yet."""
        data = self.process.answers.read(1 << 16)
        if not data:
            raise self.exit_failure()
        self._received += data
        if not self._received.endswith(b"\n"):
            return None
        line = bytes(self._received)
        self._received.clear()
        call = self.pending
        try:
            reply = json.loads(line)
            number = reply["number"]
        except (ValueError, KeyError, TypeError):
            raise self.failure(f"sent a malformed answer: {line[:40]!r}") from None
        if call is None or number != self._call_number:
            raise self.failure(f"answered call {number}, expected call {self._call_number}")
        if "error" in reply:
            raise WorkerLost(reply["error"])
        if "bug" in reply:  # not a WorkerFailure: another process would fail, too
            raise AssertionError(f"worker {self.rank} failed:\n{reply['bug']}")
        results = reply.get("results")
        if not isinstance(results, list) or len(results) != len(call.tasks):
            raise self.failure(f"answered {len(call.tasks)} tasks of {call.name} with {str(results)[:40]}")
        self.pending = None
        return Answer(self, call, results, time.monotonic() - self._sent_at)

    def accept(self, answer: Answer) -> None:
        """Count an answer whose results are used."""
        self.num_done[answer.call.name] += len(answer.results)
        self.seconds[answer.call.name] += answer.seconds

    def await_answer(self) -> None:
        """Wait for the answer to the pending call.

        Raises WorkerFailure if the worker hangs or ends, and WorkerLost after `ANSWER_DEADLINE_SECONDS`.
        """
        deadline = time.monotonic() + ANSWER_DEADLINE_SECONDS
        while True:
            if select.select([self.process.answers], [], [], IDLE_CHECK_SECONDS)[0]:
                if (answer := self.receive()) is not None:
                    return self.accept(answer)
            elif time.monotonic() > deadline:
                raise deadline_error()
            elif self.count_idle_check():
                raise self.hung_failure()

    def count_idle_check(self) -> bool:
        """Count a check of the worker's CPU time; whether it hangs: no CPU time in `max_idle_checks` checks in a row.

        To be called once per `IDLE_CHECK_SECONDS`. Without a pending call nothing is counted. A worker with child
        processes (a control node) gets twice as many checks: it may be replacing a worker of its own.
        """
        if self.pending is None or not self.process.is_started:
            return False
        child_pids = descendants(self.process.pid)
        now_cpu_seconds = cpu_seconds([self.process.pid, *child_pids])
        self._idle_checks = self._idle_checks + 1 if now_cpu_seconds == self._last_cpu_seconds else 0
        self._last_cpu_seconds = now_cpu_seconds
        return self._idle_checks >= self._max_idle_checks * (2 if child_pids else 1)

    def hung_failure(self) -> WorkerFailure:
        return self.failure(f"used no CPU time for {self._idle_checks * IDLE_CHECK_SECONDS:.0f} s")

    def exit_failure(self) -> WorkerFailure:
        code = self.process.wait()
        assert code is not None
        return self.failure(describe_exit(code))

    def failure(self, reason: str, kind: type[WorkerFailure] = WorkerFailure) -> WorkerFailure:
        return kind(
            f"worker {self.rank} (process {self.process.pid}) {reason}; run the same command again to resume from "
            "the last checkpoint"
        )

    def reset(self) -> None:
        """Discard the state of the previous process after `process` was replaced."""
        self.num_replacements += 1
        self.pending, self._last_cpu_seconds, self._idle_checks = None, 0.0, 0
        self._received.clear()

    def terminate(self) -> None:
        """Kill the process and close its pipes."""
        self.process.kill()
        self.process.wait()
        self.process.close()


def deadline_error() -> WorkerLost:
    """The error for workers that answered nothing until the deadline."""
    return WorkerLost(f"no worker answered for {ANSWER_DEADLINE_SECONDS:.0f} s; run the same command again")
