"""`cllm complete`: continue a text, or fill in at a cursor in a file."""

import argparse
import sys
from pathlib import Path
from typing import Any

from cllm.commands.output import Rows, aligned, print_json, printable
from cllm.commands.parser import Subparsers, add_json, add_repository, add_seed
from cllm.commands.short_process import without_garbage_collection
from cllm.errors import UsageError

MAX_SHOWN_CHARACTERS = 40  # of a copied span


def add(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser("complete", help="continue a text, or fill in at a cursor in a file")
    parser.add_argument("prompt", nargs="*", metavar="PROMPT", help="text to continue (default: standard input)")
    add_repository(parser)
    add_cursor(parser)
    add_stopping(parser)
    add_grammars(parser)
    add_sampling(parser)
    experts = parser.add_argument("--experts", default="mixed", choices=("mixed", "model", "memory"))
    experts.help = "which predictors: the mixture (default), the network alone, the memory alone"
    parser.add_argument("--explain", action="store_true", help="print where the text is copied from, and what is new")
    add_json(parser)
    parser.set_defaults(command=run)


def add_cursor(parser: argparse.ArgumentParser) -> None:
    """Options that say where to complete."""
    parser.add_argument("--suffix", default="", metavar="TEXT", help="text after the cursor")
    parser.add_argument("--file", type=Path, metavar="PATH", help="complete at a cursor in this file")
    parser.add_argument("--line", metavar="N[:COLUMN]", help="the cursor: before that column (default: end of line)")
    parser.add_argument("--language", metavar="NAME", help="the prompt's language, like C or Python")
    window = parser.add_argument("--window", type=int, metavar="BYTES")
    window.help = "bytes before the cursor that are read, and a quarter as many after it (default 65536)"


def add_stopping(parser: argparse.ArgumentParser) -> None:
    """Options that say where a completion ends, and what it must satisfy."""
    until = parser.add_argument("--until", metavar="line|block|N")
    until.help = "stop after the line (default with --file), the block (default), or N tokens"
    parser.add_argument("--max-tokens", type=int, default=128, help="stop after that many tokens at most (default 128)")
    parser.add_argument("--stop", action="append", default=[], metavar="TEXT", help="stop before this text")
    valid = parser.add_argument("--valid", action=argparse.BooleanOptionalAction, default=True)
    valid.help = "allow only what parses at the cursor (default, for languages with a grammar)"
    parser.add_argument("--compile", action="store_true", help="C: allow only what gcc accepts (0.1 s a line and more)")


def add_grammars(parser: argparse.ArgumentParser) -> None:
    """Grammars that the whole text must match, one of them; generation stops at the end of the match."""
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--as-json", action="store_true", help="generate JSON")
    kinds.add_argument("--json-schema", type=Path, metavar="FILE", help="generate JSON of this schema")
    kinds.add_argument("--regex", metavar="TEXT", help="generate a match of this (Rust's syntax, no lookaround)")
    kinds.add_argument("--grammar", type=Path, metavar="FILE.lark|FILE.gbnf", help="generate a text of this grammar")


def add_sampling(parser: argparse.ArgumentParser) -> None:
    """Sampling parameters."""
    parser.add_argument("--temperature", type=float, default=0.0, help="0 takes the most probable token (default)")
    parser.add_argument("--top-k", type=int, default=0)
    parser.add_argument("--top-p", type=float, default=1.0)
    parser.add_argument("--min-p", type=float, default=0.0)
    parser.add_argument("-n", type=int, default=1, dest="samples", help="number of samples (default 1)")
    add_seed(parser)


@without_garbage_collection()
def run(options: argparse.Namespace) -> int:
    """Complete; the exit code is 1 if every completion is blank, except where nothing seems to be missing."""
    check_options(options)
    cursor = cursor_of(options)
    from cllm.generation.predict.prompt import Prompt
    from cllm.operations.complete import complete_prompt, window_of_size

    window = window_of_size(options.window)
    form = cursor.form
    prompt = Prompt(
        prefix=cursor.prefix,
        suffix=cursor.suffix,
        path=cursor.path,
        window=window,
        newline=form.newline,
        encoding=form.encoding,
    )
    grammar, params = chosen_grammar(options), sampling_params(options)
    for note in grammar.notes if grammar is not None else ():
        print(f"cllm: {printable(note)}", file=sys.stderr)
    completions = complete_prompt(
        options.path,
        prompt,
        params,
        num_samples=options.samples,
        experts=options.experts,
        with_sources=options.explain or options.json,
        must_compile=options.compile,
        grammar=grammar,
    )
    if options.json:
        found = {"encoding": form.encoding, "has_bom": form.has_bom, "newline": form.newline.decode()}
        print_json({"prompt": cursor.prefix.decode("utf-8", "replace"), "form": found, "completions": completions})
    else:
        before = "" if options.file is not None or prompt.suffix else cursor.prefix.decode("utf-8", "replace")
        print_completions(completions, before, options.explain, grammar is not None, bool(cursor.suffix.strip()))
    is_answered = bool(cursor.suffix.strip()) and all(each["valid"] is not False for each in completions)
    return 0 if is_answered or any(each["text"].strip() for each in completions) else 1


def print_completions(
    completions: list[dict[str, Any]], before: str, with_sources: bool, has_grammar: bool, has_suffix: bool
) -> None:
    """Print completions, each after the text `before`; problems go to standard error."""
    likeliest = "that nothing is missing here" if has_suffix else "the end of the text"
    for number, completion in enumerate(completions):
        if number:
            print("-" * 40)
        print(before + completion["text"])
        problem = completion["reason"]
        if has_grammar and completion["valid"] is False:
            problem = "no end of the grammar was reached"
        elif not problem and not completion["text"].strip():
            problem = f"nothing was generated: the likeliest is {likeliest}"
        if problem:
            print(f"cllm: completion {number + 1}: {problem}", file=sys.stderr)
        if with_sources:
            print(printable(sources_table(completion)))


def check_options(options: argparse.Namespace) -> None:
    """Raise UsageError for options that contradict each other."""
    if "" in options.stop:
        raise UsageError("--stop is empty; it must be the text to stop before")
    if options.compile and not options.valid:
        raise UsageError("--compile does not go with --no-valid: what does not parse does not compile")
    if options.file is None and options.line is not None:
        raise UsageError("--line needs --file")
    given = {"a prompt": options.prompt, "--suffix": options.suffix, "--language": options.language}
    if options.file is not None and (extra := [name for name, value in given.items() if value]):
        raise UsageError(f"{extra[0]} does not go with --file: the file's text before and after the cursor is used")


def cursor_of(options: argparse.Namespace) -> Any:
    """The text around the cursor (`operations.cursor.Cursor`), from a file, the command line or standard input.

    Raises UsageError if there is no prompt.
    """
    from cllm.operations.cursor import cursor_in_file, cursor_in_text

    if options.file is not None:
        return cursor_in_file(options.path, options.file, options.line)
    if options.prompt:
        text = " ".join(options.prompt).encode("utf-8", "surrogateescape")
    elif sys.stdin is None:
        raise UsageError("there is no prompt, and standard input is closed")
    else:
        text = sys.stdin.buffer.read()
        text = text.removesuffix(b"\n").removesuffix(b"\r") if text.endswith(b"\n") else text  # which `echo` appends
    return cursor_in_text(text, options.suffix, options.language)


def sampling_params(options: argparse.Namespace) -> Any:
    """The sampling parameters (`generation.SamplingParams`); UsageError if --until is not valid."""
    from cllm.generation.predict.sampling import SamplingParams

    until: Any = options.until or ("line" if options.file is not None else "block")
    max_tokens = options.max_tokens
    if until.isdecimal():
        until, max_tokens = "tokens", int(until)
    elif until not in ("line", "block"):
        raise UsageError(f"--until {until} is not line, block or a number of tokens")
    return SamplingParams(
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


def chosen_grammar(options: argparse.Namespace) -> Any:
    """The grammar that the whole text must match (`generation.grammar.Grammar`), or None.

    Raises UsageError for an option that cannot be combined with a grammar.
    """
    from cllm.generation.grammar.grammar_file import grammar_from_options

    grammar = grammar_from_options(options.as_json, options.json_schema, options.regex, options.grammar)
    given = {"--until": options.until, "--stop": options.stop, "--compile": options.compile}
    if grammar is not None and (extra := [name for name, value in given.items() if value]):
        raise UsageError(
            f"{extra[0]} does not go with a grammar, which determines where the text ends and what is valid"
        )
    return grammar


def sources_table(completion: dict[str, Any]) -> str:
    """The locations of a completion's verbatim spans, each with its first words, and the share of new text."""
    rows: Rows = [("new", f"{completion['novel_share']:.0%} of the text")]
    content = completion["text"].encode("utf-8", "replace")
    for source in completion["sources"]:
        words = " ".join(content[source["begin"] : source["end"]].decode("utf-8", "replace").split())
        words = words if len(words) <= MAX_SHOWN_CHARACTERS else words[:MAX_SHOWN_CHARACTERS] + "..."
        licence = f"; {source['licence']}" if source["licence"] else ""
        rows.append((source["location"], f"{source['end'] - source['begin']} bytes: {words}{licence}"))
    return "---\n" + aligned(rows)
