"""A sphere: one control node and the workers that touch it, at most twelve (the kissing number in three dimensions).

The control node computes nothing. It asks for workers, deals tasks to whichever is free, and collects answers; a task's
result does not depend on who did it. So where calls may be made again, a worker that ends, hangs or answers what cannot
be is replaced: the one in its place is prepared as it was, and does what it still owed.

Here one sphere on one machine: its workers are forks of one process.
"""

import contextlib
import itertools
import selectors
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from cllm.spheres.nursery import Nursery, WorkerLost
from cllm.spheres.remote import HUNG_LOOKS, LOOK_SECONDS, Answer, Call, Refused, Unfit, Worker

MAX_WORKERS = 12
ANSWER_DEADLINE_SECONDS = 600.0  # the longest call compiles kernels first: a minute of one core
PATIENCE_SECONDS = 2.0  # for a worker to end by itself
MOST_REPLACED = 5  # one after another, without an answer in between

CanBe = Callable[[Mapping[str, Any], Any], bool]  # whether a result can be, by a call's arguments


def anything(arguments: Mapping[str, Any], result: Any) -> bool:
    """Every result can be."""
    return True


class Heap:
    """Tasks that wait for a worker, numbered in their order."""

    def __init__(self, tasks: Iterable[Mapping[str, Any]], num_workers: int, at_once: bool) -> None:
        """`at_once`: all tasks are drawn now, and several taken at a time."""
        drawn = list(tasks) if at_once else []
        self._left, self._num_workers, self._waiting = len(drawn), num_workers, enumerate(drawn if at_once else tasks)

    def take(self) -> list[tuple[int, Mapping[str, Any]]]:
        """The next, or of all that are left half of a worker's share; none where none is left."""
        taken = list(itertools.islice(self._waiting, max(1, -(-self._left // (2 * self._num_workers)))))
        self._left -= len(taken)
        return taken


class Sphere:
    """Workers that run the same `module`; a context manager that leaves none of them behind."""

    def __init__(
        self,
        nursery: Nursery,
        module: str,
        num_workers: int,
        more: Sequence[int] = (),
        repeatable: bool = False,
        hung_looks: int = HUNG_LOOKS,
    ) -> None:
        """They have the descriptors `more` (`Nursery.bear`); `repeatable`: every call may be made again by another.

        `hung_looks`: at how many, one a second, a worker that uses no processor counts as hung.
        """
        self._nursery, self._module, self._more, self._repeatable = nursery, module, tuple(more), repeatable
        self._hung_looks = hung_looks
        self.workers: list[Worker] = []
        self.replaced: list[str] = []  # why, of each worker that was
        self._in_a_row = 0
        self._preparations: list[Callable[[int], Call]] = []  # of a worker, by its rank
        self._selector = selectors.DefaultSelector()
        self.resize(num_workers)

    def __enter__(self) -> "Sphere":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close(patience=0.0 if kind else PATIENCE_SECONDS)

    @property
    def pids(self) -> list[int]:
        return [worker.process.pid for worker in self.workers]

    def resize(self, num_workers: int) -> None:
        """Have so many workers, between two calls: others are born and prepared, or the last ones end."""
        assert 1 <= num_workers <= MAX_WORKERS
        for worker in self.workers[num_workers:]:
            self._selector.unregister(worker.process.answers)
            worker.put_away()
        del self.workers[num_workers:]
        joining = [
            Worker(rank, self._nursery.bear(self._module, self._more), self._hung_looks)
            for rank in range(len(self.workers), num_workers)
        ]
        for worker in joining:
            self._selector.register(worker.process.answers, selectors.EVENT_READ, worker)
        self.workers += joining
        preparations, self._preparations = self._preparations, []  # one in the place of another begins anew
        for call_of in preparations:
            self._ask(joining, [call_of(worker.rank) for worker in joining])
            self._preparations.append(call_of)

    def prepare(self, call: str, **arguments: Any) -> None:
        """Make a call on every worker, and on each that takes the place of one, or joins, later."""
        self.prepare_each(call, lambda rank: arguments)

    def prepare_each(self, call: str, arguments_of: Callable[[int], Mapping[str, Any]]) -> None:
        """The same, where the arguments depend on the worker's rank."""
        self.call_all(call, [arguments_of(worker.rank) for worker in self.workers])
        self._preparations.append(lambda rank: Call(call, [arguments_of(rank)]))

    def deal(
        self,
        call: str,
        tasks: Iterable[Mapping[str, Any]],
        num_workers: int | None = None,
        can_be: CanBe = anything,
        at_once: bool = False,
    ) -> list[Any]:
        """Results of `call` with each task's arguments, in the order of the tasks; a free worker takes the next.

        Tasks are drawn one at a time as workers become free, so an iterator may end when time is up. With `at_once` all
        are there from the beginning: a worker takes several, and fewer as fewer are left (guided self-scheduling,
        Polychronopoulos & Kuck 1987): of twelve tasks two workers get 7 messages. With `num_workers` only so many work,
        and the others rest. A result that cannot be (`can_be`) costs a worker its place; what is found in its place
        stands.
        """
        assert num_workers is None or 1 <= num_workers <= len(self.workers)
        workers = self.workers[:num_workers]
        heap = Heap(tasks, len(workers), at_once)
        results: dict[int, Any] = {}
        working: dict[int, list[int]] = {}  # rank -> numbers of tasks
        for worker in workers:
            self._give(worker, call, heap, working)
        while working:
            for answer in self._answers(can_be):
                results.update(zip(working.pop(answer.worker.rank), answer.results, strict=True))
                self._give(answer.worker, call, heap, working)
        return [results[number] for number in range(len(results))]

    def call_all(
        self, call: str, arguments: Sequence[Mapping[str, Any]] | None = None, can_be: CanBe = anything
    ) -> list[Any]:
        """Results by rank of `call`, made once on every worker, or on as many as there are arguments."""
        given = [{} for _ in self.workers] if arguments is None else arguments
        assert 1 <= len(given) <= len(self.workers)
        return self._ask(self.workers[: len(given)], [Call(call, [own]) for own in given], can_be)

    def call_one(self, call: str, **arguments: Any) -> Any:
        """Result of `call` made on the first worker."""
        self.begin(call, **arguments)
        return self.end()

    def begin(self, call: str, **arguments: Any) -> None:
        """Make `call` on the first worker without waiting for its result, which is `end`'s; no other call meanwhile."""
        self._send(self.workers[0], Call(call, [arguments]))

    def has_answered(self) -> bool:
        """Whether `end` need not wait for the call that was begun."""
        return bool(self._selector.select(0))

    def end(self) -> Any:
        """Result of the call that was begun."""
        answers: list[Answer] = []
        while not answers:
            answers = self._answers()
        return answers[0].results[0]

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

    def _ask(self, workers: Sequence[Worker], calls: Sequence[Call], can_be: CanBe = anything) -> list[Any]:
        """Each worker's result of its call."""
        for worker, call in zip(workers, calls, strict=True):
            self._send(worker, call)
        results: dict[int, Any] = {}
        while len(results) < len(workers):
            results.update((answer.worker.rank, answer.results[0]) for answer in self._answers(can_be))
        return [results[worker.rank] for worker in workers]

    def _give(self, worker: Worker, call: str, heap: "Heap", working: dict[int, list[int]]) -> None:
        if taken := heap.take():
            working[worker.rank] = [number for number, _ in taken]
            self._send(worker, Call(call, [task for _, task in taken]))

    def _send(self, worker: Worker, call: Call) -> None:
        try:
            worker.send(call)
        except Unfit as why:
            self._replace(worker, why)

    def _answers(self, can_be: CanBe = anything) -> list[Answer]:
        """The answers that have come, after waiting for at least a part of one, or for a worker in another's place."""
        deadline = time.monotonic() + ANSWER_DEADLINE_SECONDS
        while not (ready := self._selector.select(LOOK_SECONDS)):
            if time.monotonic() > deadline:
                raise WorkerLost(f"no worker answered for {ANSWER_DEADLINE_SECONDS:.0f} s; run the same command again")
            for worker in self.workers:
                if self._repeatable and worker.is_hung():
                    self._replace(worker, worker.hung())
        answers: list[Answer] = []
        for key, _ in ready:
            try:
                answer = key.data.receive()
                if answer is not None and self._repeatable:
                    self._check(answer, can_be)
            except Unfit as why:
                self._replace(key.data, why)
                continue
            if answer is not None:
                self._in_a_row, answer.worker.doubted = 0, False
                answers.append(answer)
        return answers

    def _check(self, answer: Answer, can_be: CanBe) -> None:
        """Refused where a result cannot be, unless it was found a second time: then it is not the worker's fault."""
        worker = answer.worker
        for task, result in zip(answer.call.tasks, answer.results, strict=True):
            if not worker.doubted and not can_be(task, result):
                worker.doubted, worker.owed = True, answer.call
                raise worker.unfit(f"answered {answer.call.name} with {result!r}", Refused)

    def _replace(self, worker: Worker, why: Unfit) -> None:
        """Have another process in a worker's place, prepared as it was, which does what it owed."""
        owed = worker.owed
        while True:
            if not self._repeatable or self._in_a_row == MOST_REPLACED:
                raise why
            if not isinstance(why, Refused):
                self._in_a_row += 1
            self.replaced.append(str(why).partition(";")[0])
            self._selector.unregister(worker.process.answers)
            worker.put_away()
            worker.process = self._nursery.bear(self._module, self._more)
            worker.forget()
            self._selector.register(worker.process.answers, selectors.EVENT_READ, worker)
            try:
                for call_of in self._preparations:
                    worker.send(call_of(worker.rank))
                    worker.await_answer()
                if owed is not None:
                    worker.send(owed)
                return
            except Unfit as another:
                why = another
