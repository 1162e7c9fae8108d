"""A line that is too long to be hand-written costs that line; a minified file is left out."""

from hypothesis import given
from hypothesis import strategies as st

from cllm.corpus.filters import filter_text
from cllm.corpus.long_lines import LONG_LINE_BYTES, MAX_LINE_BYTES, without_long_lines

SOURCE = b"".join(b"int add_%d(int a)\n{\n    return a + %d;\n}\n\n" % (number, number) for number in range(10))
HEADER = b"/*!\n * library v3\n" + b" * (c) The authors, MIT licence\n" * 12 + b" */\n"


def test_long_line_becomes_an_empty_line() -> None:
    for end in (b"\n", b"\r\n", b"\r"):
        source = SOURCE.replace(b"\n", end)
        text = source + b"x" * 60_000 + end + source
        assert without_long_lines(text, is_prose=False) == (source + end + source, 1, 60_000)
        assert filter_text(text, "C").reason is None
    assert without_long_lines(SOURCE + b"x" * 60_000, is_prose=False) == (SOURCE, 1, 60_000)


def test_shorter_lines_stay_unless_the_file_would_be_lost() -> None:
    line = b"x" * (LONG_LINE_BYTES + 1) + b"\n"
    assert without_long_lines(SOURCE * 5 + line, is_prose=False) == (SOURCE * 5 + line, 0, 0)
    dense = b"x" * 20_000 + b"\n"
    assert without_long_lines(SOURCE + dense, is_prose=False) == (SOURCE + b"\n", 1, 20_000)
    assert without_long_lines(SOURCE + dense, is_prose=True) == (SOURCE + dense, 0, 0)
    paragraphs = b"y" * 30_000 + b"\n" + dense
    assert without_long_lines(paragraphs, is_prose=True) == (paragraphs, 0, 0)


def test_minified_file_is_left_out_with_its_licence() -> None:
    minified = b"function f(a,b){return a+b};" * 3_000
    for text in (
        minified,
        HEADER + minified,
        HEADER + (minified + b"\n") * 4,
        HEADER + minified + b"\n" + SOURCE[:80],
    ):
        assert without_long_lines(text, is_prose=False) is None
        assert filter_text(text, "JavaScript").reason == "minified"
    assert without_long_lines((b"x" * 300 + b"\n") * 100, is_prose=False) is None


def test_short_file_is_not_looked_at() -> None:
    text = b"x" * 1_900
    assert without_long_lines(text, is_prose=False) == (text, 0, 0)


@given(
    st.lists(st.tuples(st.sampled_from([0, 1, 40, 300, 3_000, MAX_LINE_BYTES + 1]), st.sampled_from([b"\n", b"\r\n"]))),
    st.booleans(),
)
def test_numbers_of_lines_and_bytes_add_up(sizes: list[tuple[int, bytes]], is_prose: bool) -> None:
    content = b"".join(b"x" * size + end for size, end in sizes)
    found = without_long_lines(content, is_prose)
    if found is not None:
        assert len(found.content) + found.num_bytes == len(content)
        assert len(found.content.splitlines()) == len(sizes)
        assert found.num_lines == sum(
            old != new for old, new in zip(content.splitlines(), found.content.splitlines(), strict=True)
        )
