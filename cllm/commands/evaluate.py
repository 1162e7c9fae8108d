"""`cllm eval`: measure the model in use again, and baselines on the same files."""

import argparse
import sys

from cllm.commands.output import print_result
from cllm.commands.parser import Subparsers, add_json, add_repository
from cllm.errors import UsageError


def add(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser("eval", help="measure the scorecard again")
    add_repository(parser)
    parser.add_argument(
        "--baselines", action="store_true", help="measure compressors and an n-gram on the same files (minutes)"
    )
    parser.add_argument(
        "--compressor",
        action="append",
        default=[],
        metavar="'NAME COMMAND {in} {out}'",
        help="with --baselines: a compressor of your own",
    )
    add_json(parser)
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Measure the scorecard again; UsageError if --compressor is given without --baselines."""
    from cllm.commands.scorecard_table import scorecard_table
    from cllm.operations.pipeline import evaluate_repository
    from cllm.progress import reporter

    if options.compressor and not options.baselines:
        raise UsageError("--compressor needs --baselines")
    with reporter(sys.stderr) as report:
        card = evaluate_repository(options.path, report, options.compressor if options.baselines else None)
    print_result(options, card, scorecard_table)
    return 0
