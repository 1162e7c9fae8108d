"""The masks of allowed tokens against an enumeration of texts and against a bytewise check of every token."""

import random

import numpy as np
import pytest
from sample_text import TOKENIZER

from cllm.errors import UsageError
from cllm.generation.grammar.grammar import Grammar
from cllm.generation.grammar.matcher import Matcher

END = TOKENIZER.end_of_text
GRAMMARS = {
    "json": Grammar.json(),
    "schema": Grammar.schema('{"type": "object", "properties": {"größer": {"enum": ["int", "main_1", 3]}}}'),
    "regex": Grammar.regex("(int|void) +[a-zé_]{1,9}\\((void)?\\);?"),
    "unicode": Grammar.regex("[ö-ü😀]+|\\p{Han}x"),
    "lark": Grammar.lark('start: "(" start ")" | NAME\nNAME: /[a-z_]+/ | "main"'),
    "gbnf": Grammar.gbnf('root ::= "int" " main"? ("_" [0-9])* | [^x] root'),
}


def allowed_ids(matcher: Matcher) -> set[int]:
    return set(np.flatnonzero(matcher.allowed()).tolist())


def test_mask_of_a_regex_matches_an_enumeration_of_its_texts() -> None:
    texts = [f"int main_{i}(void){s}{{ return {j}ö; }}".encode() for i in range(5) for j in range(3) for s in ("", " ")]
    texts += [text.rstrip(b" }") for text in texts]
    grammar = Grammar.regex("int main_[0-4]\\(void\\) ?\\{ return [0-2]ö;( \\})?")
    rng = random.Random(0)
    for _ in range(20):
        matcher, generated = Matcher(grammar, TOKENIZER), b""
        while True:
            rests = [text[len(generated) :] for text in texts if text.startswith(generated)]
            content = {index: TOKENIZER.token_bytes(index) for index in range(TOKENIZER.vocab_size)}
            expected = {index for index, own in content.items() if own and any(r.startswith(own) for r in rests)}
            assert allowed_ids(matcher) == expected | ({END} if generated in texts else set())
            if not expected:
                break
            token = rng.choice(sorted(expected))
            matcher.accept(token)
            generated += TOKENIZER.token_bytes(token)


@pytest.mark.parametrize("name", GRAMMARS)
def test_mask_matches_a_bytewise_check_of_every_token(name: str) -> None:
    rng, matcher = random.Random(1), Matcher(GRAMMARS[name], TOKENIZER)
    for _ in range(12):
        found, expected = allowed_ids(matcher), {END} if matcher.can_end else set()
        for index in range(TOKENIZER.vocab_size):
            copy, content = matcher.copy(), TOKENIZER.token_bytes(index)
            ids = [TOKENIZER.id_of(bytes([byte])) for byte in content]
            if content and all(id_ is not None and copy.try_accept(id_) for id_ in ids):
                expected.add(index)
        assert found == expected
        if found == {END}:
            return
        matcher.accept(rng.choice(sorted(found - {END})))


def test_copy_rewind_and_restart_restore_the_state() -> None:
    matcher = Matcher(GRAMMARS["json"], TOKENIZER)
    first, start = allowed_ids(matcher), matcher.mark()
    for byte in b'{"a':
        matcher.accept(TOKENIZER.id_of(bytes([byte])) or 0)
    current, here, copy = allowed_ids(matcher), matcher.mark(), matcher.copy()
    copy.accept(TOKENIZER.id_of(b'"') or 0)
    assert allowed_ids(matcher) == current != allowed_ids(copy)
    copy.rewind(here)
    assert allowed_ids(copy) == current
    copy.rewind(start)
    assert allowed_ids(copy) == first
    matcher.restart()
    assert allowed_ids(matcher) == first


@pytest.mark.parametrize(
    ("lark", "generated", "message"),
    [
        ("start: start", b"", "allows no token at its beginning: none of its texts continues"),
        ('start: "x" /[^\\s\\S]/', b"x", "allows no token after 1 tokens: none of its texts continues"),
        ("start: <[1]>", b"", "allows no token at its beginning: it requires special tokens"),
        ("start: <[1-6]>", b"", "allows no token at its beginning: it requires special tokens"),
    ],
)
def test_grammar_without_a_continuation_raises_usage_error(lark: str, generated: bytes, message: str) -> None:
    matcher = Matcher(Grammar.lark(lark), TOKENIZER)
    with pytest.raises(UsageError, match=message):
        for token in TOKENIZER.encode(generated):
            matcher.accept(token)
        matcher.allowed()


def test_ambiguous_and_endless_grammars_stay_within_limits() -> None:
    """Either 100 tokens are accepted, or a limit of llguidance is reached and reported."""
    for lark in ('start: "a" start', 'start: /a+/ "a"', "start: a\na: a a | /[ab]/", "start: /(.*a){200}b/"):
        matcher = Matcher(Grammar.lark(lark), TOKENIZER)
        try:
            for _ in range(100):
                matcher.allowed()
                matcher.accept(TOKENIZER.id_of(b"a") or 0)
        except UsageError as error:
            assert "the grammar exceeds a limit after" in str(error)
