"""The same file in several forms gets the same completion but for the form."""

import json
from pathlib import Path

import pytest
from sample_text import TEXT
from test_explanation import built_memory

from cllm.corpus.text_form import TextForm
from cllm.generation import Completer, Prompt, SamplingParams
from cllm.generation.constrained import complete_constrained
from cllm.generation.explanation import explain
from cllm.generation.grammar.grammar import Grammar
from cllm.generation.session import CompletionSession
from cllm.operations.cursor import cursor_in_file

FORMS = [
    TextForm(newline=b"\r\n"),
    TextForm(newline=b"\r"),
    TextForm(has_bom=True),
    TextForm(encoding="utf-16-le", has_bom=True, newline=b"\r\n"),
    TextForm(encoding="cp1252", newline=b"\r\n"),
]
LINES = TEXT.splitlines(keepends=True)
FILE = "".join(LINES[:6])
PLACES = [None, "1:1", "2", "3:20", "4:5", "7"]
PARAMS = [
    SamplingParams(max_tokens=24, until="line"),
    SamplingParams(max_tokens=24, until="block", valid=True),
    SamplingParams(max_tokens=40, until="tokens"),
    SamplingParams(max_tokens=40, stop=("\n",)),
]


def prompt_in(folder: Path, form: TextForm, place: str | None, text: str = FILE) -> Prompt:
    file = folder / "a.c"
    file.write_bytes(form.encode_file(text.encode()))
    cursor = cursor_in_file(folder, file, place)
    return Prompt(
        prefix=cursor.prefix,
        suffix=cursor.suffix,
        path=cursor.path,
        newline=cursor.form.newline,
        encoding=cursor.form.encoding,
    )


@pytest.mark.parametrize("params", PARAMS, ids=lambda params: f"{params.until}{'-valid' * params.valid}")
def test_a_file_gets_the_same_completion_in_every_form(
    memory_completer: Completer, tmp_path: Path, params: SamplingParams
) -> None:
    for place in PLACES:
        prompt = prompt_in(tmp_path, TextForm(), place)
        (plain,) = memory_completer.complete(prompt, params)
        for form in FORMS:
            in_form = prompt_in(tmp_path, form, place)
            assert (in_form.prefix, in_form.suffix) == (prompt.prefix, prompt.suffix)
            (found,) = memory_completer.complete(in_form, params)
            assert found.text == plain.text.replace("\n", form.newline.decode())
            assert (found.tokens, found.finish_reason, found.valid) == (plain.tokens, plain.finish_reason, plain.valid)
            with_text = form.encode_file(prompt.prefix) + form.encode(found.text.encode()) + form.encode(prompt.suffix)
            assert with_text == form.encode_file(prompt.prefix + plain.text.encode() + prompt.suffix)


def test_completions_have_line_ends_at_all(memory_completer: Completer, tmp_path: Path) -> None:
    (found,) = memory_completer.complete(prompt_in(tmp_path, FORMS[0], None), PARAMS[2])
    assert found.text.count("\r\n") >= 1 and "\n" not in found.text.replace("\r\n", "")


def test_a_sampled_completion_has_only_the_line_ends_of_its_file(network_completer: Completer, tmp_path: Path) -> None:
    """A random network generates any byte, CR and half characters among them."""
    prompt = prompt_in(tmp_path, FORMS[0], "3:20")
    for completion in network_completer.complete(prompt, SamplingParams(max_tokens=200, temperature=2.0), 4):
        assert not set(completion.text.replace("\r\n", "")) & {"\r", "\n"}


def test_a_session_keeps_its_state_in_every_form(memory_completer: Completer, tmp_path: Path) -> None:
    with CompletionSession(memory_completer) as session:
        for place in ("3:5", "3:6", "3:9", "4:1"):
            (plain,) = session.complete(prompt_in(tmp_path, TextForm(), place), PARAMS[2])
            (found,) = session.complete(prompt_in(tmp_path, FORMS[0], place), PARAMS[2])
            assert found.text == plain.text.replace("\n", "\r\n")


def test_text_of_a_grammar_has_the_line_ends_of_its_file(memory_completer: Completer) -> None:
    grammar, params = Grammar.regex("a\nb\r\n"), SamplingParams(max_tokens=20)
    for prefix, expected in ((b"x\n", "a\nb\r\n"), (b"x\r\n", "a\r\nb\r\n"), (b"x\r", "a\rb\r")):
        (found,) = complete_constrained(memory_completer, grammar, Prompt(prefix=prefix), params)
        assert (found.text, found.valid) == (expected, True)
    schema = Grammar.schema('{"const": "a\\nb"}')
    (found,) = complete_constrained(memory_completer, schema, Prompt(prefix=b"x\r\n"), params)
    assert json.loads(found.text) == "a\nb"


def test_a_completion_ends_before_a_character_that_the_file_lacks(memory_completer: Completer) -> None:
    """The learned text has an o with diaeresis, which KOI8-R lacks."""
    before = "".join([*LINES[:3], LINES[3][: LINES[3].index("return")]])
    whole, cut = (
        memory_completer.complete(Prompt(prefix=before.encode(), encoding=encoding), SamplingParams(max_tokens=9))[0]
        for encoding in ("cp1252", "koi8_r")
    )
    assert "ö" in whole.text and cut.text == whole.text.partition("ö")[0] and cut.finish_reason == "stop"


def test_half_a_character_at_the_cursor_is_completed_as_a_whole(completer: Completer) -> None:
    params = SamplingParams(max_tokens=6)
    half, whole = (completer.complete(Prompt(prefix=text), params)[0] for text in (b"// gr\xc3", b"// gr"))
    assert half.text == whole.text


def test_no_half_character_at_the_token_limit(memory_completer: Completer) -> None:
    before = "".join([*LINES[:3], LINES[3][: LINES[3].index("größer") + 2]])
    for max_tokens in range(1, 12):
        (found,) = memory_completer.complete(Prompt(prefix=before.encode()), SamplingParams(max_tokens=max_tokens))
        assert "\ufffd" not in found.text


@pytest.mark.parametrize("text", ["", "\n", "\n\n\n", "int x", "\t"])
@pytest.mark.parametrize("form", [TextForm(), *FORMS])
def test_unusual_files_are_completed(completer: Completer, tmp_path: Path, text: str, form: TextForm) -> None:
    for place in (None, "1", "1:1"):
        prompt = prompt_in(tmp_path, form, place, text)
        assert (prompt.prefix + prompt.suffix).decode() == text
        assert completer.complete(prompt, SamplingParams(max_tokens=4))[0].finish_reason


def test_spans_of_a_completion_with_crlf_are_offsets_in_it() -> None:
    text = "zz\nlong speed_of_sound_in_air(void);\nzz\n"
    memory, written = built_memory(), text.replace("\n", "\r\n")
    plain = explain(memory, Prompt(prefix=b"x\n"), text)
    found = explain(memory, Prompt(prefix=b"x\r\n"), written)
    (one,), (other,) = plain["sources"], found["sources"]
    assert text[one["begin"] : one["end"]].replace("\n", "\r\n") == written[other["begin"] : other["end"]]
    assert one["location"] == other["location"] and plain["novel_share"] == found["novel_share"]
