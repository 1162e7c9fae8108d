"""git's configuration: syntax, order of the files, includes, and where the user's ignore rules are."""

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cllm.git.config_file import MalformedConfig, excludes_file, parse_config, settings_of
from cllm.git.repository import find_repository


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[a]\nb = c", "c"),
        ("[A] B=c # d", "c"),
        ("[a]\n\tb = c d  ; e\n", "c d"),
        ('[a]\nb = " c "; d', " c "),
        ('[a]\nb = c" # "d', "c # d"),
        ("[a]\nb = c\\\n d\n", "c d"),
        ('[a]\nb = "c\\\nd"\n', "cd"),
        ('[a]\nb = c\\t\\\\\\"\n', 'c\t\\"'),
        ("[a]\nb\n", "true"),
        ("[a]\nb =\n", ""),
        ("# x\n[a]; y\n\n  b = 1\nb = 2", "2"),
        ("[c]\nb = 1\n[a]\nb=2\n[c]\nb=3", "2"),
    ],
)
def test_value_of_a_setting(text: str, value: str) -> None:
    assert dict(parse_config(text))["a.b"] == value


def test_subsection_keeps_its_case() -> None:
    assert list(parse_config('[Include "A\\"b\\\\"] Path = x\n[old.Sub]k=v')) == [
        ('include.A"b\\.path', "x"),
        ("old.sub.k", "v"),
    ]


@pytest.mark.parametrize("text", ["x = 1", "[a", "[a]\n1 = 2", '[a]\nb = "c\nd"', "[a]\nb c", "[a]\nb = \\q", '[a "b]'])
def test_malformed_file_is_an_error_that_names_the_line(text: str) -> None:
    with pytest.raises(MalformedConfig, match="line [12] is malformed"):
        list(parse_config(text))


@given(st.text('ab[]"\\=#; \n\t.-', max_size=40))
def test_any_text_gives_settings_or_malformed_config(text: str) -> None:
    try:
        found = list(parse_config(text))
    except MalformedConfig:
        return
    assert all(name.count(".") >= 1 for name, _ in found)


@pytest.mark.skipif(shutil.which("git") is None, reason="compares with git")
@settings(max_examples=30)
@given(value=st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=12))
def test_value_that_git_writes_is_read_back(tmp_path_factory: pytest.TempPathFactory, value: str) -> None:
    path = tmp_path_factory.mktemp("config") / "config"
    done = subprocess.run(["git", "config", "--file", str(path), "a.b", value], check=False, timeout=60)
    if done.returncode == 0:
        assert dict(parse_config(path.read_bytes().decode())) == {"a.b": value}


def rules_of(repository_folder: Path) -> Path | None:
    repository = find_repository(repository_folder)
    notes: list[str] = []
    path = excludes_file(settings_of(repository, notes), repository and repository.work_tree)
    assert notes == []
    return path


def test_user_rules_are_in_the_last_file_that_names_them(git_directory: Path, home: Path) -> None:
    root = git_directory.parent
    assert rules_of(root) == home / ".config" / "git" / "ignore"
    (home / ".config" / "git").mkdir(parents=True)
    (home / ".config" / "git" / "config").write_text("[core]\nexcludesFile = ~/one\n")
    assert rules_of(root) == home / "one"
    (home / ".gitconfig").write_text("[core]\nexcludesFile = ~/two\n")
    assert rules_of(root) == home / "two"
    (git_directory / "config").write_text("[core]\nexcludesFile = three\n")
    assert rules_of(root) == root / "three"
    (git_directory / "config.worktree").write_text("[core]\nexcludesFile = /four\n")
    assert rules_of(root) == root / "three"
    (git_directory / "config").write_text("[extensions]\nworktreeConfig\n")
    assert rules_of(root) == Path("/four")
    (git_directory / "config.worktree").write_text("[core]\nexcludesFile =\n")
    assert rules_of(root) is None


def test_environment_names_other_files(
    git_directory: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / ".gitconfig").write_text("[core]\nexcludesFile = /one\n")
    (tmp_path / "config").write_text("[core]\nexcludesFile = /two\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    assert rules_of(git_directory.parent) == Path("/two")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "")
    monkeypatch.delenv("GIT_CONFIG_NOSYSTEM")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", str(home / ".gitconfig"))
    assert rules_of(git_directory.parent) == Path("/one")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert rules_of(git_directory.parent) == tmp_path / "git" / "ignore"


@pytest.mark.parametrize(
    ("condition", "is_met"),
    [
        ("gitdir:{root}/", True),
        ("gitdir:{root}/.git", True),
        ("gitdir:{root}/.gi", False),
        ("gitdir:repository/", True),
        ("gitdir:epository/", False),
        ("gitdir:REPOSITORY/", False),
        ("gitdir/i:REPOSITORY/", True),
        ("gitdir:~/", False),
        ("onbranch:main", False),
        ("gitdir:", False),
    ],
)
def test_conditional_include(git_directory: Path, home: Path, condition: str, is_met: bool) -> None:
    named = condition.format(root=git_directory.parent)
    (home / ".gitconfig").write_text(f'[includeIf "{named}"]\npath = more\n')
    (home / "more").write_text("[core]\nexcludesFile = /found\n")
    assert (rules_of(git_directory.parent) == Path("/found")) is is_met


def test_file_that_includes_itself_ends(git_directory: Path, home: Path) -> None:
    (home / ".gitconfig").write_text("[core]\nexcludesFile = /one\n[include]\npath = .gitconfig\n")
    assert rules_of(git_directory.parent) == Path("/one")


def test_malformed_file_is_noted_and_used_up_to_the_error(git_directory: Path, home: Path) -> None:
    (home / ".gitconfig").write_text("[core]\nexcludesFile = /one\n}\n")
    notes: list[str] = []
    settings = settings_of(find_repository(git_directory.parent), notes)
    assert settings["core.excludesfile"] == "/one"
    (note,) = notes
    assert note.startswith(f"{home / '.gitconfig'}: line 3 is malformed")
