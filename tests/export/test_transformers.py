"""Exports in versions 4 and 5 of transformers, in separate processes."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from exported import TEXTS, TRANSFORMERS_4, verification_set_of

from cllm.dataset.fim import arrange_psm, arrange_spm
from cllm.errors import ExportError
from cllm.export import TrainedNetwork, huggingface, verify_huggingface, write_huggingface
from cllm.export.tensor_names import BLOCK_NAMES

PATHS = {"5.24.0": "", "4.57.6": str(TRANSFORMERS_4)}
# Typical first steps of a user's program, with warnings as errors.
PROGRAM = """
import json, sys, warnings
warnings.simplefilter("error", UserWarning)
import torch, transformers
from transformers import AutoModelForCausalLM, AutoTokenizer
folder, text, gap = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder)
inputs = tokenizer(text, return_tensors="pt")
written = model.generate(**inputs, max_new_tokens=5, do_sample=False)
print(json.dumps({
    "version": transformers.__version__,
    "written": written[0].tolist(),
    "gap": tokenizer(gap)["input_ids"],
    "as_text": tokenizer(gap, split_special_tokens=True)["input_ids"],
    "special": tokenizer.all_special_ids,
    "skipped": tokenizer.decode(tokenizer(gap)["input_ids"], skip_special_tokens=True),
    "text": tokenizer.decode(inputs["input_ids"][0]),
    "padded": tokenizer(["a", text], padding=True)["input_ids"][0][-1],
    "end": [tokenizer.eos_token_id, model.generation_config.eos_token_id],
    "dtype": str(model.dtype),
    "longest": [tokenizer.model_max_length, model.config.max_position_embeddings],
    "theta": model.model.rotary_emb.inv_freq[1].item() ** -(model.config.head_dim / 2),
    "tied": model.lm_head.weight is model.model.embed_tokens.weight,
}))
"""


def environment(version: str) -> dict[str, str]:
    """Environment variables with which this version of transformers is imported."""
    assert TRANSFORMERS_4.is_dir(), f"{TRANSFORMERS_4} is missing: `make install` creates it"
    paths = [PATHS[version], os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "HF_HUB_OFFLINE": "1"}


@pytest.fixture(scope="session")
def folder(exported: TrainedNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("huggingface")
    write_huggingface(exported, path)
    return path


@pytest.mark.parametrize("version", PATHS)
def test_transformers_ids_logits_and_text_equal_cllm(exported: TrainedNetwork, folder: Path, version: str) -> None:
    found = verify_huggingface(exported, verification_set_of(exported), folder, environment(version))
    runtime = found["runtime"]
    assert runtime["version"] == version
    assert found["texts"] == 5 and runtime["num_generated_tokens"] == 80
    assert runtime["max_difference"] < 5e-5 < runtime["tolerance"] == 1e-4
    assert runtime["num_mismatches"] == 0 and runtime["num_positions"] > 150


@pytest.mark.parametrize("version", PATHS)
def test_folder_loads_without_warnings_and_has_the_right_settings(
    exported: TrainedNetwork, folder: Path, version: str
) -> None:
    text = TEXTS[0].decode()[:40] + " x . y , größer\n"
    gap = "<|fim_prefix|>int a<|fim_suffix|>;\n<|fim_middle|>"
    command = [sys.executable, "-P", "-c", PROGRAM, str(folder), text, gap]
    done = subprocess.run(command, env=environment(version), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr.lower(), done.stderr
    found = json.loads(done.stdout)
    tokenizer, special, config = exported.tokenizer, exported.tokenizer.special, exported.config
    assert found["version"] == version
    assert found["written"][:-5] == tokenizer.encode(text.encode())
    assert found["text"] == text
    assert found["gap"] == arrange_psm(tokenizer.encode(b"int a"), tokenizer.encode(b";\n"), special)
    assert found["as_text"] == tokenizer.encode(gap.encode()) and found["skipped"] == "int a;\n"
    assert sorted(found["special"]) == sorted(special.values())
    assert found["padded"] == special["<|fim_pad|>"]
    assert found["end"] == [tokenizer.end_of_text] * 2
    assert found["longest"] == [config.context_length] * 2
    assert found["dtype"] == "torch.float32"
    assert found["theta"] == pytest.approx(config.rope_theta, rel=1e-3)
    assert found["tied"] is config.tied


def test_spm_prompt_can_be_written_as_text(grouped: TrainedNetwork, tmp_path: Path) -> None:
    write_huggingface(grouped, tmp_path)
    gap = "<|fim_prefix|><|fim_suffix|>;\n<|fim_middle|>int a"
    command = [sys.executable, "-P", "-c", PROGRAM, str(tmp_path), "x", gap]
    done = subprocess.run(command, env=environment("5.24.0"), capture_output=True, text=True, check=True)
    tokenizer = grouped.tokenizer
    assert json.loads(done.stdout)["gap"] == arrange_spm(
        tokenizer.encode(b"int a"), tokenizer.encode(b";\n"), tokenizer.special
    )


def test_wrong_weights_are_detected(grouped: TrainedNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queries, keys, values = BLOCK_NAMES["attention.qkv"]
    monkeypatch.setitem(BLOCK_NAMES, "attention.qkv", [queries, values, keys])  # of the same shape
    write_huggingface(grouped, tmp_path)
    with pytest.raises(ExportError, match=r"transformers computes other logits: largest difference .*, allowed 0.0001"):
        verify_huggingface(grouped, verification_set_of(grouped), tmp_path)


def test_wrong_rope_base_is_detected(grouped: TrainedNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = huggingface.config_of(grouped)
    del config["rope_theta"], config["rope_parameters"]
    monkeypatch.setattr(huggingface, "config_of", lambda trained: config)
    write_huggingface(grouped, tmp_path)
    with pytest.raises(ExportError, match="transformers computes other logits"):
        verify_huggingface(grouped, verification_set_of(grouped), tmp_path)


def test_unreadable_folder_raises_an_error_quoting_transformers(
    grouped: TrainedNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {**huggingface.config_of(grouped), "model_type": "no such model"}
    monkeypatch.setattr(huggingface, "config_of", lambda trained: config)
    write_huggingface(grouped, tmp_path)
    with pytest.raises(ExportError, match=r"transformers cannot use the export: .*no such model"):
        verify_huggingface(grouped, verification_set_of(grouped), tmp_path)


@pytest.mark.parametrize("version", PATHS)
def test_program_in_the_documentation_runs(grouped: TrainedNetwork, tmp_path: Path, version: str) -> None:
    (tmp_path / "out").mkdir()
    write_huggingface(grouped, tmp_path / "out")
    text = (Path(__file__).parents[2] / "docs" / "export.md").read_text()
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    command = [sys.executable, "-P", "-W", "error::UserWarning", "-c", program]
    done = subprocess.run(command, env=environment(version), cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("\n\nint main(") and "int a = ;\n" in done.stdout
