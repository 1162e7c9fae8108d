"""Spheres: tasks, replacement of failed workers, resizing, invalid results, cleanup and shared memory."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from processes import is_alive, wait_until_gone

from cllm.spheres import FIRST_EXTRA_FD, ForkServer, SharedArrays, Sphere, WorkerLost, create_shared_memory
from cllm.spheres.remote import Call, RemoteWorker, WorkerFailure
from cllm.spheres.sphere import MAX_CONSECUTIVE_FAILURES, TaskQueue

WORKER = "answering_worker"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
LAYOUT: dict[str, tuple[str, tuple[int, ...]]] = {"a": ("float32", (4, 5)), "b": ("int64", (3,))}


@contextmanager
def launch(num_workers: int, extra_fds: tuple[int, ...] = (), idempotent: bool = False) -> Iterator[Sphere]:
    with (
        ForkServer([WORKER], ENVIRONMENT) as fork_server,
        Sphere(fork_server, WORKER, num_workers, extra_fds, idempotent) as sphere,
    ):
        yield sphere


@contextmanager
def launch_failing_once(num_workers: int) -> Iterator[Sphere]:
    """A sphere whose workers fail once in total: a pipe holds the byte that the first failing call reads."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.write(write, b"x")
    with launch(num_workers, (read,), idempotent=True) as sphere:
        yield sphere
    os.close(read)
    os.close(write)


@pytest.fixture(scope="module")
def sphere() -> Iterator[Sphere]:
    with launch(3) as sphere:
        yield sphere


def test_results_are_in_the_order_of_the_tasks(sphere: Sphere) -> None:
    assert sphere.map_tasks("square", [{"x": x} for x in range(20)]) == [x * x for x in range(20)]


def test_fewer_tasks_than_workers_and_no_tasks(sphere: Sphere) -> None:
    assert sphere.map_tasks("square", [{"x": 3}]) == [9]
    assert sphere.map_tasks("square", []) == []


def test_calls_may_use_only_the_first_workers(sphere: Sphere) -> None:
    pids = sphere.call_all("pid")
    assert set(sphere.map_tasks("pid", [{}] * 9, 1)) == {pids[0]}
    assert set(sphere.map_tasks("pid", [{}] * 9, 2)) <= set(pids[:2])
    assert sphere.call_all("square", [{"x": 2}, {"x": 3}]) == [4, 9]
    assert sphere.call_all("square", [{"x": 2}, {"x": 3}, {"x": 4}]) == [4, 9, 16]


def test_has_result_is_true_until_the_result_is_taken() -> None:
    with launch(1) as sphere:
        sphere.start_call("square", x=3)
        while not sphere.has_result():
            pass
        assert sphere.has_result() and sphere.wait_result() == 9
        assert not sphere.has_result()


def test_chunked_tasks_are_taken_in_decreasing_chunks(sphere: Sphere) -> None:
    assert [len(taken) for taken in iter(TaskQueue([{}] * 12, 2, chunked=True).next_tasks, [])] == [3, 3, 2, 1, 1, 1, 1]
    assert [len(taken) for taken in iter(TaskQueue([{}] * 12, 12, chunked=True).next_tasks, [])] == [1] * 12
    assert [len(taken) for taken in iter(TaskQueue([{}] * 3, 2, chunked=False).next_tasks, [])] == [1] * 3
    for number in range(20):
        tasks = [{"x": x} for x in range(number)]
        assert sphere.map_tasks("square", tasks, chunked=True) == [x * x for x in range(number)]


def test_tasks_are_read_as_workers_become_free(sphere: Sphere) -> None:
    read_tasks = []

    def tasks() -> Iterator[dict[str, int]]:
        for x in range(100):
            if len(read_tasks) == 7:
                return
            read_tasks.append(x)
            yield {"x": x}

    assert sphere.map_tasks("square", tasks()) == [x * x for x in range(7)]


def test_call_all_calls_every_worker_once(sphere: Sphere) -> None:
    assert sphere.call_all("pid") == sphere.pids
    assert sphere.call_one("pid") == sphere.pids[0]


def test_wait_result_returns_the_result_of_a_started_call(sphere: Sphere) -> None:
    sphere.start_call("square", x=12)
    assert sphere.wait_result() == 144


def test_cllm_error_of_a_worker_keeps_its_message(sphere: Sphere) -> None:
    with launch(1) as sphere_of_one, pytest.raises(WorkerLost, match="^this was refused$"):
        sphere_of_one.call_all("fail")


def test_other_exception_of_a_worker_shows_its_traceback() -> None:
    with launch(1) as sphere_of_one, pytest.raises(AssertionError, match="ZeroDivisionError"):
        sphere_of_one.call_all("bug")


def test_killed_worker_raises_worker_lost() -> None:
    with launch(2) as sphere_of_two, pytest.raises(WorkerLost, match="killed by signal 9"):
        sphere_of_two.map_tasks("die", [{}, {}])


def test_worker_killed_before_the_call_raises_worker_lost() -> None:
    with launch(1) as sphere_of_one:
        sphere_of_one.workers[0].process.kill()
        sphere_of_one.workers[0].process.wait()
        with pytest.raises(WorkerLost, match="killed by signal 9"):
            sphere_of_one.call_all("pid")


@pytest.mark.parametrize("num_workers, chunked", [(1, False), (3, False), (1, True), (3, True)])
def test_killed_worker_is_replaced_and_its_tasks_retried(num_workers: int, chunked: bool) -> None:
    with launch_failing_once(num_workers) as sphere:
        before = sphere.call_all("pid")
        tasks = [{"x": x, "descriptor": FIRST_EXTRA_FD, "number": signal.SIGKILL} for x in range(20)]
        assert sphere.map_tasks("square_later", tasks, chunked=chunked) == [x * x for x in range(20)]
        assert len(sphere.replacement_reasons) == 1 and sphere.replacement_reasons[0].endswith("was killed by signal 9")
        after = sphere.call_all("pid")
        assert after == sphere.pids and len(set(before) - set(after)) == 1
        assert not any(is_alive(pid) for pid in set(before) - set(after))


def test_workers_killed_while_idle_are_replaced() -> None:
    with launch(2, idempotent=True) as sphere_of_two:
        for worker in sphere_of_two.workers:
            worker.process.kill()
            worker.process.wait()
        assert sphere_of_two.call_all("square", [{"x": 2}, {"x": 3}]) == [4, 9]
        assert len(sphere_of_two.replacement_reasons) == 2


def test_replacement_worker_is_prepared() -> None:
    with launch(1, idempotent=True) as sphere_of_one:
        sphere_of_one.prepare("remember", x=5)
        sphere_of_one.prepare("remember", x=6)
        sphere_of_one.workers[0].process.kill()
        assert sphere_of_one.call_one("prepared") == [5, 6]


@pytest.mark.parametrize("idempotent", [True, False])
def test_resize_starts_and_ends_workers(idempotent: bool) -> None:
    with launch(2, idempotent=idempotent) as sphere:
        sphere.prepare("remember", x=5)
        first = sphere.call_all("pid")
        sphere.resize(5)
        assert sphere.call_all("prepared") == [[5]] * 5 and sphere.call_all("pid")[:2] == first
        assert sphere.map_tasks("square", [{"x": x} for x in range(20)]) == [x * x for x in range(20)]
        pids_of_five = sphere.pids
        sphere.resize(1)
        assert sphere.call_all("pid") == first[:1] and not any(is_alive(pid) for pid in pids_of_five[1:])
        sphere.resize(3)
        assert sphere.call_all("square", [{"x": 1}, {"x": 2}, {"x": 3}]) == [1, 4, 9]
        assert sphere.call_all("prepared") == [[5]] * 3 and len({*sphere.pids, *pids_of_five}) == 7
    assert not any(is_alive(pid) for pid in pids_of_five)


def test_worker_killed_during_resize_is_replaced() -> None:
    with launch(1, idempotent=True) as sphere:
        sphere.prepare("remember", x=5)
        spawn, spawned = sphere._fork_server.spawn, list[Any]()

        def spawn_and_kill(*arguments: Any) -> Any:
            spawned.append(spawn(*arguments))
            if len(spawned) == 1:
                spawned[0].kill()
            return spawned[-1]

        sphere._fork_server.spawn = spawn_and_kill  # type: ignore[method-assign]
        sphere.resize(2)
        assert sphere.call_all("prepared") == [[5]] * 2 and len(spawned) == 2 and len(sphere.replacement_reasons) == 1


def test_hung_worker_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cllm.spheres.sphere.IDLE_CHECK_SECONDS", 0.05)
    with launch_failing_once(2) as sphere:
        tasks = [{"x": x, "descriptor": FIRST_EXTRA_FD, "number": signal.SIGSTOP} for x in range(5)]
        assert sphere.map_tasks("square_later", tasks) == [x * x for x in range(5)]
        assert len(sphere.replacement_reasons) == 1 and "used no CPU time" in sphere.replacement_reasons[0]


def test_invalid_result_is_computed_again() -> None:
    with launch_failing_once(2) as sphere:
        tasks = [{"x": x, "descriptor": FIRST_EXTRA_FD} for x in range(9)]
        found = sphere.map_tasks(
            "square_wrongly", tasks, is_valid=lambda arguments, result: result == arguments["x"] ** 2
        )
        assert found == [x * x for x in range(9)]
        assert len(sphere.replacement_reasons) == 1 and sphere.replacement_reasons[0].endswith(
            "answered square_wrongly with -1"
        )
        assert sum(worker.num_done["square_wrongly"] for worker in sphere.workers) == 9, "only accepted results count"
    with launch(2, idempotent=True) as sphere_of_two:
        sphere_of_two.prepare("remember", x=5)
        assert sphere_of_two.call_all("square", [{"x": 2}, {"x": 3}], lambda arguments, result: result == 4) == [4, 9]
        assert len(sphere_of_two.replacement_reasons) == 1, "the result of the retry is accepted"


def test_consecutive_failures_are_limited() -> None:
    with launch(2, idempotent=True) as sphere_of_two:
        with pytest.raises(WorkerLost, match="killed by signal 9"):
            sphere_of_two.map_tasks("die", [{}, {}])
        assert len(sphere_of_two.replacement_reasons) == MAX_CONSECUTIVE_FAILURES


def test_malformed_and_mismatched_answers_raise_worker_failure() -> None:
    calls, answers = os.pipe(), os.pipe()
    process = SimpleNamespace(calls=os.fdopen(calls[1], "wb"), answers=os.fdopen(answers[0], "rb", buffering=0), pid=7)
    worker = RemoteWorker(0, process)  # type: ignore[arg-type]
    worker.send(Call("square", [{"x": 2}]))
    os.write(answers[1], b'{"number": 1, "results": [4]}\n')
    answer = worker.receive()
    assert answer is not None and answer.results == [4] and worker.pending is None and worker.num_done.total() == 0
    worker.accept(answer)
    worker.send(call := Call("square", [{"x": 3}, {"x": 4}]))
    os.write(answers[1], b'{"number": 1, "results": [4]}\n')
    with pytest.raises(WorkerFailure, match="answered call 1, expected call 2"):
        worker.receive()
    for garbage in (b"no answer\n", b'{"results": [9, 16]}\n', b"4\n"):
        os.write(answers[1], garbage)
        with pytest.raises(WorkerFailure, match="sent a malformed answer"):
            worker.receive()
    for results in (b"[9]", b"[9, 16, 25]", b"9", b"null"):
        os.write(answers[1], b'{"number": 2, "results": %s}\n' % results)
        with pytest.raises(WorkerFailure, match="answered 2 tasks of square with"):
            worker.receive()
    assert worker.pending is call and worker.num_done["square"] == 1, "the call is still pending"
    for end in (process.calls, process.answers):
        end.close()
    os.close(calls[0])
    os.close(answers[1])


def test_a_worker_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cllm.spheres.remote.ANSWER_DEADLINE_SECONDS", 0.2)
    monkeypatch.setattr("cllm.spheres.remote.IDLE_CHECK_SECONDS", 0.05)
    monkeypatch.setattr("cllm.spheres.sphere.IDLE_CHECK_SECONDS", 0.05)
    monkeypatch.setattr("cllm.spheres.sphere.ANSWER_DEADLINE_SECONDS", 0.2)
    with launch(1, idempotent=True) as one:
        (worker,) = one.workers
        os.kill(worker.process.pid, signal.SIGSTOP)
        worker.send(Call("square", [{"x": 2}]))
        with pytest.raises(WorkerLost, match="no worker answered for"):
            worker.await_answer()
        with pytest.raises(WorkerLost, match="no worker answered for"):
            one.call_one("square", x=2)
        os.kill(worker.process.pid, signal.SIGCONT)


def test_exit_ends_all_workers() -> None:
    with launch(2) as sphere_of_two:
        pids = sphere_of_two.call_all("pid")
    assert not any(is_alive(pid) for pid in pids)


def test_workers_end_when_their_parent_is_killed() -> None:
    program = (
        "import os, sys; from cllm.spheres import ForkServer, Sphere;"
        f"fork_server = ForkServer([{WORKER!r}], {ENVIRONMENT!r}); sphere = Sphere(fork_server, {WORKER!r}, 2);"
        "print(fork_server.process.pid, *sphere.call_all('pid'), flush=True); sys.stdin.read()"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None and parent.stdin is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == 3 and all(is_alive(pid) for pid in pids)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdin.close()
    parent.stdout.close()
    wait_until_gone(pids)


def test_workers_write_to_shared_memory() -> None:
    descriptor = create_shared_memory()
    shared = SharedArrays(LAYOUT, descriptor)
    with launch(2, (descriptor,)) as sphere_of_two:
        sphere_of_two.map_tasks("write", [{"descriptor": FIRST_EXTRA_FD, "row": row} for row in range(4)])
    os.close(descriptor)
    assert np.array_equal(shared["a"], np.repeat(np.arange(4, dtype=np.float32), 5).reshape(4, 5))
    assert not shared["b"].any()


def test_shared_arrays_are_aligned_to_cache_lines() -> None:
    descriptor = create_shared_memory()
    shared = SharedArrays({"x": ("uint8", (3,)), "y": ("float64", (2, 2))}, descriptor)
    os.close(descriptor)
    assert shared["y"].ctypes.data - shared["x"].ctypes.data == 64
