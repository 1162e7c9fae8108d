"""What a whole text must match: any JSON, a JSON schema, a regex, a Lark or a GBNF grammar.

All of them become one Lark grammar for the library llguidance (Earley's parser over a lexer of regexes). What is wrong
with a user's grammar is one sentence, said when it is made. That a grammar has any text at all is not asked here:
`matcher` says so where it leads nowhere.
"""

import json
import re
from dataclasses import dataclass
from typing import Any, NoReturn, Self

from llguidance import LLMatcher, LLParserLimits

from cllm.errors import UsageError
from cllm.generation.gbnf import lark_of_gbnf

# The library follows names into names: a chain of 3,000 rules, or of 3,000 "$ref", overflows its stack and ends the
# process, one of 1,500 does not.
MOST_NAMES = 1000
NAMED = re.compile(r'(?m)^[ \t]*[?!]*\w+[^\n:"/]*:|"\$ref"')
MOST_SAID = 300  # characters of what the library says of a grammar
# A lexer's state takes 1 to 2 kB: 100 MB at most. The other limits are the library's: they end a mask after some 20 ms.
LIMITS = LLParserLimits(max_lexer_states=50_000, verbose_errors=False)
# Where only one text is possible, the library would look for all of it at once: `/a+/ "a"`, which never ends as a's are
# taken by the first part, had 6 GB in seven minutes (1.9.1, 2026-11-27). It is a last line, so that places stay right.
OPTIONS = '\n%llguidance {"no_forcing": true}\n'
# Between JSON's words: nothing, a blank, or a line end and so many blanks. By itself the library allows any number, and
# a network that has found them likely writes nothing else.
BLANKS = {"whitespace_pattern": "( |\\n {0,32})?"}


@dataclass(frozen=True)
class Grammar:
    """Made by `json`, `schema`, `regex`, `lark` or `gbnf`; `definition` is the library's."""

    definition: str

    @classmethod
    def json(cls) -> Self:
        """Any JSON value, on one line or indented."""
        return cls.schema("{}")

    @classmethod
    def schema(cls, text: str) -> Self:
        """JSON of this schema, its keys in the schema's order; a keyword that the library does not know is an error."""
        what = "the JSON schema"
        try:
            schema: Any = json.loads(text, parse_constant=_no_number)
        except json.JSONDecodeError as error:
            _refuse(what, f"line {error.lineno}, column {error.colno}: {error.msg}")
        except (ValueError, RecursionError) as error:
            _refuse(what, str(error))
        if not isinstance(schema, dict | bool):
            _refuse(what, "it is neither an object nor true or false")
        if isinstance(schema, dict):
            own = schema.get("x-guidance", {})
            schema = {**schema, "x-guidance": BLANKS | own if isinstance(own, dict) else own}
        return cls._checked(what, f"start: %json {json.dumps(schema)}")

    @classmethod
    def regex(cls, text: str) -> Self:
        """What a regular expression matches as a whole: Rust's syntax, without lookaround and references back."""
        _refuse_surrogates("the regex", text)
        (made,) = json.loads(LLMatcher.grammar_from_regex(text))["grammars"]
        return cls._checked("the regex", made["lark_grammar"])

    @classmethod
    def lark(cls, text: str) -> Self:
        """What `start` of a Lark grammar matches; words are as long as possible, wherever what follows begins."""
        _refuse_surrogates("the Lark grammar", text)
        return cls._checked("the Lark grammar", text)

    @classmethod
    def gbnf(cls, text: str) -> Self:
        """What `root` of a GBNF grammar (llama.cpp's) matches."""
        return cls._checked("the GBNF grammar", lark_of_gbnf(text))

    @classmethod
    def _checked(cls, what: str, lark: str) -> Self:
        if (count := len(NAMED.findall(lark))) > MOST_NAMES:
            _refuse(what, f"it has {count:,} rules or references, more than {MOST_NAMES:,}")
        definition = LLMatcher.grammar_from_lark(lark + OPTIONS)
        is_wrong, messages = LLMatcher.validate_grammar_with_warnings(definition, limits=LIMITS)
        if is_wrong:
            _refuse(what, in_one_line(messages[0], has_place=what == "the Lark grammar"))
        return cls(definition)


def in_one_line(message: str, has_place: bool = False) -> str:
    """What the library says, without its picture of the grammar; with its place there, if that is the user's text."""
    place = re.match(r"(?:at )?(\d+)\((\d+)\): ", message)
    said = re.split(r"\n(?:\s*\d+ \| |<state>)", message[place.end() :] if place else message)[0]
    if pointed := re.search(r"regex parse error:\n    .*\n    ( *)\^+\nerror: (.*)", said):
        said = f"{pointed[2]}, at character {len(pointed[1]) + 1} of the regex"
    said = " ".join(said.split())[:MOST_SAID]
    return f"line {place[1]}, column {place[2]}: {said}" if place and has_place else said


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _refuse_surrogates(what: str, text: str) -> None:
    if (found := re.search("[\ud800-\udfff]", text)) is not None:
        _refuse(what, f"character {found.start() + 1} is not UTF-8")


def _refuse(what: str, why: str) -> NoReturn:
    raise UsageError(f"{what} cannot be used: {why}")
