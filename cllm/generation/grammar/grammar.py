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
from cllm.generation.grammar.json_schema import (
    Schema,
    error_place,
    remove_keywords_without_effect,
    unknown_formats_note,
)

# llguidance resolves references recursively: a chain of 3,000 rules, or of 3,000 "$ref", overflows its stack and ends
# the process; one of 1,500 does not.
MAX_RULES = 1000
RULE_OR_REFERENCE = re.compile(r'(?m)^[ \t]*[?!]*\w+[^\n:"/]*:|"\$ref"')
MAX_MESSAGE_CHARACTERS = 300  # of llguidance's message
MAX_NESTED_VALUES = 127  # in a JSON schema; llguidance's JSON parser has this limit
# A lexer state takes 1 to 2 kB: 100 MB at most. The other limits are llguidance's defaults: they stop the computation
# of a mask after some 20 ms.
LIMITS = LLParserLimits(max_lexer_states=50_000, verbose_errors=False)
# Where only one text is possible, llguidance would compute all of it at once: `/a+/ "a"`, which never ends since the
# first terminal takes every a, used 6 GB after seven minutes (1.9.1, 2026-11-27). The option is appended as the last
# line, so that line numbers in messages stay right.
LARK_OPTIONS = '\n%llguidance {"no_forcing": true}\n'
# Between JSON tokens: nothing, a space, or a newline and up to 32 spaces. By default llguidance allows any number, and
# a network can get stuck in generating only whitespace. Strings may contain `\\u00e9`, as source files do; llguidance
# has no option for `\\/`.
JSON_OPTIONS: Schema = {"whitespace_pattern": "( |\\n {0,32})?", "json_allow_general_unicode_escapes": True}
SCHEMA = "the JSON schema"
MAX_SHOWN_POINTER = 120  # characters of the place of an error in a JSON schema


@dataclass(frozen=True)
class Grammar:
    """A validated grammar, made by `json`, `schema`, `regex`, `lark` or `gbnf`; `definition` is llguidance's format.

    Each of these raises UsageError if the grammar is invalid. `notes` are sentences for the user on what is ignored.
    """

    definition: str
    notes: tuple[str, ...] = ()

    @classmethod
    def json(cls) -> Self:
        """Match any JSON value, on one line or indented."""
        return cls.schema("{}")

    @classmethod
    def schema(cls, text: str) -> Self:
        """Match JSON of this schema, with keys in the schema's order.

        A format that is not known is ignored, with a note. Other keywords that llguidance does not implement are
        errors; their message has the JSON pointer of the schema concerned.
        """
        schema = _parse_schema(text)
        if isinstance(schema, bool):
            return cls._validated(SCHEMA, _schema_to_lark(json.dumps(schema)))
        options = schema.get("x-guidance", {})
        schema["x-guidance"] = JSON_OPTIONS | options if isinstance(options, dict) else options
        formats = remove_keywords_without_effect(schema)
        lark = _schema_to_lark(json.dumps(schema))
        if (reason := _compile_error(lark)) is not None:
            place = error_place(schema, lambda inner: _compile_error(_schema_to_lark(inner)))
            _reject(SCHEMA, f"at {place[:MAX_SHOWN_POINTER]}: {reason}" if place else reason)
        return cls(_definition(lark), (unknown_formats_note(formats),) if formats else ())

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
        if (reason := _compile_error(lark, has_location=source == "the Lark grammar")) is not None:
            _reject(source, reason)
        return cls(_definition(lark))


def _parse_schema(text: str) -> Schema | bool:
    try:
        schema: Any = json.loads(text, parse_constant=_reject_constant)
    except json.JSONDecodeError as error:
        _reject(SCHEMA, f"line {error.lineno}, column {error.colno}: {error.msg}")
    except (ValueError, RecursionError) as error:
        _reject(SCHEMA, str(error))
    if not isinstance(schema, dict | bool):
        _reject(SCHEMA, "it is neither an object nor true or false")
    return schema


def _definition(lark: str) -> str:
    definition: str = LLMatcher.grammar_from_lark(lark + LARK_OPTIONS)
    return definition


def _compile_error(lark: str, has_location: bool = False) -> str | None:
    """Why llguidance cannot use a Lark grammar, in one line; None if it can. `has_location`: see `one_line_message`."""
    if (count := len(RULE_OR_REFERENCE.findall(lark))) > MAX_RULES:
        return f"it has {count:,} rules or references, more than {MAX_RULES:,}"
    is_invalid, messages = LLMatcher.validate_grammar_with_warnings(_definition(lark), limits=LIMITS)
    return one_line_message(messages[0], has_location) if is_invalid else None


def _schema_to_lark(schema: str) -> str:
    return f"start: %json {schema}"


def one_line_message(message: str, has_location: bool = False) -> str:
    """Return llguidance's message on one line, without its excerpt of the grammar.

    With `has_location`, the message keeps its line and column, which refer to the user's text.
    """
    location = re.match(r"(?:at )?(\d+)\((\d+)\): ", message)
    summary = re.split(r"\n(?:\s*\d+ \| |<state>)", message[location.end() :] if location else message)[0]
    if regex_error := re.search(r"regex parse error:\n    .*\n    ( *)\^+\nerror: (.*)", summary):
        summary = f"{regex_error[2]}, at character {len(regex_error[1]) + 1} of the regex"
    if "recursion limit exceeded" in summary:
        summary = f"more than {MAX_NESTED_VALUES} objects and lists are nested"
    summary = " ".join(summary.split()).removeprefix("failed to compile JSON schema: ")[:MAX_MESSAGE_CHARACTERS]
    return f"line {location[1]}, column {location[2]}: {summary}" if location and has_location else summary


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not valid JSON")


def _reject_surrogates(source: str, text: str) -> None:
    if (found := re.search("[\ud800-\udfff]", text)) is not None:
        _reject(source, f"character {found.start() + 1} is not UTF-8")


def _reject(source: str, reason: str) -> NoReturn:
    raise UsageError(f"{source} cannot be used: {reason}")
