"""The grammar that the command line names, by an option or in a file."""

from pathlib import Path

from cllm.errors import UsageError
from cllm.generation.grammar.grammar import Grammar

MAX_FILE_BYTES = 1_000_000
PARSER_BY_EXTENSION = {".lark": Grammar.lark, ".gbnf": Grammar.gbnf}


def grammar_from_options(is_json: bool, schema: Path | None, regex: str | None, file: Path | None) -> Grammar | None:
    """Return the grammar for any JSON, a schema file, a regex or a grammar file; None if no option is given.

    Raises UsageError if a file cannot be read, is too large, is not UTF-8 or has an unknown extension.
    """
    if is_json:
        return Grammar.json()
    if schema is not None:
        return Grammar.schema(_text_of("--json-schema", schema))
    if regex is not None:
        return Grammar.regex(regex)
    if file is None:
        return None
    if file.suffix not in PARSER_BY_EXTENSION:
        raise UsageError(f"--grammar {file} ends neither in .lark nor in .gbnf")
    return PARSER_BY_EXTENSION[file.suffix](_text_of("--grammar", file))


def _text_of(option: str, file: Path) -> str:
    try:
        with file.open("rb") as opened:
            text = opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{option} {file} cannot be read: {error.strerror}") from None
    if len(text) > MAX_FILE_BYTES:
        raise UsageError(f"{option} {file} is larger than {MAX_FILE_BYTES / 1e6:.0f} MB")
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{option} {file} is not UTF-8: byte {error.start + 1} is {error.object[error.start]:#04x}"
        ) from None
