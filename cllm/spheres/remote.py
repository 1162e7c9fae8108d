"""A worker as its control node sees it: calls go out, answers come in, and it may end or hang in between."""

import json
import select
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cllm.machine import cpu_seconds, descendants
from cllm.spheres.nursery import Child, WorkerLost, ending

State = Literal["joining", "working", "waiting"]
LOOK_SECONDS = 1.0  # between two looks at a worker that does not answer
HUNG_LOOKS = 10  # at one that owes an answer and was on no processor since the look before, until it counts as hung


class Unfit(WorkerLost):
    """A worker ended, hung, or answered what cannot be: another one may do what it could not."""


class Refused(Unfit):
    """It answered what cannot be. A call is refused once: what is answered then is taken."""


@dataclass(frozen=True)
class Call:
    """What is asked of a worker: one function with the arguments of each of some tasks."""

    name: str
    tasks: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Answer:
    """What came of it, task by task."""

    worker: "Worker"
    call: Call
    results: list[Any]


class Worker:
    """A child process that answers calls; `rank` is its number in the sphere."""

    def __init__(self, rank: int, process: Child, hung_looks: int = HUNG_LOOKS) -> None:
        self.rank, self.process, self._hung_looks = rank, process, hung_looks
        self.owed: Call | None = None  # what it was asked and has not answered yet
        self.doubted = False  # whether that was answered before, with what cannot be
        self.answered: Counter[str] = Counter()  # tasks, by the name of the call
        self.seconds: defaultdict[str, float] = defaultdict(float)  # that they took, by name
        self.times_replaced = 0
        self._sent_at = 0.0
        self._number = 0  # of the call
        self._received = bytearray()
        self._used, self._looks = 0.0, 0

    def send(self, call: Call) -> None:
        self.owed, self._looks, self._sent_at = call, 0, time.monotonic()
        self._number += 1
        message = {"call": call.name, "number": self._number, "tasks": call.tasks}
        try:
            self.process.calls.write(json.dumps(message).encode() + b"\n")
            self.process.calls.flush()
        except BrokenPipeError:
            raise self.lost() from None

    def receive(self) -> Answer | None:
        """The answer, once the whole of it has come; to be called when `process.answers` are readable."""
        data = self.process.answers.read(1 << 16)
        if not data:
            raise self.lost()
        self._received += data
        if not self._received.endswith(b"\n"):
            return None
        line = bytes(self._received)
        self._received.clear()
        call = self.owed
        try:
            reply = json.loads(line)
            number = reply["number"]
        except (ValueError, KeyError, TypeError):
            raise self.unfit(f"answered what is no answer: {line[:40]!r}") from None
        if call is None or number != self._number:
            raise self.unfit(f"answered call {number}, where {self._number} was asked")
        if "error" in reply:
            raise WorkerLost(reply["error"])
        assert "bug" not in reply, f"worker {self.rank} failed:\n{reply.get('bug')}"
        results = reply.get("results")
        if not isinstance(results, list) or len(results) != len(call.tasks):
            raise self.unfit(f"answered {len(call.tasks)} of {call.name} with {str(results)[:40]}")
        self.owed = None
        self.answered[call.name] += len(call.tasks)
        self.seconds[call.name] += time.monotonic() - self._sent_at
        return Answer(self, call, results)

    def await_answer(self) -> None:
        """Return when it has answered the call that it owes; Unfit where it hangs."""
        while True:
            if select.select([self.process.answers], [], [], LOOK_SECONDS)[0]:
                if self.receive() is not None:
                    return
            elif self.is_hung():
                raise self.hung()

    @property
    def state(self) -> State:
        """What it does, as far as its control node knows."""
        if not self.process.is_born:
            return "joining"
        return "waiting" if self.owed is None else "working"

    def is_hung(self) -> bool:
        """Whether it owes an answer and has been on no processor at so many looks, of which this is one.

        A control node has as long again: it waits for workers of its own, and may be about to replace one of them.
        """
        if self.owed is None or not self.process.is_born:
            return False
        below = descendants(self.process.pid)
        used = cpu_seconds([self.process.pid, *below])
        self._looks = self._looks + 1 if used == self._used else 0
        self._used = used
        return self._looks >= self._hung_looks * (2 if below else 1)

    def hung(self) -> Unfit:
        return self.unfit(f"was on no processor for {self._looks * LOOK_SECONDS:.0f} s")

    def lost(self) -> Unfit:
        code = self.process.wait()
        assert code is not None
        return self.unfit(ending(code))

    def unfit(self, why: str, kind: type[Unfit] = Unfit) -> Unfit:
        return kind(
            f"worker {self.rank} (process {self.process.pid}) {why}; run the same command again to go on from the last "
            "checkpoint"
        )

    def forget(self) -> None:
        """What the process before this one was about to answer."""
        self.times_replaced += 1
        self.owed, self._used, self._looks = None, 0.0, 0
        self._received.clear()

    def put_away(self) -> None:
        """End the process, however it is."""
        self.process.kill()
        self.process.wait()
        self.process.close()
