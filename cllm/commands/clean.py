"""`cllm clean`: remove the workspace."""

import argparse

from cllm.commands.parser import Subparsers, add_repository


def add(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser("clean", help="remove the model and all runs")
    add_repository(parser)
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Remove the folder .cllm."""
    from cllm.workspace.run import existing_directory
    from cllm.workspace.workspace import Workspace

    freed = Workspace(existing_directory(options.path, needs_work_tree=False)).clean()
    print(f"removed {options.path / '.cllm'}: {freed / 1e6:.1f} MB freed" if freed else "nothing to remove")
    return 0
