"""A JSON schema before llguidance compiles it: its sub-schemas, its unknown formats, the place of an error.

Formats that are not known restrict nothing (JSON Schema 2020-12, Validation, section 7.2.3); llguidance rejects them,
and some keywords even with a value that allows everything, so these are removed. Sub-schemas are what stands where a
schema may stand, and below unknown keywords, since a "$ref" may lead there; the values of `const`, `enum`, `default`
and `examples` are data.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

# Those that llguidance 1.9.1 checks.
KNOWN_FORMATS = frozenset({"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uri", "uuid"})
# Of keywords that llguidance rejects, the values that restrict nothing; programs that generate schemas write them.
VALUES_WITHOUT_EFFECT: dict[str, list[Any]] = {
    "dependentRequired": [{}],
    "propertyNames": [True, {}],
    "unevaluatedItems": [True, {}],
    "unevaluatedProperties": [True, {}],
    "uniqueItems": [False],
}
DEFINITIONS = ("$defs", "definitions")
KEYWORDS_WITH_NAMED_SCHEMAS = {*DEFINITIONS, "dependencies", "dependentSchemas", "patternProperties", "properties"}
KEYWORDS_WITH_DATA = {"const", "default", "enum", "examples", "x-guidance"}
MAX_SHOWN_FORMATS = 5
# For the place of an error: 0.9 ms each for 500 KB of JSON, so 0.3 s at most.
MAX_COMPILATIONS, MAX_COMPILED_CHARACTERS = 300, 5_000_000

Schema = dict[str, Any]


def subschemas(schema: Schema) -> Iterator[tuple[str, Schema]]:
    """Yield the direct sub-schemas of a schema that are objects, each with its JSON pointer; definitions first."""
    for keyword, value in sorted(schema.items(), key=lambda item: item[0] not in DEFINITIONS):
        if keyword in KEYWORDS_WITH_DATA:
            continue
        named: list[tuple[str, Any]] = [("", value)]
        if isinstance(value, dict) and keyword in KEYWORDS_WITH_NAMED_SCHEMAS:
            named = [(f"/{_escaped(name)}", inner) for name, inner in value.items()]
        elif isinstance(value, list):
            named = [(f"/{number}", inner) for number, inner in enumerate(value)]
        yield from ((f"/{_escaped(keyword)}{name}", inner) for name, inner in named if isinstance(inner, dict))


def remove_keywords_without_effect(schema: Schema) -> list[str]:
    """Remove what restricts nothing from a schema, in place; return the unknown formats, each once, in their order."""
    unknown: dict[str, None] = {}
    pending = [schema]
    while pending:  # without recursion: Python's limit is near the depth that its JSON parser accepts
        inner = pending.pop()
        name = inner.get("format")
        if isinstance(name, str) and name not in KNOWN_FORMATS:
            unknown[name] = None
            del inner["format"]
        for keyword, values in VALUES_WITHOUT_EFFECT.items():
            if keyword in inner and inner[keyword] in values:
                del inner[keyword]
        pending += reversed([found for _, found in subschemas(inner)])
    return list(unknown)


def unknown_formats_note(formats: list[str]) -> str:
    """One sentence that names the unknown formats of a schema."""
    shown = ", ".join(repr(name[:40]) for name in formats[:MAX_SHOWN_FORMATS])
    rest = f" and {len(formats) - MAX_SHOWN_FORMATS} more" if len(formats) > MAX_SHOWN_FORMATS else ""
    noun = "format" if len(formats) == 1 else "formats"
    verb = "is not known and restricts" if len(formats) == 1 else "are not known and restrict"
    return f"the JSON schema's {noun} {shown}{rest} {verb} nothing"


def error_place(schema: Schema, error_of: Callable[[str], str | None]) -> str:
    """JSON pointer of the innermost schema that alone has the error of the whole; "" if that is the whole.

    `error_of` compiles a schema as JSON and returns the message, or None. The definitions and options of the whole are
    added to each sub-schema. The search stops at MAX_COMPILATIONS or MAX_COMPILED_CHARACTERS, with the place so far.
    """
    shared = {name: schema[name] for name in (*DEFINITIONS, "x-guidance") if name in schema}
    message, place, is_found = error_of(json.dumps(schema)), "", True
    num_compilations, num_characters = 0, 0
    while is_found:
        is_found = False
        for pointer, inner in subschemas(schema):
            text = json.dumps({**shared, **inner})
            num_compilations, num_characters = num_compilations + 1, num_characters + len(text)
            if num_compilations > MAX_COMPILATIONS or num_characters > MAX_COMPILED_CHARACTERS:
                return place
            if error_of(text) == message:
                schema, place, is_found = inner, place + pointer, True
                break
    return place


def _escaped(name: str) -> str:
    """A name as a part of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")
