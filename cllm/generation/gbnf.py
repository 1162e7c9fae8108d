"""GBNF, llama.cpp's grammars, as Lark: rule by rule, and each character a word of its own.

A GBNF grammar is one of characters, while Lark's words are taken as long as they can be: `"a"* "ab"` would never
match. With words of one character both mean the same. (The library brings a translation, which makes words of whole
rules, and loses the zeros of `\\u00e9`.) What names a tokenizer's tokens, `<...>`, is left out.
"""

import re
from collections.abc import Callable
from typing import NoReturn

from cllm.errors import UsageError

MOST_NESTED = 25  # groups in groups; the library refuses 30
SPACE = re.compile(r"(?:[ \t]|#[^\r\n]*)*")
SPACE_AND_LINES = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)*")
NAME = re.compile(r"[A-Za-z0-9-]+")
TIMES = re.compile(r"[*+?]|\{ *(\d{1,6}) *(?:(,) *(\d{1,6})? *)?\}")
CHARACTER = re.compile(
    r'\\(?:(?P<sign>[nrt"\\\[\]])|x(?P<x>[0-9a-fA-F]{2})|u(?P<u>[0-9a-fA-F]{4})|U(?P<U>[0-9a-fA-F]{8}))'
    r"|(?P<plain>[^\\\r\n])"
)
ANY_CHARACTER = "/(?s:.)/"


def lark_of_gbnf(text: str) -> str:
    """The Lark grammar whose `start` is this grammar's `root`; UsageError says what is wrong, and in which line."""
    return _Reader(text).grammar()


class _Reader:
    """Reads from `at` on, by recursive descent; what is read is given back in Lark."""

    def __init__(self, text: str) -> None:
        self._text, self._at, self._depth = text, 0, 0
        self._numbers: dict[str, int] = {}  # of the rules, by name: Lark has other rules for names
        self._first_used: dict[str, int] = {}

    def grammar(self) -> str:
        rules: dict[str, str] = {}
        self._skip(SPACE_AND_LINES)
        while self._at < len(self._text):
            begin, name = self._at, self._name()
            if name in rules:
                self._fail(f"the rule {name} is there already", begin)
            self._skip(SPACE)
            self._expect("::=")
            self._skip(SPACE_AND_LINES)
            rules[name] = self._alternatives(SPACE)
            if self._at < len(self._text) and self._text[self._at] not in "\r\n":
                self._fail(f"{self._text[self._at]!r} was not expected here")
            self._skip(SPACE_AND_LINES)
        for name, place in self._first_used.items():
            if name not in rules:
                self._fail(f"there is no rule {name}", place)
        if "root" not in rules:
            self._fail("there is no rule root", 0)
        lines = [f"{self._rule(name)}: {body}" for name, body in rules.items()]
        return "\n".join([f"start: {self._rule('root')}", *lines, ""])

    def _rule(self, name: str) -> str:
        return f"r{self._numbers.setdefault(name, len(self._numbers))}"

    def _alternatives(self, space: re.Pattern[str]) -> str:
        found = [self._sequence(space)]
        while self._accept("|"):
            self._skip(SPACE_AND_LINES)
            found.append(self._sequence(space))
        return " | ".join(found)

    def _sequence(self, space: re.Pattern[str]) -> str:
        begins: dict[str, Callable[[], str]] = {'"': self._literal, "[": self._class, "(": self._group, ".": self._any}
        items = []
        while self._at < len(self._text):
            sign = self._text[self._at]
            if sign in "<!":
                self._fail("tokens of a tokenizer (<...>) are not supported")
            if sign not in begins and not NAME.match(sign):
                break
            item = begins.get(sign, self._use)()
            self._skip(space)
            if times := TIMES.match(self._text, self._at):
                item += self._times(times)
                self._skip(space)
            items.append(item)
        return " ".join(items) or '""'

    def _times(self, found: re.Match[str]) -> str:
        self._at = found.end()
        least, has_most, most = found.groups()
        if least is None:
            return found[0]
        if most is not None and int(most) < int(least):
            self._fail(f"{found[0]} ends before it begins", found.start())
        return f"{{{least},{most or ''}}}" if has_most else f"{{{least}}}"

    def _use(self) -> str:
        place, name = self._at, self._name()
        self._first_used.setdefault(name, place)
        return self._rule(name)

    def _any(self) -> str:
        self._expect(".")
        return ANY_CHARACTER

    def _group(self) -> str:
        begin = self._at
        self._expect("(")
        self._depth += 1
        if self._depth > MOST_NESTED:
            self._fail(f"more than {MOST_NESTED} brackets are open", begin)
        self._skip(SPACE_AND_LINES)
        inner = self._alternatives(SPACE_AND_LINES)
        self._depth -= 1
        self._expect(")")
        return f"({inner})"

    def _literal(self) -> str:
        self._expect('"')
        characters = []
        while not self._accept('"'):
            characters.append(f"/{self._character()}/")
        return f"({' '.join(characters)})" if characters else '""'

    def _class(self) -> str:
        begin = self._at
        self._expect("[")
        sign, parts = "^" if self._accept("^") else "", []
        while not self._accept("]"):
            parts.append(self._character())
            if self._text[self._at : self._at + 1] == "-" and self._text[self._at + 1 : self._at + 2] != "]":
                self._at += 1
                parts.append("-" + self._character())
        if not parts:
            self._fail("a class [] of no character", begin)
        return f"/[{sign}{''.join(parts)}]/"

    def _character(self) -> str:
        """A character of a literal or a class, by its number, which is the same in a regex wherever it stands."""
        found = CHARACTER.match(self._text, self._at)
        if found is None:
            self._fail('a character, or \\ and one of n r t " \\ [ ] xNN uNNNN UNNNNNNNN, was expected')
        signs = {"n": "\n", "r": "\r", "t": "\t"}
        digits = found["x"] or found["u"] or found["U"]
        number = int(digits, 16) if digits else ord(signs.get(found["sign"], found["sign"]) or found["plain"])
        if number > 0x10FFFF or 0xD800 <= number < 0xE000:
            self._fail(f"{found[0]!r} is no character")
        self._at = found.end()
        return f"\\u{{{number:x}}}"

    def _name(self) -> str:
        found = NAME.match(self._text, self._at)
        if found is None:
            self._fail(f"a rule's name was expected, not {self._text[self._at : self._at + 1]!r}")
        self._at = found.end()
        return found[0]

    def _skip(self, space: re.Pattern[str]) -> None:
        found = space.match(self._text, self._at)
        assert found is not None
        self._at = found.end()

    def _accept(self, sign: str) -> bool:
        is_there = self._text.startswith(sign, self._at)
        self._at += len(sign) * is_there
        return is_there

    def _expect(self, sign: str) -> None:
        if not self._accept(sign):
            self._fail(f"{sign} was expected")

    def _fail(self, why: str, place: int | None = None) -> NoReturn:
        place = self._at if place is None else place
        line, column = self._text.count("\n", 0, place) + 1, place - self._text.rfind("\n", 0, place)
        raise UsageError(f"the GBNF grammar cannot be used: line {line}, column {column}: {why}")
