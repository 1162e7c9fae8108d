"""GBNF grammars: the texts that they match, and the messages for invalid ones."""

import random

import pytest
from test_grammar import matches

from cllm.errors import UsageError
from cllm.generation.grammar.grammar import Grammar

JSON_LIKE = r"""
# as in llama.cpp's grammars/json.gbnf
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws
object ::=
  "{" ws (
            string ":" ws value
    ("," ws string ":" ws value)*
  )? "}" ws
array  ::= "[" ws ( value ("," ws value)* )? "]" ws   # of anything
string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9]{1,15})? ws
ws ::= | " " | "\n" [ \t]{0,20}
"""


@pytest.mark.parametrize(
    ("gbnf", "accepted", "rejected"),
    [
        (JSON_LIKE, ['{"a": [1.5e3, "\\u00e9ö"]}', "{}\n\t"], ["1", '{"a"}', "{}  "]),
        ('root ::= "a"* "ab"', ["ab", "aaab"], ["aa", "b"]),  # a Lark terminal would take all the a's
        ('root ::= ("a" | "ab") "bc"', ["abc", "abbc"], ["ac", "ab"]),
        ('root ::= [a-z] "1" | "a" "2"', ["b1", "a1", "a2"], ["b2"]),
        ('root ::= "\\u00e9\\x41\\U0001F600\\n\\"\\[" [é-\\u00ef]', ['éA😀\n"[ê'], ['éA😀\n"[f']),
        ("root ::= [^a\\]-]", ["b", "\n", "😀", "["], ["a", "]", "-", ""]),
        ("root ::= [-a] [a-]", ["-a", "a-"], ["b-"]),
        ("root ::= . .", ["\n\n", "éa"], ["a"]),
        ("root ::= my-Rule2 2x? | \r\n ()\nmy-Rule2 ::= [/]\r\n2x ::= root", ["", "//"], ["x"]),
        ('root ::= "ab"{2} [c]{1,} [d]{0,1} | "e"{ 0 , 2 }', ["ababc", "ababccd", "", "ee"], ["abab", "eee", "abb"]),
        ('root ::= ""', [""], ["a"]),
    ],
)
def test_gbnf_matches_exactly_the_accepted_texts(gbnf: str, accepted: list[str], rejected: list[str]) -> None:
    grammar = Grammar.gbnf(gbnf)
    assert [text for text in accepted if not matches(grammar, text)] == []
    assert [text for text in rejected if matches(grammar, text)] == []


@pytest.mark.parametrize(
    ("gbnf", "message"),
    [
        ("", "line 1, column 1: the rule root is not defined"),
        ('a ::= "x"', "the rule root is not defined"),
        ('root ::= "a"\n\nb ::= c "d"', "line 3, column 7: the rule c is not defined"),
        ('root ::= "a"\nroot ::= "b"', "line 2, column 1: the rule root is defined twice"),
        ('root = "a"', "line 1, column 6: expected ::="),
        ('root ::= "a', "line 1, column 12: expected a character"),
        ('root ::= "a\n"', "line 1, column 12: expected a character"),
        ('root ::= "\\q"', "line 1, column 11: expected a character"),
        ("root ::= [a", "line 1, column 12: expected a character"),
        ("root ::= []", "line 1, column 10: the character class [] is empty"),
        ('root ::= ("a"', "line 1, column 14: expected )"),
        ('root ::= "a")', "')' is unexpected"),
        ('root ::= * "a"', "'*' is unexpected"),
        ('root ::= "a"{3,2}', "line 1, column 13: {3,2} has a maximum below its minimum"),
        ("root ::= [\\uD800]", "is not a character"),
        ("root ::= <think>", "tokens of a tokenizer"),
        ("root ::= " + "(" * 50, "more than 25 groups are nested"),
        ("?", "expected a rule name, found '?'"),
        ("root ::= [z-a]", "the GBNF grammar cannot be used: "),
    ],
)
def test_invalid_gbnf_raises_an_error_with_its_location(gbnf: str, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        Grammar.gbnf(gbnf)
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_damaged_gbnf_is_valid_or_raises_usage_error() -> None:
    rng = random.Random(0)
    for _ in range(300):
        begin, end = sorted(rng.sample(range(len(JSON_LIKE)), 2))
        try:
            Grammar.gbnf(JSON_LIKE[:begin] + rng.choice('"[](){}*|\\\n:x') + JSON_LIKE[end:])
        except UsageError as error:
            assert str(error).startswith("the GBNF grammar cannot be used: line ")
