"""Macros of C that stand for statements, for a parser that sees no macros: their lines end as statements do.

    FIND_COMMON_VARIABLES
    uv_mutex_lock(&mutex);

To a parser that is a declaration of a function of the type FIND_COMMON_VARIABLES, with an error in its parameters. Of
897 errors in libuv's files that takes away 119, and lets what is written beside such lines be judged.
"""

import re

from cllm.syntax.error_count import count_errors

# A line that is a name in capitals, perhaps with arguments, before a line that begins with a word or ends a block; not
# inside of a definition that goes on over lines.
ARGUMENTS = rb"\((?:[^()\n]|\([^()\n]*\))*\)"
STATEMENT_MACRO = re.compile(rb"(?<!\\)(\n[ \t]*[A-Z][A-Z0-9_]{2,}(?:" + ARGUMENTS + rb")?)(?=[ \t\r]*\n\s*[A-Za-z_}])")
LANGUAGES = ("C", "C++")


def terminate_macros(language: str, before: bytes, after: bytes) -> tuple[bytes, bytes]:
    """The text before and after a cursor with a `;` behind each such line, if it has fewer errors so; else as it is."""
    if language not in LANGUAGES:
        return before, after
    terminated = STATEMENT_MACRO.sub(rb"\1;", before), STATEMENT_MACRO.sub(rb"\1;", after)
    if terminated == (before, after) or count_errors(language, b"".join(terminated)) >= count_errors(
        language, before + after
    ):
        return before, after
    return terminated
