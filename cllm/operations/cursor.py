"""The text around a cursor in a file or in a prompt.

A file is decoded as the scan decodes it, without its byte order mark and with its own line ends, and has the form of
that text; `generation.Prompt` turns the line ends into LF. A file whose UTF-8 has faults, which the scan skips, is
completed in; its faulty bytes stay as they are.

This module imports no large libraries, so an invalid file or line is reported before a model is loaded.
"""

import codecs
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from cllm.corpus.characters import complete_length
from cllm.corpus.newlines import dominant_newline
from cllm.corpus.positions import lines_of, offset_at
from cllm.corpus.text import Skipped, Text, to_utf8
from cllm.corpus.text_form import TextForm
from cllm.errors import UsageError
from cllm.syntax.grammars import EXTENSIONS

MAX_FILE_BYTES = 16_000_000
POSITION = re.compile(r"0*([1-9][0-9]{0,8})(?::0*([1-9][0-9]{0,8}))?")


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """The text before and after a cursor, UTF-8; the path of its file relative to the repository, or None.

    `form` is how the file, or the prompt, writes its text.
    """

    prefix: bytes
    suffix: bytes
    path: str | None
    form: TextForm = TextForm()


def cursor_in_text(text: bytes, suffix: str, language: str | None) -> Cursor:
    """The cursor at the end of a text; with a language, the text is treated as the start of a file in it.

    A byte order mark, and the beginning of an incomplete character before the cursor, are left out. Raises UsageError
    if the language is not known.
    """
    path = None
    if language is not None:
        extension_of_language = {name.lower(): extensions[0] for name, extensions in EXTENSIONS.items()}
        if language.lower() not in extension_of_language:
            raise UsageError(f"--language {language} is not known; there are: {', '.join(sorted(EXTENSIONS))}")
        path = f"main{extension_of_language[language.lower()]}"
    prefix, after = text.removeprefix(codecs.BOM_UTF8), suffix.encode("utf-8", "surrogateescape")
    prefix = prefix[: complete_length(prefix)]
    return Cursor(prefix=prefix, suffix=after, path=path, form=TextForm(newline=dominant_newline(prefix + after)))


def cursor_in_file(root: Path, file: Path, line: str | None) -> Cursor:
    """The cursor in a file: at the end of line "N", before a column "N:COLUMN" (from 1), or at the end of the file.

    Raises UsageError if the file cannot be read, is too large, is no text, or has no such position.
    """
    text, form = decode_file(read_regular_file(file), file)
    offset = len(text) if line is None else offset_of(text, line, file)
    resolved, repository = file.resolve(), root.resolve()
    path = resolved.relative_to(repository).as_posix() if resolved.is_relative_to(repository) else file.name
    return Cursor(prefix=text[:offset], suffix=text[offset:], path=path, form=form)


def decode_file(data: bytes, file: Path) -> Text:
    """A file's bytes as UTF-8 with its own line ends; UsageError if they are no text."""
    try:
        return to_utf8(data)
    except Skipped as skipped:
        if skipped.reason == "corrupt UTF-8":
            return Text(data, TextForm(newline=dominant_newline(data)))
        reasons = {"binary": "it is binary (UTF-16 and UTF-32 need a byte order mark)"}
        reason = reasons.get(skipped.reason, "its encoding is unknown")
        raise UsageError(f"{file} cannot be completed in, because {reason}: save it as UTF-8") from None


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
    """Byte offset of "N" or "N:COLUMN" in a text; columns count code points. UsageError if it does not exist."""
    found = POSITION.fullmatch(position)
    if found is None:
        raise UsageError(f"--line {position[:40]} is not N or N:COLUMN, both counted from 1")
    number, column = found.groups()
    lines = lines_of(text)
    if int(number) > len(lines):
        raise UsageError(f"--line {position}: {file} has {len(lines)} lines")
    begin, end = lines[int(number) - 1]
    offset = offset_at(text, begin, end, int(column)) if column else end
    if offset is None:
        num_characters = len(text[begin:end].decode("utf-8", "surrogateescape"))
        raise UsageError(f"--line {position}: line {number} of {file} has {num_characters} characters")
    return offset
