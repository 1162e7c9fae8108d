"""What git says about the files below a folder: the ignore rules that apply there, and the tracked files.

The folder may lie anywhere in a work tree. The rules are, the strongest first: the `.gitignore` files of the folder and
of those above it, the nearest first (`walk` adds those below it), `info/exclude` of the git directory, and the user's
`core.excludesFile`. A tracked file is listed although a rule ignores it.
"""

import os
from pathlib import Path
from typing import NamedTuple

from cllm.corpus.ignore import MAX_RULES_BYTES, Rules
from cllm.git.config_file import Settings, excludes_file, settings_of
from cllm.git.index import MalformedIndex, TrackedPaths, tracked_paths
from cllm.git.regular_file import read_regular_file
from cllm.git.repository import Repository, find_repository

HASHES = ("sha1", "sha256")
RuleChain = tuple[tuple[int, Rules], ...]  # the strongest first, each with the length in bytes of its folder's path


class GitView(NamedTuple):
    """Paths are relative to the work tree; outside of a repository there is only the user's `core.excludesFile`."""

    repository: Repository | None
    prefix: bytes  # the folder in the work tree: b"" or b"src/unix/"
    rules: RuleChain  # without the folder's own .gitignore
    is_ignored: bool  # the folder itself, or one above it
    tracked: TrackedPaths
    tracked_directories: frozenset[bytes]  # those that contain a tracked file
    notes: tuple[str, ...]  # sentences on what could not be read
    user_rules: RuleChain = ()  # those of core.excludesFile alone


def git_view(folder: Path) -> GitView:
    """Git's view of a folder."""
    repository = find_repository(folder)
    notes: list[str] = []
    settings = settings_of(repository, notes)
    rules = user_rules = _user_rules(settings, repository)
    nothing = TrackedPaths(frozenset(), frozenset())
    if repository is None:
        return GitView(None, b"", rules, False, nothing, frozenset(), tuple(notes), user_rules)
    if content := read_regular_file(repository.common_directory / "info" / "exclude", MAX_RULES_BYTES):
        rules = ((0, Rules(content)), *rules)
    relative = os.fsencode(folder.resolve().relative_to(repository.work_tree))
    prefix = b"" if relative == b"." else relative + b"/"
    rules, is_ignored = _descend(repository.work_tree, prefix, rules)
    tracked = _tracked(repository, settings, notes) or nothing
    return GitView(repository, prefix, rules, is_ignored, tracked, _parents(tracked.files), tuple(notes), user_rules)


def view_of_named_folder(folder: Path) -> GitView:
    """Git's view of a folder to train on, except that the rules above it do not count if they leave nothing of it.

    Git lists no file of a folder that it ignores, unless it tracks some; but it was named to be trained on.
    """
    view = git_view(folder)
    if not view.is_ignored or view.prefix.rstrip(b"/") in view.tracked_directories:
        return view
    note = f"{folder} is ignored by git: as it was named, the ignore rules above it do not count"
    nothing = TrackedPaths(frozenset(), frozenset())
    return GitView(None, b"", view.user_rules, False, nothing, frozenset(), (*view.notes, note), view.user_rules)


def read_rules(folder: Path) -> Rules | None:
    """The rules in a folder's `.gitignore`; None if it has none. Symbolic links are not followed, as in git."""
    content = read_regular_file(folder / ".gitignore", MAX_RULES_BYTES, follow_links=False)
    return None if content is None else Rules(content)


def is_ignored_by(rules: RuleChain, path: bytes, is_directory: bool) -> bool:
    """Whether an entry is ignored, by the strongest rules that have a matching line; its parents are not considered."""
    for base, file_rules in rules:
        verdict = file_rules.verdict(path[base:], is_directory)
        if verdict is not None:
            return verdict
    return False


def _user_rules(settings: Settings, repository: Repository | None) -> RuleChain:
    path = excludes_file(settings, repository and repository.work_tree)
    content = path and read_regular_file(path, MAX_RULES_BYTES)
    return ((0, Rules(content)),) if content else ()


def _descend(work_tree: Path, prefix: bytes, rules: RuleChain) -> tuple[RuleChain, bool]:
    """The rules with those above the folder `prefix`, and whether it or a folder above it is ignored."""
    at = 0
    while at < len(prefix):
        if file_rules := read_rules(work_tree / os.fsdecode(prefix[:at])):
            rules = ((at, file_rules), *rules)
        end = prefix.index(b"/", at)
        if is_ignored_by(rules, prefix[:end], True):
            return rules, True
        at = end + 1
    return rules, False


def _tracked(repository: Repository, settings: Settings, notes: list[str]) -> TrackedPaths | None:
    hash_name = settings.get("extensions.objectformat", "sha1").lower()
    try:
        if hash_name not in HASHES:
            raise MalformedIndex(f"it uses {hash_name}, expected {' or '.join(HASHES)}")
        return tracked_paths(repository, hash_name)
    except MalformedIndex as error:
        path = repository.git_directory / "index"
        notes.append(f"the list of tracked files, {path}, is not used: {error}; the ignore rules decide alone")
        return None


def _parents(files: frozenset[bytes]) -> frozenset[bytes]:
    """All directories that contain one of the files, each without a slash at its end."""
    parents: set[bytes] = set()
    for name in files:
        end = name.rfind(b"/")
        while end > 0 and (parent := name[:end]) not in parents:
            parents.add(parent)
            end = name.rfind(b"/", 0, end)
    return frozenset(parents)
