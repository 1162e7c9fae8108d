"""`cllm train`: train a model of a repository, or with `--join` compute for a run on another machine."""

import argparse
import sys
from pathlib import Path

from cllm.commands.output import print_result
from cllm.commands.parser import Subparsers, add_json, add_seed
from cllm.errors import UsageError

JOB_OPTIONS = ("minutes", "steps", "plan", "workers", "listen", "seed", "config", "fresh")
NOT_WITH_JOIN = ("listen", "steps", "plan", "config", "fresh", "json")


def add(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser("train", help="train a model of a repository")
    path = parser.add_argument("path", nargs="?", type=Path, metavar="PATH")
    path.help = "the repository (default: the one that the current folder belongs to)"
    parser.add_argument(
        "-C", type=Path, dest="directory", metavar="PATH", help="the same, for consistency with other commands"
    )
    parser.add_argument(
        "--minutes", type=float, default=5.0, help="wall-clock time of the whole run, scorecard included (default 5)"
    )
    parser.add_argument("--steps", type=int, metavar="N", help="train N steps, without a time budget")
    parser.add_argument("--plan", type=Path, metavar="FILE", help="follow a saved plan")
    workers = parser.add_argument("--workers", type=int, metavar="N")
    workers.help = (
        "worker processes, 1 to 144; 1 to 12 if several machines share a run (default: one per core, up to 12; more "
        "than 12, and several machines, make a step 12 times as large)"
    )
    parser.add_argument("--listen", metavar="HOST[:PORT]", help="let other machines join this run at that address")
    parser.add_argument("--join", metavar="HOST[:PORT]", help="compute for the run of the machine that listens there")
    add_seed(parser)
    parser.add_argument("--config", type=Path, metavar="FILE.toml", help="override derived settings")
    parser.add_argument(
        "--fresh", action="store_true", help="start a new run; the current model stays until it is finished"
    )
    add_json(parser)
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Train, or join a run."""
    from cllm.commands.scorecard_table import scorecard_table
    from cllm.operations.pipeline import train_repository
    from cllm.progress import reporter
    from cllm.stages.job import TrainOptions

    if options.join is not None:
        return join(options)
    train_options = TrainOptions(**{name: getattr(options, name) for name in JOB_OPTIONS})
    with reporter(sys.stderr) as report:
        card = train_repository(repository(options), train_options, report)
    print_result(options, card, scorecard_table)
    return 0


def repository(options: argparse.Namespace) -> Path:
    """The repository's path; UsageError if it is given both as PATH and with -C."""
    if options.path is not None and options.directory is not None:
        raise UsageError("the repository is given twice, as PATH and with -C: give one of them")
    return Path(options.path or options.directory)


def join(options: argparse.Namespace) -> int:
    """Compute for another machine's run, which determines everything but the number of workers.

    Raises UsageError for an option that belongs to that run.
    """
    from cllm.operations.join import join_run
    from cllm.progress import reporter

    if given := [f"--{name}" for name in NOT_WITH_JOIN if getattr(options, name)]:
        raise UsageError(f"{given[0]} does not go with --join: the run that is joined determines it")
    with reporter(sys.stderr) as report:
        join_run(options.join, options.workers, report)
    return 0
