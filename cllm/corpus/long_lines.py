"""Leave out lines that are too long to be hand-written, or find that a whole file is.

A line of more than MAX_LINE_BYTES is left out of any file. If the mean of the lines is still higher than in source
files, those of more than LONG_LINE_BYTES are, too; prose may have a paragraph on each line. What is left must be a file
with such lines in it, not a minified file with a licence above: ten lines of code for each that is left out. A line
that is left out becomes an empty line, so that the numbers of the others stay.
"""

import re
from typing import NamedTuple

MAX_LINE_BYTES = 50_000
# The longest hand-written lines of code in 15 repositories have 1,926 bytes (redis's tests) and 1,552 (three's
# imports). Longer ones are pictures in HTML, and base64.
LONG_LINE_BYTES = 2_000
MAX_MEAN_LINE_BYTES = 200  # the highest mean of a source file of the reference corpora is 91
MIN_CHECKED_BYTES = 2_000  # shorter files are not checked
MIN_LINES_PER_LONG_LINE = 10
_COMMENT = re.compile(rb"\s*(?://|/\*|\*|#|--|;|%|<!--)")


class ShortenedText(NamedTuple):
    """A text without its long lines, and the number and bytes of those."""

    content: bytes
    num_lines: int
    num_bytes: int


def without_long_lines(content: bytes, is_prose: bool) -> ShortenedText | None:
    """The text without long lines; None if the whole file is minified."""
    if len(content) < MIN_CHECKED_BYTES:
        return ShortenedText(content, 0, 0)
    lines = content.splitlines(keepends=True)
    is_dense = not is_prose and len(content) / len(lines) > MAX_MEAN_LINE_BYTES
    limit = LONG_LINE_BYTES if is_dense else MAX_LINE_BYTES
    long_lines = [line for line in lines if len(line) > limit]
    if not long_lines:
        return None if is_dense else ShortenedText(content, 0, 0)
    num_bytes = sum(len(line) - len(_line_end(line)) for line in long_lines)
    num_others = len(lines) - len(long_lines)
    num_code_lines = sum(bool(line.strip()) and not _COMMENT.match(line) for line in lines if len(line) <= limit)
    if num_code_lines < MIN_LINES_PER_LONG_LINE * len(long_lines):
        return None
    if not is_prose and (len(content) - num_bytes) / num_others > MAX_MEAN_LINE_BYTES:
        return None
    kept = b"".join(line if len(line) <= limit else _line_end(line) for line in lines)
    return ShortenedText(kept, len(long_lines), num_bytes)


def _line_end(line: bytes) -> bytes:
    return line[len(line.rstrip(b"\r\n")) :]
