"""GBNF grammars: the texts that they match, and the messages for invalid ones."""

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
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
        ('root ::= "a"{0} "b"', ["b"], ["ab", ""]),
        ('root ::= ("a" x{0,0})* "c" | .{00}\nx ::= "d"{0,1}', ["", "c", "aac"], ["d", "adc", "a"]),
        ('root ::= ("a"{0})+ [b]{ 0 }', [""], ["a", "b"]),
        # Reported to crash or to hang other parsers: left recursion (llama.cpp#3801), empty alternatives (#7572),
        # nested stars (llama.cpp#18988).
        ('root ::= root "a" | "b"', ["b", "baa"], ["a", ""]),
        ('root ::= e\ne ::= i | e ("+" | "-") e\ni ::= [0-9]+', ["1+2-3", "12"], ["+1", "1+"]),
        ('root ::= a "x" | "y"\na ::= b\nb ::= root | ""', ["y", "yxx", "x"], ["xy", ""]),
        ('root ::= "a" ( "" | "b" )* "c"', ["ac", "abbc"], ["a", "abb"]),
        ('root ::= ("a"*)* "b"', ["aab", "b"], ["a", ""]),
        ("root ::= " + "(" * 25 + '"a"*' + ")*" * 25, ["", "aaaa"], ["b"]),
        ('root ::= (""*)* ("" | "")* "b"', ["b"], ["", "bb"]),
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
        ("root ::= [bz-a]", "line 1, column 12: the range z-a ends before it begins"),
        ("root ::= [\\u00e9-\\x41]", "line 1, column 11: the range \\u00e9-\\x41 ends before it begins"),
        ("root ::= " + "(" * 60_000 + '"a"' + ")" * 60_000, "more than 25 groups are nested"),
        ("\n".join(f"r{i} ::= r{i + 1}" for i in range(5000)) + '\nr5000 ::= "a"\nroot ::= r0', "more than 1,000"),
        ('root ::= my_rule\nmy_rule ::= "a"', "line 1, column 12: '_' is unexpected"),
        ('root ::= "a"\n  | "b"', "line 2, column 3: expected a rule name, found '|'"),
        ('root ::= "a"{,3}', "line 1, column 13: '{' is unexpected"),
    ],
)
def test_invalid_gbnf_raises_an_error_with_its_location(gbnf: str, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        Grammar.gbnf(gbnf)
    assert message in str(raised.value) and "\n" not in str(raised.value)


GBNF_ITEMS = st.sampled_from(
    ['"a"', '""', "[a-c]", "[^a]", ".", "root", "x", "()", '"\\u00e9"', "[\\n-\\x41]", '"\\""', "[z-a]", "undefined"]
)
GBNF_COUNTS = st.sampled_from(["", "", "*", "+", "?", "{0}", "{1}", "{0,0}", "{2,1}", "{0,2}", "{3,}", "{ 0 , 1 }"])
GBNF_BODIES = st.recursive(
    st.builds(str.__add__, GBNF_ITEMS, GBNF_COUNTS),
    lambda inner: st.one_of(
        st.builds(" ".join, st.lists(inner, max_size=3)),
        st.builds(" | ".join, st.lists(inner, min_size=1, max_size=3)),
        st.builds("({}){}".format, inner, GBNF_COUNTS),
    ),
)


@given(GBNF_BODIES, GBNF_BODIES, st.text(alphabet="abc\né", max_size=4))
def test_any_gbnf_is_used_or_refused_with_its_location(root: str, other: str, text: str) -> None:
    try:
        grammar = Grammar.gbnf(f"root ::= {root}\nx ::= {other}\n")
    except UsageError as error:
        assert re.match(r"the GBNF grammar cannot be used: line \d+, column \d+: ", str(error)), error
    else:
        matches(grammar, text)


def test_damaged_gbnf_is_valid_or_raises_usage_error() -> None:
    rng = random.Random(0)
    for _ in range(300):
        begin, end = sorted(rng.sample(range(len(JSON_LIKE)), 2))
        try:
            Grammar.gbnf(JSON_LIKE[:begin] + rng.choice('"[](){}*|\\\n:x') + JSON_LIKE[end:])
        except UsageError as error:
            assert str(error).startswith("the GBNF grammar cannot be used: line ")
