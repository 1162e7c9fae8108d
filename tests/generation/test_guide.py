"""Guided completion: validity at the cursor, rewinding, stopping criteria, and error counts of the file."""

import random
from dataclasses import replace

import numpy as np
import pytest
from sample_text import TEXT, TOKENIZER

from cllm.generation import Completer, Prompt, SamplingParams
from cllm.generation.completion import stream
from cllm.generation.guide.decode_state import DecodeState
from cllm.generation.guide.file_context import FileContext, has_errors_at
from cllm.generation.guide.guide import Guide, may_end_inside_quotes
from cllm.generation.guide.probes import WITHOUT_LINE, Probe, probes_for
from cllm.generation.guide.search import decode_line, decode_lines
from cllm.generation.guide.stopping import StoppingCriteria, indented_block_end
from cllm.generation.predict.predictors import NetworkPredictor
from cllm.syntax.closing import find_closing
from cllm.syntax.error_count import count_errors
from cllm.syntax.grammars import GRAMMARS, parse

pytestmark = pytest.mark.usefixtures("unlimited_time")

LINE = SamplingParams(max_tokens=24, until="line", valid=True)
RANDOM = replace(LINE, temperature=1.0)
FILE = b"int main_0(void) { return 1; }\n\nint f(int x) {\n  if (x) {\n    return g(x, 2);\n  }\n  return 0;\n}\n"
OFFSETS = [offset for offset in range(len(FILE)) if FILE[offset : FILE.find(b"\n", offset)].strip()]


class Permissive(Guide):
    """A guide that accepts every text that is not blank."""

    def syntax_error_offset(self, generated: bytes, *, is_line: bool) -> int | None:
        return None

    def parses(self, generated: bytes) -> bool:
        return True


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("params", [LINE, RANDOM])
def test_guided_completion_adds_no_syntax_errors(completer: Completer, params: SamplingParams, seed: int) -> None:
    """Completions of a random network add no errors to the file, and at most half of them are blank."""
    blank = 0
    for offset in random.Random(seed).sample(OFFSETS, 12):
        end = FILE.find(b"\n", offset)
        for suffix in (b"", FILE[end:]):
            prompt = Prompt(prefix=FILE[:offset], suffix=suffix, path="a.c")
            (completion,) = completer.complete(prompt, replace(params, seed=seed))
            text = FILE[:offset] + completion.text.encode()
            is_silent = completion.valid and not completion.text.strip()
            assert completion.valid is bool(completion.text.strip()) or (suffix and is_silent)
            if not completion.text.strip():
                blank += 1
            elif suffix:
                assert count_errors("C", text + suffix) == 0
            else:
                assert find_closing("C", text) is not None
    assert blank <= 12


def test_permissive_guide_does_not_change_the_text(completer: Completer) -> None:
    prompt = Prompt(prefix=b"int main_3(", path="a.c")
    for params in (LINE, RANDOM):
        stopping = StoppingCriteria("line", (), "C", prompt.prefix, b"")
        with completer.predictor(completer.encode_prompt(prompt, params.max_tokens)) as predictor:
            *_, free = stream(DecodeState(predictor, TOKENIZER, params, stopping))
            *_, allowed = stream(DecodeState(predictor, TOKENIZER, params, stopping), Permissive("C", prompt.prefix))
        if free.finish_reason == "stop":
            assert (allowed.text, allowed.tokens) == (free.text, free.tokens)


def test_rewind_restores_the_distributions(completer: Completer) -> None:
    """Also after the cache has evicted tokens: 90 tokens are generated in a context of 64."""
    rng = random.Random(1)
    with completer.predictor(completer.encode_prompt(Prompt(prefix=TEXT.encode()[:90]), 24)) as predictor:
        predictor.restart()
        token_prefix, tokens, marks, recorded = predictor.token_prefix, list[int](), [], []
        for _ in range(90):
            marks.append(predictor.mark())
            recorded.append(predictor.log_probabilities(b"" if tokens else token_prefix, False))
            possible = np.flatnonzero(recorded[-1] > -np.inf).tolist()
            tokens.append(rng.choice([token for token in possible if token != TOKENIZER.end_of_text]))
            predictor.accept(tokens[-1])
        for offset in (89, 70, 69, 30, 2, 0):
            predictor.rewind(marks[offset])
            np.testing.assert_allclose(
                predictor.log_probabilities(b"" if offset else token_prefix, False), recorded[offset]
            )
            for following in range(offset, min(offset + 5, 89)):
                predictor.accept(tokens[following])
                np.testing.assert_allclose(predictor.log_probabilities(b"", False), recorded[following + 1])


def test_file_context_counts_errors_as_a_full_parse_does() -> None:
    rng = random.Random(2)
    for _ in range(40):
        offset = rng.choice(OFFSETS)
        end = FILE.find(b"\n", offset)
        guide, file_context = Guide("C", FILE[:offset], FILE[end:]), FileContext("C", FILE[:offset], FILE[end:])
        for generated in (FILE[offset:end], b"}", b"", b"(x", rng.randbytes(6)):
            assert file_context.errors_with(generated) == count_errors("C", FILE[:offset] + generated + FILE[end:])
        assert guide.fits(FILE[offset:end])
        assert guide.error_offset(FILE[offset:end], is_line=True) is None


@pytest.mark.parametrize(
    ("language", "prefix"),
    [("C", b'f("a '), ("Python", b'f("a '), ("JavaScript", b"f('a "), ("Rust", b'fn f() { g("a ')],
)
def test_unclosed_string_on_a_complete_line_is_an_error(language: str, prefix: bytes) -> None:
    guide, quote = Guide(language, prefix), prefix[-3:-2]
    assert guide.error_offset(b"b c", is_line=False) is None
    if language != "Rust":  # where strings may span lines
        assert guide.error_offset(b"b c", is_line=True) == 2
    assert guide.error_offset(b"b" + quote + b",", is_line=True) is None
    assert guide.repaired(b"b c") == b"b c" + quote


def test_branch_search_is_bounded_and_reports_truncation(network_completer: Completer) -> None:
    class Rejecting(Guide):
        num_calls = 0

        def syntax_error_offset(self, generated: bytes, *, is_line: bool) -> int | None:
            Rejecting.num_calls += 1
            return 0

    prompt = Prompt(prefix=b"int main_3(", path="a.c")
    with network_completer.predictor(network_completer.encode_prompt(prompt, 24)) as predictor:
        *_, last = decode_lines(DecodeState(predictor, TOKENIZER, LINE), Rejecting("C", prompt.prefix))
    assert (last.text, last.is_cut) == (b"", True)
    assert Rejecting.num_calls < 500


@pytest.mark.parametrize(
    ("language", "prefix", "suffix", "generated", "end"),
    [
        ("C", b"int main", b"", b"(void) {\n  return 0;\n}\nint g;\n", b"(void) {\n  return 0;\n}"),
        (
            "C",
            b"int f() {\n  if (x)",
            b"\n}\n",
            b" {\n    y;\n  } else {\n    z;\n  }\n  w;\n",
            b" {\n    y;\n  } else {\n    z;\n  }",
        ),
        ("C", b"int f() {\n  x = ", b"\n}\n", b"1;\n  y;\n}\n", b"1;\n  y;"),
        ("C", b"int f() {\n  x = ", b"", b"1;\n  y;\n}\n", b"1;\n  y;\n}"),
        ("Python", b"def f", b"", b"(x):\n    y\n\n    z\nw = 1\n", b"(x):\n    y\n\n    z"),
        ("Python", b"def f():\n    x = ", b"", b"1\n    y\ndef g():\n", b"1\n    y"),
        ("Python", b"x = ", b"", b"f(1,\n      2)\ny = 2\n", b"f(1,\n      2)"),
        (None, b"a", b"", b"b\nc\n\nd", b"b\nc"),
    ],
)
def test_end_of_a_block_is_found(
    language: str | None, prefix: bytes, suffix: bytes, generated: bytes, end: bytes
) -> None:
    """The end is found at the shortest text that shows it, whatever follows."""
    stopping = StoppingCriteria("block", (), language, prefix, suffix)
    for length in range(1, len(generated) + 1):
        offset = stopping.stop_offset(generated[:length], 1)
        if offset is not None:
            assert generated[:offset] == end
            return
    raise AssertionError("no end was found")


def test_line_ends_after_text_or_before_a_stop_word() -> None:
    stopping = StoppingCriteria("line", ("return",))
    assert stopping.stop_offset(b"\n  x", 4) is None
    assert stopping.stop_offset(b"\n  x\n", 1) == 4
    assert stopping.stop_offset(b"\n  x return", 6) == 5
    assert indented_block_end(b"", b"") is None


def test_text_cut_at_max_tokens_can_be_closed(completer: Completer) -> None:
    for count in range(1, 9):
        for prefix in (b"int main_3(", b"int "):
            params = SamplingParams(max_tokens=count, valid=True)
            (completion,) = completer.complete(Prompt(prefix=prefix, path="a.c"), params)
            assert find_closing("C", prefix + completion.text.encode()) is not None or not completion.text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"int f(int x) {\n  FIND_VARIABLES\n", b"\n  return 0;\n}\n"),
        (FILE[:60], FILE[66:]),
        (b"M(x) {\n int a = f(", b");\n}\nint main(void) { }}\n"),
        (b"int x", b""),
    ],
)
def test_guide_with_a_previous_guide_equals_a_new_guide(before: bytes, after: bytes) -> None:
    generated = (b"", b"1", b"(", b"b);", b"} }", b'"a', b"int y;\nx", b"\n")
    guide: Guide | None = None
    texts = [b"", b"f", b"f(", b"f(", b"f(x, ", b"f(x);\n", b"f(x);\nint"]
    for typed in (*texts, b"f(x);\nin", b"f(x);\ni = f(", *reversed(texts), b"g(", b"gh", b"f(\ng"):
        guide, fresh = Guide("C", before + typed, after, guide), Guide("C", before + typed, after)
        for text in generated:
            assert guide.fits(text) == fresh.fits(text)
            for is_line in (False, True):
                assert guide.error_offset(text, is_line=is_line) == fresh.error_offset(text, is_line=is_line), (
                    typed,
                    text,
                )


def test_errors_of_other_constructs_are_not_errors_at_the_cursor() -> None:
    items = b"struct s { int c; };\nint b = (3;\nint e;\n"
    for text in (items, b"#ifndef A\n#define A\n" + items + b"#endif\n"):
        tree = parse("C", text)
        assert tree is not None and tree.root_node.has_error
        for construct, expected in ((b"int e", False), (b"struct s", False), (b"int b", True)):
            begin = text.index(construct)
            assert has_errors_at(tree.root_node, begin, begin + len(construct)) == expected, construct


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'f("a', True),
        (b'f("a")', False),
        (b"f('\\'", True),
        (b"f('\\\\'", False),
        (b'/* " */ f("a', True),
        (b"f<'a>(\"x'", True),
        (b"f(a, b);", False),
    ],
)
def test_unclosed_quotes_are_detected(line: bytes, expected: bool) -> None:
    assert may_end_inside_quotes(line) == expected


def test_a_comment_that_would_hide_what_is_below_is_a_probe_only_where_one_ends() -> None:
    inside, outside = (FileContext("C", b"", after) for after in (b"\n * a\n */\nint g;\n", b"\nint g;\n/* a */\n"))
    assert not inside.fits(b"int a;") and inside.fits(b"/*")
    assert outside._probe_errors(Probe(b"", True)) == 0
    assert outside._probe_errors(Probe(b"/*", True)) == len(b"\nint g;\n/* a */\n")


@pytest.mark.parametrize("language", GRAMMARS)
def test_each_language_has_probes_of_its_own_without_repetition(language: str) -> None:
    probes = probes_for(language)
    assert probes[0] == WITHOUT_LINE and len(set(probes)) == len(probes) >= 8


def test_guided_samples_of_the_network_are_not_decoded_ahead_in_a_batch(
    network_completer: Completer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forked(predictor: NetworkPredictor, count: int, decoder: object) -> list[NetworkPredictor]:
        raise AssertionError("decoded in a batch")

    monkeypatch.setattr(NetworkPredictor, "forked", forked)
    params = SamplingParams(max_tokens=4, temperature=1.0, until="tokens", valid=True)
    assert len(network_completer.complete(Prompt(prefix=b"int main_3(", path="a.c"), params, 3)) == 3
    with pytest.raises(AssertionError, match="in a batch"):
        network_completer.complete(Prompt(prefix=b"int main_3("), replace(params, valid=False), 3)


def test_a_text_that_is_cut_does_not_end_in_a_comment_that_it_had_closed() -> None:
    """An open comment would hide the block's end, which has no beginning."""
    before, after = b"int f(int x) {\n  ", b"\n    g(x);\n  }\n  /* c */\n  return 0;\n}\n"
    for generated in (b"/* Try to avoid it. */", b"x = 1; /* a */"):
        assert Guide("C", before, after).repaired(generated) is None


@pytest.mark.parametrize("text", [b"if things.first", b"class Name", b"for a in b", b"while x == y"])
def test_a_line_of_python_that_the_token_limit_cuts_is_kept(text: bytes) -> None:
    """Only a complete line needs its colon."""
    assert Guide("Python", b"def f(x):\n    ").repaired(text) == text


@pytest.mark.parametrize(
    ("prefix", "line", "is_right"),
    [
        (b"", b"class Name", False),
        (b"", b"class Name:", True),
        (b"", b"if x == 7", False),
        (b"", b"if x == 7  # why", False),
        (b"", b"@decorator", True),
        (b"def f(\n", b"    a, b", True),
        (b"x = [\n", b"    1 if y", True),
        (b"x = (\n", b'    "one"', True),
        (b"match x:\n", b"    case 1:", True),
        (b"", b"match x:", True),
        (b"", b"x = [y for z", True),
        (b"x = [\n", b"    for a", True),
        (b"f(\n", b"    lambda x", True),
        (b"def f():\n", b"    return 1", True),
        (b'def f():\n    """\n', b"    class Name", True),
    ],
)
def test_a_complete_line_of_python_can_be_followed_by_another(prefix: bytes, line: bytes, is_right: bool) -> None:
    for text in (line, line + b"\n"):
        assert Guide("Python", prefix).can_go_on(text) is is_right


def test_branches_of_a_sampled_line_are_decoded_greedily(
    network_completer: Completer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sampling takes all tokens that are possible, ten times as long as the most probable one."""

    class Rejecting(Guide):
        def syntax_error_offset(self, generated: bytes, *, is_line: bool) -> int | None:
            return 0

    seen, step = list[bool](), DecodeState.step

    def recorded_step(state: DecodeState, *, is_greedy: bool = False) -> None:
        seen.append(is_greedy)
        step(state, is_greedy=is_greedy)

    monkeypatch.setattr(DecodeState, "step", recorded_step)
    prompt = Prompt(prefix=b"int main_3(", path="a.c")
    with network_completer.predictor(network_completer.encode_prompt(prompt, 24)) as predictor:
        state = DecodeState(predictor, TOKENIZER, RANDOM)
        assert decode_line(state, Rejecting("C", prompt.prefix)).is_cut
    assert seen[0] is False and seen[-1] is True and seen == sorted(seen)
