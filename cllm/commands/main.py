"""The entry point `cllm`: parse the arguments, run one command, turn errors into one sentence and an exit code."""

import argparse
import errno
import io
import sys
from collections.abc import Callable

from cllm import __version__
from cllm.commands import (
    bench,
    clean,
    complete,
    doctor,
    evaluate,
    export,
    info,
    spheres,
    split,
    top,
    train,
    update,
)
from cllm.commands.output import printable
from cllm.commands.parser import Parser
from cllm.commands.repository import locate_repository
from cllm.errors import ArtifactError, CllmError
from cllm.interrupt import Interrupted

COMMANDS = (train, complete, evaluate, update, info, top, split, export, clean, spheres, bench, doctor)
DESCRIPTION = "A private language model of your own repository, trained on your CPU."


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code: 0 success, 1 failure, 2 wrong usage, 130 or 143 interrupted."""
    for stream in (sys.stdout, sys.stderr):  # a file's name can contain characters outside the terminal's encoding
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        options = build_parser().parse_args(arguments)
        locate_repository(options)
        run: Callable[[argparse.Namespace], int] = options.command
        return run(options)
    except CllmError as error:
        print(f"cllm: {printable(str(error))}{recovery_hint(error)}", file=sys.stderr)
        return error.exit_code
    except Interrupted as interrupted:
        print("cllm: interrupted", file=sys.stderr)
        return interrupted.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except ImportError as error:  # raised if a limit on the address space is too small for a library
        if isinstance(error, ModuleNotFoundError):
            raise
        print(f"cllm: a library cannot be loaded: {printable(str(error))}; see `cllm doctor`", file=sys.stderr)
        return 1
    except (OSError, MemoryError) as error:
        print(f"cllm: {printable(os_error_text(error)) or 'there is not enough memory'}", file=sys.stderr)
        return 1


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; without a command, it prints the help."""
    parser = Parser(prog="cllm", description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"cllm {__version__}")
    parser.set_defaults(command=lambda options: print_help(parser))
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)
    for command in COMMANDS:
        command.add(subparsers)
    return parser


def os_error_text(error: OSError | MemoryError) -> str:
    """The message of an error of the operating system, with the file, and what to do if the disk is full."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    where = f"{error.filename}: " if error.filename else ""
    remedy = "; free some space, then run the same command again" if error.errno == errno.ENOSPC else ""
    return f"{where}{error.strerror}{remedy}"


def print_help(parser: argparse.ArgumentParser) -> int:
    """Print the list of commands."""
    parser.print_help()
    return 0


def recovery_hint(error: CllmError) -> str:
    """A hint for a damaged file, if the message has none."""
    if not isinstance(error, ArtifactError) or "--fresh" in str(error) or "same command" in str(error):
        return ""
    return "; `cllm train --fresh` trains again, `cllm clean` removes everything"
