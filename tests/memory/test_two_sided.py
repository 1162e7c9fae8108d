"""Matches that agree with the text before and after the cursor."""

from sample_memory import document

from cllm.memory.continuation import Continuation
from cllm.memory.index.two_sided import find_two_sided_match
from cllm.memory.memory import Memory

WAYS = [
    b"  open(%s);\n  int way = %d;\n  close_%s(way);\n" % (name, number, name)
    for number, name in enumerate((b"red", b"green", b"blue"))
]
BEFORE, AFTER = b"void one_more(void) {\n  open(colour);\n  int way = ", b"\n  close_green(way);\n}\n"


def with_indexed_examples(memory: Memory) -> Memory:
    begin = memory.size
    for number, way in enumerate(WAYS):
        memory.index_document(document(f"way{number}.c", way), memory.tokenizer.encode(way))
    memory.index.add_segment(memory.text, begin, memory.size)
    return memory


def test_the_text_after_the_cursor_selects_the_position(memory: Memory) -> None:
    memory = with_indexed_examples(memory)
    found = find_two_sided_match(memory.index, memory.text, BEFORE, AFTER)
    assert found is not None
    assert memory.text[found.position : found.position + 2].tobytes() == b"1;"
    assert found.before == len(b");\n  int way = ") and found.after == len(b"close_green(way);\n")


def test_no_match_for_an_absent_or_too_short_context(memory: Memory) -> None:
    memory = with_indexed_examples(memory)
    for after in (b"", b"\n}\n", b"\n  paint_it_black();\n"):
        assert find_two_sided_match(memory.index, memory.text, BEFORE, after) is None
    assert find_two_sided_match(memory.index, memory.text, b"@", AFTER) is None


def test_no_match_where_no_text_is_between_both_sides(memory: Memory) -> None:
    begin, content = memory.size, BEFORE + AFTER
    memory.index_document(document("whole.c", content), memory.tokenizer.encode(content))
    memory.index.add_segment(memory.text, begin, memory.size)
    assert find_two_sided_match(memory.index, memory.text, BEFORE, AFTER) is None


def test_the_indexed_version_of_the_completed_file_is_excluded(memory: Memory) -> None:
    begin, content = memory.size, BEFORE + b"old" + AFTER
    memory.index_document(document("whole.c", content), memory.tokenizer.encode(content))
    memory.index.add_segment(memory.text, begin, memory.size)
    for path, is_at_old in ((None, True), ("other.c", True), ("whole.c", False)):
        with memory.rollback_on_exit(200):
            if path is not None:
                memory.exclude_file(path)
            text = Continuation(memory, memory.tokenizer.encode(BEFORE))
            text.match_both_sides(AFTER)
            position, length = text.text_state.match_at[0], text.text_state.match_length[0]
            assert (length > 0 and memory.text[position : position + 3].tobytes() == b"old") == is_at_old
    assert not any(source.is_stale for source in memory.index.sources)


def test_match_both_sides_sets_the_match_and_is_rolled_back(memory: Memory) -> None:
    memory = with_indexed_examples(memory)
    segments, sources, size = len(memory.index.segments), len(memory.index.sources), memory.size
    for number, colour in enumerate((b"red", b"green", b"blue")):
        with memory.rollback_on_exit(200):
            text = Continuation(memory, memory.tokenizer.encode(BEFORE))
            text.match_both_sides(b"\n  close_%s(way);\n" % colour)
            position = text.text_state.match_at[0]
            assert memory.text[position : position + 2].tobytes() == b"%d;" % number
            assert (text.text_state.match_length == len(b");\n  int way = ") + len(b"close_%s(way);\n" % colour)).all()
    assert (len(memory.index.segments), len(memory.index.sources), memory.size) == (segments, sources, size)
