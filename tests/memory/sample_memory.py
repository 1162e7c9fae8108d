"""Documents that the memories of these tests are trained on, random network distributions, and other helpers."""

import hashlib
import json
from pathlib import Path

import numpy as np

from cllm.artifacts import MANIFEST
from cllm.corpus import Document
from cllm.memory.distributions import token_distributions
from cllm.memory.memory import Memory
from cllm.memory.mixer.state import NUM_MATCHES
from cllm.memory.mixer.text_state import TextState, advance, new_text_state, path_hashes, reset_text_state
from cllm.memory.mixer.trie import TokenDistributions

DOCUMENTS = [
    f"int field_{i}(struct node *node) {{\n  return node->field_{i % 7} + {i};\n}}\n".encode() * (1 + i % 3)
    for i in range(30)
]
NEW = b"int field_99(struct node *node) {\n  return node->field_5 + 99;\n}\n"
RANDOM = np.random.default_rng(0).integers(0, 256, 30_000).astype(np.uint8).tobytes()


def document(path: str, content: bytes, lines: tuple[int, int] | None = None) -> Document:
    return Document(
        path=path,
        language="C",
        split="train",
        offset=0,
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        lines=lines,
    )


def train_on_document(memory: Memory, path: str, content: bytes, lines: tuple[int, int] | None = None) -> None:
    for _ in memory.add_document(document(path, content, lines), memory.tokenizer.encode(content)):
        pass


def set_mixer_version(directory: Path, version: int | None) -> None:
    """Change `mixer_version` in the manifest of a memory or update; None removes it."""
    manifest = json.loads((directory / MANIFEST).read_text())
    del manifest["mixer_version"]
    (directory / MANIFEST).write_text(
        json.dumps(manifest if version is None else {**manifest, "mixer_version": version})
    )


def text_state_after(text: bytes, path: str = "") -> TextState:
    """State of a text after all of its bytes."""
    text_state = new_text_state(NUM_MATCHES)
    reset_text_state(text_state, np.int64(0), path_hashes(path))
    for position, byte in enumerate(text):
        advance(text_state, np.int64(byte), np.int64(position))
    return text_state


def random_network(memory: Memory, seed: int, tokens: int) -> TokenDistributions:
    logits = np.random.default_rng(seed).normal(0, 3, (tokens, memory.tokenizer.vocab_size))
    return token_distributions(logits.astype(np.float32), memory.trie)[0]
