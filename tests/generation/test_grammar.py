"""Grammars of JSON, JSON schemas, regexes and Lark: the texts that they match, and the messages for invalid ones."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_text import TOKENIZER

from cllm.errors import UsageError
from cllm.generation.grammar.grammar import MAX_RULES, Grammar
from cllm.generation.grammar.grammar_file import grammar_from_options
from cllm.generation.grammar.json_schema import KNOWN_FORMATS
from cllm.generation.grammar.matcher import Matcher


def matches(grammar: Grammar, text: str) -> bool:
    """Whether a grammar matches a text, checked byte by byte."""
    matcher = Matcher(grammar, TOKENIZER)
    tokens = [TOKENIZER.id_of(bytes([byte])) for byte in text.encode()]
    return all(token is not None and matcher.try_accept(token) for token in tokens) and matcher.can_end


@pytest.mark.parametrize(
    ("grammar", "accepted", "rejected"),
    [
        (
            Grammar.json(),
            ["0", "-1.5e3", '"größer \\" \\n"', "[]", '{"a": [1, null], "b":{}}', '{\n  "a": true\n}', "[1 , 2]"],
            ["", "01", "{", "'a'", '{"a"}', '"\x01"', "nul", "[1,]", '"a', "NaN"],
        ),
        (
            Grammar.schema('{"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}'),
            ['{"n": 3}', '{"n":-1,"m":[]}'],
            ["{}", '{"n": "3"}', '{"n": 1.5}', "[]"],
        ),
        (Grammar.schema("true"), ["1", "[]"], ["x"]),
        # Schemas of real programs, as reported to other projects (llama.cpp#25923, #26930, #27397; llguidance#265).
        (Grammar.schema('{"type": "object", "properties": {}, "additionalProperties": false}'), ["{}"], ['{"a": 1}']),
        (
            Grammar.schema('{"maxItems": 50, "items": {"type": "string", "minLength": 1, "maxLength": 65536}}'),
            ['["x"]'],
            ['[""]'],
        ),
        (Grammar.schema('{"type": "string", "pattern": "\\\\S"}'), ['" a "'], ['"  "']),
        (Grammar.schema('{"type": "string", "pattern": "^(a:\\\\/)?b$"}'), ['"a:/b"', '"b"'], ['"a:b"']),
        (
            Grammar.schema(
                '{"properties": {"n": {"type": "integer", "multipleOf": 5}}, "patternProperties": {"^n$": {}},'
                ' "additionalProperties": false, "type": "object"}'
            ),
            ['{"n":5}'],
            ['{"n":4}'],
        ),
        # An escape counts as one character; one for half a surrogate pair is none.
        (
            Grammar.schema('{"type": "string", "maxLength": 2}'),
            ['"\\u0041\\u00e9"', '"\\"\\n"', '"\\ud83d\\ude00x"'],
            ['"\\u0041bc"', '"\\ud83d"', '"\\u00"', '"\\q"'],
        ),
        (Grammar.schema('{"type": "array", "uniqueItems": false}'), ["[1,1]"], ["1"]),
        (
            Grammar.schema('{"properties": {"uniqueItems": {"type": "null"}}, "propertyNames": {}, "type": "object"}'),
            ['{"uniqueItems":null}'],
            ['{"uniqueItems":1}'],
        ),
        (Grammar.schema('{"x-guidance": {"json_allowed_escapes": "n"}, "type": "string"}'), ['"\\n"'], ['"\\t"']),
        (Grammar.schema('{"x-guidance": {"whitespace_pattern": "_?"}, "type": "array"}'), ["[_]"], ["[ ]"]),
        (Grammar.regex("[a-c]+(/|é)?\n?"), ["a", "abc/", "cé\n"], ["", "ad", "é"]),
        (Grammar.regex("^a$"), ["a"], ["", "aa"]),
        (Grammar.regex(""), [""], ["a"]),
        (Grammar.lark('start: "a" start "b" | "c"'), ["c", "aacbb"], ["ac", "cb", ""]),
        (Grammar.lark('%import common.INT\nstart: INT ("," INT)*'), ["1,22"], [",", "1,"]),
    ],
)
def test_grammar_matches_exactly_the_accepted_texts(grammar: Grammar, accepted: list[str], rejected: list[str]) -> None:
    assert [text for text in accepted if not matches(grammar, text)] == []
    assert [text for text in rejected if matches(grammar, text)] == []


def nested(begin: str, end: str) -> str:
    return begin * 5000 + end * 5000


@pytest.mark.parametrize(
    ("make", "text", "message"),
    [
        (Grammar.regex, "[a", "the regex cannot be used: unclosed character class, at character 1 of the regex"),
        (Grammar.regex, "ab(?=c)", "look-around"),
        (Grammar.regex, "(a)\\1", "backreferences are not supported, at character 4"),
        (Grammar.regex, "\\bx", "lookarounds not supported"),
        (Grammar.regex, "(?-u:\\xFF)", "invalid UTF-8"),
        (Grammar.regex, "a\udcff", "character 2 is not UTF-8"),
        (Grammar.regex, nested("(", ")"), "250"),
        (Grammar.lark, "", "the Lark grammar cannot be used: no start rule found"),
        (Grammar.lark, 'start: "a" x\nx: b\n', 'line 2, column 4: unknown name: "b"'),
        (Grammar.lark, "start: (\n", "line 1, column 9: Expected token"),
        (Grammar.lark, "start: /[a/\n", "line 1, column 8: unclosed character class"),
        (Grammar.lark, "start: " + nested("(", ")"), "too deeply nested"),
        (Grammar.lark, "start: <|fim_prefix|>", "fim_prefix"),
        (Grammar.schema, "{", "the JSON schema cannot be used: line 1, column 2:"),
        (Grammar.schema, '{"type":\n foo}', "line 2, column 2"),
        (Grammar.schema, "[]", "neither an object nor true or false"),
        (Grammar.schema, "false", "schema is false"),
        (Grammar.schema, '{"minimum": NaN}', "NaN is not valid JSON"),
        (Grammar.schema, '{"type": "text"}', "Invalid type: text"),
        (Grammar.schema, '{"not": {}}', '"not"'),
        (Grammar.schema, '{"$ref": "http://example.com/x"}', "does not fetch"),
        (Grammar.schema, '{"const": "\\ud800"}', "hex escape"),
        (Grammar.schema, '{"x-guidance": 3}', "JsonCompileOptions"),
        (Grammar.schema, nested('{"items":', "}"), "recursion"),
        (Grammar.schema, '{"items":' * 127 + "{}" + "}" * 127, "more than 127 objects and lists are nested"),
        (Grammar.schema, '{"enum": []}', "anyOf is empty"),
        (Grammar.schema, '{"required": ["x"], "properties": {"x": {"enum": []}}, "type": "object"}', "unsatisfiable"),
        (Grammar.schema, '{"uniqueItems": true}', 'cannot be used: Unimplemented keys: ["uniqueItems"]'),
        (Grammar.schema, '{"items": {"uniqueItems": true}}', "at /items: Unimplemented keys"),
        (
            Grammar.schema,
            '{"anyOf": [{}, {"properties": {"a/b": {"not": {}}}}]}',
            "at /anyOf/1/properties/a~1b: Unimpl",
        ),
        (Grammar.schema, '{"$ref": "#/$defs/x", "$defs": {"x": {"type": "text"}}}', "at /$defs/x: Invalid type: text"),
        (Grammar.schema, '{"items": {"pattern": "(?=a)", "type": "string"}}', "at /items: look-around"),
        (Grammar.schema, '{"items": {"format": 3}}', "at /items: Expected string for 'format'"),
        (Grammar.schema, "1" * 5000, "the JSON schema cannot be used"),
    ],
)
def test_invalid_grammar_raises_a_one_line_error(make: Callable[[str], Grammar], text: str, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        Matcher(make(text), TOKENIZER).allowed()
    assert message in str(raised.value) and "\n" not in str(raised.value) and len(str(raised.value)) < 500


# Of the specification, and such as schemas of programs have.
FORMATS = (
    "date-time date time duration email idn-email hostname idn-hostname ipv4 ipv6 uri uri-reference iri iri-reference "
    "uuid uri-template json-pointer relative-json-pointer regex password int32 int64 float double byte binary color"
)


@pytest.mark.parametrize("name", ["", "größer", *FORMATS.split()])
def test_format_that_is_not_known_is_a_note(name: str) -> None:
    grammar = Grammar.schema(json.dumps({"type": "string", "format": name}))
    assert bool(grammar.notes) == (name not in KNOWN_FORMATS) == matches(grammar, '"any text"')
    if grammar.notes:
        assert grammar.notes == (f"the JSON schema's format {name!r} is not known and restricts nothing",)


def test_one_note_names_all_formats_and_none_in_data() -> None:
    schema = {
        "properties": {"format": {"format": "regex"}, "enum": {"items": [{"format": "a"}, {"format": "regex"}]}},
        "required": ["format"],
        "anyOf": [{"allOf": [{"format": "b"}]}, {"const": {"format": "c"}}, {"enum": [{"format": "d"}]}],
        "default": {"format": "e"},
    }
    (note,) = Grammar.schema(json.dumps(schema)).notes
    assert note == "the JSON schema's formats 'regex', 'a', 'b' are not known and restrict nothing"
    many = {"anyOf": [{"format": f"x{number}"} for number in range(9)]}
    (note,) = Grammar.schema(json.dumps(many)).notes
    assert "'x4' and 4 more are not known" in note


def test_place_of_an_error_in_a_large_schema_is_found_or_left_open() -> None:
    properties = {f"x{number}": {"description": "a" * 100} for number in range(20_000)}
    for number, place in (("x9", "at /properties/x9: "), ("x19999", "cannot be used: Unimpl")):
        with pytest.raises(UsageError, match=place):
            Grammar.schema(json.dumps({"properties": {**properties, number: {"not": {}}}}))


SCHEMA_KEYWORDS = st.sampled_from(
    "type format enum const properties items anyOf $defs $ref required maxLength pattern x-guidance".split()  # noqa: SIM905
)
JSON_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-2, 9), st.sampled_from([*FORMATS.split(), "string", "a[", ""])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            SCHEMA_KEYWORDS,
            inner,
            max_size=4,
        ),
    ),
)


@given(JSON_VALUES)
def test_any_schema_is_used_or_refused_in_one_sentence(schema: object) -> None:
    try:
        Grammar.schema(json.dumps(schema))
    except UsageError as error:
        assert str(error).startswith("the JSON schema cannot be used: ") and "\n" not in str(error)


def test_grammar_with_too_many_rules_is_rejected() -> None:
    def chain(count: int) -> str:
        return "start: r0\n" + "".join(f"r{i}: r{i + 1}\n" for i in range(count)) + f'r{count}: "a"\n'

    assert matches(Grammar.lark(chain(MAX_RULES - 2)), "a")
    names = {f"a{i}": {"$ref": f"#/$defs/a{i + 1}"} for i in range(20_000)} | {"a20000": {}}
    for make in (
        lambda: Grammar.lark(chain(20_000)),
        lambda: Grammar.lark(chain(20_000).upper().replace("START", "start")),
        lambda: Grammar.gbnf(chain(20_000).replace("start", "root").replace(":", " ::=")),
        lambda: Grammar.schema(json.dumps({"$ref": "#/$defs/a0", "$defs": names})),
    ):
        with pytest.raises(UsageError, match="rules or references, more than 1,000"):
            make()


def test_grammar_is_read_from_options_and_files(tmp_path: Path) -> None:
    file = tmp_path / "a.lark"
    file.write_text('\ufeffstart: "é"')
    named = grammar_from_options(False, None, None, file)
    assert named is not None and matches(named, "é")
    assert grammar_from_options(True, None, None, None) == Grammar.json()
    assert grammar_from_options(False, None, "", None) == Grammar.regex("")
    assert grammar_from_options(False, None, None, None) is None
    file.write_bytes(b'start: "\xff"')
    with pytest.raises(UsageError, match="a.lark is not UTF-8: byte 9 is 0xff"):
        grammar_from_options(False, None, None, file)
    file.write_bytes(b" " * 1_000_001)
    with pytest.raises(UsageError, match="larger than 1 MB"):
        grammar_from_options(False, file, None, None)
    with pytest.raises(UsageError, match="ends neither in .lark nor in .gbnf"):
        grammar_from_options(False, None, None, tmp_path / "a.txt")
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        grammar_from_options(False, tmp_path, None, None)
