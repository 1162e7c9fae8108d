"""Forms of texts: a file that is decoded and encoded again has the same bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm.corpus.newlines import CR, CRLF, LF
from cllm.corpus.text import Skipped, decode
from cllm.corpus.text_form import TextForm

WITH_BOM = ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
FORMS = st.builds(
    TextForm, encoding=st.sampled_from(WITH_BOM), has_bom=st.just(True), newline=st.sampled_from([LF, CRLF, CR])
) | st.builds(TextForm, newline=st.sampled_from([LF, CRLF, CR]))
TEXTS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0\r\ufeff"), max_size=40)


@given(TEXTS, FORMS)
def test_decoding_undoes_encoding_for_any_text_and_form(text: str, form: TextForm) -> None:
    data = form.encode_file(text.encode())
    found = decode(data)
    assert found.content == text.encode()
    assert found.form == form if "\n" in text else found.form.encoding == form.encoding
    assert found.form.encode_file(found.content) == data


@given(st.text("größtenéàß \n", min_size=1, max_size=60), st.sampled_from([LF, CRLF]), st.sampled_from(["cp1252"]))
def test_a_file_in_a_legacy_encoding_is_written_back(text: str, newline: bytes, encoding: str) -> None:
    """Whichever encoding is guessed, the bytes are the same again."""
    data = TextForm(encoding=encoding, newline=newline).encode_file(text.encode())
    try:
        content, form = decode(data)
    except Skipped:
        return
    assert form.encode_file(content) == data


@given(st.binary(max_size=60))
def test_any_bytes_with_one_kind_of_line_ends_are_written_back(data: bytes) -> None:
    data = data.replace(b"\r", b"")
    try:
        content, form = decode(data)
    except Skipped:
        return
    if form.encoding in ("utf-8", "cp1252", "cp1251", "koi8_r", "iso8859_15"):  # others have two bytes for a character
        assert form.encode_file(content) == data


def test_mixed_line_ends_become_the_dominant_one() -> None:
    content, form = decode(b"a\r\nb\nc\r\n")
    assert form.encode(content) == b"a\r\nb\r\nc\r\n"


def test_a_part_of_a_file_has_no_mark_and_no_doubled_line_end() -> None:
    form = TextForm(encoding="utf-16-le", has_bom=True, newline=CRLF)
    assert form.encode("é\r\n\n".encode()) == "é\r\n\r\n".encode("utf-16-le")


def test_a_character_that_the_encoding_lacks_is_an_error() -> None:
    with pytest.raises(UnicodeEncodeError):
        TextForm(encoding="cp1252").encode("漢".encode())
    assert TextForm().encode(b"\xff\n") == b"\xff\n"
