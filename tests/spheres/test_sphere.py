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
def faulty(num_workers: int) -> Iterator[Sphere]:
    """A sphere whose workers can do something once between all of them."""
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


def test_results_come_in_the_order_of_the_tasks(sphere: Sphere) -> None:
    assert sphere.map_tasks("square", [{"x": x} for x in range(20)]) == [x * x for x in range(20)]


def test_fewer_tasks_than_workers_and_none(sphere: Sphere) -> None:
    assert sphere.map_tasks("square", [{"x": 3}]) == [9]
    assert sphere.map_tasks("square", []) == []


def test_some_work_while_others_rest(sphere: Sphere) -> None:
    pids = sphere.call_all("pid")
    assert set(sphere.map_tasks("pid", [{}] * 9, 1)) == {pids[0]}
    assert set(sphere.map_tasks("pid", [{}] * 9, 2)) <= set(pids[:2])
    assert sphere.call_all("square", [{"x": 2}, {"x": 3}]) == [4, 9]
    assert sphere.call_all("square", [{"x": 2}, {"x": 3}, {"x": 4}]) == [4, 9, 16]


def test_a_call_that_was_begun_is_answered_some_time() -> None:
    with launch(1) as sphere:
        sphere.start_call("square", x=3)
        while not sphere.has_result():
            pass
        assert sphere.has_result() and sphere.wait_result() == 9
        assert not sphere.has_result()


def test_what_is_there_at_once_is_taken_in_shares_that_shrink(sphere: Sphere) -> None:
    assert [len(taken) for taken in iter(TaskQueue([{}] * 12, 2, chunked=True).next_tasks, [])] == [3, 3, 2, 1, 1, 1, 1]
    assert [len(taken) for taken in iter(TaskQueue([{}] * 12, 12, chunked=True).next_tasks, [])] == [1] * 12
    assert [len(taken) for taken in iter(TaskQueue([{}] * 3, 2, chunked=False).next_tasks, [])] == [1] * 3
    for number in range(20):
        tasks = [{"x": x} for x in range(number)]
        assert sphere.map_tasks("square", tasks, chunked=True) == [x * x for x in range(number)]


def test_tasks_are_drawn_as_workers_become_free(sphere: Sphere) -> None:
    drawn = []

    def tasks() -> Iterator[dict[str, int]]:
        for x in range(100):
            if len(drawn) == 7:
                return
            drawn.append(x)
            yield {"x": x}

    assert sphere.map_tasks("square", tasks()) == [x * x for x in range(7)]


def test_every_worker_is_called_once(sphere: Sphere) -> None:
    assert sphere.call_all("pid") == sphere.pids
    assert sphere.call_one("pid") == sphere.pids[0]


def test_a_call_that_was_begun_is_ended_later(sphere: Sphere) -> None:
    sphere.start_call("square", x=12)
    assert sphere.wait_result() == 144


def test_a_users_error_is_its_sentence(sphere: Sphere) -> None:
    with launch(1) as one, pytest.raises(WorkerLost, match="^this was refused$"):
        one.call_all("fail")


def test_a_bug_shows_its_traceback() -> None:
    with launch(1) as one, pytest.raises(AssertionError, match="ZeroDivisionError"):
        one.call_all("bug")


def test_a_killed_worker_is_noticed_by_name() -> None:
    with launch(2) as two, pytest.raises(WorkerLost, match="killed by signal 9"):
        two.map_tasks("die", [{}, {}])


def test_a_worker_that_died_before_the_call_is_noticed() -> None:
    with launch(1) as one:
        one.workers[0].process.kill()
        one.workers[0].process.wait()
        with pytest.raises(WorkerLost, match="killed by signal 9"):
            one.call_all("pid")


@pytest.mark.parametrize("num_workers, chunked", [(1, False), (3, False), (1, True), (3, True)])
def test_a_killed_worker_is_replaced_and_its_tasks_done(num_workers: int, chunked: bool) -> None:
    with faulty(num_workers) as sphere:
        before = sphere.call_all("pid")
        tasks = [{"x": x, "descriptor": FIRST_EXTRA_FD, "number": signal.SIGKILL} for x in range(20)]
        assert sphere.map_tasks("square_later", tasks, chunked=chunked) == [x * x for x in range(20)]
        assert len(sphere.replacement_reasons) == 1 and sphere.replacement_reasons[0].endswith("was killed by signal 9")
        now = sphere.call_all("pid")
        assert now == sphere.pids and len(set(before) - set(now)) == 1
        assert not any(is_alive(pid) for pid in set(before) - set(now))


def test_workers_killed_while_they_rest_are_replaced() -> None:
    with launch(2, idempotent=True) as two:
        for worker in two.workers:
            worker.process.kill()
            worker.process.wait()
        assert two.call_all("square", [{"x": 2}, {"x": 3}]) == [4, 9]
        assert len(two.replacement_reasons) == 2


def test_a_worker_in_anothers_place_is_prepared_as_it_was() -> None:
    with launch(1, idempotent=True) as one:
        one.prepare("remember", x=5)
        one.prepare("remember", x=6)
        one.workers[0].process.kill()
        assert one.call_one("prepared") == [5, 6]


@pytest.mark.parametrize("idempotent", [True, False])
def test_workers_join_and_leave_between_calls(idempotent: bool) -> None:
    with launch(2, idempotent=idempotent) as sphere:
        sphere.prepare("remember", x=5)
        first = sphere.call_all("pid")
        sphere.resize(5)
        assert sphere.call_all("prepared") == [[5]] * 5 and sphere.call_all("pid")[:2] == first
        assert sphere.map_tasks("square", [{"x": x} for x in range(20)]) == [x * x for x in range(20)]
        five = sphere.pids
        sphere.resize(1)
        assert sphere.call_all("pid") == first[:1] and not any(is_alive(pid) for pid in five[1:])
        sphere.resize(3)
        assert sphere.call_all("square", [{"x": 1}, {"x": 2}, {"x": 3}]) == [1, 4, 9]
        assert sphere.call_all("prepared") == [[5]] * 3 and len({*sphere.pids, *five}) == 7
    assert not any(is_alive(pid) for pid in five)


def test_a_worker_that_ends_while_it_joins_is_replaced() -> None:
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


def test_a_hung_worker_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cllm.spheres.sphere.IDLE_CHECK_SECONDS", 0.05)
    with faulty(2) as sphere:
        tasks = [{"x": x, "descriptor": FIRST_EXTRA_FD, "number": signal.SIGSTOP} for x in range(5)]
        assert sphere.map_tasks("square_later", tasks) == [x * x for x in range(5)]
        assert len(sphere.replacement_reasons) == 1 and "used no CPU time" in sphere.replacement_reasons[0]


def test_a_result_that_cannot_be_is_found_again() -> None:
    with faulty(2) as sphere:
        tasks = [{"x": x, "descriptor": FIRST_EXTRA_FD} for x in range(9)]
        found = sphere.map_tasks(
            "square_wrongly", tasks, is_valid=lambda arguments, result: result == arguments["x"] ** 2
        )
        assert found == [x * x for x in range(9)]
        assert len(sphere.replacement_reasons) == 1 and sphere.replacement_reasons[0].endswith(
            "answered square_wrongly with -1"
        )
        assert sum(worker.num_done["square_wrongly"] for worker in sphere.workers) == 9, "only what was accepted counts"
    with launch(2, idempotent=True) as two:
        two.prepare("remember", x=5)
        assert two.call_all("square", [{"x": 2}, {"x": 3}], lambda arguments, result: result == 4) == [4, 9]
        assert len(two.replacement_reasons) == 1, "the second answer stands"


def test_workers_that_all_end_are_not_replaced_for_ever() -> None:
    with launch(2, idempotent=True) as two:
        with pytest.raises(WorkerLost, match="killed by signal 9"):
            two.map_tasks("die", [{}, {}])
        assert len(two.replacement_reasons) == MAX_CONSECUTIVE_FAILURES


def test_an_answer_to_another_call_is_refused() -> None:
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
    assert worker.pending is call and worker.num_done["square"] == 1, "it still owes it"
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


def test_no_worker_is_left_behind() -> None:
    with launch(2) as two:
        pids = two.call_all("pid")
    assert not any(is_alive(pid) for pid in pids)


def test_a_worker_never_outlives_a_killed_parent() -> None:
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


def test_workers_write_into_shared_memory() -> None:
    descriptor = create_shared_memory()
    shared = SharedArrays(LAYOUT, descriptor)
    with launch(2, (descriptor,)) as two:
        two.map_tasks("write", [{"descriptor": FIRST_EXTRA_FD, "row": row} for row in range(4)])
    os.close(descriptor)
    assert np.array_equal(shared["a"], np.repeat(np.arange(4, dtype=np.float32), 5).reshape(4, 5))
    assert not shared["b"].any()


def test_shared_arrays_begin_on_cache_lines() -> None:
    descriptor = create_shared_memory()
    shared = SharedArrays({"x": ("uint8", (3,)), "y": ("float64", (2, 2))}, descriptor)
    os.close(descriptor)
    assert shared["y"].ctypes.data - shared["x"].ctypes.data == 64
