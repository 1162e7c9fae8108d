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
def made(workspace: Workspace) -> Workspace:
    workspace.create()
    return workspace


def _outside(tmp_path: Path) -> Path:
    """A directory of the user that nothing here may touch."""
    outside = tmp_path / "outside"
    (outside / "0001").mkdir(parents=True)
    (outside / "0001" / "precious").write_text("x")
    return outside


def test_naming_a_workspace_touches_nothing(workspace: Workspace) -> None:
    assert (workspace.latest_run(), workspace.current(), workspace.unfinished()) == (None, None, None)
    assert workspace.holder() is None
    assert workspace.disk_bytes() == 0
    assert workspace.clean() == 0
    assert list(workspace.root.iterdir()) == []


def test_the_folder_is_private_and_ignores_itself(workspace: Workspace) -> None:
    workspace.create()
    workspace.create()
    assert stat.S_IMODE(workspace.folder.stat().st_mode) == 0o700
    assert (workspace.folder / ".gitignore").read_text() == "*\n"


def test_git_does_not_see_the_folder(workspace: Workspace) -> None:
    workspace.create()
    workspace.new_run()
    environment = {"PATH": os.environ["PATH"], "HOME": str(workspace.root), "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(["git", "init", "-q"], cwd=workspace.root, env=environment, check=True)
    command = ["git", "status", "--porcelain"]
    seen = subprocess.run(command, cwd=workspace.root, env=environment, check=True, capture_output=True).stdout
    assert seen == b""


def test_a_folder_with_other_rights_or_another_gitignore_is_brought_to_ours(made: Workspace) -> None:
    made.folder.chmod(0o755)
    (made.folder / ".gitignore").write_text("!*\n")
    made.create()
    assert stat.S_IMODE(made.folder.stat().st_mode) == 0o700
    assert (made.folder / ".gitignore").read_text() == "*\n"


def test_a_repository_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    for root in (Path("/proc/self/task"), tmp_path / "missing"):
        with pytest.raises(WorkspaceError, match=r"\.cllm cannot be written: "):
            Workspace(root).create()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_repository_is_one_sentence(workspace: Workspace) -> None:
    workspace.root.chmod(0o555)
    with pytest.raises(WorkspaceError, match="Permission denied"):
        workspace.create()


def test_a_file_in_the_place_of_the_folder_is_refused(workspace: Workspace) -> None:
    workspace.folder.write_text("mine")
    with pytest.raises(WorkspaceError, match="is not a directory"):
        workspace.create()
    with pytest.raises(WorkspaceError):
        workspace.clean()
    assert workspace.folder.read_text() == "mine"


@pytest.mark.parametrize("link", [".cllm", ".cllm/runs"])
def test_a_symbolic_link_is_refused_and_its_target_untouched(workspace: Workspace, tmp_path: Path, link: str) -> None:
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


def test_a_lock_names_its_holder_and_ends_with_it(workspace: Workspace) -> None:
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


def test_clean_refuses_while_a_run_holds_the_folder_and_not_after_it_was_killed(workspace: Workspace) -> None:
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


def test_clean_says_what_it_freed_and_may_be_repeated(made: Workspace) -> None:
    (made.new_run() / "weights").write_bytes(b"x" * 1_000_000)
    taken = made.disk_bytes()
    assert 1_000_000 <= taken < 1_100_000
    assert taken <= made.clean() < 1_200_000  # the lock file is new
    assert list(made.root.iterdir()) == []
    assert made.clean() == 0


def test_clean_does_not_follow_links_out_of_the_folder(made: Workspace, tmp_path: Path) -> None:
    outside = _outside(tmp_path)
    (made.new_run() / "link").symlink_to(outside)
    assert made.clean() < 100_000
    assert (outside / "0001" / "precious").exists()


def test_a_folder_that_cannot_be_removed_is_one_sentence(made: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, *arguments: object, **options: object) -> None:
        raise PermissionError(1, "Operation not permitted", path)

    monkeypatch.setattr("os.unlink", refuse)
    with pytest.raises(WorkspaceError, match="cannot be removed completely: Operation not permitted"):
        made.clean()


def test_runs_are_numbered_upward(made: Workspace) -> None:
    assert [made.new_run().name for _ in range(3)] == ["0001", "0002", "0003"]
    assert made.latest_run() == made.runs / "0003"
    (made.runs / "9999").mkdir()
    assert made.new_run().name == "10000"
    assert made.latest_run() == made.runs / "10000"


def test_only_directories_with_a_number_are_runs(made: Workspace, tmp_path: Path) -> None:
    run = made.new_run()
    (made.runs / ".tmp-1-0002").mkdir()
    (made.runs / "0003").write_text("a file")
    (made.runs / "0004").symlink_to(_outside(tmp_path))
    (made.runs / "new").mkdir()
    assert made.latest_run() == run


def test_a_run_that_cannot_be_made_is_one_sentence(made: Workspace) -> None:
    made.runs.rmdir()
    with pytest.raises(WorkspaceError, match=r"0001 cannot be created: No such file"):
        made.new_run()


def test_publishing_moves_the_pointer_and_removes_what_is_older(made: Workspace) -> None:
    first = made.new_run()
    assert (made.current(), made.unfinished()) == (None, first)
    made.publish(first)
    assert (made.current(), made.unfinished()) == (first, None)
    second, third = made.new_run(), made.new_run()
    assert (made.current(), made.unfinished()) == (first, third)
    made.publish(second)
    assert (made.current(), made.unfinished()) == (second, third)
    assert sorted(made.runs.iterdir()) == [second, third]


def test_a_run_that_cannot_be_removed_does_not_stop_publishing(
    made: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = made.new_run(), made.new_run()
    (old / "file").touch()
    with monkeypatch.context() as patch:
        patch.setattr("os.rmdir", lambda *_, **__: (_ for _ in ()).throw(PermissionError(1, "immutable")))
        made.publish(new)
    assert (made.current(), old.exists()) == (new, True)
    made.publish(new)
    assert not old.exists()


def test_publishing_something_else_is_our_own_bug(made: Workspace, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="is not a run"):
        made.publish(tmp_path)
    assert made.current() is None


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff", b"[]", b"null"]
    + [b'{"run": 1}', b'{"run": null}', b'{"run": "../../outside"}', b'{"run": "0001\\n"}'],
)
def test_a_corrupted_pointer_is_refused_by_name(made: Workspace, content: bytes) -> None:
    made.new_run()
    made.pointer.write_bytes(content)
    for ask in (made.current, made.unfinished):
        with pytest.raises(ArtifactError, match=r"current\.json"):
            ask()


def test_a_pointer_to_a_run_that_is_gone_is_refused_by_name(made: Workspace) -> None:
    run = made.new_run()
    made.publish(run)
    run.rmdir()
    with pytest.raises(ArtifactError, match=r"0001 is missing, but .*current\.json names it"):
        made.current()
