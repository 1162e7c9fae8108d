"""`cllm bench`: comparisons with other programs, as ratios; one subcommand per benchmark."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cllm.commands.output import print_result
from cllm.commands.parser import Parser, Subparsers, add_json, add_repository, add_seed
from cllm.errors import UsageError

Result = dict[str, Any]


def add(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser("bench", help="comparisons with other programs (minutes to an hour)")
    kinds = parser.add_subparsers(title="benchmarks", required=True, metavar="BENCHMARK", parser_class=Parser)
    train = add_trainer_benchmark(kinds, "train", run_train, 600.0, "our trainer and nanoGPT's recipe (an hour)")
    train.add_argument("--picture", type=Path, metavar="FILE.svg", help="draw bits per byte over time")
    add_trainer_benchmark(kinds, "softmax", run_softmax, 120.0, "output layers, and vocabularies (half an hour)")
    add_trainer_benchmark(
        kinds, "lattice", run_lattice, 60.0, "the network with and without each lattice component (half an hour)"
    )
    add_trainer_benchmark(
        kinds, "spheres", run_spheres, 8.0, "training steps by the number of workers, and the cost model (minutes)"
    )
    seed = add_trainer_benchmark(
        kinds, "seed", run_seed, None, "the predecessor's task: many epochs of its network (hours)"
    )
    seed.add_argument("--epochs", type=int, default=10, help="epochs over the repository (default 10)")
    add_completion_benchmark(
        kinds, "valid", run_valid, 500, "completions", "do completions leave held-out files without new errors?"
    )
    add_completion_benchmark(
        kinds, "guide", run_guide, 2000, "gaps in each language", "is real text of held-out files refused? (minutes)"
    )
    add_completion_benchmark(
        kinds, "complete", run_complete, 200, "cursors", "tokens/s and time to a line, beside llama.cpp (minutes)"
    )
    add_completion_benchmark(
        kinds, "cursors", run_cursors, 200, "gaps of each kind", "suggestions with text to the right, and their harm"
    )
    secrets = kinds.add_parser("secrets", help="which secrets are replaced, and what else, beside other programs")
    secrets.add_argument("--samples", type=Path, required=True, metavar="DIR", help="folder of SOURCE.jsonl files")
    add_json(secrets)
    secrets.set_defaults(command=run_secrets)


def add_trainer_benchmark(
    kinds: Subparsers, name: str, command: Callable[[argparse.Namespace], int], seconds: float | None, text: str
) -> argparse.ArgumentParser:
    """Add a benchmark of trainers on a repository, each for the same time."""
    parser: argparse.ArgumentParser = kinds.add_parser(name, help=text)
    if seconds is not None:
        parser.add_argument(
            "--seconds", type=float, default=seconds, help=f"for each configuration (default {seconds:g})"
        )
    corpus = parser.add_argument("--corpus", type=Path, dest="path", metavar="PATH")
    corpus.help = "repository (default: the one that the current folder belongs to)"
    add_seed(parser)
    add_json(parser)
    parser.set_defaults(command=command)
    return parser


def add_completion_benchmark(
    kinds: Subparsers, name: str, command: Callable[[argparse.Namespace], int], count: int, noun: str, text: str
) -> None:
    """Add a benchmark on the held-out files of a repository that was trained on."""
    parser = kinds.add_parser(name, help=text)
    add_repository(parser)
    parser.add_argument("-n", type=int, default=count, dest="count", help=f"number of {noun} (default {count})")
    add_seed(parser)
    add_json(parser)
    parser.set_defaults(command=command)


def measure(options: argparse.Namespace, bench: Callable[[Any], Result], table: Callable[[Result], str]) -> Result:
    """Run a benchmark with progress on standard error, and print its result."""
    from cllm.interrupt import InterruptHandler
    from cllm.progress import reporter

    with InterruptHandler(), reporter(sys.stderr) as report:
        found = bench(report)
    print_result(options, found, table)
    return found


def trainer_config(options: argparse.Namespace) -> Any:
    """The configuration of a benchmark of trainers (`bench.shared.config.BenchmarkConfig`)."""
    from cllm.bench.shared.config import BenchmarkConfig

    seconds = {"seconds": options.seconds} if hasattr(options, "seconds") else {}
    return BenchmarkConfig(root=options.path, seed=options.seed, **seconds)


def run_train(options: argparse.Namespace) -> int:
    """`cllm bench train`; UsageError if the folder of --picture does not exist."""
    from cllm.artifacts import write_file
    from cllm.bench.shared.tables import train_table
    from cllm.bench.training.benchmark import bench_train
    from cllm.bench.training.chart import train_chart

    if options.picture and not options.picture.parent.is_dir():
        raise UsageError(f"--picture {options.picture}: there is no folder {options.picture.parent}")
    config = trainer_config(options)
    found = measure(options, lambda report: bench_train(config, report), train_table)
    if options.picture:
        write_file(options.picture, train_chart(found).encode())
    return 0


def run_softmax(options: argparse.Namespace) -> int:
    """`cllm bench softmax`."""
    from cllm.bench.shared.tables import softmax_table
    from cllm.bench.softmax.benchmark import bench_softmax

    config = trainer_config(options)
    measure(options, lambda report: bench_softmax(config, report), softmax_table)
    return 0


def run_seed(options: argparse.Namespace) -> int:
    """`cllm bench seed`; UsageError if --epochs is out of range."""
    from cllm.bench.seed.benchmark import bench_seed
    from cllm.bench.shared.tables import seed_table

    if not 1 <= options.epochs <= 10_000:
        raise UsageError(f"--epochs {options.epochs} is not between 1 and 10,000")
    config = trainer_config(options)
    measure(options, lambda report: bench_seed(config, options.epochs, report), seed_table)
    return 0


def run_lattice(options: argparse.Namespace) -> int:
    """`cllm bench lattice`."""
    from cllm.bench.lattice.benchmark import bench_lattice
    from cllm.bench.shared.tables import lattice_table

    config = trainer_config(options)
    measure(options, lambda report: bench_lattice(config, report), lattice_table)
    return 0


def run_spheres(options: argparse.Namespace) -> int:
    """`cllm bench spheres`."""
    from cllm.bench.shared.tables import spheres_table
    from cllm.bench.spheres.benchmark import bench_spheres

    config = trainer_config(options)
    measure(options, lambda report: bench_spheres(config, report), spheres_table)
    return 0


def run_valid(options: argparse.Namespace) -> int:
    """`cllm bench valid`."""
    from cllm.bench.shared.tables import valid_table
    from cllm.bench.valid.benchmark import bench_valid

    measure(options, lambda report: bench_valid(options.path, options.count, options.seed, report), valid_table)
    return 0


def run_guide(options: argparse.Namespace) -> int:
    """`cllm bench guide`."""
    from cllm.bench.guide.benchmark import bench_guide
    from cllm.bench.shared.tables import guide_table

    measure(options, lambda report: bench_guide(options.path, options.count, options.seed, report), guide_table)
    return 0


def run_complete(options: argparse.Namespace) -> int:
    """`cllm bench complete`."""
    from cllm.bench.complete.benchmark import bench_complete
    from cllm.bench.shared.tables import complete_table

    measure(options, lambda report: bench_complete(options.path, options.count, options.seed, report), complete_table)
    return 0


def run_cursors(options: argparse.Namespace) -> int:
    """`cllm bench cursors`."""
    from cllm.bench.cursors.benchmark import bench_cursors
    from cllm.bench.shared.tables import cursors_table

    measure(options, lambda report: bench_cursors(options.path, options.count, options.seed, report), cursors_table)
    return 0


def run_secrets(options: argparse.Namespace) -> int:
    """`cllm bench secrets`."""
    from cllm.bench.secrets.benchmark import bench_secrets
    from cllm.bench.shared.tables import secrets_table

    measure(options, lambda report: bench_secrets(options.samples, report), secrets_table)
    return 0
