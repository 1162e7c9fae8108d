"""Constrained completions: texts of random networks are checked with parsers independent of the grammar."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sample_text import TOKENIZER

from cllm.errors import UsageError
from cllm.generation import Completer, Completion, Prompt, SamplingParams
from cllm.generation.constrained import ConstrainedPredictor, complete_constrained, stream_constrained
from cllm.generation.grammar.grammar import Grammar
from cllm.generation.grammar.matcher import Matcher
from cllm.generation.guide.decode_state import DecodeState

GREEDY = SamplingParams(max_tokens=24)
RANDOM = replace(GREEDY, temperature=1.0)
PROMPT = Prompt(prefix=b"int main_3(void) { return")
PATTERN = "(int|void) [a-zö_]{1,9}\\([0-9]*\\);?"
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 3, "maxLength": 9},
        "number": {"type": "integer", "minimum": 10, "maximum": 99},
        "kinds": {"type": "array", "items": {"enum": ["int", "größer", None]}, "minItems": 1, "maxItems": 3},
    },
    "required": ["name", "number", "kinds"],
    "additionalProperties": False,
}
CALL = 'start: NAME "(" (start ("," start)*)? ")"\nNAME: /[a-z_]+/\n'
SUM = 'root ::= term ("+" term)*\nterm ::= [0-9]+ | "(" root ")"\n'


def is_json(text: str) -> bool:
    json.loads(text)
    return True


def matches_schema(text: str) -> bool:
    found: Any = json.loads(text)
    return (
        list(found) == ["name", "number", "kinds"]
        and 3 <= len(found["name"]) <= 9
        and type(found["number"]) is int
        and 10 <= found["number"] <= 99
        and 1 <= len(found["kinds"]) <= 3
        and all(kind in ("int", "größer", None) for kind in found["kinds"])
    )


def is_call(text: str) -> bool:
    """Reduces calls to names, innermost first, until one name is left."""
    if not re.fullmatch(r"[a-z_(),]*", text) or not text.endswith(")"):
        return False
    while (reduced := re.sub(r"[a-z_]+\((A(,A)*)?\)", "A", text)) != text:
        text = reduced
    return text == "A"


def is_sum(text: str) -> bool:
    while (reduced := re.sub(r"\(\d+(\+\d+)*\)", "1", text)) != text:
        text = reduced
    return re.fullmatch(r"\d+(\+\d+)*", text) is not None


KINDS: dict[str, tuple[Grammar, Callable[[str], bool]]] = {
    "json": (Grammar.json(), is_json),
    "schema": (Grammar.schema(json.dumps(SCHEMA)), matches_schema),
    "regex": (Grammar.regex(PATTERN), lambda text: re.fullmatch(PATTERN, text) is not None),
    "unicode": (Grammar.regex("[ö-ü😀 ]{3,}"), lambda text: re.fullmatch("[ö-ü😀 ]{3,}", text) is not None),
    "lark": (Grammar.lark(CALL), is_call),
    "gbnf": (Grammar.gbnf(SUM), is_sum),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_completion_matches_its_grammar(completer: Completer, kind: str) -> None:
    grammar, is_valid = KINDS[kind]
    for params, count in (
        (GREEDY, 1),
        (RANDOM, 6),
        (replace(RANDOM, max_tokens=3), 3),
        (replace(RANDOM, top_p=0.5), 1),
    ):
        for completion in complete_constrained(completer, grammar, PROMPT, params, count):
            assert completion.valid is True and completion.finish_reason in ("stop", "length")
            assert is_valid(completion.text), completion.text
            assert TOKENIZER.decode(completion.tokens).decode() == completion.text


@pytest.mark.parametrize("prefix", [b"", b"int", b"int ", b"int mai", b'x = {"a', "größ".encode()])
def test_only_text_of_a_grammar_is_generated_for_any_prompt(completer: Completer, prefix: bytes) -> None:
    for literal in ("main_3(void) { return", 'größer"', " ", "n", "😀"):
        for grammar in (Grammar.regex(re.escape(literal)), Grammar.lark(f"start: {json.dumps(literal)}")):
            for params in (GREEDY, RANDOM):
                (completion,) = complete_constrained(completer, grammar, Prompt(prefix=prefix), params)
                assert (completion.text, completion.finish_reason, completion.valid) == (literal, "stop", True)


def test_text_at_the_token_limit_is_ended_by_the_grammar(completer: Completer) -> None:
    for count in range(8):
        params = replace(GREEDY, max_tokens=count)
        (completion,) = complete_constrained(completer, Grammar.regex("[a-z]{40}!"), PROMPT, params)
        assert re.fullmatch("[a-z]{40}!", completion.text)
        assert (completion.finish_reason, completion.valid) == ("length", True)
    (completion,) = complete_constrained(completer, Grammar.regex("ab"), PROMPT, replace(GREEDY, max_tokens=0))
    assert (completion.text, completion.finish_reason, completion.valid) == ("ab", "length", True)
    (completion,) = complete_constrained(completer, Grammar.regex("x"), PROMPT, replace(GREEDY, max_tokens=1))
    assert (completion.text, completion.finish_reason, completion.valid) == ("x", "stop", True)


def test_grammar_without_an_end_gives_an_invalid_completion(network_completer: Completer) -> None:
    (completion,) = complete_constrained(network_completer, Grammar.lark('start: "a" start'), PROMPT, GREEDY)
    assert set(completion.text) == {"a"}
    assert (completion.finish_reason, completion.valid) == ("length", False)


def test_same_seed_gives_the_same_constrained_text(completer: Completer) -> None:
    grammar = KINDS["schema"][0]
    params = replace(RANDOM, temperature=1.5, seed=7)
    one, two = (complete_constrained(completer, grammar, PROMPT, params, 3) for _ in range(2))
    assert [c.text for c in one] == [c.text for c in two]
    assert len({c.text for c in one}) == 3
    other = complete_constrained(completer, grammar, PROMPT, replace(params, seed=8))
    assert other[0].text == one[1].text


def test_grammar_that_allows_all_text_does_not_change_it(completer: Completer) -> None:
    """Without healing of the prompt; completions with invalid UTF-8, which no grammar allows, are skipped."""
    grammar = Grammar.regex("(?s).*")
    encoded = replace(completer.encode_prompt(PROMPT, 16), token_prefix=b"")
    for params in (replace(GREEDY, max_tokens=16), replace(RANDOM, max_tokens=16)):
        with completer.predictor(encoded) as predictor:
            free = DecodeState(predictor, TOKENIZER, params)
            while not free.finish_reason:
                free.step()
            matcher = Matcher(grammar, TOKENIZER)
            state = DecodeState(ConstrainedPredictor(predictor, matcher, TOKENIZER), TOKENIZER, params)
            *_, matched = stream_constrained(state, matcher, TOKENIZER)
        try:
            free.text.decode()
        except UnicodeDecodeError:
            continue
        assert matched.text.encode() == free.text


def test_only_best_has_the_argmax_of_the_allowed_tokens(completer: Completer) -> None:
    for pattern in ("[xyz]+", "\\p{Han}", "main|void", "[^a]"):
        with completer.predictor(completer.encode_prompt(PROMPT, 4)) as inner:
            matcher = Matcher(Grammar.regex(pattern), TOKENIZER)
            predictor = ConstrainedPredictor(inner, matcher, TOKENIZER)
            predictor.restart()
            allowed, unmasked = matcher.allowed(), inner.log_probabilities(b"", False, 0.0)
            found = [predictor.log_probabilities(b"", only_best) for only_best in (True, False)]
        for log_probabilities in found:
            assert not bool((log_probabilities > float("-inf"))[~allowed].any())
            assert int(log_probabilities.argmax()) == int(np.where(allowed, unmasked, -np.inf).argmax())


def test_rewind_restores_the_constrained_distributions(completer: Completer) -> None:
    tokens = TOKENIZER.encode(b'{"a": [1, {"b')
    with completer.predictor(completer.encode_prompt(PROMPT, 4)) as inner:
        predictor = ConstrainedPredictor(inner, Matcher(Grammar.json(), TOKENIZER), TOKENIZER)
        predictor.restart()
        marks, recorded = [], []
        for token in tokens:
            marks.append(predictor.mark())
            recorded.append(predictor.log_probabilities(b"", False))
            predictor.accept(token)
        for index in (len(tokens) - 1, 3, 0):
            predictor.rewind(marks[index])
            np.testing.assert_allclose(predictor.log_probabilities(b"", False), recorded[index])
            predictor.accept(tokens[index])
            predictor.rewind(marks[index])


def test_stop_words_with_a_grammar_raise_usage_error(network_completer: Completer) -> None:
    with pytest.raises(UsageError, match="stop words cannot be combined with a grammar"):
        complete_constrained(network_completer, Grammar.json(), PROMPT, replace(GREEDY, stop=("}",)))


def test_constrained_completion_is_streamed(mixed_completer: Completer) -> None:
    with mixed_completer.predictor(mixed_completer.encode_prompt(PROMPT, 24)) as inner:
        matcher = Matcher(KINDS["schema"][0], TOKENIZER)
        state = DecodeState(ConstrainedPredictor(inner, matcher, TOKENIZER), TOKENIZER, RANDOM)
        texts, last = [], Completion()
        for last in stream_constrained(state, matcher, TOKENIZER):
            texts.append(last.text)
    assert len(texts) > 10 and all(texts[-1].startswith(text) for text in texts)
    assert last.valid is True
