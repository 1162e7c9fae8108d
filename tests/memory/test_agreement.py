"""Places that agree with both sides of a cursor."""

from remembered import document

from cllm.memory.agreement import agreeing_place
from cllm.memory.continuation import Continuation
from cllm.memory.memory import Memory

WAYS = [
    b"  open(%s);\n  int way = %d;\n  close_%s(way);\n" % (name, number, name)
    for number, name in enumerate((b"red", b"green", b"blue"))
]
BEFORE, AFTER = b"void one_more(void) {\n  open(colour);\n  int way = ", b"\n  close_green(way);\n}\n"


def knowing(memory: Memory) -> Memory:
    begin = memory.size
    for number, way in enumerate(WAYS):
        memory.know(document(f"way{number}.c", way), way)
    memory.index.sort(memory.text, begin, memory.size)
    return memory


def test_what_comes_after_decides(memory: Memory) -> None:
    memory = knowing(memory)
    found = agreeing_place(memory.index, memory.text, BEFORE, AFTER)
    assert found is not None
    assert memory.text[found.place : found.place + 2].tobytes() == b"1;"
    assert found.before == len(b");\n  int way = ") and found.after == len(b"close_green(way);\n")


def test_nothing_agrees_with_what_is_not_there_or_too_short(memory: Memory) -> None:
    memory = knowing(memory)
    for after in (b"", b"\n}\n", b"\n  paint_it_black();\n"):
        assert agreeing_place(memory.index, memory.text, BEFORE, after) is None
    assert agreeing_place(memory.index, memory.text, b"@", AFTER) is None


def test_a_place_where_nothing_stands_between_is_none(memory: Memory) -> None:
    begin, content = memory.size, BEFORE + AFTER
    memory.know(document("whole.c", content), content)
    memory.index.sort(memory.text, begin, memory.size)
    assert agreeing_place(memory.index, memory.text, BEFORE, AFTER) is None


def test_the_file_that_is_completed_is_not_looked_at_as_it_was(memory: Memory) -> None:
    begin, content = memory.size, BEFORE + b"old" + AFTER
    memory.know(document("whole.c", content), content)
    memory.index.sort(memory.text, begin, memory.size)
    for path, at_old in ((None, True), ("other.c", True), ("whole.c", False)):
        with memory.forgetting(200):
            if path is not None:
                memory.hide(path)
            text = Continuation(memory, memory.tokenizer.encode(BEFORE))
            text.look_around(AFTER)
            place, length = text.cursor.match_at[0], text.cursor.match_length[0]
            assert (length > 0 and memory.text[place : place + 3].tobytes() == b"old") == at_old
    assert not any(source.gone for source in memory.index.sources)


def test_a_text_goes_on_as_the_agreeing_place_does_and_all_is_put_back(memory: Memory) -> None:
    memory = knowing(memory)
    segments, sources, size = len(memory.index.segments), len(memory.index.sources), memory.size
    for number, colour in enumerate((b"red", b"green", b"blue")):
        with memory.forgetting(200):
            text = Continuation(memory, memory.tokenizer.encode(BEFORE))
            text.look_around(b"\n  close_%s(way);\n" % colour)
            place = text.cursor.match_at[0]
            assert memory.text[place : place + 2].tobytes() == b"%d;" % number
            assert (text.cursor.match_length == len(b");\n  int way = ") + len(b"close_%s(way);\n" % colour)).all()
    assert (len(memory.index.segments), len(memory.index.sources), memory.size) == (segments, sources, size)
