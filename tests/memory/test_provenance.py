"""Sources of the copied spans of a completion."""

from sample_memory import DOCUMENTS, document

from cllm.memory.index.provenance import MIN_COPY_BYTES, find_copied_spans, licence_of, new_share
from cllm.memory.memory import Memory


def test_a_copy_is_cited_with_its_lines(memory: Memory) -> None:
    completion = DOCUMENTS[6].splitlines(keepends=True)
    found = find_copied_spans(memory.index, memory.text, b"/* head */ ", b"".join(completion[1:3]))
    assert [(s.begin, s.end) for s in found] == [(0, len(b"".join(completion[1:3])))]
    assert found[0].location == "src/6.c:2-3"


def test_the_text_before_a_copy_selects_among_its_sources(memory: Memory) -> None:
    # All thirty documents have this line, some with the same field; only one has it after this function's name.
    completion = b"struct node *node) {\n"
    (found,) = find_copied_spans(memory.index, memory.text, b"int field_11(", completion)
    assert found.path == "src/11.c"


def test_new_text_is_not_cited(memory: Memory) -> None:
    completion = b"zebra crossings, zigzag ways" + DOCUMENTS[2]
    found = find_copied_spans(memory.index, memory.text, b"", completion)
    assert [(s.path, s.begin) for s in found] == [("src/2.c", len(b"zebra crossings, zigzag ways"))]
    assert new_share(found, completion) == len(b"zebra crossings, zigzag ways") / len(completion)
    assert find_copied_spans(memory.index, memory.text, b"", b"") == [] and new_share([], b"") == 0.0


def test_copied_spans_are_long_disjoint_and_copies(memory: Memory) -> None:
    text = memory.text[: memory.size].tobytes()
    completion = DOCUMENTS[3][10:60] + b"?" + DOCUMENTS[4][:40] + DOCUMENTS[5][20:70]
    found = find_copied_spans(memory.index, memory.text, b"", completion)
    assert all(one.end <= other.begin for one, other in zip(found, found[1:], strict=False))
    assert all(s.end - s.begin >= MIN_COPY_BYTES and completion[s.begin : s.end] in text for s in found)


def test_licence_of_a_file() -> None:
    assert licence_of(b"/* SPDX-License-Identifier: MIT */\nint x;") == "MIT"
    assert licence_of(b"/* Copyright Joyent, Inc.\n * Permission is granted */\n") == "Copyright Joyent, Inc."
    assert licence_of(b"int main(void) {}\n") is None


def test_the_licence_of_a_source_is_cited(memory: Memory) -> None:
    begin, content = memory.size, b"// SPDX-License-Identifier: BSD-3-Clause\nlong unusual_name_of_things(void);\n"
    memory.index_document(document("licensed.c", content), memory.tokenizer.encode(content))
    memory.index.add_segment(memory.text, begin, memory.size)
    (found,) = find_copied_spans(memory.index, memory.text, b"", b"long unusual_name_of_things(void);\n")
    assert (found.location, found.licence) == ("licensed.c:2", "BSD-3-Clause")
