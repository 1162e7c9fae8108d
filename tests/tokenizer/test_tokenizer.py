"""The byte-level BPE tokenizer: round trip of any bytes, special tokens, storage and determinism."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm.artifacts import sha256_of
from cllm.errors import ArtifactError
from cllm.tokenizer import SPECIAL_TOKENS, Tokenizer

TEXT = b"int main(int argc, char **argv) {\r\n\treturn 0; /* caf\xc3\xa9 */\n}\n" * 20
TOKENIZER = Tokenizer.train([TEXT, "naïve 日本語 🙂".encode() * 3], 400)


@given(st.binary(max_size=300))
def test_decode_inverts_encode_for_any_bytes(x: bytes) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode(x)) == x


@given(st.text(max_size=200))
def test_decode_inverts_encode_for_any_text(x: str) -> None:
    encoded = x.encode("utf-8", "surrogatepass")
    assert TOKENIZER.decode(TOKENIZER.encode(encoded)) == encoded


@pytest.mark.parametrize("token", SPECIAL_TOKENS)
def test_text_of_a_special_token_is_encoded_as_text(token: str) -> None:
    ids = TOKENIZER.encode(f"a {token} b".encode())
    assert TOKENIZER.special[token] not in ids
    assert TOKENIZER.decode(ids) == f"a {token} b".encode()


def test_special_tokens_have_the_first_ids_and_no_bytes() -> None:
    assert list(TOKENIZER.special.values()) == list(range(len(SPECIAL_TOKENS)))
    assert TOKENIZER.decode(range(len(SPECIAL_TOKENS))) == b""


def test_merges_shorten_the_training_text() -> None:
    assert len(TOKENIZER.encode(TEXT)) < len(TEXT) / 3


def test_vocabulary_is_smaller_if_no_pairs_are_left() -> None:
    assert Tokenizer.train([b"ab"], 4096).vocab_size == 256 + len(SPECIAL_TOKENS)


def test_loaded_tokenizer_gives_the_same_ids(tmp_path: Path) -> None:
    TOKENIZER.save(tmp_path / "tokenizer.json")
    loaded = Tokenizer.load(tmp_path / "tokenizer.json")
    assert loaded.encode(TEXT) == TOKENIZER.encode(TEXT)
    assert loaded.token_lengths().tolist() == TOKENIZER.token_lengths().tolist()


def test_only_a_loaded_tokenizer_has_the_hash_of_its_file(tmp_path: Path) -> None:
    TOKENIZER.save(tmp_path / "tokenizer.json")
    assert Tokenizer.load(tmp_path / "tokenizer.json").sha256 == sha256_of(tmp_path / "tokenizer.json")
    assert TOKENIZER.sha256 is None


@pytest.mark.parametrize("content", [b"", b"{}", b"{", b"\xff", b'{"version": "1.0"}'])
def test_damaged_file_raises_an_error_naming_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match="tokenizer.json"):
        Tokenizer.load(path)


def test_training_in_two_processes_gives_identical_files(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from cllm.tokenizer import Tokenizer;"
        f"Tokenizer.train([{TEXT!r}], 350).save(pathlib.Path(sys.argv[1]))"
    )
    for name in ("a", "b"):
        subprocess.run([sys.executable, "-c", program, str(tmp_path / name)], check=True)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_tokenizer_from_merges_equals_the_original(tmp_path: Path) -> None:
    TOKENIZER.save(tmp_path / "tokenizer.json")
    definition = json.loads((tmp_path / "tokenizer.json").read_text())
    vocabulary: dict[str, int] = definition["model"]["vocab"]
    merges = [(first, second) for first, second in definition["model"]["merges"]]
    Tokenizer.from_merges(sorted(vocabulary, key=vocabulary.__getitem__), merges).save(tmp_path / "again.json")
    assert json.loads((tmp_path / "again.json").read_text()) == definition
