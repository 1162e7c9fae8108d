"""`cllm update`: update the memory to the present files, without training the network again."""

import argparse
import sys
from typing import Any

from cllm.commands.output import print_result
from cllm.commands.parser import Subparsers, add_json, add_repository


def add(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser("update", help="update completions to the present files (seconds)")
    add_repository(parser)
    add_json(parser)
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Update the memory."""
    from cllm.operations.pipeline import update_run
    from cllm.progress import reporter

    with reporter(sys.stderr) as report:
        found = update_run(options.path, report)
    print_result(options, found, update_table)
    return 0


def update_table(found: dict[str, Any]) -> str:
    """The number of files added to the memory, and of training files that have changed or are deleted."""
    new, stale = len(found["new"]), len(found["stale"])
    return f"{new} new or changed files added to the memory; {stale} changed or deleted files no longer used"
