"""The workspace directory: creation, permissions, cleaning, runs and the pointer to the current run."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from cllm.errors import ArtifactError, WorkspaceError
from cllm.workspace.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "repository").mkdir()
    return Workspace(tmp_path / "repository")


@pytest.fixture
def created(workspace: Workspace) -> Workspace:
    workspace.create()
    return workspace


def _outside(tmp_path: Path) -> Path:
    """A user directory outside of the workspace, which must stay unchanged."""
    outside = tmp_path / "outside"
    (outside / "0001").mkdir(parents=True)
    (outside / "0001" / "precious").write_text("x")
    return outside


def test_queries_of_a_missing_workspace_create_nothing(workspace: Workspace) -> None:
    assert (workspace.latest_run(), workspace.current(), workspace.unfinished()) == (None, None, None)
    assert workspace.holder() is None
    assert workspace.disk_bytes() == 0
    assert workspace.clean() == 0
    assert list(workspace.root.iterdir()) == []


def test_created_directory_is_private_and_ignored_by_git(workspace: Workspace) -> None:
    workspace.create()
    workspace.create()
    assert stat.S_IMODE(workspace.folder.stat().st_mode) == 0o700
    assert (workspace.folder / ".gitignore").read_text() == "*\n"


def test_git_status_does_not_show_the_directory(workspace: Workspace) -> None:
    workspace.create()
    workspace.new_run()
    environment = {"PATH": os.environ["PATH"], "HOME": str(workspace.root), "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(["git", "init", "-q"], cwd=workspace.root, env=environment, check=True)
    command = ["git", "status", "--porcelain"]
    seen = subprocess.run(command, cwd=workspace.root, env=environment, check=True, capture_output=True).stdout
    assert seen == b""


def test_create_restores_permissions_and_gitignore(created: Workspace) -> None:
    created.folder.chmod(0o755)
    (created.folder / ".gitignore").write_text("!*\n")
    created.create()
    assert stat.S_IMODE(created.folder.stat().st_mode) == 0o700
    assert (created.folder / ".gitignore").read_text() == "*\n"


def test_unwritable_repository_raises_workspace_error(tmp_path: Path) -> None:
    for root in (Path("/proc/self/task"), tmp_path / "missing"):
        with pytest.raises(WorkspaceError, match=r"\.cllm cannot be written: "):
            Workspace(root).create()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_repository_raises_workspace_error(workspace: Workspace) -> None:
    workspace.root.chmod(0o555)
    with pytest.raises(WorkspaceError, match="Permission denied"):
        workspace.create()


def test_file_in_place_of_the_directory_is_rejected_and_kept(workspace: Workspace) -> None:
    workspace.folder.write_text("mine")
    with pytest.raises(WorkspaceError, match="is not a directory"):
        workspace.create()
    with pytest.raises(WorkspaceError):
        workspace.clean()
    assert workspace.folder.read_text() == "mine"


@pytest.mark.parametrize("link", [".cllm", ".cllm/runs"])
def test_symbolic_link_is_rejected_and_its_target_unchanged(workspace: Workspace, tmp_path: Path, link: str) -> None:
    outside = _outside(tmp_path)
    (workspace.root / link).parent.mkdir(exist_ok=True)
    (workspace.root / link).symlink_to(outside)
    with pytest.raises(WorkspaceError, match="is a symbolic link"):
        workspace.create()
    with pytest.raises(WorkspaceError, match="is a symbolic link"), workspace.lock():
        pytest.fail("locked")
    assert workspace.disk_bytes() == 0
    if link == ".cllm":
        with pytest.raises(WorkspaceError, match="is a symbolic link"):
            workspace.clean()
    else:
        workspace.clean()
    assert (outside / "0001" / "precious").read_text() == "x"


def test_lock_reports_its_holder_and_is_released(workspace: Workspace) -> None:
    with workspace.lock():
        assert workspace.holder() == os.getpid()
        with pytest.raises(WorkspaceError, match=f"in use by process {os.getpid()}"), workspace.lock():
            pytest.fail("locked twice")
    assert workspace.holder() is None
    with workspace.lock():
        pass


HOLD = """
import sys
from pathlib import Path
from cllm.workspace.workspace import Workspace
with Workspace(Path(sys.argv[1])).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_clean_fails_while_a_run_holds_the_lock_and_works_after_it_is_killed(workspace: Workspace) -> None:
    command = [sys.executable, "-c", HOLD, str(workspace.root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert workspace.holder() == process.pid
        with pytest.raises(WorkspaceError, match=f"in use by process {process.pid}"):
            workspace.clean()
        assert workspace.folder.is_dir()
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert workspace.holder() is None
    workspace.clean()
    assert not workspace.folder.exists()


def test_clean_returns_the_bytes_freed_and_is_idempotent(created: Workspace) -> None:
    (created.new_run() / "weights").write_bytes(b"x" * 1_000_000)
    used = created.disk_bytes()
    assert 1_000_000 <= used < 1_100_000
    assert used <= created.clean() < 1_200_000  # including the lock file, which clean creates
    assert list(created.root.iterdir()) == []
    assert created.clean() == 0


def test_clean_does_not_follow_symbolic_links(created: Workspace, tmp_path: Path) -> None:
    outside = _outside(tmp_path)
    (created.new_run() / "link").symlink_to(outside)
    assert created.clean() < 100_000
    assert (outside / "0001" / "precious").exists()


def test_clean_reports_files_that_cannot_be_removed(created: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, *arguments: object, **options: object) -> None:
        raise PermissionError(1, "Operation not permitted", path)

    monkeypatch.setattr("os.unlink", refuse)
    with pytest.raises(WorkspaceError, match="cannot be removed completely: Operation not permitted"):
        created.clean()


def test_run_numbers_increase(created: Workspace) -> None:
    assert [created.new_run().name for _ in range(3)] == ["0001", "0002", "0003"]
    assert created.latest_run() == created.runs / "0003"
    (created.runs / "9999").mkdir()
    assert created.new_run().name == "10000"
    assert created.latest_run() == created.runs / "10000"


def test_latest_run_ignores_entries_that_are_not_runs(created: Workspace, tmp_path: Path) -> None:
    run = created.new_run()
    (created.runs / ".tmp-1-0002").mkdir()
    (created.runs / "0003").write_text("a file")
    (created.runs / "0004").symlink_to(_outside(tmp_path))
    (created.runs / "new").mkdir()
    assert created.latest_run() == run


def test_run_that_cannot_be_created_raises_workspace_error(created: Workspace) -> None:
    created.runs.rmdir()
    with pytest.raises(WorkspaceError, match=r"0001 cannot be created: No such file"):
        created.new_run()


def test_publish_moves_the_pointer_and_removes_older_runs(created: Workspace) -> None:
    first = created.new_run()
    assert (created.current(), created.unfinished()) == (None, first)
    created.publish(first)
    assert (created.current(), created.unfinished()) == (first, None)
    second, third = created.new_run(), created.new_run()
    assert (created.current(), created.unfinished()) == (first, third)
    created.publish(second)
    assert (created.current(), created.unfinished()) == (second, third)
    assert sorted(created.runs.iterdir()) == [second, third]


def test_publish_succeeds_when_an_older_run_cannot_be_removed(
    created: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = created.new_run(), created.new_run()
    (old / "file").touch()
    with monkeypatch.context() as patch:
        patch.setattr("os.rmdir", lambda *_, **__: (_ for _ in ()).throw(PermissionError(1, "immutable")))
        created.publish(new)
    assert (created.current(), old.exists()) == (new, True)
    created.publish(new)
    assert not old.exists()


def test_publish_of_a_path_that_is_not_a_run_fails_an_assertion(created: Workspace, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="is not a run"):
        created.publish(tmp_path)
    assert created.current() is None


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff", b"[]", b"null"]
    + [b'{"run": 1}', b'{"run": null}', b'{"run": "../../outside"}', b'{"run": "0001\\n"}'],
)
def test_corrupted_pointer_raises_an_error_naming_it(created: Workspace, content: bytes) -> None:
    created.new_run()
    created.pointer.write_bytes(content)
    for query in (created.current, created.unfinished):
        with pytest.raises(ArtifactError, match=r"current\.json"):
            query()


def test_pointer_to_a_missing_run_raises_an_error_naming_both(created: Workspace) -> None:
    run = created.new_run()
    created.publish(run)
    run.rmdir()
    with pytest.raises(ArtifactError, match=r"0001 is missing, but .*current\.json names it"):
        created.current()
