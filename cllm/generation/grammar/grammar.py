"""Grammars that a whole text must match: any JSON, a JSON schema, a regex, a Lark or a GBNF grammar.

Each is translated to a Lark grammar for llguidance (an Earley parser over a regex lexer). An invalid grammar is
reported in one sentence on construction. Whether a grammar matches any text is not checked here; `matcher` reports a
position from which no text continues.
"""

import json
import re
from dataclasses import dataclass
from typing import Any, NoReturn, Self

from llguidance import LLMatcher, LLParserLimits

from cllm.errors import UsageError
from cllm.generation.grammar.gbnf import gbnf_to_lark

# llguidance resolves references recursively: a chain of 3,000 rules, or of 3,000 "$ref", overflows its stack and ends
# the process; one of 1,500 does not.
MAX_RULES = 1000
RULE_OR_REFERENCE = re.compile(r'(?m)^[ \t]*[?!]*\w+[^\n:"/]*:|"\$ref"')
MAX_MESSAGE_CHARACTERS = 300  # of llguidance's message
# A lexer state takes 1 to 2 kB: 100 MB at most. The other limits are llguidance's defaults: they stop the computation
# of a mask after some 20 ms.
LIMITS = LLParserLimits(max_lexer_states=50_000, verbose_errors=False)
# Where only one text is possible, llguidance would compute all of it at once: `/a+/ "a"`, which never ends since the
# first terminal takes every a, used 6 GB after seven minutes (1.9.1, 2026-11-27). The option is appended as the last
# line, so that line numbers in messages stay right.
LARK_OPTIONS = '\n%llguidance {"no_forcing": true}\n'
# Between JSON tokens: nothing, a space, or a newline and up to 32 spaces. By default llguidance allows any number, and
# a network can get stuck in generating only whitespace.
WHITESPACE_OPTIONS = {"whitespace_pattern": "( |\\n {0,32})?"}


@dataclass(frozen=True)
class Grammar:
    """A validated grammar, made by `json`, `schema`, `regex`, `lark` or `gbnf`; `definition` is llguidance's format.

    Each of these raises UsageError if the grammar is invalid.
    """

    definition: str

    @classmethod
    def json(cls) -> Self:
        """Match any JSON value, on one line or indented."""
        return cls.schema("{}")

    @classmethod
    def schema(cls, text: str) -> Self:
        """Match JSON of this schema, with keys in the schema's order; keywords unknown to llguidance are errors."""
        source = "the JSON schema"
        try:
            schema: Any = json.loads(text, parse_constant=_reject_constant)
        except json.JSONDecodeError as error:
            _reject(source, f"line {error.lineno}, column {error.colno}: {error.msg}")
        except (ValueError, RecursionError) as error:
            _reject(source, str(error))
        if not isinstance(schema, dict | bool):
            _reject(source, "it is neither an object nor true or false")
        if isinstance(schema, dict):
            user_options = schema.get("x-guidance", {})
            schema = {
                **schema,
                "x-guidance": WHITESPACE_OPTIONS | user_options if isinstance(user_options, dict) else user_options,
            }
        return cls._validated(source, f"start: %json {json.dumps(schema)}")

    @classmethod
    def regex(cls, text: str) -> Self:
        """Match a regular expression as a whole: Rust's syntax, without lookaround and backreferences."""
        _reject_surrogates("the regex", text)
        (grammar_parts,) = json.loads(LLMatcher.grammar_from_regex(text))["grammars"]
        return cls._validated("the regex", grammar_parts["lark_grammar"])

    @classmethod
    def lark(cls, text: str) -> Self:
        """Match `start` of a Lark grammar; the lexer takes the longest terminal, whatever follows."""
        _reject_surrogates("the Lark grammar", text)
        return cls._validated("the Lark grammar", text)

    @classmethod
    def gbnf(cls, text: str) -> Self:
        """Match `root` of a GBNF grammar (llama.cpp's format)."""
        return cls._validated("the GBNF grammar", gbnf_to_lark(text))

    @classmethod
    def _validated(cls, source: str, lark: str) -> Self:
        if (count := len(RULE_OR_REFERENCE.findall(lark))) > MAX_RULES:
            _reject(source, f"it has {count:,} rules or references, more than {MAX_RULES:,}")
        definition = LLMatcher.grammar_from_lark(lark + LARK_OPTIONS)
        is_invalid, messages = LLMatcher.validate_grammar_with_warnings(definition, limits=LIMITS)
        if is_invalid:
            _reject(source, one_line_message(messages[0], has_location=source == "the Lark grammar"))
        return cls(definition)


def one_line_message(message: str, has_location: bool = False) -> str:
    """Return llguidance's message on one line, without its excerpt of the grammar.

    With `has_location`, the message keeps its line and column, which refer to the user's text.
    """
    location = re.match(r"(?:at )?(\d+)\((\d+)\): ", message)
    summary = re.split(r"\n(?:\s*\d+ \| |<state>)", message[location.end() :] if location else message)[0]
    if regex_error := re.search(r"regex parse error:\n    .*\n    ( *)\^+\nerror: (.*)", summary):
        summary = f"{regex_error[2]}, at character {len(regex_error[1]) + 1} of the regex"
    summary = " ".join(summary.split())[:MAX_MESSAGE_CHARACTERS]
    return f"line {location[1]}, column {location[2]}: {summary}" if location and has_location else summary


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not valid JSON")


def _reject_surrogates(source: str, text: str) -> None:
    if (found := re.search("[\ud800-\udfff]", text)) is not None:
        _reject(source, f"character {found.start() + 1} is not UTF-8")


def _reject(source: str, reason: str) -> NoReturn:
    raise UsageError(f"{source} cannot be used: {reason}")
