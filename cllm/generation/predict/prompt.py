"""Encoding of a prompt, the text around a cursor, as ids.

A prefix may end inside a word, or inside what would be one token if the text continued ("def " before " name"). Such a
cut occurs in no training data. So the last pre-token is removed, and the completion must begin with its bytes
(`healing`).
"""

from dataclasses import dataclass

from cllm.config import check_bounds
from cllm.corpus.characters import complete_length, next_boundary
from cllm.corpus.newlines import dominant_newline
from cllm.dataset import path_header
from cllm.dataset.fim import arrange_spm
from cllm.generation.predict.prompt_text import as_learned, as_written
from cllm.syntax.file_language import language_at_cursor
from cllm.tokenizer import Tokenizer

PARAGRAPH = b"\n\n"
MAX_WINDOW_BYTES = 1 << 20
MAX_HEALED_BYTES = 48  # most bytes of the last pre-token that are removed for healing
WINDOW_STEPS = 8  # a window's start moves in steps of 1/8 of its size, so that it rarely moves as the text grows
SUFFIX_SHARE = 4  # at most one part in this many of the network's context is text after the cursor


@dataclass(frozen=True, kw_only=True)
class Window:
    """How many bytes before and after the cursor are read; UsageError if a number is out of range.

    The guide parses the whole file regardless. The default is the largest of the measured windows with a first line in
    100 ms (p50, Zen 5); larger ones take longer to read a file that was just opened, no longer after that, and give
    more exact lines (`cllm bench complete` measures all three).
    """

    prefix_bytes: int = 1 << 12
    suffix_bytes: int = 1 << 10

    def __post_init__(self) -> None:
        check_bounds(self, prefix_bytes=(1, MAX_WINDOW_BYTES), suffix_bytes=(0, MAX_WINDOW_BYTES))


# For one completion of a file, by a command or in an evaluation: 45% instead of 32% of libuv's lines are exact, and the
# model takes longer to load than this takes to read (docs/LOG.md).
LARGE_WINDOW = Window(prefix_bytes=1 << 16, suffix_bytes=1 << 14)


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """The text before and after the cursor; the file's path, relative to the repository; its language; the window.

    The text is UTF-8 with any line ends; it becomes what would be learned of it (`prompt_text.as_learned`), and
    completions are written with `newline`, by default the line end that the text has most of. They end before a
    character that `encoding`, which is the file's, lacks. `language` is one that has a grammar (`cllm.syntax`). It
    defaults to the file's language; None if unknown.
    """

    prefix: bytes
    suffix: bytes = b""
    path: str | None = None
    language: str | None = None
    window: Window = Window()
    newline: bytes = b""
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        newline = self.newline or dominant_newline(self.prefix + self.suffix)
        prefix, suffix = as_learned(self.prefix, self.suffix)
        for name, value in (("newline", newline), ("prefix", prefix), ("suffix", suffix)):
            object.__setattr__(self, name, value)
        if self.language is None and self.path is not None:
            object.__setattr__(self, "language", language_at_cursor(self.path, self.prefix, self.suffix))

    def written(self, text: str) -> str:
        """A completion's text with the line ends of this prompt."""
        return as_written(text, self.newline)


@dataclass(frozen=True, kw_only=True)
class EncodedPrompt:
    """A prompt as ids: those before and after the cursor, and those for the network.

    `network_ids` ends with the last ids of `prefix_ids`. `num_predicted` is the number of these that the network
    predicts, i.e. that have an id before them. `token_prefix` holds the bytes that were removed for healing. `path` is
    that of the prompt.
    """

    prefix_ids: list[int]
    suffix_ids: list[int]
    network_ids: list[int]
    num_predicted: int
    token_prefix: bytes
    path: str | None


def encode_prompt(prompt: Prompt, tokenizer: Tokenizer, context_length: int, max_tokens: int) -> EncodedPrompt:
    """Encode a prompt; the network's ids are truncated (prefix at its start, suffix at its end) to fit `max_tokens`.

    A prompt with a path starts at the beginning of that file. One without a path is encoded as a new paragraph inside
    a file, where most training rows begin; the beginning of a file would call for a licence or imports.
    """
    special = tokenizer.special
    text = prompt.prefix[_window_start(prompt.prefix, prompt.window.prefix_bytes) :]
    header: list[int] = []
    if prompt.path is not None:
        header = path_header(prompt.path, tokenizer)
    elif not prompt.suffix:
        text = PARAGRAPH + text
    suffix_ids = tokenizer.encode(_first_bytes(prompt.suffix, prompt.window.suffix_bytes))
    prefix_ids = tokenizer.encode(text)
    if suffix_ids:
        header += arrange_spm([], suffix_ids[: context_length // SUFFIX_SHARE], special)
    token_prefix, piece_length = b"", min(tokenizer.last_pretoken_bytes(text), MAX_HEALED_BYTES)
    while len(header) + len(prefix_ids) > 1 and len(token_prefix) < piece_length:
        token_prefix = tokenizer.token_bytes(prefix_ids.pop()) + token_prefix
    budget = max(1, max(context_length // 2, context_length - max_tokens) - len(header))
    context_ids = prefix_ids[_round_up_to_step(len(prefix_ids) - budget, max(1, budget // WINDOW_STEPS)) :]
    num_predicted = len(context_ids) if header else max(0, len(context_ids) - 1)
    return EncodedPrompt(
        prefix_ids=prefix_ids,
        suffix_ids=suffix_ids,
        network_ids=[*header, *context_ids],
        num_predicted=num_predicted,
        token_prefix=token_prefix,
        path=prompt.path,
    )


def _window_start(prefix: bytes, max_bytes: int) -> int:
    """Start of the window of a prefix that is used: the start of a line, which rarely moves as the prefix grows.

    In a line that is longer than the window, it is the start of a character.
    """
    begin = _round_up_to_step(len(prefix) - max_bytes, max(1, max_bytes // WINDOW_STEPS))
    if begin and b"\n" in prefix[begin - 1 :]:
        return prefix.find(b"\n", begin - 1) + 1
    return next_boundary(prefix, begin) if begin else 0


def _first_bytes(suffix: bytes, max_bytes: int) -> bytes:
    """The first bytes of a suffix, without an incomplete character at their end."""
    first = suffix[:max_bytes]
    return first[: complete_length(first)] if len(first) < len(suffix) else first


def _round_up_to_step(offset: int, step: int) -> int:
    """Round an offset up to a multiple of `step`; 0 for negative offsets."""
    return max(0, -(-offset // step) * step)
