import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from processes import is_alive, wait_until_gone

from cllm.spheres import FIRST_MORE, Nursery, SharedArrays, Sphere, WorkerLost, create_memory

WORKER = "answering_worker"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
LAYOUT: dict[str, tuple[str, tuple[int, ...]]] = {"a": ("float32", (4, 5)), "b": ("int64", (3,))}


@contextmanager
def launch(num_workers: int, more: tuple[int, ...] = ()) -> Iterator[Sphere]:
    with Nursery([WORKER], ENVIRONMENT) as nursery, Sphere(nursery, WORKER, num_workers, more) as sphere:
        yield sphere


@pytest.fixture(scope="module")
def sphere() -> Iterator[Sphere]:
    with launch(3) as sphere:
        yield sphere


def test_results_come_in_the_order_of_the_tasks(sphere: Sphere) -> None:
    assert sphere.deal("square", [{"x": x} for x in range(20)]) == [x * x for x in range(20)]


def test_fewer_tasks_than_workers_and_none(sphere: Sphere) -> None:
    assert sphere.deal("square", [{"x": 3}]) == [9]
    assert sphere.deal("square", []) == []


def test_some_work_while_others_rest(sphere: Sphere) -> None:
    pids = sphere.call_all("pid")
    assert set(sphere.deal("pid", [{}] * 9, 1)) == {pids[0]}
    assert set(sphere.deal("pid", [{}] * 9, 2)) <= set(pids[:2])
    assert sphere.call_all("square", [{"x": 2}, {"x": 3}]) == [4, 9]
    assert sphere.call_all("square", [{"x": 2}, {"x": 3}, {"x": 4}]) == [4, 9, 16]


def test_a_call_that_was_begun_is_answered_some_time() -> None:
    with launch(1) as sphere:
        sphere.begin("square", x=3)
        while not sphere.has_answered():
            pass
        assert sphere.has_answered() and sphere.end() == 9
        assert not sphere.has_answered()


def test_tasks_are_drawn_as_workers_become_free(sphere: Sphere) -> None:
    drawn = []

    def tasks() -> Iterator[dict[str, int]]:
        for x in range(100):
            if len(drawn) == 7:
                return
            drawn.append(x)
            yield {"x": x}

    assert sphere.deal("square", tasks()) == [x * x for x in range(7)]


def test_every_worker_is_called_once(sphere: Sphere) -> None:
    assert sphere.call_all("pid") == sphere.pids
    assert sphere.call_one("pid") == sphere.pids[0]


def test_a_call_that_was_begun_is_ended_later(sphere: Sphere) -> None:
    sphere.begin("square", x=12)
    assert sphere.end() == 144


def test_a_users_error_is_its_sentence(sphere: Sphere) -> None:
    with launch(1) as one, pytest.raises(WorkerLost, match="^this was refused$"):
        one.call_all("fail")


def test_a_bug_shows_its_traceback() -> None:
    with launch(1) as one, pytest.raises(AssertionError, match="ZeroDivisionError"):
        one.call_all("bug")


def test_a_killed_worker_is_noticed_by_name() -> None:
    with launch(2) as two, pytest.raises(WorkerLost, match="killed by signal 9"):
        two.deal("die", [{}, {}])


def test_a_worker_that_died_before_the_call_is_noticed() -> None:
    with launch(1) as one:
        one.workers[0].process.kill()
        one.workers[0].process.wait()
        with pytest.raises(WorkerLost, match="killed by signal 9"):
            one.call_all("pid")


def test_no_worker_is_left_behind() -> None:
    with launch(2) as two:
        pids = two.call_all("pid")
    assert not any(is_alive(pid) for pid in pids)


def test_a_worker_never_outlives_a_killed_parent() -> None:
    program = (
        "import os, sys; from cllm.spheres import Nursery, Sphere;"
        f"nursery = Nursery([{WORKER!r}], {ENVIRONMENT!r}); sphere = Sphere(nursery, {WORKER!r}, 2);"
        "print(nursery.process.pid, *sphere.call_all('pid'), flush=True); sys.stdin.read()"
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
    descriptor = create_memory()
    shared = SharedArrays(LAYOUT, descriptor)
    with launch(2, (descriptor,)) as two:
        two.deal("write", [{"descriptor": FIRST_MORE, "row": row} for row in range(4)])
    os.close(descriptor)
    assert np.array_equal(shared["a"], np.repeat(np.arange(4, dtype=np.float32), 5).reshape(4, 5))
    assert not shared["b"].any()


def test_shared_arrays_begin_on_cache_lines() -> None:
    descriptor = create_memory()
    shared = SharedArrays({"x": ("uint8", (3,)), "y": ("float64", (2, 2))}, descriptor)
    os.close(descriptor)
    assert shared["y"].ctypes.data - shared["x"].ctypes.data == 64
