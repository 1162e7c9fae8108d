"""GGUF files: round trip, llama.cpp's reader, metadata, determinism, and detection of damage."""

from pathlib import Path

import gguf as package
import numpy as np
import pytest
from exported import verification_set_of

from cllm.errors import ArtifactError, CllmError
from cllm.export import TrainedNetwork, verify_gguf, write_gguf
from cllm.export.gguf import ALIGNMENT, MetadataValue, Tensor, read, write
from cllm.export.gguf_model import metadata_of
from cllm.export.quantization import F16, F32, Q8_0
from cllm.export.runtimes import Runtime

METADATA: dict[str, MetadataValue] = {
    "general.architecture": "qwen3",
    "number": 7,
    "fraction": 0.5,
    "truth": False,
    "words": ["", "größer", "Ġa"],
    "kinds": [1, -3, 3],
    "none": [],
}


def tensors() -> list[Tensor]:
    values = np.random.default_rng(0).standard_normal((3, 64), np.float32)
    return [Tensor("a", values[0, :5], F32), Tensor("b", values, Q8_0), Tensor("c", values[:, :7], F16)]


def test_file_round_trip(tmp_path: Path) -> None:
    write(tmp_path / "file", METADATA, tensors())
    metadata, found = read(tmp_path / "file")
    assert metadata == METADATA
    for tensor in tensors():
        assert found[tensor.name].ggml_type is tensor.ggml_type
        assert np.allclose(found[tensor.name].values, tensor.values, atol=0.02)
    assert np.array_equal(found["a"].values, tensors()[0].values)


def test_gguf_package_reads_the_same_values(tmp_path: Path) -> None:
    write(tmp_path / "file", METADATA, tensors())
    reader = package.GGUFReader(tmp_path / "file")
    for name, value in METADATA.items():
        assert reader.fields[name].contents() == value
    for expected, found in zip(reader.tensors, read(tmp_path / "file")[1].values(), strict=True):
        assert expected.name == found.name and expected.data_offset % ALIGNMENT == 0
        assert tuple(reversed(expected.shape.tolist())) == found.values.shape
        assert np.array_equal(package.quants.dequantize(expected.data, expected.tensor_type), found.values)


def test_truncated_file_raises_an_error_naming_it(tmp_path: Path) -> None:
    write(tmp_path / "file", METADATA, tensors())
    content = (tmp_path / "file").read_bytes()
    end = len(content) - len(content) % ALIGNMENT - ALIGNMENT  # only the padding after the last tensor may be missing
    for length in range(0, end, 7):
        (tmp_path / "cut").write_bytes(content[:length])
        with pytest.raises(ArtifactError, match="cut cannot be read as GGUF"):
            read(tmp_path / "cut")


@pytest.mark.parametrize("begin", [b"GGML", b"GGUF\x02\0\0\0"])
def test_other_magic_or_version_is_rejected(tmp_path: Path, begin: bytes) -> None:
    write(tmp_path / "file", METADATA, tensors())
    content = (tmp_path / "file").read_bytes()
    (tmp_path / "file").write_bytes(begin + content[len(begin) :])
    with pytest.raises(ArtifactError, match="cannot be read as GGUF"):
        read(tmp_path / "file")


def test_metadata_contains_token_types_and_special_ids(grouped: TrainedNetwork) -> None:
    metadata = metadata_of(grouped, "q8_0")
    assert all(len(metadata[f"tokenizer.ggml.{name}"]) == 283 for name in ("tokens", "token_type"))  # type: ignore[arg-type]
    special = grouped.tokenizer.special
    roles = {
        "bos": "endoftext",
        "eos": "endoftext",
        "padding": "fim_pad",
        "fim_pre": "fim_prefix",
        "fim_suf": "fim_suffix",
    }
    roles |= {"fim_mid": "fim_middle", "fim_pad": "fim_pad", "fim_rep": "repo_name", "fim_sep": "file_sep"}
    for role, token in roles.items():
        assert metadata[f"tokenizer.ggml.{role}_token_id"] == special[f"<|{token}|>"]
    assert metadata["tokenizer.ggml.add_bos_token"] is False
    assert metadata["qwen3.attention.head_count_kv"] == 2 and metadata["qwen3.context_length"] == 64


def test_export_is_deterministic(grouped: TrainedNetwork, tmp_path: Path) -> None:
    write_gguf(grouped, tmp_path / "one", "q8_0")
    write_gguf(grouped, tmp_path / "other", "q8_0")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_flipped_bit_is_detected_before_a_runtime_reads_the_file(
    grouped: TrainedNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Runtime, "is_installed", False)
    path = tmp_path / "model.gguf"
    write_gguf(grouped, path, "f32")
    verification_set = verification_set_of(grouped)
    assert verify_gguf(grouped, verification_set, path, "f32")["runtime"]["version"] is None
    content = path.read_bytes()
    for offset in np.random.default_rng(0).integers(0, len(content) - ALIGNMENT, 200).tolist():
        changed = bytearray(content)
        changed[offset] ^= 1
        path.write_bytes(changed)
        with pytest.raises(CllmError, match=r"read as GGUF|read back"):
            verify_gguf(grouped, verification_set, path, "f32")
