"""`cllm split`: copy the training files and the held-out files into two folders."""

import argparse
from pathlib import Path

from cllm.commands.parser import Subparsers, add_repository


def add(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser("split", help="export the training files and the held-out files")
    add_repository(parser)
    parser.add_argument("--export", type=Path, required=True, metavar="DIR", help="a new or empty folder")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Export the split."""
    from cllm.corpus.export import export_split
    from cllm.operations.info import current_corpus

    corpus = current_corpus(options.path)
    export_split(corpus, options.export)
    print(f"{len(corpus.train)} files in {options.export / 'train'}, {len(corpus.val)} in {options.export / 'val'}")
    return 0
