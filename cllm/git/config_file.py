"""Settings of git: the files that git reads, in its order, the later one wins (git-config(1)).

    /etc/gitconfig, $XDG_CONFIG_HOME/git/config, ~/.gitconfig, the repository's config, its config.worktree

`include.path` and `includeIf.gitdir:PATTERN.path` without wildcards are followed; other conditions count as not met.
Not considered: settings in the environment (GIT_CONFIG_COUNT) and on a command line.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from cllm.git.regular_file import read_regular_file
from cllm.git.repository import Repository

Settings = dict[str, str]  # "section.key" or "section.SUBSECTION.key" in lower case except for the subsection
MAX_CONFIG_BYTES = 1 << 20
MAX_INCLUDE_DEPTH = 10  # as in git
# `[section]`, `[section.sub]` or `[section "sub"]`
_SECTION = re.compile(r'\[\s*([-.\w]+)(?:\s+"((?:[^"\\\n]|\\.)*)")?\s*\]', re.ASCII)
_KEY = re.compile(r"([A-Za-z][-A-Za-z0-9]*)[ \t]*(=[ \t]*)?")
_BLANK = re.compile(r"(?:[ \t\n\r]+|[#;][^\n]*)*")
# A value ends at a comment or at the end of the line; quoted parts can contain both.
_PIECE = re.compile(r'"((?:[^"\\\n]|\\[^\n]|\\\n)*)"|([^"\\\n#;]+)|(\\[^\n]|\\\n)')
_BLANKS = " \t\n\r"
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "b": "\b", "\n": "", '"': '"', "\\": "\\"}


class MalformedConfig(Exception):
    """Raised for a file that git would refuse; the text names the line."""


def settings_of(repository: Repository | None, notes: list[str]) -> Settings:
    """All settings that git would use in a repository (None: outside of one); appends what could not be read."""
    found: Settings = {}
    paths = list(_user_files())
    if repository is not None:
        paths.append(repository.common_directory / "config")
    for path in paths:
        _read_into(found, path, repository, notes, 0)
    if repository is not None and is_true(found, "extensions.worktreeconfig"):
        _read_into(found, repository.git_directory / "config.worktree", repository, notes, 0)
    return found


def settings_in(path: Path) -> Settings:
    """The settings in one file, without those that it includes."""
    found: Settings = {}
    _read_into(found, path, None, [], MAX_INCLUDE_DEPTH)
    return found


def is_true(settings: Settings, name: str) -> bool:
    """Whether a setting is on."""
    return settings.get(name, "").lower() in ("true", "yes", "on", "1")


def excludes_file(settings: Settings, work_tree: Path | None) -> Path | None:
    """The file with the user's own ignore rules: `core.excludesFile`, else $XDG_CONFIG_HOME/git/ignore."""
    value = settings.get("core.excludesfile")
    if value is None:
        return _configuration_home() / "git" / "ignore"
    path = _expand_home(value)
    return path and (path if path.is_absolute() or work_tree is None else work_tree / path)


def parse_config(text: str) -> Iterator[tuple[str, str]]:
    """Yield (name, value) in order; MalformedConfig after the last one before an error."""
    section, at = "", _end_of_blank(text, 0)
    while at < len(text):
        if match := _SECTION.match(text, at):
            subsection = None if match[2] is None else _ESCAPE.sub(r"\1", match[2])
            section = match[1].lower() + ("" if subsection is None else f".{subsection}")
            at = match.end()
        elif section and (match := _KEY.match(text, at)):
            value, at = _value(text, match.end()) if match[2] else ("true", match.end())
            if at < len(text) and text[at] not in "\n#;":
                raise _error_at(text, at)
            yield f"{section}.{match[1].lower()}", value
        else:
            raise _error_at(text, at)
        at = _end_of_blank(text, at)


def _end_of_blank(text: str, at: int) -> int:
    match = _BLANK.match(text, at)
    return match.end() if match else at


def _value(text: str, at: int) -> tuple[str, int]:
    """The value that begins at an offset, without comment and trailing blanks, and the offset of its end."""
    value, kept = "", 0
    while match := _PIECE.match(text, at):
        at = match.end()
        if match[2] is not None:
            value += match[2]
            kept = max(kept, len(value.rstrip(_BLANKS)))
            continue
        for escape in _ESCAPE.findall(text, match.start(), match.end()):
            if escape not in _ESCAPED:
                raise _error_at(text, match.start())
        value += _ESCAPE.sub(lambda found: _ESCAPED[found[1]], match[0] if match[1] is None else match[1])
        kept = len(value)
    return value[:kept], at


def _error_at(text: str, at: int) -> MalformedConfig:
    return MalformedConfig(f"line {text.count(chr(10), 0, at) + 1} is malformed")


def _user_files() -> Iterator[Path]:
    if os.environ.get("GIT_CONFIG_NOSYSTEM", "").lower() not in ("1", "true", "yes", "on"):
        yield Path(os.environ.get("GIT_CONFIG_SYSTEM") or "/etc/gitconfig")
    if path := os.environ.get("GIT_CONFIG_GLOBAL"):
        yield Path(path)
    elif path is None:
        yield _configuration_home() / "git" / "config"
        if home := os.environ.get("HOME"):
            yield Path(home) / ".gitconfig"


def _configuration_home() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path(os.environ.get("HOME") or "/nonexistent") / ".config")


def _expand_home(value: str) -> Path | None:
    """A configured path with `~` replaced; None if there is no such user, or the value is empty."""
    if not value or "\0" in value:
        return None
    try:
        return Path(value).expanduser()
    except RuntimeError:
        return None


def _read_into(found: Settings, path: Path, repository: Repository | None, notes: list[str], depth: int) -> None:
    content = read_regular_file(path, MAX_CONFIG_BYTES)
    if content is None:
        return
    text = os.fsdecode(content).removeprefix("\ufeff").replace("\r\n", "\n")
    try:
        for name, value in parse_config(text):
            found[name] = value
            if _is_include(name, path, repository) and depth < MAX_INCLUDE_DEPTH and (target := _expand_home(value)):
                _read_into(found, path.parent / target, repository, notes, depth + 1)
    except MalformedConfig as error:
        notes.append(f"{path}: {error}, so the settings of git from there on are not used")


def _is_include(name: str, path: Path, repository: Repository | None) -> bool:
    """Whether a setting in the file `path` includes a file, its condition met."""
    section, _, key = name.rpartition(".")
    kind, _, condition = section.partition(".")
    if key != "path" or kind not in ("include", "includeif"):
        return False
    if kind == "include":
        return not condition
    scheme, _, pattern = condition.partition(":")
    if repository is None or scheme not in ("gitdir", "gitdir/i") or not pattern:
        return False
    folder, wanted = str(repository.git_directory), pattern
    if pattern.startswith("./"):
        wanted = f"{path.parent}/{pattern[2:]}"
    elif pattern.startswith("~"):
        wanted = f"{_expand_home(pattern)}{'/' if pattern.endswith('/') else ''}"
    if scheme == "gitdir/i":
        folder, wanted = folder.lower(), wanted.lower()
    if not wanted.startswith("/"):  # it may begin at any component
        return f"/{wanted}" in f"{folder}/" if wanted.endswith("/") else folder.endswith(f"/{wanted}")
    return f"{folder}/".startswith(wanted) if wanted.endswith("/") else folder == wanted
