"""The repository of a command: the one that is named, or the one to which the current folder belongs."""

import argparse
import sys
from pathlib import Path

from cllm.commands.output import printable
from cllm.errors import UsageError


def locate_repository(options: argparse.Namespace) -> None:
    """Set `path` of a command that works on a repository, if none was named; one that is found above is printed.

    Raises UsageError if a training would begin in the user's home or in `/`.
    """
    named = [getattr(options, name, None) for name in ("path", "directory", "join")]
    if not hasattr(options, "path") or any(value is not None for value in named):
        return
    from cllm.workspace.locate import has_workspace, is_home_or_root, repository_of

    here = Path.cwd()
    options.path = repository_of(here)
    if options.path != here.resolve():
        print(f"cllm: the repository is {printable(str(options.path))}", file=sys.stderr)
    elif hasattr(options, "directory") and is_home_or_root(here) and not has_workspace(here, here):
        raise UsageError(f"{here} is not a repository's folder but holds all of them: name a folder, `cllm train PATH`")
