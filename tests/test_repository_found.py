"""Commands without a path work on the repository of the current folder, and leave nothing behind where they fail."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from commandline import Cllm


def test_subfolder_uses_the_model_of_the_repository(trained: Cllm) -> None:
    folder = trained.repository / "src"
    found = f"cllm: the repository is {trained.repository}\n"
    done = trained("info", "--json", cwd=folder)
    assert done.stderr == found and json.loads(done.stdout)["repository"] == str(trained.repository)
    done = trained("complete", "int read_", "--max-tokens", "4", cwd=folder)
    assert done.returncode == 0 and done.stderr == found and done.stdout.startswith("int read_")
    file = next(folder.glob("*.c")).name
    done = trained("complete", "--file", file, "--line", "4", "--max-tokens", "4", "--json", cwd=folder)
    assert done.stderr == found and len(json.loads(done.stdout)["completions"]) == 1
    done = trained("train", cwd=folder)
    assert done.stderr.startswith(found) and "already trained" in done.stderr
    assert not (folder / ".cllm").exists()


def test_named_folder_is_taken_as_it_is(trained: Cllm) -> None:
    for path in (".", str(trained.repository / "src")):
        done = trained("complete", "x", "-C", path, cwd=trained.repository / "src")
        assert done.returncode == 1 and f"there is no model of {trained.repository / 'src'}" in done.stderr
        assert done.stderr.count("\n") == 1
    assert trained("info").stderr == ""  # nothing was looked for above the current folder


def test_training_without_a_path_does_not_begin_in_the_home_folder(cllm: Cllm) -> None:
    done = cllm("train", environment={"HOME": str(cllm.repository)})
    assert done.returncode == 2 and "holds all of them: name a folder" in done.stderr
    done = cllm("train", cwd=Path("/"))
    assert done.returncode == 2 and "holds all of them: name a folder" in done.stderr
    assert not (cllm.repository / ".cllm").exists() and not Path("/.cllm").exists()


@pytest.mark.skipif(shutil.which("git") is None, reason="git makes the repositories")
@pytest.mark.parametrize("options", [(), ("--bare",)])
def test_empty_and_bare_repositories_are_one_sentence_and_nothing_is_left(
    cllm: Cllm, tmp_path: Path, options: tuple[str, ...]
) -> None:
    folder = tmp_path / "new"
    subprocess.run(["git", "init", "-q", *options, str(folder)], check=True)
    before = sorted(folder.iterdir())
    for arguments, cwd in ((("train", str(folder)), tmp_path), (("train",), folder)):
        done = cllm(*arguments, cwd=cwd)
        assert done.returncode == 1, done.stderr
        *_, last = done.stderr.splitlines()
        assert ("without a work tree" if options else "holds no text to train on: 0 files seen") in last
        assert sorted(folder.iterdir()) == before
    assert (cllm("info", "-C", str(folder)).returncode == 0) is not bool(options)
    assert cllm("clean", "-C", str(folder)).stdout == "nothing to remove\n"


def test_workspace_that_exists_is_kept_where_there_is_nothing_to_train_on(cllm: Cllm, tmp_path: Path) -> None:
    os.makedirs(tmp_path / "new" / ".cllm" / "runs")  # noqa: PTH103
    done = cllm("train", str(tmp_path / "new"))
    assert done.returncode == 1 and "holds no text to train on" in done.stderr
    assert list((tmp_path / "new" / ".cllm" / "runs").iterdir()) == []
