"""The suffix-array index over documents that are added and marked stale."""

from sample_memory import DOCUMENTS, document, train_on_document

from cllm.memory.memory import Memory


def test_a_match_is_attributed_to_its_document(memory: Memory) -> None:
    seen = memory.index.longest_match(memory.text, b"?int field_23(struct")
    assert seen.length == len(b"int field_23(struct")
    for position in seen.positions:
        source = memory.index.source_at(position)
        assert source is not None and source.path == "src/23.c"
        assert memory.text[position - seen.length : position].tobytes() == b"int field_23(struct"


def test_a_match_does_not_cross_the_end_of_a_document(memory: Memory) -> None:
    context = DOCUMENTS[3] + b"\0" + DOCUMENTS[4]
    assert memory.text[: memory.size].tobytes().count(context) == 1
    seen = memory.index.longest_match(memory.text, context)
    assert seen.length == len(DOCUMENTS[4])


def test_a_new_document_is_found_and_a_stale_one_is_not(memory: Memory) -> None:
    begin, new = memory.size, b"double speed_of_light(void);\n"
    memory.index_document(document("later.c", new), memory.tokenizer.encode(new))
    memory.index.add_segment(memory.text, begin, memory.size)
    assert memory.index.longest_match(memory.text, new).length == len(new)
    memory.index.mark_stale("later.c")
    assert memory.index.longest_match(memory.text, b"speed_of").length < len(b"speed_of")
    # Text that other documents have, too, is still found in them.
    assert memory.index.longest_match(memory.text, b"return node->field_5 + 5").length == len(
        b"return node->field_5 + 5"
    )


def test_a_part_of_a_file_has_the_files_line_numbers(memory: Memory) -> None:
    begin = memory.size
    train_on_document(memory, "part.c", b"one\ntwo\nthree\n", (101, 103))
    memory.index.add_segment(memory.text, begin, memory.size)
    source = memory.index.source_at(begin)
    assert source is not None and (source.path, source.first_line) == ("part.c", 101)


def test_a_position_outside_of_all_documents_has_no_source(memory: Memory) -> None:
    assert memory.index.source_at(memory.size + 1) is None
