"""The languages whose texts can be parsed, and trees of texts.

All grammars are imported here: with tree-sitter 0.06 s and 1 MB, beside the 2 s of torch (two-core EPYC, 2026-11),
which is less than the machinery that would spare it.
"""

import time
from functools import cache

import tree_sitter_bash
import tree_sitter_c
import tree_sitter_cpp
import tree_sitter_go
import tree_sitter_java
import tree_sitter_javascript
import tree_sitter_json
import tree_sitter_python
import tree_sitter_rust
import tree_sitter_typescript
from tree_sitter import Language, Parser, Tree

GRAMMARS = {
    "C": tree_sitter_c.language,
    "C++": tree_sitter_cpp.language,
    "Go": tree_sitter_go.language,
    "JSON": tree_sitter_json.language,
    "Java": tree_sitter_java.language,
    "JavaScript": tree_sitter_javascript.language,
    "Python": tree_sitter_python.language,
    "Rust": tree_sitter_rust.language,
    "Shell": tree_sitter_bash.language,
    "TSX": tree_sitter_typescript.language_tsx,
    "TypeScript": tree_sitter_typescript.language_typescript,
}
# The first is what a new file would have. Left out: dialects that the grammar refuses (`.pyx`, `.json5`).
EXTENSIONS = {
    "C": (".c", ".h"),
    "C++": (".cpp", ".cc", ".cxx", ".hpp", ".hh", ".hxx"),
    "Go": (".go",),
    "JSON": (".json",),
    "Java": (".java",),
    "JavaScript": (".js", ".mjs", ".cjs", ".jsx"),
    "Python": (".py", ".pyi"),
    "Rust": (".rs",),
    "Shell": (".sh", ".bash"),
    "TSX": (".tsx",),
    "TypeScript": (".ts", ".mts", ".cts"),
}
_LANGUAGE_OF = {extension: language for language, extensions in EXTENSIONS.items() for extension in extensions}

# Most texts take a millisecond per 5 kB, but 200,000 times `<` as Shell took 100 s (quadratic); same machine.
PARSE_SECONDS = 2.0
CHUNK_BYTES = 65536


@cache
def _tree_sitter_language(language: str) -> Language:
    return Language(GRAMMARS[language]())


def language_with_grammar(path: str) -> str | None:
    """The language of GRAMMARS that a file's name stands for. A `.h` is called C, though it may be C++."""
    name = path.rpartition("/")[2].lower()
    return _LANGUAGE_OF.get("." + name.rpartition(".")[2]) if "." in name else None


def parser_for(language: str) -> Parser | None:
    """A new parser (0.3 us; parsers are not shared between threads), or None for a language without a grammar."""
    return Parser(_tree_sitter_language(language)) if language in GRAMMARS else None


def parse(language: str, text: bytes) -> Tree | None:
    """The tree of `text`, or None if it took longer than PARSE_SECONDS; `language` must have a parser."""
    parser = parser_for(language)
    assert parser is not None, f"no grammar for {language}: ask parser_for first"
    return parse_with(parser, text)


def parse_with(parser: Parser, text: bytes, old: Tree | None = None) -> Tree | None:
    """As `parse`; what did not change since an `old` tree, whose edits were told, is taken from it."""
    deadline = time.monotonic() + PARSE_SECONDS

    def is_past_deadline(_offset: int, _has_error: bool) -> bool:
        return time.monotonic() > deadline

    def read_chunk(offset: int, _point: object) -> bytes:
        return text[offset : offset + CHUNK_BYTES]

    try:
        if old is None:
            return parser.parse(read_chunk, progress_callback=is_past_deadline)
        return parser.parse(read_chunk, old, progress_callback=is_past_deadline)
    except ValueError:  # "Parsing failed": the progress callback asked for the end
        parser.reset()
        return None
