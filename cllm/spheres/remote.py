"""A worker as its control node sees it: calls go out, answers come in, and it may end or hang in between."""

import json
import select
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cllm.machine import cpu_seconds, descendants
from cllm.spheres.fork_server import ChildProcess, WorkerLost, describe_exit

State = Literal["starting", "working", "waiting"]
IDLE_CHECK_SECONDS = 1.0  # between two looks at a worker that does not answer
MAX_IDLE_CHECKS = (
    10  # at one that owes an answer and was on no processor since the look before, until it counts as hung
)


class WorkerFailure(WorkerLost):
    """A worker ended, hung, or answered what cannot be: another one may do what it could not."""


class InvalidResult(WorkerFailure):
    """It answered what cannot be. A call is refused once: what is answered then is taken."""


@dataclass(frozen=True)
class Call:
    """What is asked of a worker: one function with the arguments of each of some tasks."""

    name: str
    tasks: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Answer:
    """What came of it, task by task."""

    worker: "RemoteWorker"
    call: Call
    results: list[Any]


class RemoteWorker:
    """A child process that answers calls; `rank` is its number in the sphere."""

    def __init__(self, rank: int, process: ChildProcess, max_idle_checks: int = MAX_IDLE_CHECKS) -> None:
        self.rank, self.process, self._max_idle_checks = rank, process, max_idle_checks
        self.pending: Call | None = None  # what it was asked and has not answered yet
        self.retried = False  # whether that was answered before, with what cannot be
        self.num_done: Counter[str] = Counter()  # tasks, by the name of the call
        self.seconds: defaultdict[str, float] = defaultdict(float)  # that they took, by name
        self.num_replacements = 0
        self._sent_at = 0.0
        self._call_number = 0  # of the call
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
        """The answer, once the whole of it has come; to be called when `process.answers` are readable."""
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
            raise self.failure(f"answered what is no answer: {line[:40]!r}") from None
        if call is None or number != self._call_number:
            raise self.failure(f"answered call {number}, where {self._call_number} was asked")
        if "error" in reply:
            raise WorkerLost(reply["error"])
        assert "bug" not in reply, f"worker {self.rank} failed:\n{reply.get('bug')}"
        results = reply.get("results")
        if not isinstance(results, list) or len(results) != len(call.tasks):
            raise self.failure(f"answered {len(call.tasks)} of {call.name} with {str(results)[:40]}")
        self.pending = None
        self.num_done[call.name] += len(call.tasks)
        self.seconds[call.name] += time.monotonic() - self._sent_at
        return Answer(self, call, results)

    def await_answer(self) -> None:
        """Return when it has answered the call that it owes; `WorkerFailure` where it hangs."""
        while True:
            if select.select([self.process.answers], [], [], IDLE_CHECK_SECONDS)[0]:
                if self.receive() is not None:
                    return
            elif self.is_hung():
                raise self.hung_failure()

    @property
    def state(self) -> State:
        """What it does, as far as its control node knows."""
        if not self.process.is_started:
            return "starting"
        return "waiting" if self.pending is None else "working"

    def is_hung(self) -> bool:
        """Whether it owes an answer and has been on no processor at so many looks, of which this is one.

        A control node has as long again: it waits for workers of its own, and may be about to replace one of them.
        """
        if self.pending is None or not self.process.is_started:
            return False
        child_pids = descendants(self.process.pid)
        now_cpu_seconds = cpu_seconds([self.process.pid, *child_pids])
        self._idle_checks = self._idle_checks + 1 if now_cpu_seconds == self._last_cpu_seconds else 0
        self._last_cpu_seconds = now_cpu_seconds
        return self._idle_checks >= self._max_idle_checks * (2 if child_pids else 1)

    def hung_failure(self) -> WorkerFailure:
        return self.failure(f"was on no processor for {self._idle_checks * IDLE_CHECK_SECONDS:.0f} s")

    def exit_failure(self) -> WorkerFailure:
        code = self.process.wait()
        assert code is not None
        return self.failure(describe_exit(code))

    def failure(self, reason: str, kind: type[WorkerFailure] = WorkerFailure) -> WorkerFailure:
        return kind(
            f"worker {self.rank} (process {self.process.pid}) {reason}; run the same command again to go on from "
            "the last checkpoint"
        )

    def reset(self) -> None:
        """What the process before this one was about to answer."""
        self.num_replacements += 1
        self.pending, self._last_cpu_seconds, self._idle_checks = None, 0.0, 0
        self._received.clear()

    def terminate(self) -> None:
        """End the process, however it is."""
        self.process.kill()
        self.process.wait()
        self.process.close()
