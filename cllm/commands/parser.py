"""Shared parts of the commands' parsers: errors in one sentence, common options, argument types."""

import argparse
import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

from cllm.errors import UsageError

MAX_SEED = (1 << 31) - 1
Subparsers = Any  # argparse's own class is private


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are UsageErrors: one sentence and exit code 2."""

    def error(self, message: str) -> NoReturn:
        """Raise UsageError with argparse's message and a hint at --help."""
        raise UsageError(f"{message}; see `{self.prog} --help`")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Name the nearest choice instead of listing all of them."""
        if action.choices is not None and value not in action.choices:
            what = action.metavar or action.dest
            raise UsageError(
                f"{what} {value!r} does not exist; {nearest(str(value), action.choices)} (`{self.prog} --help`)"
            )


def nearest(name: str, choices: Iterable[Any]) -> str:
    """A hint at the choice nearest to a misspelled name, or a list of all choices."""
    known = [str(choice) for choice in choices]
    near = difflib.get_close_matches(name, known, 1)
    return f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}"


def add_repository(parser: argparse.ArgumentParser) -> None:
    """-C PATH: the repository; without it, `path` is set by `locate_repository`."""
    repository = parser.add_argument("-C", type=Path, dest="path", metavar="PATH")
    repository.help = "repository (default: the one that the current folder belongs to)"


def add_json(parser: argparse.ArgumentParser) -> None:
    """--json: machine-readable output."""
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output")


def add_seed(parser: argparse.ArgumentParser) -> None:
    """--seed N."""
    parser.add_argument("--seed", type=seed, default=0, metavar="N", help="of all random choices (default 0)")


def seed(text: str) -> int:
    """The value of --seed; UsageError if it is not an integer from 0 to 2**31 - 1, the range of all generators."""
    if not text.isdecimal() or int(text) > MAX_SEED:
        raise UsageError(f"--seed {text} is not a whole number from 0 to {MAX_SEED}")
    return int(text)
