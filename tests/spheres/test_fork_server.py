import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from processes import wait_until_gone

from cllm.spheres import ForkServer, Sphere, WorkerLost
from cllm.spheres.fork_server import DEADLINE_SECONDS

WORKER = "answering_worker"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}


@contextmanager
def launch(*modules: str) -> Iterator[ForkServer]:
    with ForkServer(modules or [WORKER], ENVIRONMENT) as fork_server:
        yield fork_server


def own_bytes(pid: int) -> int:
    """What a process has written to and shares with nobody."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_Dirty:"))


def test_workers_do_not_import_what_it_imported() -> None:
    with launch(WORKER, "cllm.training.worker") as fork_server, Sphere(fork_server, WORKER, 2) as sphere:
        pids = sphere.call_all("pid")
        # PyTorch alone is 160 MB of a process's own memory.
        assert all(own_bytes(pid) < 60e6 for pid in pids), [own_bytes(pid) for pid in pids]


def test_a_worker_is_asked_for_before_it_can_be_born() -> None:
    with launch() as fork_server:
        children = [fork_server.spawn(WORKER) for _ in range(3)]
        numbers = [child.pid for child in reversed(children)]
        assert len(set(numbers)) == 3
        for child in children:
            child.calls.close()
            assert child.wait(20) == 0
            child.close()


def test_how_a_worker_ended_is_known() -> None:
    with launch() as fork_server:
        for call, code in (
            (b'{"call": "end", "number": 1, "tasks": [{"code": 7}]}', 7),
            (b'{"call": "die", "number": 1, "tasks": [{}]}', -9),
        ):
            child = fork_server.spawn(WORKER)
            assert child.wait(0) is None
            child.calls.write(call + b"\n")
            child.calls.flush()
            assert child.wait(20) == code and child.wait() == code
            child.kill()  # nobody: it is gone
            child.close()


def test_a_worker_that_breaks_down_shows_why(capfd: pytest.CaptureFixture[str]) -> None:
    with launch() as fork_server:
        child = fork_server.spawn(WORKER)
        child.calls.write(b"this is no JSON\n")
        child.calls.flush()
        assert child.wait(20) == 1
        child.close()
    assert "JSONDecodeError" in capfd.readouterr().err


def test_workers_die_with_the_process_they_come_from() -> None:
    with launch() as fork_server, Sphere(fork_server, WORKER, 2) as sphere:
        sphere.call_all("pid")
        fork_server.process.kill()
        fork_server.process.wait()
        with pytest.raises(WorkerLost, match="was killed by signal 9"):
            sphere.call_all("pid")
        with pytest.raises(WorkerLost, match=r"the fork server \(process \d+\) was killed by signal 9"):
            fork_server.spawn(WORKER)


def test_a_module_that_is_not_there_is_noticed() -> None:
    lost = pytest.raises(WorkerLost, match="ended with exit code 1")
    with launch("no_such_module") as fork_server, closing(fork_server.spawn("no_such_module")) as child, lost:
        _ = child.pid


def test_a_sphere_whose_workers_cannot_be_born_says_so() -> None:
    lost = pytest.raises(WorkerLost, match="ended with exit code 1")
    with launch("no_such_module") as fork_server, Sphere(fork_server, "no_such_module", 2) as sphere, lost:
        sphere.call_all("pid")


def test_a_worker_that_no_process_can_be_had_for_says_so() -> None:
    lost = pytest.raises(WorkerLost, match="^a worker process cannot be started: no more processes$")
    with launch("refusing_worker") as fork_server:
        for _ in range(2):  # and it does not end the fork server
            with lost, Sphere(fork_server, "refusing_worker", 2) as sphere:
                sphere.call_all("pid")


def test_workers_that_are_not_born_yet_are_not_waited_for() -> None:
    with (
        pytest.raises(KeyError),
        launch(WORKER, "cllm.training.worker") as fork_server,
        Sphere(fork_server, WORKER, 2) as sphere,
    ):
        os.kill(fork_server.process.pid, signal.SIGSTOP)  # they never will be
        raise KeyError(sphere)


def test_one_that_does_not_answer_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cllm.spheres.fork_server.DEADLINE_SECONDS", 0.5)
    with launch() as fork_server:
        os.kill(fork_server.process.pid, signal.SIGSTOP)
        with closing(fork_server.spawn(WORKER)) as child, pytest.raises(WorkerLost, match="was killed by signal 9"):
            _ = child.pid


def test_what_is_run_in_it_is_there_for_those_who_are_born_later() -> None:
    with launch(WORKER, "preparing") as fork_server, Sphere(fork_server, WORKER, 1) as before:
        fork_server.run("preparing", "prepare", 20)
        with Sphere(fork_server, WORKER, 2) as after:
            assert after.call_all("prepared") == [[fork_server.process.pid]] * 2
        assert before.call_one("prepared") == []
        with pytest.raises(WorkerLost, match=r"^preparing\.prepare failed: RuntimeError: it is there$"):
            fork_server.run("preparing", "prepare", 20)
        assert fork_server._socket.gettimeout() == DEADLINE_SECONDS
        assert before.call_one("square", x=2) == 4


def test_what_is_run_in_it_has_a_deadline() -> None:
    with launch(WORKER, "preparing") as fork_server:
        os.kill(fork_server.process.pid, signal.SIGSTOP)
        with pytest.raises(WorkerLost, match="was killed by signal 9"):
            fork_server.run("preparing", "prepare", 0.5)


def test_descriptors_do_not_pile_up() -> None:
    with launch() as fork_server:
        left = []
        for _ in range(2):
            with Sphere(fork_server, WORKER, 3) as sphere:
                sphere.call_all("pid")
            left.append([len([*Path(f"/proc/{pid}/fd").iterdir()]) for pid in (fork_server.process.pid, os.getpid())])
        assert left[0] == left[1]


def test_a_terminals_interrupt_is_not_for_it() -> None:
    with launch() as fork_server, Sphere(fork_server, WORKER, 1) as sphere:
        assert os.getpgid(fork_server.process.pid) != os.getpgid(0)
        for pid in (fork_server.process.pid, sphere.call_one("pid")):
            os.kill(pid, signal.SIGINT)
            os.kill(pid, signal.SIGTERM)
        assert sphere.call_one("square", x=5) == 25


def test_it_ends_where_nobody_asks_any_more() -> None:
    program = (
        f"from cllm.spheres import ForkServer; import os; print(ForkServer([{WORKER!r}], {ENVIRONMENT!r}).process.pid)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    wait_until_gone([int(done.stdout)])
