"""Exports in llama.cpp: ids, log-probabilities, generated text, infill prompts, and rejection of wrong metadata."""

import dataclasses
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from exported import TEXTS, UNTIED, save_and_load, verification_set_of

from cllm.dataset.fim import arrange_psm
from cllm.errors import ExportError
from cllm.export import TrainedNetwork, gguf_model, verify_gguf, write_gguf
from cllm.export.quantization import GGML_TYPES
from cllm.tokenizer import SPECIAL_TOKENS

PROGRAM = """
import json, os, pathlib, sys
from cllm.export import llama_cpp_process
folder, export, params, requests = sys.argv[1:]
os.chdir(folder)
pathlib.Path(llama_cpp_process.SOCKET).unlink(missing_ok=True)
server = llama_cpp_process.start_server(export, **json.loads(params))
print(json.dumps([llama_cpp_process.post(path, **body) for path, body in json.loads(open(requests).read())]))
"""


def post_to_server(path: Path, folder: Path, requests: list[tuple[str, dict[str, Any]]], **params: int) -> list[Any]:
    """The responses of a llama.cpp server with these parameters."""
    (folder / "requests.json").write_text(json.dumps(requests))
    arguments = [str(folder), str(path), json.dumps(params), "requests.json"]
    done = subprocess.run([sys.executable, "-P", "-c", PROGRAM, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def file(grouped: TrainedNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "model.gguf"
    write_gguf(grouped, path, "f32")
    return path


@pytest.mark.parametrize("kind", GGML_TYPES)
def test_llama_cpp_ids_log_probabilities_and_text_equal_cllm(
    exported: TrainedNetwork, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "model.gguf"
    write_gguf(exported, path, kind)
    found = verify_gguf(exported, verification_set_of(exported), path, kind)
    runtime = found["runtime"]
    assert found["texts"] == 5 and runtime["num_generated_tokens"] == 80 and runtime["num_positions"] > 30
    assert runtime["max_difference"] < {"f32": 5e-5, "f16": 2e-2, "q8_0": 0.4}[kind] < runtime["tolerance"]
    assert runtime["max_margin"] < runtime["tolerance"]
    if kind == "f32":
        assert found["quantization_cost"] is None and runtime["num_mismatches"] == 0
    else:
        assert (
            0
            < abs(found["quantization_cost"]["bits_per_byte_quantized"] - found["quantization_cost"]["bits_per_byte"])
            < 5e-3
        )


def test_infill_prompt_equals_the_psm_training_format(grouped: TrainedNetwork, file: Path, tmp_path: Path) -> None:
    before, after = "int main_3(void) {\n  <|fim_prefix|>", "\n}\n<|endoftext|>"
    tokenizer = grouped.tokenizer
    ids = arrange_psm(tokenizer.encode(before.encode()), tokenizer.encode(after.encode()), tokenizer.special)
    common = {"n_predict": 1, "temperature": 0, "n_probs": 283, "cache_prompt": False}
    infill, completion = post_to_server(
        file,
        tmp_path,
        [
            ("/infill", {**common, "input_prefix": before, "input_suffix": after}),
            ("/completion", {**common, "prompt": ids}),
        ],
    )
    assert infill["prompt"] == f"<|fim_prefix|>{before}<|fim_suffix|>{after}<|fim_middle|>"
    assert infill["tokens_evaluated"] == len(ids)
    assert infill["content"] == completion["content"]
    assert infill["completion_probabilities"] == completion["completion_probabilities"]


def test_long_infill_is_truncated_to_the_context_length(tmp_path: Path) -> None:
    trained = save_and_load(tmp_path, dataclasses.replace(UNTIED, context_length=256))
    write_gguf(trained, tmp_path / "model.gguf", "f32")
    text, tokenizer = TEXTS[0].decode() * 3, trained.tokenizer
    request = ("/infill", {"input_prefix": text, "input_suffix": text, "n_predict": 32, "temperature": 0})
    # As in docs/export.md, with a context of 256: n_batch is 3/4 and n_predict 1/8 of it.
    (answer,) = post_to_server(tmp_path / "model.gguf", tmp_path, [request], n_batch=192, n_predict=32)
    before, after = tokenizer.encode(text.encode())[-144:], tokenizer.encode(text.encode())[:46]
    assert answer["tokens_evaluated"] == len(arrange_psm(before, after, tokenizer.special)) == 193
    parts = [tokenizer.decode(part).decode(errors="replace") for part in (before, after)]
    prompt = f"<|fim_prefix|>{parts[0]}<|fim_suffix|>{parts[1]}<|fim_middle|>"
    assert answer["prompt"] == prompt
    # Without these parameters, the server adds file headers or exceeds the context.
    (answer,) = post_to_server(tmp_path / "model.gguf", tmp_path, [request], n_batch=192)
    assert answer["prompt"] == f"<|repo_name|>myproject\n<|file_sep|>filename\n{prompt}"
    with pytest.raises(AssertionError, match="exceeds the available context size"):
        post_to_server(tmp_path / "model.gguf", tmp_path, [request])


def test_special_tokens_in_text_follow_parse_special(grouped: TrainedNetwork, file: Path, tmp_path: Path) -> None:
    tokenizer, text = grouped.tokenizer, "a<|fim_prefix|>b"
    tokens = [{"content": text, "parse_special": parse} for parse in (False, True)]
    as_text, as_special, completed = post_to_server(
        file,
        tmp_path,
        [
            *[("/tokenize", each) for each in tokens],
            ("/completion", {"prompt": text, "n_predict": 1}),
        ],
    )
    assert as_text["tokens"] == tokenizer.encode(text.encode())
    with_special = [*tokenizer.encode(b"a"), tokenizer.special["<|fim_prefix|>"], *tokenizer.encode(b"b")]
    assert as_special["tokens"] == with_special  # as with other models in llama.cpp (docs/export.md)
    assert completed["tokens_evaluated"] == len(with_special)


def test_tokenization_of_any_text_equals_cllm(grouped: TrainedNetwork, file: Path, tmp_path: Path) -> None:
    generator = random.Random(0)
    chars = "abS'\"stlrevmd0123 \t\r\n_-+;(){}éßſK\u0301\u00a0\u2003\u200b\x85\x1c中文😀\ufeff"
    alphabet = [*chars, *SPECIAL_TOKENS, "  ", "\r\n"]
    texts = ["".join(generator.choices(alphabet, k=generator.randint(1, 40))) for _ in range(500)]
    for begin in range(1, 0xD800, 512):  # every code point below the surrogates
        chars = map(chr, range(begin, min(begin + 512, 0xD800)))
        texts.append("\n;".join(f"a{char}{char} b" for char in chars))
    answers = post_to_server(
        file, tmp_path, [("/tokenize", {"content": text, "parse_special": False}) for text in texts]
    )
    for text, answer in zip(texts, answers, strict=True):
        assert answer["tokens"] == grouped.tokenizer.encode(text.encode()), ascii(text)


def change_metadata(monkeypatch: pytest.MonkeyPatch, trained: TrainedNetwork, name: str, value: object) -> None:
    """Make exports contain another value of a metadata key."""
    metadata = {**gguf_model.metadata_of(trained, "f32"), name: value}
    monkeypatch.setattr(gguf_model, "metadata_of", lambda trained, kind: metadata)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("tokenizer.ggml.pre", "gpt-2", "llama.cpp encodes a text of .* other ids"),
        ("tokenizer.ggml.pre", "none", "llama.cpp cannot use the export"),
        ("qwen3.rope.freq_base", 9_000.0, "llama.cpp computes other log-probabilities"),
        ("qwen3.block_count", 3, "llama.cpp cannot use the export"),
        ("tokenizer.ggml.add_bos_token", True, "llama.cpp encodes the infill prompt as"),
    ],
)
def test_wrong_metadata_is_detected(
    grouped: TrainedNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: object, message: str
) -> None:
    change_metadata(monkeypatch, grouped, name, value)
    write_gguf(grouped, tmp_path / "model.gguf", "f32")
    with pytest.raises(ExportError, match=message):
        verify_gguf(grouped, verification_set_of(grouped), tmp_path / "model.gguf", "f32")
