"""Prompts as they are learned, and completions as the prompt is written."""

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_text import TOKENIZER

from cllm.corpus.newlines import to_lf
from cllm.generation import Prompt, SamplingParams
from cllm.generation.predict.prompt import Window, encode_prompt
from cllm.generation.predict.prompt_text import as_learned, as_written, encodable_length, whole_characters

TEXTS = st.lists(st.sampled_from(["\r", "\n", "\r\n", "a", "é", "👩"]), max_size=12).map("".join)


@given(TEXTS, st.integers(0, 40))
def test_any_cursor_sees_whole_characters_and_lf(text: str, cursor: int) -> None:
    content = text.encode()
    before, after = content[:cursor], content[cursor:]
    prefix, suffix = as_learned(before, after)
    assert b"\r" not in prefix + suffix
    halves = [part.decode(errors="ignore").encode() for part in (before, after)]
    parts = [content] if halves == [before, after] else halves  # a character that is cut in two separates line ends
    assert prefix.decode() + suffix.decode() == "".join(to_lf(part).decode() for part in parts)


@pytest.mark.parametrize(
    ("prefix", "suffix", "expected"),
    [
        (b"a\r", b"\nb", (b"a", b"\nb")),
        (b"a\r", b"", (b"a\n", b"")),
        (b"a\r\n", b"\r\nb", (b"a\n", b"\nb")),
        (codecs.BOM_UTF8 + b"a", b"", (b"a", b"")),
        (b"", codecs.BOM_UTF8 + b"a", (b"", b"a")),
        (b"gr\xc3", b"\xb6\xc3\x9fe", (b"gr", "ße".encode())),
        (b"\xb6x\xb6\xff", b"a\xc3", (b"x\xb6\xff", b"a")),
        (b"\xff\xfe", b"\xff", (b"\xff\xfe", b"\xff")),
        (b"\xb6\xb6", b"\xe2\x82", (b"", b"")),
        (b"\t ", b"\t", (b"\t ", b"\t")),
    ],
)
def test_text_at_the_cursor(prefix: bytes, suffix: bytes, expected: tuple[bytes, bytes]) -> None:
    assert as_learned(prefix, suffix) == expected


@pytest.mark.parametrize(
    ("prefix", "suffix", "newline"),
    [
        (b"a\r\nb\r\nc\n", b"", "\r\n"),
        (b"a", b"\r\n", "\r\n"),
        (b"a\rb", b"", "\r"),
        (b"", b"", "\n"),
        (b"a", b"", "\n"),
    ],
)
def test_prompt_writes_its_dominant_line_end(prefix: bytes, suffix: bytes, newline: str) -> None:
    prompt = Prompt(prefix=prefix, suffix=suffix)
    assert prompt.written("x\ny\r\nz\r") == f"x{newline}y{newline}z{newline}"
    assert (prompt.prefix, prompt.suffix) == as_learned(prefix, suffix)
    assert Prompt(prefix=prefix, suffix=suffix, newline=b"\r\n").written("\n") == "\r\n"


@given(TEXTS, st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_a_completion_has_only_the_line_ends_of_its_prompt(text: str, newline: bytes) -> None:
    written = as_written(text, newline)
    assert not set(written.replace(newline.decode(), "")) & {"\r", "\n"}
    assert to_lf(written.encode()) == to_lf(text.encode())


def test_stop_words_match_the_text_with_lf() -> None:
    assert SamplingParams(stop=("\n", "a\r\nb", "\r", "x")).stop == ("\n", "a\nb", "\n", "x")


@given(st.integers(1, 200), st.integers(0, 200), st.integers(0, 400))
def test_a_window_begins_and_ends_with_whole_characters(prefix_bytes: int, suffix_bytes: int, cursor: int) -> None:
    text = "日本語é👩x" * 40
    window = Window(prefix_bytes=prefix_bytes, suffix_bytes=suffix_bytes)
    prompt = Prompt(prefix=text[:cursor].encode(), suffix=text[cursor:].encode(), path="a.c", window=window)
    encoded = encode_prompt(prompt, TOKENIZER, 64, 8)
    before = (TOKENIZER.decode(encoded.prefix_ids) + encoded.token_prefix).decode()
    after = TOKENIZER.decode(encoded.suffix_ids).decode()
    assert text[:cursor].endswith(before) and text[cursor:].startswith(after)


@given(st.text(st.sampled_from("aé漢👩\n€"), max_size=8), st.integers(0, 3))
def test_encodable_length_is_before_the_first_character_that_is_lacking(text: str, num_cut: int) -> None:
    generated = text.encode()[: len(text.encode()) - num_cut]
    length = encodable_length(generated, "cp1252")
    if length is None:
        whole_characters(generated).encode("cp1252")
    else:
        generated[:length].decode().encode("cp1252")
        with pytest.raises(UnicodeEncodeError):
            generated[length:].decode(errors="ignore")[0].encode("cp1252")
    assert encodable_length(generated, "gb18030") is None
