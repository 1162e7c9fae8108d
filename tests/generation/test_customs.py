"""What the repository does counts as right, though its grammar cannot parse it."""

import pytest

from cllm.corpus import Document
from cllm.generation import Completer, Prompt, SamplingParams
from cllm.generation.guide.customs import Customs, FileErrors, form_of
from cllm.memory.memory import Memory
from cllm.syntax.time_budget import TimeBudget
from cllm.tokenizer import Tokenizer

FILE = b"""#include "list.h"

int count_%(name)s(struct list *%(name)ss) {
  struct node *p;
  int total = 0;

  each(p, %(name)ss) {
    total += p->%(name)s;
  }
  return total;
}

int rank_%(name)s(int c) {
  switch (c) {
    case '0' ... '9':
      return c - '0';
    default:
      return %(number)d;
  }
}
"""
NAMES = b"apple pear plum cherry lemon melon grape olive fig date lime kiwi mango papaya guava quince".split()
FILES = [FILE % {b"name": name, b"number": number} for number, name in enumerate(NAMES)]
TOKENIZER = Tokenizer.train(FILES, 420)
NEW = FILE % {b"name": b"peach", b"number": 20}


@pytest.fixture(scope="module")
def completer() -> Completer:
    memory = Memory.new(TOKENIZER, 4 * sum(map(len, FILES)))
    for number, text in enumerate(FILES):
        document = Document(path=f"{number}.c", language="C", split="train", offset=0, bytes=len(text), sha256="")
        for _ in memory.add_document(document, TOKENIZER.encode(text)):
            pass
    memory.index.add_segment(memory.text, 0, memory.size)
    return Completer(tokenizer=TOKENIZER, network=None, memory=memory)


@pytest.mark.parametrize(
    ("before", "line"), [(b"  each(p", b", peachs) {"), (b"  each(", b"p, peachs) {"), (b"    case '0'", b" ... '9':")]
)
@pytest.mark.parametrize("with_suffix", [False, True])
def test_a_line_that_the_repository_is_full_of_is_not_made_another(
    completer: Completer, before: bytes, line: bytes, with_suffix: bool
) -> None:
    begin = NEW.index(before) + len(before)
    suffix = NEW[NEW.index(b"\n", begin) :] if with_suffix else b""
    texts = []
    for valid in (False, True):
        params = SamplingParams(max_tokens=40, until="line", valid=valid)
        (found,) = completer.complete(Prompt(prefix=NEW[:begin], suffix=suffix, path="new.c"), params)
        texts.append(found.text)
    assert texts[1] == texts[0] != ""
    assert form_of(before + texts[1].encode()) == form_of(before + line)


def test_only_what_the_grammar_rejects_there_too_is_a_custom() -> None:
    places = [(text, text.index(word), "a.c") for text in FILES for word in (b"each(", b"return", b"case")]

    def customs_of(places: list[tuple[bytes, int, str]]) -> Customs:
        return Customs("C", lambda text: [each for each in places if each[0].startswith(text, each[1])], FileErrors())

    customs = customs_of(places)
    assert customs.have(b"    each(q, &x->list[1]) {", TimeBudget())
    assert not customs.have(b"    each(q, &x->list[1]) }", TimeBudget())
    assert not customs.have(b"  return total;", TimeBudget()), "it parses"
    elsewhere = [(text, offset, "a.py") for text, offset, _ in places]
    others = customs_of(elsewhere)
    assert not others.have(b"    each(q, &x->list[1]) {", TimeBudget()), "every grammar rejects other languages"
    assert not customs.have(b"", TimeBudget()) and not customs.have(b"}", TimeBudget())


@pytest.mark.parametrize(
    ("line", "form"),
    [
        (b"  each(p, f(x)[1]) {", b"each\x01{"),
        (b"case 'a' ... 'f':", b"casew...w:"),
        (b'  puts("a(b");', b"puts\x01;"),
        (b"public slots:", b"publicw:"),
        (b"#define X 1", b"#defineww"),
        (b"} else {", b"}else{"),
        (b"", b""),
    ],
)
def test_form_of_a_line(line: bytes, form: bytes) -> None:
    assert form_of(line) == form
