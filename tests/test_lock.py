"""The workspace lock: mutual exclusion, the holder's record, and release when the holder dies."""

import fcntl
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cllm.errors import WorkspaceError
from cllm.workspace import lock

HOLD = """
import sys
from pathlib import Path
from cllm.workspace import lock
with lock.hold(Path(sys.argv[1])):
    {body}
    print("held", flush=True)
    sys.stdin.read()
"""


def _start_holder(path: Path, body: str = "pass") -> "subprocess.Popen[str]":
    """Start a process that holds the lock until its standard input closes; return once it holds it."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD.format(body=body), str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


def test_released_lock_has_no_holder(path: Path) -> None:
    assert lock.holder(path) is None
    with lock.hold(path):
        pass
    assert path.exists()
    assert lock.holder(path) is None


def test_held_lock_reports_its_holder(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["cllm", "train", "a b"])
    with lock.hold(path):
        found = lock.holder(path)
        assert found is not None
        assert (found.pid, found.command) == (os.getpid(), "cllm train 'a b'")
        assert found.since.endswith("+00:00")
        sentence = rf"in use by process {os.getpid()} \(cllm train 'a b', since 2"
        with pytest.raises(WorkspaceError, match=sentence), lock.hold(path):
            pytest.fail("held twice")
    assert lock.holder(path) is None


def test_lock_is_released_after_an_exception(path: Path) -> None:
    with pytest.raises(ZeroDivisionError), lock.hold(path):
        raise ZeroDivisionError
    with lock.hold(path):
        pass


def test_lock_is_exclusive_until_the_holder_is_killed(path: Path) -> None:
    with _start_holder(path) as process:
        found = lock.holder(path)
        assert found is not None
        assert found.pid == process.pid
        with pytest.raises(WorkspaceError, match=f"kill {process.pid}"), lock.hold(path):
            pytest.fail("held twice")
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert json.loads(path.read_bytes())["pid"] == process.pid  # the stale record is still there
    assert lock.holder(path) is None
    with lock.hold(path):
        assert json.loads(path.read_bytes())["pid"] == os.getpid()


def _kill_holder_with_child(path: Path, body: str) -> int:
    """Kill a holder that has started a child; return the PID of the child, which is still alive."""
    note = path.with_name("child")
    with _start_holder(path, body) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    return int(note.read_text())


@pytest.mark.parametrize(
    "body",
    [
        "import subprocess; "
        "child = subprocess.Popen(['sleep', '600'], close_fds=False, stdin=-3, stdout=-3); "
        "Path(sys.argv[1]).with_name('child').write_text(str(child.pid))",
        # The child closes the inherited lock when it starts running, which can be long after the fork under load.
        "import os, time; "
        "reader, writer = os.pipe(); "
        "child = os.fork(); "
        "child or (os.write(writer, b'.'), os.close(0), os.close(1), time.sleep(600)); "
        "os.read(reader, 1); "
        "Path(sys.argv[1]).with_name('child').write_text(str(child))",
    ],
    ids=["program", "fork"],
)
def test_child_that_outlives_the_holder_does_not_keep_the_lock(path: Path, body: str) -> None:
    child = _kill_holder_with_child(path, body)
    try:
        os.kill(child, 0)  # the child is alive
        assert lock.holder(path) is None
        with lock.hold(path):
            pass
    finally:
        os.kill(child, signal.SIGKILL)


def _exit_normally(path: str) -> None:
    assert lock.holder(Path(path)) is not None


def test_exit_of_a_forked_child_does_not_release_the_lock(path: Path) -> None:
    with lock.hold(path):
        child = multiprocessing.get_context("fork").Process(target=_exit_normally, args=(str(path),))
        child.start()
        child.join()
        assert child.exitcode == 0
        assert lock.holder(path) is not None


def test_acquiring_retries_while_another_process_checks_the_holder(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.touch()
    descriptor = os.open(path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)  # as in another process that checks the holder
    monkeypatch.setattr("time.sleep", lambda _: os.close(descriptor))
    with lock.hold(path):
        pass


def test_record_of_an_ended_process_is_read_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with lock.hold(path):
        true_record = path.read_bytes()
        path.write_text(json.dumps({"pid": 2**22 + 1, "command": "the one before", "since": "then"}))
        monkeypatch.setattr("time.sleep", lambda _: path.write_bytes(true_record))
        found = lock.holder(path)
    assert found is not None
    assert found.pid == os.getpid()


@pytest.mark.parametrize("record", [b"", b"{", b"[1]", b'{"pid": 1}', b"\xff"])
def test_held_lock_with_an_invalid_record_is_still_held(path: Path, record: bytes) -> None:
    with lock.hold(path):
        path.write_bytes(record)
        with pytest.raises(WorkspaceError, match="has not written its process ID"):
            lock.holder(path)
        with pytest.raises(WorkspaceError, match="has not written its process ID"), lock.hold(path):
            pytest.fail("held twice")


def test_lock_file_removed_while_acquiring_raises(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try_lock = lock._try_lock

    def remove_then_lock(descriptor: int, path: Path, kind: int, attempts: int) -> bool:
        path.unlink()
        return try_lock(descriptor, path, kind, attempts)

    monkeypatch.setattr(lock, "_try_lock", remove_then_lock)
    with pytest.raises(WorkspaceError, match="was removed by another process"), lock.hold(path):
        pytest.fail("held a removed lock file")


def test_symbolic_link_or_pipe_as_lock_file_is_rejected_and_unchanged(path: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    path.symlink_to(victim)
    with pytest.raises(WorkspaceError, match="cannot be opened as a lock file"), lock.hold(path):
        pass
    assert victim.read_text() == "precious"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(WorkspaceError, match="not a plain file"), lock.hold(path):
        pass


def test_file_system_without_locks_raises_workspace_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, kind: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(WorkspaceError, match="No locks available"), lock.hold(path):
        pass
