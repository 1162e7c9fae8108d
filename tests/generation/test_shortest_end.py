import json
import re

import pytest
from sample_text import TOKENIZER

from cllm.generation.grammar.grammar import Grammar
from cllm.generation.grammar.matcher import Matcher
from cllm.generation.grammar.shortest_end import shortest_end

DOCUMENT = '{"größer": [1, -2.5e3, "\\" \\u001f x", {}], "b": {"c": [[[null, true]]]}, "d": [\n  "😀"\n]}'


def ending(grammar: Grammar, generated: bytes) -> bytes | None:
    matcher = Matcher(grammar, TOKENIZER)
    for byte in generated:
        matcher.accept(TOKENIZER.id_of(bytes([byte])) or 0)
    return shortest_end(matcher, TOKENIZER)


def test_json_that_is_cut_anywhere_is_ended() -> None:
    document = DOCUMENT.encode()
    for length in range(len(document) + 1):
        end = ending(Grammar.json(), document[:length])
        assert end is not None and len(end) <= 16
        json.loads(document[:length] + end)


@pytest.mark.parametrize(
    ("grammar", "generated", "end"),
    [
        (Grammar.json(), b"[[[", b"]]]"),
        (Grammar.json(), b'{"a', b'":0}'),
        (Grammar.json(), b'"\xc3', b'\x80"'),
        (Grammar.json(), b"12", b""),
        (Grammar.regex("(ab|c)*d"), b"a", b"bd"),
        (Grammar.regex("[a-z]*q"), b"", b"q"),
        (Grammar.lark('start: "(" start ")" | "[" start "]" | "y"'), b"([(", b"y)])"),
        (Grammar.lark('start: "a" start'), b"a", None),  # it has no end
        (Grammar.lark('start: /a+/ "a"'), b"a", None),
    ],
)
def test_the_shortest_end(grammar: Grammar, generated: bytes, end: bytes | None) -> None:
    assert ending(grammar, generated) == end


def test_what_must_be_counted_is_counted() -> None:
    for pattern in ("[a-z]{200}!", "(abc|def|ghi){50}x", "[^a]*a[ab]{18}b", "\\p{L}{30}"):
        end = ending(Grammar.regex(pattern), b"")
        assert end is not None
        assert re.fullmatch(pattern.replace("\\p{L}", "[^\\W\\d_]"), end.decode())
