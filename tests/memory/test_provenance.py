"""Where written text comes from."""

from remembered import DOCUMENTS, document

from cllm.memory.memory import Memory
from cllm.memory.provenance import LEAST_BYTES, licence_of, new_share, stretches


def test_a_copy_is_cited_with_its_lines(memory: Memory) -> None:
    written = DOCUMENTS[6].splitlines(keepends=True)
    found = stretches(memory.index, memory.text, b"/* head */ ", b"".join(written[1:3]))
    assert [(s.begin, s.end) for s in found] == [(0, len(b"".join(written[1:3])))]
    assert found[0].place == "src/6.c:2-3"


def test_what_stands_before_decides_between_places(memory: Memory) -> None:
    # All thirty documents have this line, some with the same field; only one has it after this function's name.
    written = b"struct node *node) {\n"
    (found,) = stretches(memory.index, memory.text, b"int field_11(", written)
    assert found.path == "src/11.c"


def test_new_text_is_new(memory: Memory) -> None:
    written = b"zebra crossings, zigzag ways" + DOCUMENTS[2]
    found = stretches(memory.index, memory.text, b"", written)
    assert [(s.path, s.begin) for s in found] == [("src/2.c", len(b"zebra crossings, zigzag ways"))]
    assert new_share(found, written) == len(b"zebra crossings, zigzag ways") / len(written)
    assert stretches(memory.index, memory.text, b"", b"") == [] and new_share([], b"") == 0.0


def test_stretches_are_long_do_not_overlap_and_are_true(memory: Memory) -> None:
    text = memory.text[: memory.size].tobytes()
    written = DOCUMENTS[3][10:60] + b"?" + DOCUMENTS[4][:40] + DOCUMENTS[5][20:70]
    found = stretches(memory.index, memory.text, b"", written)
    assert all(one.end <= other.begin for one, other in zip(found, found[1:], strict=False))
    assert all(s.end - s.begin >= LEAST_BYTES and written[s.begin : s.end] in text for s in found)


def test_licences() -> None:
    assert licence_of(b"/* SPDX-License-Identifier: MIT */\nint x;") == "MIT"
    assert licence_of(b"/* Copyright Joyent, Inc.\n * Permission is granted */\n") == "Copyright Joyent, Inc."
    assert licence_of(b"int main(void) {}\n") is None


def test_the_licence_of_a_source_is_cited(memory: Memory) -> None:
    begin, content = memory.size, b"// SPDX-License-Identifier: BSD-3-Clause\nlong unusual_name_of_things(void);\n"
    memory.know(document("licensed.c", content), content)
    memory.index.sort(memory.text, begin, memory.size)
    (found,) = stretches(memory.index, memory.text, b"", b"long unusual_name_of_things(void);\n")
    assert (found.place, found.licence) == ("licensed.c:2", "BSD-3-Clause")
