"""Gaps with text to the right: what decides, on a memory that has learned a small repository of one kind of call."""

from collections.abc import Sequence

import pytest

from cllm.corpus import Document
from cllm.generation import Completer, Prompt, SamplingParams
from cllm.generation.infill.known_text import KnownText
from cllm.generation.infill.right_context import RightContext
from cllm.memory.memory import Memory
from cllm.tokenizer import Tokenizer

LINE, BLOCK = (SamplingParams(max_tokens=40, until=until, valid=True) for until in ("line", "block"))
FUNCTION = b"""int load_%(name)s(struct table *table, int index) {
  struct entry *entry = find_entry(table, index);
  if (entry == NULL)
    return report_error(table, "no %(name)s");
  entry->count = entry->count + %(number)d;
  return release_entry(table, entry);
}

"""
NAMES = b"apple pear plum cherry lemon melon grape olive fig date lime kiwi mango papaya guava quince".split()
TEXT = b"".join(FUNCTION % {b"name": name, b"number": number} for number, name in enumerate(NAMES))
TOKENIZER = Tokenizer.train([TEXT], 420)
NEW = FUNCTION % {b"name": b"peach", b"number": 11}


@pytest.fixture(scope="module")
def completer() -> Completer:
    memory = Memory.new(TOKENIZER, 4 * len(TEXT))
    document = Document(path="a.c", language="C", split="train", offset=0, bytes=len(TEXT), sha256="")
    for _ in memory.add_document(document, TOKENIZER.encode(TEXT)):
        pass
    memory.index.add_segment(memory.text, 0, memory.size)
    return Completer(tokenizer=TOKENIZER, network=None, memory=memory)


def filled(completer: Completer, before: bytes, after: bytes, params: SamplingParams = LINE) -> bytes:
    """The completion between the first occurrences of two texts in NEW that are given as its ends."""
    prefix = NEW[: NEW.index(before) + len(before)]
    suffix = NEW[NEW.index(after, len(prefix)) :]
    (found,) = completer.complete(Prompt(prefix=prefix, suffix=suffix, path="new.c"), params)
    return found.text.encode()


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (b"report_error(", b");\n  entry->count", b'table, "no peach"'),
        (b"find_entry(", b");\n  if", b"table, index"),
        (b"release_", b"(table, entry)", b"entry"),
        (b"find_en", b"y(table", b"tr"),
        (b"rel", b"se_entry", b"ea"),
        (b"if (", b")\n", b"entry == NULL"),
        (b"entry->count = ", b" + 11", b"entry->count"),
    ],
)
def test_a_gap_within_a_line_ends_where_the_text_to_the_right_begins(
    completer: Completer, before: bytes, after: bytes, expected: bytes
) -> None:
    if b"peach" in expected:
        assert filled(completer, before, after).startswith(b'table, "no ')
    else:
        assert filled(completer, before, after) == expected


@pytest.mark.parametrize("cut", [b"find_|entry(table", b"rel|ease_entry", b"report_error|(table", b"return| report"])
def test_nothing_is_written_inside_of_what_is_complete(completer: Completer, cut: bytes) -> None:
    before, _, after = cut.partition(b"|")
    assert filled(completer, before, after) == b""


def test_no_tokens_are_no_text(completer: Completer) -> None:
    for before, after in ((b"find_en", b"y(table"), (b"report_error(", b");\n  entry->count")):
        assert filled(completer, before, after, SamplingParams(max_tokens=0, until="line")) == b""


@pytest.mark.parametrize("number", range(1, 6))
def test_a_line_opened_between_two_lines_does_not_get_the_next_one(completer: Completer, number: int) -> None:
    lines = NEW.splitlines(keepends=True)
    indentation = lines[number][: len(lines[number]) - len(lines[number].lstrip())]
    prompt = Prompt(
        prefix=b"".join(lines[:number]) + indentation, suffix=b"\n" + b"".join(lines[number:]), path="new.c"
    )
    for params in (LINE, BLOCK):
        (found,) = completer.complete(prompt, params)
        assert found.text == "" and found.finish_reason == "stop" and found.valid is True


@pytest.mark.parametrize("number", [1, 2, 5])
def test_a_missing_line_is_written(completer: Completer, number: int) -> None:
    lines = NEW.splitlines(keepends=True)
    indentation = lines[number][: len(lines[number]) - len(lines[number].lstrip())]
    prompt = Prompt(
        prefix=b"".join(lines[:number]) + indentation, suffix=b"\n" + b"".join(lines[number + 1 :]), path="new.c"
    )
    (found,) = completer.complete(prompt, LINE)
    assert found.text.encode() == lines[number].strip()


def test_a_block_ends_where_the_text_below_begins(completer: Completer) -> None:
    lines = NEW.splitlines(keepends=True)
    prompt = Prompt(prefix=b"".join(lines[:1]) + b"  ", suffix=b"\n" + b"".join(lines[4:]), path="new.c")
    (found,) = completer.complete(prompt, BLOCK)
    written = found.text.encode().splitlines()
    assert [line.strip() for line in written[:2]] == [lines[1].strip(), lines[2].strip()] and len(written) <= 3
    assert b"entry->count =" not in found.text.encode()


def right(prefix: bytes, suffix: bytes) -> RightContext:
    def no_costs(parts: Sequence[bytes], num_dropped: int = 0) -> list[float]:
        raise AssertionError("not asked")

    known = KnownText(b"config(total)", b"", None)
    return RightContext(prefix=prefix, suffix=suffix, gap_costs=no_costs, known=known)


def test_names_that_the_cursor_splits_stay_whole() -> None:
    inside = right(b"x = con", b"g.y\n")
    assert inside.joins(b"fi") and not inside.joins(b"fin") and not inside.joins(b"fi() + ")
    before = right(b"x = ", b"al\n")
    assert before.joins(b"tot") and before.joins(b"1 + ") and not before.joins(b"1 + t")
    assert right(b"x = con", b" + 1\n").joins(b"anything")


def test_delimiters_that_the_rest_of_the_line_closes_stay_open() -> None:
    call = right(b"f(g(", b"), h)\n")
    assert call.joins(b"a, b(c)") and not call.joins(b"a)(b") and not call.joins(b"a), (b")
    assert right(b"f(", b" + g(x)\n").joins(b"a)"), "nothing closes it behind"
    assert not right(b'f("', b'")\n').joins(b'a", "b')
    assert not right(b"/* a ", b" */\n").joins(b"b */ /*")


def test_what_stands_below() -> None:
    context = right(b"a\n  ", b"\n\n  b c\nd\n")
    assert context.is_on_blank_line and not context.is_within_line
    assert context.below == b"\n  b c\n" and context.repeats(b"b c\n") and not context.repeats(b"d")


def test_known_names_are_whole_words(completer: Completer) -> None:
    known = KnownText(b"int here;", b"there(1);", completer.memory)
    for name in (b"here", b"there", b"find_entry", b"report_error"):
        assert known.has_name(name)
    assert known.has_text(b"t here") and known.has_text(b"re(1") and known.has_text(b"if (entry == NULL)\n    return")
    assert not known.has_text(b"if (entry == NULL) return")
    for name in (b"her", b"ind_entry", b"find_entr", b"nowhere"):
        assert not known.has_name(name)
    assert not KnownText(b"", b"", None).has_name(b"find_entry")


def test_name_middles_complete_a_split_name_to_a_known_one(completer: Completer) -> None:
    known = KnownText(b"int release_all, re_try;", b"return release;", completer.memory)
    assert known.name_middles(b"re", b"se") == [b"lea"]
    assert known.name_middles(b"re", b"entry") == [b"lease_"]
    assert known.name_middles(b"f", b"_entry") == [b"ind"]
    assert known.name_middles(b"re", b"lease") == [], "nothing is missing in it"
    assert known.name_middles(b"xy", b"z") == []
    assert right(b"con", b"ig()").name_middles == [b"f"] and right(b"con", b"(ig)").name_middles == []


@pytest.mark.parametrize(
    ("prefix", "suffix", "is_own"),
    [
        (b"  a;\n  ", b"\n  b;\n", False),
        (b"  a;\n  ", b"\n}\n", False),
        (b"a {\n  ", b"\n\n  b;\n", False),
        (b"a {\n", b"\n  b;\n", False),
        (b"a {\n ", b"\n  b;\n", True),
        (b"a {\n\n   ", b"\n  b;\n", True),
        (b"\n  ", b"\nb", True),
    ],
)
def test_an_opened_line_has_the_indentation_of_a_neighbour(prefix: bytes, suffix: bytes, is_own: bool) -> None:
    assert right(prefix, suffix).has_own_indentation == is_own


@pytest.mark.parametrize(
    ("prefix", "suffix", "is_beside"),
    [
        (b"a;\n  ", b"\nb;\n", False),
        (b"a;\n\n  ", b"\nb;\n", True),
        (b"a;\n  \n  ", b"\nb;\n", True),
        (b"a;\n  ", b"\n\nb;\n", True),
        (b"a;\n", b"\n\n", True),
    ],
)
def test_a_line_beside_a_blank_one(prefix: bytes, suffix: bytes, is_beside: bool) -> None:
    assert right(prefix, suffix).is_beside_blank_line == is_beside
