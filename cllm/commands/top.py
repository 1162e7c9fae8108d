"""`cllm top`: live view of a training, from another terminal."""

import argparse
import sys

from cllm.commands.parser import Subparsers, add_repository


def add(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser("top", help="live view of a training and its workers")
    add_repository(parser)
    parser.add_argument("--once", action="store_true", help="print one frame and exit")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Show the training until it ends."""
    from rich.console import Console

    from cllm.commands.top_view import show_top

    show_top(options.path, Console(highlight=False), options.once or not sys.stdout.isatty())
    return 0
