"""The folder `.cllm/` at the root of a repository: the files that CLLM writes, and the lock of the process that writes.

    .cllm/.gitignore        ignores the whole folder
    .cllm/lock              held by the process that writes
    .cllm/runs/0001/        the files of one run (`cllm.workspace.run`); the numbers increase
    .cllm/current.json      {"run": "0001"}, the run to use; replaced atomically
    .cllm/scorecard.json    the scorecard of that run
    .cllm/baselines.svg     bar chart of its scores and the baselines (`cllm eval --baselines`)

A repository from another source can contain a `.cllm` of its own, so neither the folder nor `runs` may be a symbolic
link, and `current.json` can only name a run.
"""

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cllm.artifacts import read_json, write_file, write_json
from cllm.errors import ArtifactError, WorkspaceError
from cllm.workspace import lock

IGNORE_ALL = b"*\n"
RUN_NAME = re.compile(r"[0-9]{4,9}")


@dataclass(frozen=True)
class Workspace:
    """The workspace of the repository at `root`. Construction does not access the disk."""

    root: Path

    @property
    def folder(self) -> Path:
        return self.root / ".cllm"

    @property
    def lock_path(self) -> Path:
        return self.folder / "lock"

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def pointer(self) -> Path:
        return self.folder / "current.json"

    @property
    def scorecard(self) -> Path:
        return self.folder / "scorecard.json"

    @property
    def baselines_chart_path(self) -> Path:
        return self.folder / "baselines.svg"

    def create(self) -> None:
        """Create the folder, readable by its owner only, or fix its mode; WorkspaceError if it cannot be written."""
        ignore = self.folder / ".gitignore"
        try:
            for directory in (self.folder, self.runs):
                _refuse_link(directory)
                directory.mkdir(mode=0o700, exist_ok=True)
                directory.chmod(0o700)
            if ignore.is_symlink() or not ignore.is_file() or ignore.read_bytes() != IGNORE_ALL:
                write_file(ignore, IGNORE_ALL)
        except FileExistsError as error:
            raise WorkspaceError(f"{error.filename} is not a directory: move it away, CLLM needs one there") from None
        except OSError as error:
            raise WorkspaceError(f"{self.folder} cannot be written: {error.strerror}") from None

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the lock that a writing process needs; WorkspaceError names its holder. Creates the folder."""
        self.create()
        with lock.hold(self.lock_path):
            yield

    def holder(self) -> int | None:
        """The process ID of the lock's holder, or None."""
        found = lock.holder(self.lock_path)
        return found.pid if found else None

    def disk_bytes(self) -> int:
        """Bytes that the folder takes on disk; 0 if there is none."""
        total = 0
        if not self.folder.is_symlink():
            for directory, _, names in os.walk(self.folder):
                for name in names:
                    with contextlib.suppress(FileNotFoundError):
                        total += Path(directory, name).lstat().st_blocks * 512
        return total

    def clean(self) -> int:
        """Remove the folder with all models and runs; returns the bytes freed.

        Raises WorkspaceError if a process holds the lock, or the folder cannot be removed.
        """
        _refuse_link(self.folder)
        if not self.folder.exists():
            return 0
        with lock.hold(self.lock_path):
            freed = self.disk_bytes()
            try:
                shutil.rmtree(self.folder)
            except OSError as error:
                raise WorkspaceError(f"{self.folder} cannot be removed completely: {error.strerror}") from None
        return freed

    def new_run(self) -> Path:
        """Create the directory of a new run, numbered after the latest; the caller holds the lock.

        Raises WorkspaceError if it cannot be created.
        """
        latest = self.latest_run()
        run = self.runs / f"{int(latest.name) + 1 if latest else 1:04d}"
        try:
            run.mkdir(mode=0o700)
        except OSError as error:
            raise WorkspaceError(f"{run} cannot be created: {error.strerror}") from None
        return run

    def latest_run(self) -> Path | None:
        """The run with the highest number, finished or not."""
        return max(self._all_runs(), key=lambda run: int(run.name), default=None)

    def current(self) -> Path | None:
        """The published run, or None before the first; ArtifactError if `current.json` does not lead to a run."""
        if not self.pointer.exists():
            return None
        value = read_json(self.pointer)
        name = value.get("run") if isinstance(value, dict) else None
        if not isinstance(name, str) or not RUN_NAME.fullmatch(name):
            raise ArtifactError(f'{self.pointer} names no run, expected {{"run": "0001"}}: train again with --fresh')
        run = self.runs / name
        if run not in self._all_runs():
            raise ArtifactError(f"{run} is missing, but {self.pointer} names it: train again with --fresh")
        return run

    def publish(self, run: Path) -> None:
        """Make `run` the current one, then remove older runs; the caller holds the lock.

        Files that cannot be removed stay until the next call.
        """
        assert run in self._all_runs(), f"{run} is not a run of {self.folder}"
        write_json(self.pointer, {"run": run.name})
        for other in self._all_runs():
            if int(other.name) < int(run.name):
                shutil.rmtree(other, ignore_errors=True)

    def unfinished(self) -> Path | None:
        """The latest run if it is not the current one, or None."""
        latest, current = self.latest_run(), self.current()
        return None if latest == current else latest

    def _all_runs(self) -> list[Path]:
        return [
            run for run in self.runs.glob("*") if RUN_NAME.fullmatch(run.name) and run.is_dir() and not run.is_symlink()
        ]


def _refuse_link(directory: Path) -> None:
    if directory.is_symlink():
        raise WorkspaceError(
            f"{directory} is a symbolic link, which CLLM does not follow out of a repository: remove it"
        )
