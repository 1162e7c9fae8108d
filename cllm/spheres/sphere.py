"""A sphere: one control node and its workers, at most twelve (the kissing number in three dimensions).

The control node computes nothing. It starts workers, gives tasks to free ones, and collects the answers; a result does
not depend on which worker computed it. If every call is idempotent, a worker that ends, hangs or returns an invalid
result is replaced: the new process gets the same preparation calls and then the pending call.

The workers of a sphere run on one machine, as forks of one process.
"""

import contextlib
import itertools
import selectors
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from cllm.spheres.fork_server import ForkServer
from cllm.spheres.order import FANOUT
from cllm.spheres.remote import (
    ANSWER_DEADLINE_SECONDS,
    IDLE_CHECK_SECONDS,
    MAX_IDLE_CHECKS,
    Answer,
    Call,
    InvalidResult,
    RemoteWorker,
    WorkerFailure,
    deadline_error,
)

EXIT_TIMEOUT_SECONDS = 2.0  # for a worker to exit after its input has closed
MAX_CONSECUTIVE_FAILURES = 5  # lost workers that are replaced, without an answer in between; the next one is an error

IsValid = Callable[[Mapping[str, Any], Any], bool]  # (a task's arguments, its result) -> whether the result is valid


def any_result(arguments: Mapping[str, Any], result: Any) -> bool:
    """Accept every result."""
    return True


class TaskQueue:
    """A queue of tasks, numbered in order."""

    def __init__(self, tasks: Iterable[Mapping[str, Any]], num_workers: int, chunked: bool) -> None:
        """`chunked`: read all tasks now, and hand out several at a time."""
        task_list = list(tasks) if chunked else []
        self._num_left, self._num_workers, self._tasks = (
            len(task_list),
            num_workers,
            enumerate(task_list if chunked else tasks),
        )

    def next_tasks(self) -> list[tuple[int, Mapping[str, Any]]]:
        """The next task; with `chunked`, half of a worker's share of the remaining tasks. Empty if none is left."""
        taken = list(itertools.islice(self._tasks, max(1, -(-self._num_left // (2 * self._num_workers)))))
        self._num_left -= len(taken)
        return taken


class Sphere:
    """Workers that run the same `module`; a context manager that ends all of them.

    Every call raises WorkerLost if a worker fails and cannot be replaced, or answers with an error.
    """

    def __init__(
        self,
        fork_server: ForkServer,
        module: str,
        num_workers: int,
        extra_fds: Sequence[int] = (),
        idempotent: bool = False,
        max_idle_checks: int = MAX_IDLE_CHECKS,
    ) -> None:
        """`extra_fds`: descriptors that workers inherit (`ForkServer.spawn`).

        `idempotent`: every call can be repeated on another worker. `max_idle_checks`: checks without CPU time, one per
        second, after which a worker counts as hung.
        """
        self._fork_server, self._module, self._extra_fds, self._idempotent = (
            fork_server,
            module,
            tuple(extra_fds),
            idempotent,
        )
        self._max_idle_checks = max_idle_checks
        self.workers: list[RemoteWorker] = []
        self.replacement_reasons: list[str] = []  # one per replacement
        self._consecutive_failures = 0
        self._preparations: list[Callable[[int], Call]] = []  # each gives the call for a rank
        self._selector = selectors.DefaultSelector()
        self.resize(num_workers)

    def __enter__(self) -> "Sphere":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close(timeout_seconds=0.0 if kind else EXIT_TIMEOUT_SECONDS)

    @property
    def pids(self) -> list[int]:
        return [worker.process.pid for worker in self.workers]

    def resize(self, num_workers: int) -> None:
        """Set the number of workers, with no call pending: start and prepare new ones, or terminate the last ones."""
        assert 1 <= num_workers <= FANOUT
        for worker in self.workers[num_workers:]:
            self._selector.unregister(worker.process.answers)
            worker.terminate()
        del self.workers[num_workers:]
        new_workers = [
            RemoteWorker(rank, self._fork_server.spawn(self._module, self._extra_fds), self._max_idle_checks)
            for rank in range(len(self.workers), num_workers)
        ]
        for worker in new_workers:
            self._selector.register(worker.process.answers, selectors.EVENT_READ, worker)
        self.workers += new_workers
        preparations, self._preparations = self._preparations, []  # replacements get only those that are complete
        for call_of in preparations:
            self._call_each(new_workers, [call_of(worker.rank) for worker in new_workers])
            self._preparations.append(call_of)

    def prepare(self, call: str, **arguments: Any) -> None:
        """Make a call on every worker, and on each that takes the place of one, or joins, later."""
        self.prepare_each(call, lambda rank: arguments)

    def prepare_each(self, call: str, arguments_of: Callable[[int], Mapping[str, Any]]) -> None:
        """As `prepare`, with arguments that depend on the worker's rank."""
        self.call_all(call, [arguments_of(worker.rank) for worker in self.workers])
        self._preparations.append(lambda rank: Call(call, [arguments_of(rank)]))

    def map_tasks(
        self,
        call: str,
        tasks: Iterable[Mapping[str, Any]],
        num_workers: int | None = None,
        is_valid: IsValid = any_result,
        chunked: bool = False,
    ) -> list[Any]:
        """Results of `call` with each task's arguments, in the order of the tasks; a free worker takes the next task.

        Tasks are read one at a time as workers become free, so an iterator can end when the time is up. With `chunked`
        all are read at once, and a worker takes several, fewer as fewer remain (guided self-scheduling,
        Polychronopoulos & Kuck 1987): 12 tasks for two workers take 7 messages. Only the first `num_workers` workers
        are used if it is given. A worker whose result is not `is_valid` is replaced and the call retried once; the
        result of the retry is accepted.
        """
        assert num_workers is None or 1 <= num_workers <= len(self.workers)
        workers = self.workers[:num_workers]
        task_queue = TaskQueue(tasks, len(workers), chunked)
        results: dict[int, Any] = {}
        working: dict[int, list[int]] = {}  # rank -> numbers of tasks
        for worker in workers:
            self._send_next(worker, call, task_queue, working)
        while working:
            for answer in self._wait_for_answers(is_valid):
                results.update(zip(working.pop(answer.worker.rank), answer.results, strict=True))
                self._send_next(answer.worker, call, task_queue, working)
        return [results[number] for number in range(len(results))]

    def call_all(
        self, call: str, arguments: Sequence[Mapping[str, Any]] | None = None, is_valid: IsValid = any_result
    ) -> list[Any]:
        """Results by rank of `call`, made once on every worker, or on the first `len(arguments)`."""
        given = [{} for _ in self.workers] if arguments is None else arguments
        assert 1 <= len(given) <= len(self.workers)
        return self._call_each(self.workers[: len(given)], [Call(call, [own]) for own in given], is_valid)

    def call_one(self, call: str, **arguments: Any) -> Any:
        """The result of `call` on the first worker."""
        self.start_call(call, **arguments)
        return self.wait_result()

    def start_call(self, call: str, **arguments: Any) -> None:
        """Send `call` to the first worker without waiting; make no other call before `wait_result`."""
        self._send(self.workers[0], Call(call, [arguments]))

    def has_result(self) -> bool:
        """Whether `wait_result` finds something to read: the answer, its first part, or the end of the worker.

        It then waits for the rest of the answer, or replaces the worker and waits for the new one.
        """
        return bool(self._selector.select(0))

    def wait_result(self) -> Any:
        """The result of the call of `start_call`."""
        answers: list[Answer] = []
        while not answers:
            answers = self._wait_for_answers()
        return answers[0].results[0]

    def close(self, timeout_seconds: float) -> None:
        """End the workers: close their input, and kill those that have not exited after `timeout_seconds` each."""
        self._selector.close()
        for worker in self.workers:
            with contextlib.suppress(BrokenPipeError):
                worker.process.calls.close()
        for worker in self.workers:
            if not timeout_seconds and not worker.process.is_started:
                pass  # it will find its input closed: without a timeout, do not wait for PyTorch's import
            elif worker.process.wait(timeout_seconds) is None:
                worker.process.kill()
                worker.process.wait()
            worker.process.close()

    def _call_each(
        self, workers: Sequence[RemoteWorker], calls: Sequence[Call], is_valid: IsValid = any_result
    ) -> list[Any]:
        """The result of each worker's call, in order of `workers`."""
        for worker, call in zip(workers, calls, strict=True):
            self._send(worker, call)
        results: dict[int, Any] = {}
        while len(results) < len(workers):
            results.update((answer.worker.rank, answer.results[0]) for answer in self._wait_for_answers(is_valid))
        return [results[worker.rank] for worker in workers]

    def _send_next(
        self, worker: RemoteWorker, call: str, task_queue: "TaskQueue", working: dict[int, list[int]]
    ) -> None:
        if taken := task_queue.next_tasks():
            working[worker.rank] = [number for number, _ in taken]
            self._send(worker, Call(call, [task for _, task in taken]))

    def _send(self, worker: RemoteWorker, call: Call) -> None:
        try:
            worker.send(call)
        except WorkerFailure as failure:
            self._replace(worker, failure)

    def _wait_for_answers(self, is_valid: IsValid = any_result) -> list[Answer]:
        """Wait until some worker is readable and return the complete answers; hung workers are replaced meanwhile."""
        deadline = time.monotonic() + ANSWER_DEADLINE_SECONDS
        while not (ready := self._selector.select(IDLE_CHECK_SECONDS)):
            if time.monotonic() > deadline:
                raise deadline_error()
            for worker in self.workers:
                if self._idempotent and worker.count_idle_check():
                    self._replace(worker, worker.hung_failure())
        answers: list[Answer] = []
        for key, _ in ready:
            try:
                answer = key.data.receive()
                if answer is not None and self._idempotent:
                    self._check(answer, is_valid)
            except WorkerFailure as failure:
                self._replace(key.data, failure)
                continue
            if answer is not None:
                self._consecutive_failures, answer.worker.retried = 0, False
                answer.worker.accept(answer)
                answers.append(answer)
        return answers

    def _check(self, answer: Answer, is_valid: IsValid) -> None:
        """Raise InvalidResult if a result is not valid, unless this is the retry: then the worker is not at fault."""
        worker = answer.worker
        for task, result in zip(answer.call.tasks, answer.results, strict=True):
            if not worker.retried and not is_valid(task, result):
                worker.retried, worker.pending = True, answer.call
                raise worker.failure(f"answered {answer.call.name} with {result!r}", InvalidResult)

    def _replace(self, worker: RemoteWorker, failure: WorkerFailure) -> None:
        """Replace a worker's process, repeat its preparation calls, and send the pending call again.

        Raises `failure` if the sphere is not idempotent, or after `MAX_CONSECUTIVE_FAILURES` replacements.
        """
        pending = worker.pending
        while True:
            if not self._idempotent or self._consecutive_failures == MAX_CONSECUTIVE_FAILURES:
                raise failure
            if not isinstance(failure, InvalidResult):
                self._consecutive_failures += 1
            self.replacement_reasons.append(str(failure).partition(";")[0])
            self._selector.unregister(worker.process.answers)
            worker.terminate()
            worker.process = self._fork_server.spawn(self._module, self._extra_fds)
            worker.reset()
            self._selector.register(worker.process.answers, selectors.EVENT_READ, worker)
            try:
                for call_of in self._preparations:
                    worker.send(call_of(worker.rank))
                    worker.await_answer()
                if pending is not None:
                    worker.send(pending)
                return
            except WorkerFailure as another:
                failure = another
