"""Storage of a model's weights and configuration, and rejection of damaged files."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

from cllm.artifacts import MANIFEST
from cllm.errors import ArtifactError
from cllm.model.config import TransformerConfig, parameter_shapes
from cllm.model.load import load_model
from cllm.model.weights import load_weights, save_model, weights_sha256

CONFIG = TransformerConfig(vocab_size=20, n_layer=1, n_head=2, n_kv_head=1, n_embd=8, head_dim=4, n_inner=12)
SHAPES = parameter_shapes(CONFIG)
WEIGHTS = {name: np.random.default_rng(0).standard_normal(shape, np.float32) for name, shape in SHAPES.items()}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    tokenizer = tmp_path / "tokenizer.json"
    tokenizer.write_text("{}")
    save_model(tmp_path / "model", CONFIG, WEIGHTS, tokenizer, dtype="float32")
    return tmp_path / "model"


def test_saved_model_is_loaded_back(saved: Path) -> None:
    config, weights = load_weights(saved)
    assert config == CONFIG
    assert weights_sha256(weights) == weights_sha256(WEIGHTS)
    model = load_model(saved, torch.float32)
    assert torch.equal(model.embedding.weight, torch.from_numpy(WEIGHTS["embedding.weight"]))


def test_sha256_depends_on_the_values_and_not_on_the_order() -> None:
    changed = {name: values.copy() for name, values in WEIGHTS.items()}
    changed["norm.weight"][-1] = np.nextafter(changed["norm.weight"][-1], np.float32(9))
    assert weights_sha256(changed) != weights_sha256(WEIGHTS)
    assert weights_sha256(dict(reversed(WEIGHTS.items()))) == weights_sha256(WEIGHTS)


@pytest.mark.parametrize("name", ["weights.safetensors", "config.json", "tokenizer.json", MANIFEST])
@pytest.mark.parametrize("damage", ["remove", "truncate", "alter"])
def test_damaged_file_raises_an_error_naming_the_model(saved: Path, name: str, damage: str) -> None:
    path = saved / name
    content = path.read_bytes()
    if damage == "remove":
        path.unlink()
    elif damage == "truncate":
        path.write_bytes(content[: len(content) // 2])
    else:
        # In the manifest, flip a bit of a hash.
        offset = content.index(b'"sha256": "') + 12 if name == MANIFEST else len(content) - 1
        path.write_bytes(content[:offset] + bytes([content[offset] ^ 1]) + content[offset + 1 :])
    with pytest.raises(ArtifactError, match=str(saved)):
        load_weights(saved)


def test_weights_of_the_wrong_shape_are_rejected(tmp_path: Path) -> None:
    tokenizer = tmp_path / "tokenizer.json"
    tokenizer.write_text("{}")
    wrong = {**WEIGHTS, "norm.weight": np.ones(9, np.float32)}
    save_model(tmp_path / "model", CONFIG, wrong, tokenizer)
    with pytest.raises(ArtifactError, match="norm.weight"):
        load_weights(tmp_path / "model")


def test_invalid_weights_file_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = tmp_path / "tokenizer.json"
    tokenizer.write_text("{}")
    monkeypatch.setattr(safetensors.numpy, "save_file", lambda arrays, path: Path(path).write_bytes(b"not tensors"))
    save_model(tmp_path / "model", CONFIG, WEIGHTS, tokenizer)
    with pytest.raises(ArtifactError, match="cannot be read"):
        load_weights(tmp_path / "model")
