"""Encoding of a prompt: the window of bytes that are read around the cursor."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm.commands.main import build_parser
from cllm.errors import UsageError
from cllm.generation import Prompt
from cllm.generation.predict.prompt import LARGE_WINDOW, WINDOW_STEPS, Window, encode_prompt
from cllm.tokenizer import Tokenizer

LINES = b"".join(b"int value_%d = %d;\n" % (number, number) for number in range(2000))
TOKENIZER = Tokenizer.train([LINES], 300)


def text_of(prompt: Prompt) -> tuple[bytes, bytes]:
    """The bytes before and after the cursor that are encoded."""
    encoded = encode_prompt(prompt, TOKENIZER, context_length=64, max_tokens=8)
    return TOKENIZER.decode(encoded.prefix_ids) + encoded.token_prefix, TOKENIZER.decode(encoded.suffix_ids)


@given(prefix=st.integers(0, 9000), size=st.sampled_from([1, 7, 64, 1000, 4096, 1 << 16]))
def test_window_limits_the_bytes_before_and_after_the_cursor(prefix: int, size: int) -> None:
    window = Window(prefix_bytes=size, suffix_bytes=size // 4)
    before, after = text_of(Prompt(prefix=LINES[:prefix], suffix=LINES[prefix:], path="a.c", window=window))
    assert LINES[:prefix].endswith(before) and len(before) <= size
    if prefix <= size:
        assert before == LINES[:prefix]
    assert after == LINES[prefix : prefix + size // 4]


def test_window_start_moves_rarely_as_the_text_grows() -> None:
    window = Window(prefix_bytes=1024, suffix_bytes=0)
    starts = {
        end - len(text_of(Prompt(prefix=LINES[:end], path="a.c", window=window))[0]) for end in range(4000, 5024, 16)
    }
    assert len(starts) <= WINDOW_STEPS + 1


@pytest.mark.parametrize("sizes", [(0, 1), (1, -1), (1 << 21, 1)])
def test_window_of_an_impossible_size_is_rejected(sizes: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="must be between"):
        Window(prefix_bytes=sizes[0], suffix_bytes=sizes[1])


def test_help_names_the_default_window_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["complete", "--help"])
    assert f"(default {LARGE_WINDOW.prefix_bytes})" in " ".join(capsys.readouterr().out.split())
    assert LARGE_WINDOW.suffix_bytes == LARGE_WINDOW.prefix_bytes // 4
