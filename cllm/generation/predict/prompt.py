"""From what is known around a cursor to ids.

A text may end inside of a word, or of what would be one token if it went on ("def " before " name"). Neither network
nor memory saw it cut there; so its last piece is taken back, and what is written must begin with its bytes (`healing`).
"""

from dataclasses import dataclass

from cllm.dataset.fim import arrange_spm
from cllm.syntax.grammars import language_with_grammar
from cllm.tokenizer import Tokenizer

PARAGRAPH = b"\n\n"
MAX_PREFIX_BYTES = 1 << 16  # that are looked at: a second and a half for the memory to learn
MAX_SUFFIX_BYTES = 1 << 14
MAX_HEALED_BYTES = 48  # of a last piece that are taken back
WINDOW_STEPS = 8  # in which the windows on a text move, so that as it grows they often begin where they did
SUFFIX_SHARE = 4  # at most one part in this many of the network's context is text after the cursor


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What is known: bytes before and after the cursor; the file's path, relative to the repository; its language.

    The language is that of a grammar (`cllm.syntax`), and that of the path if there is none; None: not known.
    """

    prefix: bytes
    suffix: bytes = b""
    path: str | None = None
    language: str | None = None

    def __post_init__(self) -> None:
        if self.language is None and self.path is not None:
            object.__setattr__(self, "language", language_with_grammar(self.path))


@dataclass(frozen=True, kw_only=True)
class EncodedPrompt:
    """A prompt as ids: `before` and `after` the cursor, and what the network reads, which ends with ids of `before`.

    `path` is that of the prompt, `token_prefix` are the bytes of the piece that was taken back; `num_predicted` is
    how many of the
    last ids of `before` the network predicts: those that it reads after another one.
    """

    prefix_ids: list[int]
    suffix_ids: list[int]
    network_ids: list[int]
    num_predicted: int
    token_prefix: bytes
    path: str | None


def encode_prompt(prompt: Prompt, tokenizer: Tokenizer, context_length: int, max_tokens: int) -> EncodedPrompt:
    """The prompt as ids; the network's leave room for `max_tokens`: the prefix loses its beginning, the suffix its end.

    A prompt with a path is the beginning of that file. One without is a new paragraph somewhere in a file: most rows
    that were learned begin there, while at the beginning of a file comes what stands there (a licence, imports).
    """
    special = tokenizer.special
    text = prompt.prefix[_window_start(prompt.prefix) :]
    header: list[int] = []
    if prompt.path is not None:
        path = f"{prompt.path}\n".encode("utf-8", "surrogateescape")
        header = [special["<|file_sep|>"], *tokenizer.encode(path)]
    elif not prompt.suffix:
        text = PARAGRAPH + text
    prefix_ids, suffix_ids = tokenizer.encode(text), tokenizer.encode(prompt.suffix[:MAX_SUFFIX_BYTES])
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


def _window_start(prefix: bytes) -> int:
    """Where what is looked at of a prefix begins: at a line, and seldom elsewhere than a few bytes earlier."""
    begin = _round_up_to_step(len(prefix) - MAX_PREFIX_BYTES, MAX_PREFIX_BYTES // WINDOW_STEPS)
    return prefix.find(b"\n", begin - 1) + 1 if begin and b"\n" in prefix[begin - 1 :] else begin


def _round_up_to_step(offset: int, step: int) -> int:
    """The place or the next after it that is a multiple of a step; 0 for those before the beginning."""
    return max(0, -(-offset // step) * step)
