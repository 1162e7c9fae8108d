"""The shortest end of a text of a grammar."""

import json
import re

import pytest
from sample_text import TOKENIZER

from cllm.generation.grammar.grammar import Grammar
from cllm.generation.grammar.matcher import Matcher
from cllm.generation.grammar.shortest_end import shortest_end

DOCUMENT = '{"größer": [1, -2.5e3, "\\" \\u001f x", {}], "b": {"c": [[[null, true]]]}, "d": [\n  "😀"\n]}'


def find_end(grammar: Grammar, generated: bytes) -> bytes | None:
    matcher = Matcher(grammar, TOKENIZER)
    for byte in generated:
        matcher.accept(TOKENIZER.id_of(bytes([byte])) or 0)
    return shortest_end(matcher, TOKENIZER)


def test_json_cut_at_any_byte_is_ended() -> None:
    document = DOCUMENT.encode()
    for length in range(len(document) + 1):
        end = find_end(Grammar.json(), document[:length])
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
        (Grammar.lark('start: "a" start'), b"a", None),  # no text of this grammar ends
        (Grammar.lark('start: /a+/ "a"'), b"a", None),
    ],
)
def test_shortest_end_of_examples(grammar: Grammar, generated: bytes, end: bytes | None) -> None:
    assert find_end(grammar, generated) == end


def test_ends_of_regexes_with_large_repetition_counts_are_found() -> None:
    for pattern in ("[a-z]{200}!", "(abc|def|ghi){50}x", "[^a]*a[ab]{18}b", "\\p{L}{30}"):
        end = find_end(Grammar.regex(pattern), b"")
        assert end is not None
        assert re.fullmatch(pattern.replace("\\p{L}", "[^\\W\\d_]"), end.decode())
