"""The sources of a completion in the repository and in the prompt."""

from sample_text import TEXT, TOKENIZER

from cllm.corpus import Document
from cllm.generation import Prompt
from cllm.generation.explanation import explain
from cllm.memory.memory import Memory


def built_memory() -> Memory:
    memory = Memory.new(TOKENIZER, len(TEXT) * 2)
    for path, content in (("a.c", TEXT.encode()), ("b.c", b"long speed_of_sound_in_air(void);\n")):
        document = Document(path=path, language="C", split="train", offset=0, bytes=len(content), sha256="")
        memory.index_document(document, memory.tokenizer.encode(content))
    memory.index.add_segment(memory.text, 0, memory.size)
    return memory


def test_copied_spans_have_sources_and_the_rest_is_novel() -> None:
    found = explain(built_memory(), Prompt(prefix=b"long "), "speed_of_sound_in_air(void);\nzzzz")
    assert [source["location"] for source in found["sources"]] == ["b.c:1"]
    assert found["novel_share"] == 4 / len("speed_of_sound_in_air(void);\nzzzz")


def test_prompt_is_a_source_and_replaces_the_indexed_version_of_its_file() -> None:
    memory = built_memory()
    prompt = Prompt(prefix=b"int one_of_a_kind_here;\n\n", suffix=b"int last_of_a_kind_here;\n", path="b.c")
    found = explain(memory, prompt, "int one_of_a_kind_here;\nint last_of_a_kind_here;\nlong speed_of_sound_in_air(")
    assert [source["location"] for source in found["sources"]] == ["b.c:1", "b.c:3"]
    assert not any(source.is_stale for source in memory.index.sources)


def test_empty_text_has_no_sources() -> None:
    assert explain(built_memory(), Prompt(prefix=b""), "") == {"sources": [], "novel_share": 0.0}
