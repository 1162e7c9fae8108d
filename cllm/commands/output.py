"""Output of commands: text without control characters, two aligned columns, or one JSON object."""

import argparse
import json
from collections.abc import Callable
from typing import Any

Rows = list[tuple[str, str]]


def printable(text: str) -> str:
    """Escape control characters: a file's name or generated text could contain terminal control sequences."""
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)


def aligned(rows: Rows) -> str:
    """Rows as two aligned columns."""
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def print_json(value: Any) -> None:
    """Print a value as indented JSON."""
    print(json.dumps(value, indent=2))


def print_result(options: argparse.Namespace, result: Any, table: Callable[[Any], str]) -> None:
    """Print a command's result: as JSON with --json, else as its table."""
    print_json(result) if options.json else print(printable(table(result)))
