"""`cllm info`: corpus, plan, run and model of a repository, or the places of its replaced secrets."""

import argparse
from typing import Any

from cllm.commands.output import Rows, aligned, print_result
from cllm.commands.parser import Subparsers, add_json, add_repository

OWN_OUTPUT = "own output"  # the workspace itself, of which nothing needs to be said


def add(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser("info", help="corpus, plan, run and model")
    add_repository(parser)
    add_json(parser)
    parser.add_argument(
        "--redactions", action="store_true", help="file, line and kind of each secret that was replaced"
    )
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Print the repository's information, or its redactions."""
    from cllm.operations.info import redactions_info, repository_info

    if options.redactions:
        print_result(options, redactions_info(options.path), redactions_table)
        return 0
    print_result(options, repository_info(options.path), info_table)
    return 0


def info_table(found: dict[str, Any]) -> str:
    """State, model and corpus as a table."""
    rows: Rows = [
        ("repository", found["repository"]),
        ("workspace", f"{found['disk_bytes'] / 1e6:.1f} MB in .cllm/"),
        ("state", found.get("state", "no model yet: run `cllm train`")),
    ]
    if found.get("run"):
        state = found["run"]
        rows.append(
            ("run", f"step {state['step']} of {state['steps']}, last checkpoint {state['last_checkpoint_step']}")
        )
    if found["model"]:
        model = found["model"]
        bits = model.get("bits_per_byte", {}).get("mixed")
        quality = "no held-out files" if bits is None else f"{bits:.4f} bits per byte on held-out files"
        rows += [("model", f"run {model['run']}, {quality}"), ("  knows", update_summary(model["update"]))]
    report = found.get("corpus")
    if report:
        rows.append(("files", f"{report['files_kept']} of {report['files_seen']} kept"))
        languages = sorted(report["languages"].items(), key=lambda item: -item[1]["bytes"])
        rows += [(f"  {name}", f"{entry['files']} files, {entry['bytes']:,} bytes") for name, entry in languages]
        rows += skipped_rows(report)
    return aligned(rows)


def skipped_rows(report: dict[str, Any]) -> Rows:
    """What a corpus's report says was left out: files and folders by reason, long lines, and notes."""
    rows: Rows = [(f"  skipped: {reason}", str(count)) for reason, count in sorted(report["skipped"].items())]
    for reason, count in sorted(report.get("skipped_directories", {}).items()):
        if reason != OWN_OUTPUT:
            rows.append((f"  not entered: {reason}", f"{count} folder{'' if count == 1 else 's'}"))
    if (long_lines := report.get("long_lines", {"lines": 0}))["lines"]:
        rows.append(("  long lines", "{lines} left out of {files} files, {bytes:,} bytes".format(**long_lines)))
    return rows + [("  note", note) for note in report.get("notes", [])]


def redactions_table(found: dict[str, Any]) -> str:
    """Place and kind of each replaced secret, a line each, and entries of `[corpus] keep` that match none."""
    rows: Rows = [(f"{each['path']}:{each['line']}", each["kind"]) for each in found["redactions"]] or [
        ("no secret was replaced", "")
    ]
    return aligned([*rows, *((f"[corpus] keep: {entry!r}", "matches no secret") for entry in found["keep_unused"])])


def update_summary(update: dict[str, Any]) -> str:
    """The files that completions use besides the training files, and those that they no longer use."""
    new, stale = len(update["new"]), len(update["stale"])
    text = f"the training files, and {new} other files" + ("" if update["is_trained"] else ", not yet trained on")
    if stale:
        text += f"; {stale} files have changed or are gone: none is looked up, but only `--fresh` removes their traces"
    return text
