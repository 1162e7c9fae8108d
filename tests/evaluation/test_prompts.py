"""The fixed prompts of each language."""

import pytest

from cllm.evaluation.prompts import PROMPTS, prompts_for
from cllm.syntax.error_count import complete_construct_end
from cllm.syntax.grammars import GRAMMARS

# A continuation of each prompt to a complete construct.
CONTINUATIONS = {
    "C": ("(void) { return 0; }", " a { int b; };", " <a.h>\n", "(void) { }"),
    "C++": ("() { return 0; }", "A { };", " <a>\n", "T f(T x) { return x; }", "a { }"),
    "Go": ("f() { }\n", "A struct { }\n", '"a"\n', "() { }\n"),
    "JSON": ('"a": 1}', "1, 2]"),
    "Java": ("a.B;", "A { }", "A { }", "a.b;"),
    "JavaScript": ("f() { }", "A { }", 'a from "b";', "const a = 1;"),
    "Python": ("f():\n    pass\n", "A:\n    x = 1\n", "a\n", ' == "__main__":\n    f()\n'),
    "Rust": ("() { }", "f() { }", "A { b: u8 }", "a::b;", "A { }"),
    "Shell": ("1 ]; then a; fi\n", "a in b; do c; done\n", "a in b) c;; esac\n", "a=1\n"),
    "TSX": ('a from "b";', "f() { return <a/>; }", "f;", "a = <b/>;"),
    "TypeScript": ("f(): void { }", "A { }", 'a from "b";', "const a: A = 1;"),
}


def test_every_language_with_a_grammar_has_prompts() -> None:
    assert set(PROMPTS) == set(GRAMMARS)


def test_language_without_prompts_has_an_empty_tuple() -> None:
    assert prompts_for("Fortran") == ()


@pytest.mark.parametrize("language", sorted(PROMPTS))
def test_prompts_are_incomplete_and_can_become_a_complete_construct(language: str) -> None:
    assert len(CONTINUATIONS[language]) == len(prompts_for(language))
    for prompt, continuation in zip(prompts_for(language), CONTINUATIONS[language], strict=True):
        text = (prompt + continuation).encode()
        assert complete_construct_end(language, text, len(prompt)) >= len(text.rstrip()), prompt
        assert complete_construct_end(language, prompt.encode(), len(prompt)) == -1, prompt
