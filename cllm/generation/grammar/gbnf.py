"""Translation of GBNF, llama.cpp's grammar format, to Lark: rule by rule, with one terminal per character.

GBNF matches characters, while Lark's lexer takes the longest terminal: `"a"* "ab"` would never match. With
one-character terminals both formats match the same texts. (llguidance has a translation of its own, which makes
terminals of whole rules and drops the zeros of `\\u00e9`.) References to a tokenizer's tokens, `<...>`, are not
supported.
"""

import re
from collections.abc import Callable
from typing import NoReturn

from cllm.errors import UsageError

MAX_NESTED_GROUPS = 25  # nested groups; llguidance rejects 30
SPACE = re.compile(r"(?:[ \t]|#[^\r\n]*)*")
SPACE_AND_LINES = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)*")
NAME = re.compile(r"[A-Za-z0-9-]+")
REPETITION = re.compile(r"[*+?]|\{ *(\d{1,6}) *(?:(,) *(\d{1,6})? *)?\}")
CHARACTER = re.compile(
    r'\\(?:(?P<sign>[nrt"\\\[\]])|x(?P<x>[0-9a-fA-F]{2})|u(?P<u>[0-9a-fA-F]{4})|U(?P<U>[0-9a-fA-F]{8}))'
    r"|(?P<plain>[^\\\r\n])"
)
ANY_CHARACTER = "/(?s:.)/"
EMPTY = '""'


def gbnf_to_lark(text: str) -> str:
    """Return the Lark grammar whose `start` is this grammar's `root`.

    Raises UsageError with the line and column if the grammar is invalid.
    """
    return _GbnfParser(text).grammar()


class _GbnfParser:
    """Recursive descent parser from `_offset` on; each method returns Lark text for what it parsed."""

    def __init__(self, text: str) -> None:
        self._text, self._offset, self._depth = text, 0, 0
        self._rule_numbers: dict[str, int] = {}  # number of each rule by name: Lark's rule names have another syntax
        self._first_used: dict[str, int] = {}

    def grammar(self) -> str:
        rules: dict[str, str] = {}
        self._skip(SPACE_AND_LINES)
        while self._offset < len(self._text):
            begin, name = self._offset, self._name()
            if name in rules:
                self._fail(f"the rule {name} is defined twice", begin)
            self._skip(SPACE)
            self._expect("::=")
            self._skip(SPACE_AND_LINES)
            rules[name] = self._alternatives(SPACE)
            if self._offset < len(self._text) and self._text[self._offset] not in "\r\n":
                self._fail(f"{self._text[self._offset]!r} is unexpected here")
            self._skip(SPACE_AND_LINES)
        for name, offset in self._first_used.items():
            if name not in rules:
                self._fail(f"the rule {name} is not defined", offset)
        if "root" not in rules:
            self._fail("the rule root is not defined", 0)
        lines = [f"{self._rule(name)}: {body}" for name, body in rules.items()]
        return "\n".join([f"start: {self._rule('root')}", *lines, ""])

    def _rule(self, name: str) -> str:
        return f"r{self._rule_numbers.setdefault(name, len(self._rule_numbers))}"

    def _alternatives(self, space: re.Pattern[str]) -> str:
        found = [self._sequence(space)]
        while self._accept("|"):
            self._skip(SPACE_AND_LINES)
            found.append(self._sequence(space))
        return " | ".join(found)

    def _sequence(self, space: re.Pattern[str]) -> str:
        item_parsers: dict[str, Callable[[], str]] = {
            '"': self._literal,
            "[": self._character_class,
            "(": self._group,
            ".": self._any_character,
        }
        items = []
        while self._offset < len(self._text):
            sign = self._text[self._offset]
            if sign in "<!":
                self._fail("tokens of a tokenizer (<...>) are not supported")
            if sign not in item_parsers and not NAME.match(sign):
                break
            item = item_parsers.get(sign, self._rule_reference)()
            self._skip(space)
            if repetition := REPETITION.match(self._text, self._offset):
                item = self._repeated(item, repetition)
                self._skip(space)
            items.append(item)
        return " ".join(items) or EMPTY

    def _repeated(self, item: str, found: re.Match[str]) -> str:
        self._offset = found.end()
        min_count, has_max, max_count = found.groups()
        if min_count is None:
            return item + found[0]
        if max_count is not None and int(max_count) < int(min_count):
            self._fail(f"{found[0]} has a maximum below its minimum", found.start())
        if int(max_count or (1 if has_max else min_count)) == 0:
            return EMPTY  # which Lark has no count for
        return f"{item}{{{min_count},{max_count or ''}}}" if has_max else f"{item}{{{min_count}}}"

    def _rule_reference(self) -> str:
        offset, name = self._offset, self._name()
        self._first_used.setdefault(name, offset)
        return self._rule(name)

    def _any_character(self) -> str:
        self._expect(".")
        return ANY_CHARACTER

    def _group(self) -> str:
        begin = self._offset
        self._expect("(")
        self._depth += 1
        if self._depth > MAX_NESTED_GROUPS:
            self._fail(f"more than {MAX_NESTED_GROUPS} groups are nested", begin)
        self._skip(SPACE_AND_LINES)
        inner = self._alternatives(SPACE_AND_LINES)
        self._depth -= 1
        self._expect(")")
        return f"({inner})"

    def _literal(self) -> str:
        self._expect('"')
        characters = []
        while not self._accept('"'):
            characters.append(f"/{_escape(self._character())}/")
        return f"({' '.join(characters)})" if characters else EMPTY

    def _character_class(self) -> str:
        begin = self._offset
        self._expect("[")
        sign, parts = "^" if self._accept("^") else "", []
        while not self._accept("]"):
            offset, first = self._offset, self._character()
            parts.append(_escape(first))
            is_range = self._text.startswith("-", self._offset) and not self._text.startswith("-]", self._offset)
            if is_range:
                self._offset += 1
                last = self._character()
                if last < first:
                    self._fail(f"the range {self._text[offset : self._offset]} ends before it begins", offset)
                parts.append("-" + _escape(last))
        if not parts:
            self._fail("the character class [] is empty", begin)
        return f"/[{sign}{''.join(parts)}]/"

    def _character(self) -> int:
        """Parse a character of a literal or a class; return its code point."""
        found = CHARACTER.match(self._text, self._offset)
        if found is None:
            self._fail('expected a character, or \\ and one of n r t " \\ [ ] xNN uNNNN UNNNNNNNN')
        signs = {"n": "\n", "r": "\r", "t": "\t"}
        digits = found["x"] or found["u"] or found["U"]
        number = int(digits, 16) if digits else ord(signs.get(found["sign"], found["sign"]) or found["plain"])
        if number > 0x10FFFF or 0xD800 <= number < 0xE000:
            self._fail(f"{found[0]!r} is not a character")
        self._offset = found.end()
        return number

    def _name(self) -> str:
        found = NAME.match(self._text, self._offset)
        if found is None:
            self._fail(f"expected a rule name, found {self._text[self._offset : self._offset + 1]!r}")
        self._offset = found.end()
        return found[0]

    def _skip(self, space: re.Pattern[str]) -> None:
        found = space.match(self._text, self._offset)
        assert found is not None
        self._offset = found.end()

    def _accept(self, sign: str) -> bool:
        is_there = self._text.startswith(sign, self._offset)
        self._offset += len(sign) * is_there
        return is_there

    def _expect(self, sign: str) -> None:
        if not self._accept(sign):
            self._fail(f"expected {sign}")

    def _fail(self, reason: str, offset: int | None = None) -> NoReturn:
        offset = self._offset if offset is None else offset
        line, column = self._text.count("\n", 0, offset) + 1, offset - self._text.rfind("\n", 0, offset)
        raise UsageError(f"the GBNF grammar cannot be used: line {line}, column {column}: {reason}")


def _escape(code_point: int) -> str:
    """The escape of a character, valid anywhere in a regex."""
    return f"\\u{{{code_point:x}}}"
