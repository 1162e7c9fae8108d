"""Cursors in files and prompts: positions, encodings, line ends, and the refusal of what is no text."""

import codecs
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm.corpus.text_form import TextForm
from cllm.errors import UsageError
from cllm.operations.cursor import MAX_FILE_BYTES, Cursor, cursor_in_file, cursor_in_text, offset_of

TEXT = 'import os\n\n# café\nx = "größe" + os.path.\n\ty = 1\n'
FORMS = {
    "lf": TextForm(),
    "crlf": TextForm(newline=b"\r\n"),
    "cr": TextForm(newline=b"\r"),
    "bom": TextForm(has_bom=True),
    "utf16": TextForm(encoding="utf-16-le", has_bom=True, newline=b"\r\n"),
    "utf16be": TextForm(encoding="utf-16-be", has_bom=True),
    "latin": TextForm(encoding="cp1252", newline=b"\r\n"),
}


def cursor_at(folder: Path, data: bytes, line: str | None) -> Cursor:
    (folder / "a.py").write_bytes(data)
    return cursor_in_file(folder, folder / "a.py", line)


@pytest.mark.parametrize("name", FORMS)
def test_the_text_around_a_cursor_is_the_same_in_every_form(tmp_path: Path, name: str) -> None:
    form = FORMS[name]
    for line in (None, "1", "1:1", "2", "3:7", "4:18", "5:2", "6"):
        plain = cursor_at(tmp_path, TEXT.encode(), line)
        found = cursor_at(tmp_path, form.encode_file(TEXT.encode()), line)
        newline = form.newline
        assert found == Cursor(
            prefix=plain.prefix.replace(b"\n", newline),
            suffix=plain.suffix.replace(b"\n", newline),
            path="a.py",
            form=form,
        )
        whole = found.form.encode_file(found.prefix + found.suffix)
        assert whole == (tmp_path / "a.py").read_bytes()


@pytest.mark.parametrize(
    ("data", "line", "before"),
    [
        (codecs.BOM_UTF8 + b"import os\n", "1:1", ""),  # nothing is written before the mark (rubocop#2746)
        (codecs.BOM_UTF8 + b"import os\n", "1:8", "import "),
        (b"a = 1\rb = 2\rc = ", "3:5", "a = 1\rb = 2\rc = "),  # tree-sitter#4467
        ('s = "👩\u200d💻"; t = s.\n'.encode(), "1:18", 's = "👩\u200d💻"; t = s.'),  # code points (pygls#302)
        (codecs.BOM_UTF16_LE + "é\r\nx = os.\r\n".encode("utf-16-le"), "2:8", "é\r\nx = os."),  # atom#16539
        ('# café\nm = "déjà "\n'.encode("latin-1"), "2:11", '# café\nm = "déjà '),  # vscode#15303
        (b"a\r\nb\nc\rd", "4", "a\r\nb\nc\rd"),
        (b"a\r\n", "1", "a"),
        (b"a", None, "a"),
        (b"a", "1", "a"),
        (b"", None, ""),
        (b"", "1", ""),
        (b"", "1:1", ""),
        (b"\n\n", "3", "\n\n"),
        (b"\r\n\r\n", "2", "\r\n"),
        (b"\tx\n", "1:2", "\t"),
        ("größe, 日本, naïve\n".encode() + b"b\xc3 = 1\n", "2:4", "größe, 日本, naïve\nb\udcc3 "),
    ],
)
def test_place_in_a_file(tmp_path: Path, data: bytes, line: str | None, before: str) -> None:
    cursor = cursor_at(tmp_path, data, line)
    assert cursor.prefix == before.encode("utf-8", "surrogateescape")
    assert cursor.form.encode_file(cursor.prefix + cursor.suffix) == data or b"\r" in data


@pytest.mark.parametrize(
    ("data", "line", "message"),
    [
        (b"a\rb\n", "4", "--line 4: "),
        (b"a\rb\n", "4", "a.py has 3 lines"),
        (codecs.BOM_UTF8 + b"ab\n", "1:4", "line 1 of .*a.py has 2 characters"),
        (b"a", "0", "--line 0 is not N or N:COLUMN"),
        (b"a", "1:", "--line 1: is not N or N:COLUMN"),
        (b"a", "9" * 5000, "9999 is not N or N:COLUMN"),
        (b"\x7fELF\x02\x01\x01\0", None, "a.py cannot be completed in, because it is binary"),
        ("a = 1\n".encode("utf-16-le"), None, "it is binary .UTF-16 and UTF-32 need a byte order mark.: save it as"),
        (codecs.BOM_UTF16_LE + b"a\0\0\xd8", None, "its encoding is unknown: save it as UTF-8"),
        (b"a" * (MAX_FILE_BYTES + 1), None, "larger than 16 MB"),
    ],
)
def test_what_is_no_place_or_no_text_is_one_sentence(
    tmp_path: Path, data: bytes, line: str | None, message: str
) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        cursor_at(tmp_path, data, line)
    assert "\n" not in str(raised.value)


@given(st.lists(st.sampled_from(["a", "é", "👩", "\t", "\n", "\r\n", "\r"]), max_size=10).map("".join), st.data())
def test_each_column_of_each_line_is_a_place(text: str, data: st.DataObject) -> None:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    number = data.draw(st.integers(1, len(lines)))
    column = data.draw(st.integers(1, len(lines[number - 1]) + 1))
    offset = offset_of(text.encode(), f"{number}:{column}", Path("a.py"))
    before = text.encode()[:offset].decode()
    assert before.replace("\r\n", "\n").replace("\r", "\n").split("\n") == [
        *lines[: number - 1],
        lines[number - 1][: column - 1],
    ]
    at_end = offset_of(text.encode(), str(number), Path("a.py"))
    assert at_end == offset_of(text.encode(), f"{number}:{len(lines[number - 1]) + 1}", Path("a.py"))


def test_a_prompt_has_its_own_form_and_no_mark_and_no_half_character() -> None:
    cursor = cursor_in_text(codecs.BOM_UTF8 + "a\r\ngrö".encode()[:-1], "b\r\n", None)
    assert cursor == Cursor(prefix=b"a\r\ngr", suffix=b"b\r\n", path=None, form=TextForm(newline=b"\r\n"))
    assert cursor_in_text(b"x", "", "python").path == "main.py"
    with pytest.raises(UsageError, match="--language Klingon is not known"):
        cursor_in_text(b"x", "", "Klingon")
