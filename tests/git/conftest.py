"""A configuration of git that is the test's own."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def home(own_git_home: Path) -> Path:
    return own_git_home


@pytest.fixture
def git_directory(tmp_path: Path) -> Path:
    """A `.git` without commits in tmp_path/repository."""
    return make_git_directory(tmp_path / "repository" / ".git")


def make_git_directory(path: Path) -> Path:
    """What git needs to see in a git directory."""
    for name in ("objects", "refs", "info"):
        (path / name).mkdir(parents=True)
    (path / "HEAD").write_text("ref: refs/heads/main\n")
    return path
