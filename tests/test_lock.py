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


def _start(path: Path, body: str = "pass") -> "subprocess.Popen[str]":
    """A process that holds the lock until its standard input closes; returns once it holds it."""
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


def test_a_free_lock_has_no_holder(path: Path) -> None:
    assert lock.holder(path) is None
    with lock.hold(path):
        pass
    assert path.exists()
    assert lock.holder(path) is None


def test_a_held_lock_names_its_holder(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_lock_is_given_back_after_an_error(path: Path) -> None:
    with pytest.raises(ZeroDivisionError), lock.hold(path):
        raise ZeroDivisionError
    with lock.hold(path):
        pass


def test_another_process_is_refused_until_the_holder_is_killed(path: Path) -> None:
    with _start(path) as process:
        found = lock.holder(path)
        assert found is not None
        assert found.pid == process.pid
        with pytest.raises(WorkspaceError, match=f"kill {process.pid}"), lock.hold(path):
            pytest.fail("held twice")
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert json.loads(path.read_bytes())["pid"] == process.pid  # its record is still there, and means nothing
    assert lock.holder(path) is None
    with lock.hold(path):
        assert json.loads(path.read_bytes())["pid"] == os.getpid()


def _holder_dies_leaving_a_child(path: Path, body: str) -> int:
    """The process number of the child that outlives the killed holder."""
    note = path.with_name("child")
    with _start(path, body) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    return int(note.read_text())


@pytest.mark.parametrize(
    "body",
    [
        "import subprocess; "
        "child = subprocess.Popen(['sleep', '600'], close_fds=False, stdin=-3, stdout=-3); "
        "Path(sys.argv[1]).with_name('child').write_text(str(child.pid))",
        # A busy machine may run the child, which gives up the lock as it begins, long after the fork.
        "import os, time; "
        "heard, said = os.pipe(); "
        "child = os.fork(); "
        "child or (os.write(said, b'.'), os.close(0), os.close(1), time.sleep(600)); "
        "os.read(heard, 1); "
        "Path(sys.argv[1]).with_name('child').write_text(str(child))",
    ],
    ids=["program", "fork"],
)
def test_a_child_that_survives_its_parent_keeps_no_lock(path: Path, body: str) -> None:
    child = _holder_dies_leaving_a_child(path, body)
    try:
        os.kill(child, 0)  # it lives
        assert lock.holder(path) is None
        with lock.hold(path):
            pass
    finally:
        os.kill(child, signal.SIGKILL)


def _leave_quietly(path: str) -> None:
    assert lock.holder(Path(path)) is not None


def test_a_forked_child_does_not_free_the_lock_of_its_parent(path: Path) -> None:
    with lock.hold(path):
        child = multiprocessing.get_context("fork").Process(target=_leave_quietly, args=(str(path),))
        child.start()
        child.join()
        assert child.exitcode == 0
        assert lock.holder(path) is not None


def test_asking_does_not_get_in_the_way(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.touch()
    descriptor = os.open(path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)  # another process asks at this moment
    monkeypatch.setattr("time.sleep", lambda _: os.close(descriptor))
    with lock.hold(path):
        pass


def test_a_record_of_an_ended_process_is_read_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with lock.hold(path):
        true_record = path.read_bytes()
        path.write_text(json.dumps({"pid": 2**22 + 1, "command": "the one before", "since": "then"}))
        monkeypatch.setattr("time.sleep", lambda _: path.write_bytes(true_record))
        found = lock.holder(path)
    assert found is not None
    assert found.pid == os.getpid()


@pytest.mark.parametrize("record", [b"", b"{", b"[1]", b'{"pid": 1}', b"\xff"])
def test_a_holder_without_a_record_is_still_a_holder(path: Path, record: bytes) -> None:
    with lock.hold(path):
        path.write_bytes(record)
        with pytest.raises(WorkspaceError, match="has not written its process ID"):
            lock.holder(path)
        with pytest.raises(WorkspaceError, match="has not written its process ID"), lock.hold(path):
            pytest.fail("held twice")


def test_a_lock_whose_file_was_removed_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try_lock = lock._try_lock

    def remove_then_lock(descriptor: int, path: Path, kind: int, attempts: int) -> bool:
        path.unlink()
        return try_lock(descriptor, path, kind, attempts)

    monkeypatch.setattr(lock, "_try_lock", remove_then_lock)
    with pytest.raises(WorkspaceError, match="was removed by another process"), lock.hold(path):
        pytest.fail("a worthless lock")


def test_what_is_no_plain_file_is_no_lock_and_is_left_alone(path: Path, tmp_path: Path) -> None:
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


def test_a_file_system_without_locks_is_one_sentence(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, kind: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(WorkspaceError, match="No locks available"), lock.hold(path):
        pass
