"""Words on a command line: parse, call the pipeline, print.

Imports of rooms stand inside the functions here, and nowhere else in the package, so that a command that needs no
model starts in a fraction of a second.
"""

import argparse
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from cllm import __version__
from cllm.errors import ArtifactError, CllmError, UsageError

Command = Callable[[argparse.Namespace], int]


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit code is 0 done, 1 failed, 2 wrong usage, 130 or 143 interrupted."""
    from cllm.interrupt import Interrupted

    for stream in (sys.stdout, sys.stderr):  # a file's name may hold what the terminal's encoding does not
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        options = parser().parse_args(arguments)
        run: Command = options.command
        return run(options)
    except CllmError as error:
        print(f"cllm: {printable(str(error))}{way_out(error)}", file=sys.stderr)
        return error.exit_code
    except Interrupted as interrupted:
        print("cllm: interrupted", file=sys.stderr)
        return interrupted.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except (OSError, MemoryError) as error:
        print(f"cllm: {error or 'there is not enough memory'}", file=sys.stderr)
        return 1


def way_out(error: CllmError) -> str:
    """What to do about a damaged file, where the sentence does not say it already."""
    if not isinstance(error, ArtifactError) or "--fresh" in str(error) or "same command" in str(error):
        return ""
    return "; `cllm train --fresh` learns anew, `cllm clean` removes everything"


class Parser(argparse.ArgumentParser):
    """Wrong usage is one sentence and exit code 2."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see `{self.prog} --help`")


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = Parser(prog="cllm", description="A private language model of your own repository, learned on your CPU.")
    top.add_argument("--version", action="version", version=f"cllm {__version__}")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")

    train = commands.add_parser("train", help="learn a repository")
    train.add_argument("path", nargs="?", type=Path, default=Path(), metavar="PATH", help="default: this folder")
    train.add_argument("--minutes", type=float, default=5.0, help="the whole time, scorecard included (default 5)")
    train.add_argument("--steps", type=int, metavar="N", help="so many steps, instead of measuring the machine")
    train.add_argument("--plan", type=Path, metavar="FILE", help="do what a saved plan says")
    train.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes that compute, 1 to 144, of one of many machines 1 to 12 (default: one a core, up to 12; more "
        "than 12, and many machines, make a step 12 times as large)",
    )
    train.add_argument("--listen", metavar="HOST[:PORT]", help="other machines may take part: where they find this one")
    train.add_argument("--join", metavar="HOST[:PORT]", help="take part in the run of the machine that listens there")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--config", type=Path, metavar="FILE.toml", help="override what is derived")
    train.add_argument("--fresh", action="store_true", help="learn anew; the old model stays in use until then")
    add_json(train)
    train.set_defaults(command=train_command)

    complete = commands.add_parser("complete", help="go on from a text, or fill in a place in a file")
    complete.add_argument("prompt", nargs="?", help="text to go on from (default: standard input)")
    add_repository(complete)
    complete.add_argument("--suffix", default="", metavar="TEXT", help="text after the cursor")
    complete.add_argument("--file", type=Path, metavar="PATH", help="complete at a place in this file")
    complete.add_argument("--line", metavar="N[:COLUMN]", help="the place: before this column (default: end of line)")
    complete.add_argument("--language", metavar="NAME", help="the prompt's language, like C or Python")
    complete.add_argument(
        "--until",
        metavar="line|block|N",
        help="end with the line (default with --file), the block (default) or after N tokens",
    )
    complete.add_argument("--compile", action="store_true", help="C: write what gcc accepts (0.1 s a line and more)")
    add_grammars(complete)
    complete.add_argument("--max-tokens", type=int, default=128, help="the most that are written (default 128)")
    valid = complete.add_argument("--valid", action=argparse.BooleanOptionalAction, default=True)
    valid.help = "write what the language's grammar allows there (default, where it is known)"
    complete.add_argument("--temperature", type=float, default=0.0, help="0 takes the likeliest (default)")
    complete.add_argument("--top-k", type=int, default=0)
    complete.add_argument("--top-p", type=float, default=1.0)
    complete.add_argument("--min-p", type=float, default=0.0)
    complete.add_argument("--stop", action="append", default=[], metavar="TEXT", help="end before this text")
    complete.add_argument("--seed", type=int, default=0)
    complete.add_argument("-n", type=int, default=1, dest="samples", help="number of samples")
    complete.add_argument(
        "--experts", default="mixed", choices=("mixed", "model", "memory"), help="who predicts (default: mixed)"
    )
    complete.add_argument("--explain", action="store_true", help="say where the text comes from, and what is new")
    add_json(complete)
    complete.set_defaults(command=complete_command)

    evaluate = commands.add_parser("eval", help="the scorecard again, from the saved run")
    add_repository(evaluate)
    evaluate.add_argument("--baselines", action="store_true", help="measure others on the same files, too (minutes)")
    evaluate.add_argument(
        "--compressor",
        action="append",
        default=[],
        metavar="'NAME COMMAND {in} {out}'",
        help="with --baselines: a compressor of your own",
    )
    add_json(evaluate)
    evaluate.set_defaults(command=eval_command)

    update = commands.add_parser("update", help="let what completes know the files as they are now (seconds)")
    add_repository(update)
    add_json(update)
    update.set_defaults(command=update_command)

    info = commands.add_parser("info", help="corpus, plan, run and model")
    add_repository(info)
    add_json(info)
    info.set_defaults(command=info_command)

    top_ = commands.add_parser("top", help="watch a training: its workers, live")
    add_repository(top_)
    top_.add_argument("--once", action="store_true", help="one picture, and no more")
    top_.set_defaults(command=top_command)

    split = commands.add_parser("split", help="export what was learned from and what was held out")
    add_repository(split)
    split.add_argument("--export", type=Path, required=True, metavar="DIR", help="a new or empty folder")
    split.set_defaults(command=split_command)

    export = commands.add_parser("export", help="the network for other programs, proven to say the same there")
    add_exports(export)

    clean = commands.add_parser("clean", help="remove everything that was learned")
    add_repository(clean)
    clean.set_defaults(command=clean_command)

    spheres = commands.add_parser("spheres", help="what more workers and machines would be worth")
    add_simulation(spheres)

    bench = commands.add_parser("bench", help="side by side with what else could be picked (minutes to an hour)")
    add_benchmarks(bench)

    doctor = commands.add_parser("doctor", help="what this machine has, and how fast it computes")
    add_json(doctor)
    doctor.set_defaults(command=doctor_command)
    return top


def add_simulation(spheres: argparse.ArgumentParser) -> None:
    """`cllm spheres simulate`."""
    kinds = spheres.add_subparsers(title="questions", required=True, metavar="QUESTION", parser_class=Parser)
    simulate = kinds.add_parser("simulate", help="time, efficiency and traffic of a step, by how many share it")
    numbers = simulate.add_argument("--workers", type=int, nargs="+", default=[12, 144, 1728, 20_736], metavar="N")
    numbers.help = "workers in all, one a core (default 12 144 1728 20736)"
    simulate.add_argument("--cores", type=int, default=12, metavar="N", help="of each machine (default 12)")
    simulate.add_argument("--network", default="3x192", metavar="LxD", help="layers x width (default 3x192)")
    simulate.add_argument("--context", type=int, default=256, metavar="TOKENS", help="of a position (default 256)")
    simulate.add_argument("--gbit", type=float, default=1.0, metavar="X", help="of each machine's link (default 1)")
    simulate.add_argument("--latency-ms", type=float, default=0.1, metavar="X", help="of a link (default 0.1)")
    simulate.add_argument("--sync-every", type=int, default=1, metavar="STEPS", help="between exchanges (default 1)")
    add_json(simulate)
    simulate.set_defaults(command=simulate_command)


def add_exports(export: argparse.ArgumentParser) -> None:
    """`cllm export` and the formats that it knows."""
    kinds = export.add_subparsers(title="formats", required=True, metavar="FORMAT", parser_class=Parser)

    huggingface = kinds.add_parser("huggingface", help="a folder that Hugging Face's transformers reads")
    huggingface.add_argument("target", type=Path, metavar="DIR", help="a new folder")
    huggingface.set_defaults(command=export_huggingface_command)

    gguf = kinds.add_parser("gguf", help="a file that llama.cpp reads")
    gguf.add_argument("target", type=Path, metavar="FILE", help="a new file")
    gguf.add_argument("--type", default="f32", choices=("f32", "f16", "q8_0"), help="of its numbers (default: f32)")
    gguf.set_defaults(command=export_gguf_command)

    for part in (huggingface, gguf):
        add_repository(part)
        add_json(part)


def add_benchmarks(bench: argparse.ArgumentParser) -> None:
    """`cllm bench` and what it measures."""
    kinds = bench.add_subparsers(title="benchmarks", required=True, metavar="BENCHMARK", parser_class=Parser)

    train = kinds.add_parser("train", help="our trainer beside nanoGPT's recipe (an hour)")
    train.add_argument("--seconds", type=float, default=600.0, help="for each contender (default 600)")
    train.add_argument("--picture", type=Path, metavar="FILE.svg", help="draw the courses")
    train.set_defaults(command=bench_train_command)

    softmax = kinds.add_parser("softmax", help="heads, and vocabularies (half an hour)")
    softmax.add_argument("--seconds", type=float, default=120.0, help="for each contender (default 120)")
    softmax.set_defaults(command=bench_softmax_command)

    seed = kinds.add_parser("seed", help="the predecessor's job: many passes by its shape (as long as it takes)")
    seed.add_argument("--epochs", type=int, default=10, help="passes over the repository (default 10)")
    seed.set_defaults(command=bench_seed_command)

    lattice = kinds.add_parser("lattice", help="a network with and without each crystalline component (half an hour)")
    lattice.add_argument("--seconds", type=float, default=60.0, help="for each network and seed (default 60)")
    lattice.set_defaults(command=bench_lattice_command)

    spheres = kinds.add_parser("spheres", help="steps by so many workers, and what the cost model says (minutes)")
    spheres.add_argument("--seconds", type=float, default=8.0, help="for each number of workers (default 8)")
    spheres.set_defaults(command=bench_spheres_command)

    valid = kinds.add_parser("valid", help="do completions leave held-out files right? (minutes)")
    add_repository(valid)
    valid.add_argument("-n", type=int, default=500, dest="count", help="completions (default 500)")
    valid.add_argument("--seed", type=int, default=0)
    add_json(valid)
    valid.set_defaults(command=bench_valid_command)

    speed = kinds.add_parser("complete", help="tokens and lines a second, beside llama.cpp and transformers (minutes)")
    add_repository(speed)
    speed.add_argument("-n", type=int, default=200, dest="count", help="cursors (default 200)")
    speed.add_argument("--seed", type=int, default=0)
    add_json(speed)
    speed.set_defaults(command=bench_complete_command)

    for part in (train, softmax, seed, lattice, spheres):
        part.add_argument("--corpus", type=Path, default=Path(), metavar="PATH", help="repository (default: here)")
        part.add_argument("--seed", type=int, default=0)
        add_json(part)


def add_grammars(part: argparse.ArgumentParser) -> None:
    """What the whole text is to be, one of them; it ends where that ends."""
    kinds = part.add_mutually_exclusive_group()
    kinds.add_argument("--as-json", action="store_true", help="write JSON")
    kinds.add_argument("--json-schema", type=Path, metavar="FILE", help="write JSON of this schema")
    kinds.add_argument("--regex", metavar="TEXT", help="write what this matches (Rust's syntax, no lookaround)")
    kinds.add_argument("--grammar", type=Path, metavar="FILE.lark|FILE.gbnf", help="write what this grammar allows")


def add_repository(part: argparse.ArgumentParser) -> None:
    part.add_argument("-C", type=Path, default=Path(), dest="path", metavar="PATH", help="repository (default: here)")


def add_json(part: argparse.ArgumentParser) -> None:
    part.add_argument("--json", action="store_true", help="one JSON object on standard output")


def printable(text: str) -> str:
    """Text with control characters escaped: a file's name, or what was learned, could command the terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2))


def train_command(options: argparse.Namespace) -> int:
    """`cllm train`."""
    from cllm.pipeline import learn_repository
    from cllm.progress import reporter
    from cllm.stages.session import TrainOptions
    from cllm.tables import scorecard_table

    if options.join is not None:
        return join_command(options)
    fields = ("minutes", "steps", "plan", "workers", "listen", "seed", "config", "fresh")
    chosen = TrainOptions(**{name: getattr(options, name) for name in fields})
    with reporter(sys.stderr) as report:
        card = learn_repository(options.path, chosen, report)
    print_json(card) if options.json else print(printable(scorecard_table(card)))
    return 0


def join_command(options: argparse.Namespace) -> int:
    """`cllm train --join`: all but the number of workers is said where the run is."""
    from cllm.progress import reporter
    from cllm.stages.outpost import take_part

    own = ("listen", "steps", "plan", "config", "fresh", "json")
    if given := [f"--{name}" for name in own if getattr(options, name)]:
        raise UsageError(f"{given[0]} does not go with --join: the run that is joined has its own")
    with reporter(sys.stderr) as report:
        take_part(options.join, options.workers, report)
    return 0


def complete_command(options: argparse.Namespace) -> int:
    """`cllm complete`."""
    from cllm.complete import complete_text, place_in_file
    from cllm.generation.sampling import SamplingParams
    from cllm.tables import explanation_table

    if "" in options.stop:
        raise UsageError("--stop is empty; it must be the text to end before")
    if options.compile and not options.valid:
        raise UsageError("--compile does not go with --no-valid: what does not parse does not compile")
    grammar = chosen_grammar(options)
    until, max_tokens = end_of_completion(options)
    params = SamplingParams(
        max_tokens=max_tokens,
        until=until,
        valid=options.valid,
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        min_p=options.min_p,
        stop=tuple(options.stop),
        seed=options.seed,
    )
    if options.file is not None:
        refuse_with_file(options)
        prompt = place_in_file(options.path, options.file, options.line)
    else:
        prompt = text_prompt(options)
    explained = options.explain or options.json
    completions = complete_text(
        options.path, prompt, params, options.samples, options.experts, explained, options.compile, grammar
    )
    if options.json:
        print_json({"prompt": prompt.prefix.decode("utf-8", "replace"), "completions": completions})
        return 0
    before = "" if options.file is not None or prompt.suffix else prompt.prefix.decode("utf-8", "replace")
    for number, completion in enumerate(completions):
        if number:
            print("-" * 40)
        print(before + completion["text"])
        if completion["valid"] is False:
            what = "no end was found: it is no whole text of the form" if grammar else "nothing that parses was found"
            print(f"cllm: completion {number + 1}: {what}", file=sys.stderr)
        if options.explain:
            print(printable(explanation_table(completion)))
    return 0


def chosen_grammar(options: argparse.Namespace) -> Any:
    """What the whole text is to be, if anything; only that says where it ends, and what is right."""
    from cllm.generation.grammar_file import named_grammar

    grammar = named_grammar(options.as_json, options.json_schema, options.regex, options.grammar)
    given = {"--until": options.until, "--stop": options.stop, "--compile": options.compile}
    if grammar is not None and (extra := [name for name, value in given.items() if value]):
        raise UsageError(f"{extra[0]} does not go with a grammar, which says where the text ends and what is right")
    return grammar


def end_of_completion(options: argparse.Namespace) -> tuple[Any, int]:
    """Where a completion ends, and after how many tokens at the latest."""
    until = options.until or ("line" if options.file is not None else "block")
    if until.isdecimal():
        return "tokens", int(until)
    if until not in ("line", "block"):
        raise UsageError(f"--until {until} is not line, block or a number of tokens")
    return until, options.max_tokens


def refuse_with_file(options: argparse.Namespace) -> None:
    """What is asked for a text cannot be asked for a place in a file, which has its own."""
    given = {"a prompt": options.prompt, "--suffix": options.suffix, "--language": options.language}
    if extra := [name for name, value in given.items() if value]:
        raise UsageError(f"{extra[0]} does not go with --file: the file's text before and after the place is used")


def text_prompt(options: argparse.Namespace) -> Any:
    """The prompt of the command line, or of standard input."""
    from cllm.complete import text_to_prompt

    if options.line is not None:
        raise UsageError("--line needs --file")
    if options.prompt is None and sys.stdin is None:
        raise UsageError("there is no prompt, and standard input is closed")
    if options.prompt is None:
        return text_to_prompt(sys.stdin.buffer.read(), options.suffix, options.language)
    return text_to_prompt(options.prompt.encode("utf-8", "surrogateescape"), options.suffix, options.language)


def eval_command(options: argparse.Namespace) -> int:
    """`cllm eval`."""
    from cllm.pipeline import evaluate_again
    from cllm.progress import reporter
    from cllm.tables import scorecard_table

    if options.compressor and not options.baselines:
        raise UsageError("--compressor needs --baselines")
    with reporter(sys.stderr) as report:
        card = evaluate_again(options.path, report, options.compressor if options.baselines else None)
    print_json(card) if options.json else print(printable(scorecard_table(card)))
    return 0


def update_command(options: argparse.Namespace) -> int:
    """`cllm update`."""
    from cllm.pipeline import update_run
    from cllm.progress import reporter

    with reporter(sys.stderr) as report:
        found = update_run(options.path, report)
    if options.json:
        print_json(found)
    else:
        print(f"knows {len(found['new'])} files that were not learned, forgot {len(found['gone'])}")
    return 0


def info_command(options: argparse.Namespace) -> int:
    """`cllm info`."""
    from cllm.info import information
    from cllm.tables import information_table

    found = information(options.path)
    print_json(found) if options.json else print(printable(information_table(found)))
    return 0


def top_command(options: argparse.Namespace) -> int:
    """`cllm top`."""
    from rich.console import Console

    from cllm.top import watch

    watch(options.path, Console(highlight=False), options.once or not sys.stdout.isatty())
    return 0


def split_command(options: argparse.Namespace) -> int:
    """`cllm split`."""
    from cllm.corpus import export_split
    from cllm.info import current_corpus

    corpus = current_corpus(options.path)
    export_split(corpus, options.export)
    print(f"{len(corpus.train)} files in {options.export / 'train'}, {len(corpus.val)} in {options.export / 'val'}")
    return 0


def export_huggingface_command(options: argparse.Namespace) -> int:
    """`cllm export huggingface`."""
    from cllm.export_run import export_huggingface
    from cllm.interrupt import Interruption
    from cllm.progress import reporter
    from cllm.tables import export_table

    with Interruption(), reporter(sys.stderr) as report:
        found = export_huggingface(options.path, options.target, report)
    print_json(found) if options.json else print(printable(export_table(found)))
    return 0


def export_gguf_command(options: argparse.Namespace) -> int:
    """`cllm export gguf`."""
    from cllm.export_run import export_gguf
    from cllm.interrupt import Interruption
    from cllm.progress import reporter
    from cllm.tables import export_table

    with Interruption(), reporter(sys.stderr) as report:
        found = export_gguf(options.path, options.target, options.type, report)
    print_json(found) if options.json else print(printable(export_table(found)))
    return 0


def clean_command(options: argparse.Namespace) -> int:
    """`cllm clean`."""
    from cllm.run import existing_directory
    from cllm.workspace import Workspace

    freed = Workspace(existing_directory(options.path)).clean()
    print(f"removed {options.path / '.cllm'}: {freed / 1e6:.1f} MB freed" if freed else "nothing to remove")
    return 0


def simulate_command(options: argparse.Namespace) -> int:
    """`cllm spheres simulate`."""
    from cllm.interrupt import Interruption
    from cllm.progress import reporter
    from cllm.stages.simulating import Question, simulate
    from cllm.tables import simulation_table

    question = Question(
        workers=tuple(options.workers),
        cores=options.cores,
        network=options.network,
        context=options.context,
        gigabits=options.gbit,
        latency_ms=options.latency_ms,
        sync_every=options.sync_every,
    )
    with Interruption(), reporter(sys.stderr) as report:
        found = simulate(question, report)
    print_json(found) if options.json else print(simulation_table(found))
    return 0


def bench_train_command(options: argparse.Namespace) -> int:
    """`cllm bench train`."""
    from cllm.artifacts import write_file
    from cllm.bench.contest import Contest
    from cllm.bench.pictures import train_picture
    from cllm.bench.tables import train_table
    from cllm.bench.training import bench_train
    from cllm.interrupt import Interruption
    from cllm.progress import reporter

    if options.picture and not options.picture.parent.is_dir():
        raise UsageError(f"--picture {options.picture}: there is no folder {options.picture.parent}")
    contest = Contest(root=options.corpus, seconds=options.seconds, seed=options.seed)
    with Interruption(), reporter(sys.stderr) as report:
        found = bench_train(contest, report)
    print_json(found) if options.json else print(train_table(found))
    if options.picture:
        write_file(options.picture, train_picture(found).encode())
    return 0


def compare(
    options: argparse.Namespace, bench: Callable[..., dict[str, Any]], table: Callable[[dict[str, Any]], str]
) -> int:
    """Run a benchmark that has no options of its own, and print what it found."""
    from cllm.bench.contest import Contest
    from cllm.interrupt import Interruption
    from cllm.progress import reporter

    contest = Contest(root=options.corpus, seconds=options.seconds, seed=options.seed)
    with Interruption(), reporter(sys.stderr) as report:
        found = bench(contest, report)
    print_json(found) if options.json else print(table(found))
    return 0


def bench_softmax_command(options: argparse.Namespace) -> int:
    """`cllm bench softmax`."""
    from cllm.bench.softmax import bench_softmax
    from cllm.bench.tables import softmax_table

    return compare(options, bench_softmax, softmax_table)


def bench_seed_command(options: argparse.Namespace) -> int:
    """`cllm bench seed`."""
    from cllm.bench.contest import Contest
    from cllm.bench.seed import bench_seed
    from cllm.bench.tables import seed_table
    from cllm.interrupt import Interruption
    from cllm.progress import reporter

    if not 1 <= options.epochs <= 10_000:
        raise UsageError(f"--epochs {options.epochs} is not between 1 and 10,000")
    contest = Contest(root=options.corpus, seed=options.seed)
    with Interruption(), reporter(sys.stderr) as report:
        found = bench_seed(contest, options.epochs, report)
    print_json(found) if options.json else print(seed_table(found))
    return 0


def bench_lattice_command(options: argparse.Namespace) -> int:
    """`cllm bench lattice`."""
    from cllm.bench.lattice import bench_lattice
    from cllm.bench.tables import lattice_table

    return compare(options, bench_lattice, lattice_table)


def bench_spheres_command(options: argparse.Namespace) -> int:
    """`cllm bench spheres`."""
    from cllm.bench.spheres import bench_spheres
    from cllm.bench.tables import spheres_table

    return compare(options, bench_spheres, spheres_table)


def bench_valid_command(options: argparse.Namespace) -> int:
    """`cllm bench valid`."""
    from cllm.bench.tables import valid_table
    from cllm.bench.valid import bench_valid
    from cllm.interrupt import Interruption
    from cllm.progress import reporter

    with Interruption(), reporter(sys.stderr) as report:
        found = bench_valid(options.path, options.count, options.seed, report)
    print_json(found) if options.json else print(valid_table(found))
    return 0


def bench_complete_command(options: argparse.Namespace) -> int:
    """`cllm bench complete`."""
    from cllm.bench.complete import bench_complete
    from cllm.bench.tables import complete_table
    from cllm.interrupt import Interruption
    from cllm.progress import reporter

    with Interruption(), reporter(sys.stderr) as report:
        found = bench_complete(options.path, options.count, options.seed, report)
    print_json(found) if options.json else print(complete_table(found))
    return 0


def doctor_command(options: argparse.Namespace) -> int:
    """`cllm doctor`."""
    from cllm.doctor import examine
    from cllm.tables import doctor_table

    found = examine()
    print_json(found) if options.json else print(doctor_table(found))
    return 0
