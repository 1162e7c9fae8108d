"""A byte-level BPE tokenizer that encodes any bytes losslessly.

Training and encoding use the library `tokenizers`; the file format is its `tokenizer.json`, which other programs read.
Three things are added. Bytes that are not UTF-8 are encoded as single-byte tokens. Text that looks like a special
token is encoded as text: special ids come only from `special`. Decoding returns bytes, from a table, because a token
may end inside a character.

The pre-tokenizer is one that llama.cpp knows by name (it rejects or silently misreads others): Qwen 2's, chosen by
measurement (docs/LOG.md, 2026-11-24).
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from cllm.artifacts import write_file
from cllm.errors import ArtifactError

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|fim_prefix|>",
    "<|fim_suffix|>",
    "<|fim_middle|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
)
MIN_VOCAB_SIZE = 256 + len(SPECIAL_TOKENS)  # every byte has a token
# llama.cpp's "qwen2": words with one leading symbol, single digits, punctuation with the line ends after it.
QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
NOT_UTF8 = re.compile("([\udc80-\udcff]+)")
TAIL_BYTES = 256  # of a text that are searched for its last pre-token
TRAINING_CHUNK_BYTES = 1 << 16


def bytes_to_unicode() -> dict[int, str]:
    """GPT-2's printable character of each byte: the byte itself if it is printable, else the next from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = (byte for byte in range(256) if byte not in printable)
    return {byte: chr(byte) for byte in printable} | {byte: chr(0x100 + i) for i, byte in enumerate(others)}


class Tokenizer:
    """Encodes bytes to ids and decodes ids to bytes. Made by `Tokenizer.train` or `Tokenizer.load`."""

    def __init__(self, definition: str) -> None:
        """From the content of a `tokenizer.json`; ArtifactError: the library cannot parse it."""
        try:
            self._tokenizer = tokenizers.Tokenizer.from_str(definition)
        except Exception as error:  # the library raises plain Exception for any malformed definition
            raise ArtifactError(f"the tokenizer's definition cannot be parsed: {error}") from None
        self._tokenizer.encode_special_tokens = True
        self.sha256: str | None = None  # of the file that it was loaded from
        vocabulary = self._tokenizer.get_vocab(with_added_tokens=True)
        byte_of = {character: byte for byte, character in bytes_to_unicode().items()}
        self._bytes: list[bytes] = [b""] * len(vocabulary)
        for token, index in vocabulary.items():
            if token not in SPECIAL_TOKENS:
                self._bytes[index] = bytes(byte_of[character] for character in token)
        self._ids = {content: index for index, content in enumerate(self._bytes) if content}
        self._byte_ids = [vocabulary[character] for _, character in sorted(bytes_to_unicode().items())]
        self.special: dict[str, int] = {token: vocabulary[token] for token in SPECIAL_TOKENS}

    @classmethod
    def train(cls, texts: Iterable[bytes], vocab_size: int) -> "Tokenizer":
        """Learn merges from UTF-8 texts until the vocabulary has `vocab_size` entries or no pair occurs twice."""
        tokenizer = _byte_level(models.BPE())
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            min_frequency=2,
            special_tokens=list(SPECIAL_TOKENS),
            initial_alphabet=sorted(bytes_to_unicode().values()),
            show_progress=False,
        )
        tokenizer.train_from_iterator(_line_chunks(texts), trainer)
        return cls(tokenizer.to_str())

    @classmethod
    def from_merges(cls, tokens: Sequence[str], merges: Sequence[tuple[str, str]]) -> "Tokenizer":
        """From tokens in the order of their ids, and merges in the order in which they were trained."""
        tokenizer = _byte_level(models.BPE({token: index for index, token in enumerate(tokens)}, list(merges)))
        tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
        return cls(tokenizer.to_str())

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        """Load a `tokenizer.json`; ArtifactError: the file cannot be read or is not a tokenizer of this program."""
        try:
            content = path.read_bytes()
            tokenizer = cls(content.decode("utf-8"))
        except (OSError, UnicodeDecodeError, KeyError, ArtifactError) as error:
            raise ArtifactError(f"{path} is not a tokenizer of this program: {error}") from None
        tokenizer.sha256 = hashlib.sha256(content).hexdigest()
        return tokenizer

    def save(self, path: Path) -> None:
        """Write the definition as `tokenizer.json`, atomically."""
        write_file(path, (json.dumps(json.loads(self._tokenizer.to_str()), ensure_ascii=False) + "\n").encode())

    @property
    def vocab_size(self) -> int:
        return len(self._bytes)

    @property
    def end_of_text(self) -> int:
        return self.special["<|endoftext|>"]

    def encode(self, text: bytes) -> list[int]:
        """Ids of any bytes; never a special token's id, even where the text looks like one."""
        ids: list[int] = []
        for chunk in NOT_UTF8.split(text.decode("utf-8", "surrogateescape")):
            if NOT_UTF8.match(chunk):
                ids += [self._byte_ids[byte] for byte in chunk.encode("utf-8", "surrogateescape")]
            elif chunk:
                ids += self._tokenizer.encode(chunk).ids
        return ids

    def decode(self, ids: Iterable[int]) -> bytes:
        """Bytes of ids; special tokens have none. IndexError if an id is outside the vocabulary."""
        return b"".join([self._bytes[index] for index in ids])

    def token_bytes(self, index: int) -> bytes:
        return self._bytes[index]

    def id_of(self, content: bytes) -> int | None:
        """Id of the token with these bytes; None if there is none."""
        return self._ids.get(content)

    def last_pretoken_bytes(self, text: bytes) -> int:
        """Length in bytes of the last pre-token of a text (a word, punctuation or blanks); 0 of an empty text."""
        chunks = [chunk for chunk in NOT_UTF8.split(text[-TAIL_BYTES:].decode("utf-8", "surrogateescape")) if chunk]
        if not chunks or NOT_UTF8.match(chunks[-1]):
            return len(chunks[-1:])
        # The library returns one character per byte.
        return len(self._tokenizer.pre_tokenizer.pre_tokenize_str(chunks[-1])[-1][0])

    @cached_property
    def _lengths(self) -> npt.NDArray[np.int64]:
        return np.array([len(token) for token in self._bytes], dtype=np.int64)

    def token_lengths(self) -> npt.NDArray[np.int64]:
        """Length of each token in bytes, (V,) int64; do not modify."""
        return self._lengths


def _byte_level(model: Any) -> Any:
    """The library's byte-level tokenizer with this model."""
    tokenizer: Any = tokenizers.Tokenizer(model)
    split = pre_tokenizers.Split(tokenizers.Regex(QWEN2_PATTERN), "isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _line_chunks(texts: Iterable[bytes]) -> Iterator[Sequence[str]]:
    """Chunks of whole lines, which bound the trainer's memory for files of any size."""
    for text in texts:
        lines = text.decode("utf-8").splitlines(keepends=True)
        chunk: list[str] = []
        size = 0
        for line in lines:
            chunk.append(line)
            size += len(line)
            if size >= TRAINING_CHUNK_BYTES:
                yield ["".join(chunk)]
                chunk, size = [], 0
        if chunk:
            yield ["".join(chunk)]
