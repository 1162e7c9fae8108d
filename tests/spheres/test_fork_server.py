"""The fork server: start, exit codes and failures of workers, functions run in it, deadlines and signals."""

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


def private_bytes(pid: int) -> int:
    """Private dirty memory of a process in bytes."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_Dirty:"))


def test_workers_share_the_imported_modules() -> None:
    with launch(WORKER, "cllm.training.worker") as fork_server, Sphere(fork_server, WORKER, 2) as sphere:
        pids = sphere.call_all("pid")
        # Importing PyTorch alone takes 160 MB of private memory.
        assert all(private_bytes(pid) < 60e6 for pid in pids), [private_bytes(pid) for pid in pids]


def test_spawn_does_not_wait_for_the_start() -> None:
    with launch() as fork_server:
        children = [fork_server.spawn(WORKER) for _ in range(3)]
        pids = [child.pid for child in reversed(children)]
        assert len(set(pids)) == 3
        for child in children:
            child.calls.close()
            assert child.wait(20) == 0
            child.close()


def test_exit_code_of_a_worker_is_known() -> None:
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
            child.kill()  # no effect: the process has ended
            child.close()


def test_traceback_of_a_crashed_worker_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    with launch() as fork_server:
        child = fork_server.spawn(WORKER)
        child.calls.write(b"this is no JSON\n")
        child.calls.flush()
        assert child.wait(20) == 1
        child.close()
    assert "JSONDecodeError" in capfd.readouterr().err


def test_workers_die_with_the_fork_server() -> None:
    with launch() as fork_server, Sphere(fork_server, WORKER, 2) as sphere:
        sphere.call_all("pid")
        fork_server.process.kill()
        fork_server.process.wait()
        with pytest.raises(WorkerLost, match="was killed by signal 9"):
            sphere.call_all("pid")
        with pytest.raises(WorkerLost, match=r"the fork server \(process \d+\) was killed by signal 9"):
            fork_server.spawn(WORKER)


def test_missing_module_raises_worker_lost() -> None:
    raises_lost = pytest.raises(WorkerLost, match="ended with exit code 1")
    with launch("no_such_module") as fork_server, closing(fork_server.spawn("no_such_module")) as child, raises_lost:
        _ = child.pid


def test_missing_module_of_a_sphere_raises_worker_lost() -> None:
    raises_lost = pytest.raises(WorkerLost, match="ended with exit code 1")
    with launch("no_such_module") as fork_server, Sphere(fork_server, "no_such_module", 2) as sphere, raises_lost:
        sphere.call_all("pid")


def test_failed_fork_raises_worker_lost_and_keeps_the_fork_server() -> None:
    raises_lost = pytest.raises(WorkerLost, match="^a worker process cannot be started: no more processes$")
    with launch("refusing_worker") as fork_server:
        for _ in range(2):  # the fork server survives the first failure
            with raises_lost, Sphere(fork_server, "refusing_worker", 2) as sphere:
                sphere.call_all("pid")


def test_exit_after_an_error_does_not_wait_for_workers_to_start() -> None:
    with (
        pytest.raises(KeyError),
        launch(WORKER, "cllm.training.worker") as fork_server,
        Sphere(fork_server, WORKER, 2) as sphere,
    ):
        os.kill(fork_server.process.pid, signal.SIGSTOP)  # so that no worker ever starts
        raise KeyError(sphere)


def test_fork_server_that_does_not_answer_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cllm.spheres.fork_server.DEADLINE_SECONDS", 0.5)
    with launch() as fork_server:
        os.kill(fork_server.process.pid, signal.SIGSTOP)
        with closing(fork_server.spawn(WORKER)) as child, pytest.raises(WorkerLost, match="was killed by signal 9"):
            _ = child.pid


def test_workers_forked_after_run_share_its_result() -> None:
    with launch(WORKER, "preparing") as fork_server, Sphere(fork_server, WORKER, 1) as before:
        fork_server.run("preparing", "prepare", 20)
        with Sphere(fork_server, WORKER, 2) as after:
            assert after.call_all("prepared") == [[fork_server.process.pid]] * 2
        assert before.call_one("prepared") == []
        with pytest.raises(WorkerLost, match=r"^preparing\.prepare failed: RuntimeError: it is there$"):
            fork_server.run("preparing", "prepare", 20)
        assert fork_server._socket.gettimeout() == DEADLINE_SECONDS
        assert before.call_one("square", x=2) == 4


def test_run_has_a_timeout() -> None:
    with launch(WORKER, "preparing") as fork_server:
        os.kill(fork_server.process.pid, signal.SIGSTOP)
        with pytest.raises(WorkerLost, match="was killed by signal 9"):
            fork_server.run("preparing", "prepare", 0.5)


def test_descriptors_are_closed() -> None:
    with launch() as fork_server:
        descriptor_counts = []
        for _ in range(2):
            with Sphere(fork_server, WORKER, 3) as sphere:
                sphere.call_all("pid")
            descriptor_counts.append(
                [len([*Path(f"/proc/{pid}/fd").iterdir()]) for pid in (fork_server.process.pid, os.getpid())]
            )
        assert descriptor_counts[0] == descriptor_counts[1]


def test_fork_server_and_workers_ignore_interrupts() -> None:
    with launch() as fork_server, Sphere(fork_server, WORKER, 1) as sphere:
        assert os.getpgid(fork_server.process.pid) != os.getpgid(0)
        for pid in (fork_server.process.pid, sphere.call_one("pid")):
            os.kill(pid, signal.SIGINT)
            os.kill(pid, signal.SIGTERM)
        assert sphere.call_one("square", x=5) == 25


def test_fork_server_ends_with_its_owner() -> None:
    program = (
        f"from cllm.spheres import ForkServer; import os; print(ForkServer([{WORKER!r}], {ENVIRONMENT!r}).process.pid)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    wait_until_gone([int(done.stdout)])
