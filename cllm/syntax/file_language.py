"""The language of a file by its name and its text, where there is a grammar for it.

Scripts without an extension are known by their `#!` line. A `.h` file is C++ if it, or its repository, looks like it
and C++'s grammar finds no more errors in it than C's: a C header may have a field named `class`.
"""

import re
from functools import lru_cache

from cllm.corpus.languages import interpreted_language, interpreter
from cllm.syntax.error_count import count_errors_in
from cllm.syntax.grammars import GRAMMARS, language_with_grammar, parse
from cllm.syntax.time_budget import TimeBudget

DIALECTS = {"fish", "zsh"}  # shells that the grammar of Shell rejects
COMMENT = re.compile(rb"/\*.*?(?:\*/|\Z)|//[^\n]*", re.DOTALL)
# What only C++ has, at the start of a line or in a name. Without any of it, a header is C unless its repository is C++.
CPP_SYNTAX = re.compile(
    rb"^[ \t]*(?:(?:inline[ \t]+)?namespace\b[^;()]*\{|template[ \t]*<|(?:public|private|protected)[ \t]*:(?!:)"
    rb"|class[ \t]+\w[^;(){}]*[;{]|using[ \t]+\w|(?:virtual|explicit|constexpr|friend)[ \t]+\w)|\w::~?\w"
    rb"|^[ \t]*#[ \t]*include[ \t]*<[a-z_]+>",
    re.MULTILINE,
)
MAX_HEADER_BYTES = 1 << 16  # of a header that are parsed
HEADER_SECONDS = 0.1  # for each of two parses; a header that takes longer counts as C


def language_of_file(path: str, text: bytes, headers: str = "C") -> str | None:
    """Return the language of a file, or None if it has no grammar.

    `headers`: the language of the repository's `.h` files, for one that is as right in C as in C++.
    """
    found = language_with_grammar(path)
    if found == "C" and path.lower().endswith(".h"):
        return header_language(text[:MAX_HEADER_BYTES], headers)
    if found is not None or "." in path.rpartition("/")[2].lstrip("."):
        return found
    language = interpreted_language(text)
    return language if language in GRAMMARS and interpreter(text) not in DIALECTS else None


def language_at_cursor(path: str, prefix: bytes, suffix: bytes, headers: str = "C") -> str | None:
    """As `language_of_file`, for the text around a cursor, without the cursor's line, which may be unfinished."""
    line_start, line_end = prefix.rfind(b"\n") + 1, suffix.find(b"\n")
    if line_start == 0:
        return language_of_file(path, prefix, headers)
    return language_of_file(path, prefix[:line_start] + suffix[line_end if line_end >= 0 else len(suffix) :], headers)


@lru_cache(maxsize=4)  # an editor asks again at every keystroke in a line
def header_language(text: bytes, default: str) -> str:
    """Return "C" or "C++" for the text of a header."""
    if default == "C" and CPP_SYNTAX.search(COMMENT.sub(b"", text)) is None:
        return "C"
    trees = [parse(language, text, TimeBudget(HEADER_SECONDS)) for language in ("C", "C++")]
    c_errors, cpp_errors = (None if tree is None else count_errors_in(tree) for tree in trees)
    if c_errors is None or cpp_errors is None:
        return default
    return "C++" if cpp_errors <= c_errors else "C"
