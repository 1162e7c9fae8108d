"""From what is known around a cursor to ids.

A text may end inside of a word, or of what would be one token if it went on ("def " before " name"). Neither network
nor memory saw it cut there; so its last piece is taken back, and what is written must begin with its bytes (`healing`).
"""

from dataclasses import dataclass

from cllm.dataset.fim import arrange_spm
from cllm.syntax.grammars import grammar_of
from cllm.tokenizer import Tokenizer

PARAGRAPH = b"\n\n"
MOST_PREFIX_BYTES = 1 << 16  # that are looked at: a second and a half for the memory to learn
MOST_SUFFIX_BYTES = 1 << 14
MOST_TYPED_BYTES = 48  # of a last piece that are taken back
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
            object.__setattr__(self, "language", grammar_of(self.path))


@dataclass(frozen=True, kw_only=True)
class Laid:
    """A prompt as ids: `before` and `after` the cursor, and what the network reads, which ends with ids of `before`.

    `path` is that of the prompt, `typed` are the bytes of the piece that was taken back; `predicted` is how many of the
    last ids of `before` the network predicts: those that it reads after another one.
    """

    before: list[int]
    after: list[int]
    network: list[int]
    predicted: int
    typed: bytes
    path: str | None


def lay_out(prompt: Prompt, tokenizer: Tokenizer, context_length: int, max_tokens: int) -> Laid:
    """The prompt as ids; the network's leave room for `max_tokens`: the prefix loses its beginning, the suffix its end.

    A prompt with a path is the beginning of that file. One without is a new paragraph somewhere in a file: most rows
    that were learned begin there, while at the beginning of a file comes what stands there (a licence, imports).
    """
    special = tokenizer.special
    text = prompt.prefix[_window(prompt.prefix) :]
    header: list[int] = []
    if prompt.path is not None:
        path = f"{prompt.path}\n".encode("utf-8", "surrogateescape")
        header = [special["<|file_sep|>"], *tokenizer.encode(path)]
    elif not prompt.suffix:
        text = PARAGRAPH + text
    before, after = tokenizer.encode(text), tokenizer.encode(prompt.suffix[:MOST_SUFFIX_BYTES])
    if after:
        header += arrange_spm([], after[: context_length // SUFFIX_SHARE], special)
    typed, piece = b"", min(tokenizer.last_piece(text), MOST_TYPED_BYTES)
    while len(header) + len(before) > 1 and len(typed) < piece:
        typed = tokenizer.token_bytes(before.pop()) + typed
    room = max(1, max(context_length // 2, context_length - max_tokens) - len(header))
    read = before[_in_steps(len(before) - room, max(1, room // WINDOW_STEPS)) :]
    predicted = len(read) if header else max(0, len(read) - 1)
    return Laid(
        before=before, after=after, network=[*header, *read], predicted=predicted, typed=typed, path=prompt.path
    )


def _window(prefix: bytes) -> int:
    """Where what is looked at of a prefix begins: at a line, and seldom elsewhere than a few bytes earlier."""
    begin = _in_steps(len(prefix) - MOST_PREFIX_BYTES, MOST_PREFIX_BYTES // WINDOW_STEPS)
    return prefix.find(b"\n", begin - 1) + 1 if begin and b"\n" in prefix[begin - 1 :] else begin


def _in_steps(place: int, step: int) -> int:
    """The place or the next after it that is a multiple of a step; 0 for those before the beginning."""
    return max(0, -(-place // step) * step)
