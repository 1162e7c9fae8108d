"""The text around a cursor in a file or in a prompt.

This module imports no large libraries, so an invalid file or line is reported before a model is loaded.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from cllm.errors import UsageError
from cllm.syntax.grammars import EXTENSIONS

MAX_FILE_BYTES = 16_000_000


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """Bytes before and after a cursor, and the path of its file relative to the repository, or None."""

    prefix: bytes
    suffix: bytes
    path: str | None


def cursor_in_text(text: bytes, suffix: str, language: str | None) -> Cursor:
    """The cursor at the end of a text; with a language, the text is treated as the start of a file in it.

    Raises UsageError if the language is not known.
    """
    path = None
    if language is not None:
        extension_of_language = {name.lower(): extensions[0] for name, extensions in EXTENSIONS.items()}
        if language.lower() not in extension_of_language:
            raise UsageError(f"--language {language} is not known; there are: {', '.join(sorted(EXTENSIONS))}")
        path = f"main{extension_of_language[language.lower()]}"
    return Cursor(prefix=text, suffix=suffix.encode("utf-8", "surrogateescape"), path=path)


def cursor_in_file(root: Path, file: Path, line: str | None) -> Cursor:
    """The cursor in a file: at the end of line "N", before a column "N:COLUMN" (from 1), or at the end of the file.

    Raises UsageError if the file cannot be read, is too large, or has no such position.
    """
    text = read_regular_file(file)
    offset = len(text) if line is None else offset_of(text, line, file)
    resolved, repository = file.resolve(), root.resolve()
    path = resolved.relative_to(repository).as_posix() if resolved.is_relative_to(repository) else file.name
    return Cursor(prefix=text[:offset], suffix=text[offset:], path=path)


def read_regular_file(file: Path) -> bytes:
    """A file's bytes; UsageError if it is larger than MAX_FILE_BYTES or not a regular file (a FIFO would block)."""
    try:
        with open(os.open(file, os.O_RDONLY | os.O_NONBLOCK), "rb") as opened:  # noqa: PTH123
            if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
                raise UsageError(f"{file} is not a regular file: give a text file")
            text = opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from None
    if len(text) > MAX_FILE_BYTES:
        raise UsageError(f"{file} is larger than {MAX_FILE_BYTES / 1e6:.0f} MB, the limit for completions")
    return text


def offset_of(text: bytes, position: str, file: Path) -> int:
    """Byte offset of "N" or "N:COLUMN" in a text; columns count characters. UsageError if it does not exist."""
    number, _, column = position.partition(":")
    if not number.isdecimal() or (column and not column.isdecimal()) or number == "0" or column == "0":
        raise UsageError(f"--line {position} is not N or N:COLUMN, both counted from 1")
    lines = text.split(b"\n")
    if int(number) > len(lines):
        raise UsageError(f"--line {position}: {file} has {len(lines)} lines")
    before = sum(len(line) + 1 for line in lines[: int(number) - 1])
    content = lines[int(number) - 1].decode("utf-8", "surrogateescape").rstrip("\r")
    if column and int(column) > len(content) + 1:
        raise UsageError(f"--line {position}: line {number} of {file} has {len(content)} characters")
    content = content[: int(column) - 1] if column else content
    return before + len(content.encode("utf-8", "surrogateescape"))
