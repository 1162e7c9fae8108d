"""Small networks with random weights, saved as by a run, and the texts that their tokenizer is trained on."""

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cllm.export import TrainedNetwork, build_verification_set
from cllm.export.verification_set import VerificationSet
from cllm.model.config import TransformerConfig, parameter_shapes
from cllm.model.weights import save_model
from cllm.tokenizer import Tokenizer

TRANSFORMERS_4 = Path(sys.prefix) / "transformers-4"  # installed by `make install`
TEXTS = [
    "".join(
        f"int main_{i % 5}(void) {{\n  return {i * 37 % 1000};  // größer\n}}\n\n" for i in range(part, part + 30)
    ).encode()
    for part in range(4)
]
TOKENIZER = Tokenizer.train(TEXTS, 283)  # a prime vocabulary size
# Rows of 48 and 80 values do not fit into blocks of q8_0, rows of 64 do; two heads share keys and values.
GROUPED = TransformerConfig(
    vocab_size=TOKENIZER.vocab_size,
    n_layer=2,
    n_head=4,
    n_kv_head=2,
    n_embd=48,
    head_dim=16,
    n_inner=80,
    context_length=64,
    rope_theta=5_000.0,
)
UNTIED = TransformerConfig(
    vocab_size=TOKENIZER.vocab_size,
    n_layer=1,
    n_head=2,
    n_kv_head=2,
    n_embd=64,
    head_dim=32,
    n_inner=96,
    context_length=128,
    norm_eps=1e-5,
    tied=False,
)
CONFIGS = {"grouped": GROUPED, "untied": UNTIED}


def random_weights(config: TransformerConfig) -> dict[str, npt.NDArray[np.float32]]:
    """Random weights with which some tokens are much more probable than others."""
    generator = np.random.default_rng(0)
    weights = {}
    for name, shape in parameter_shapes(config).items():
        values = generator.standard_normal(shape, np.float32)
        weights[name] = 1 + values * np.float32(0.2) if len(shape) == 1 else values * np.float32(2 * shape[-1] ** -0.5)
    return weights


def save_and_load(folder: Path, config: TransformerConfig) -> TrainedNetwork:
    """Save a model directory in a folder, and load it."""
    TOKENIZER.save(folder / "tokenizer.json")
    save_model(folder / "model", config, random_weights(config), folder / "tokenizer.json")
    return TrainedNetwork.load(folder / "model")


def verification_set_of(trained: TrainedNetwork) -> VerificationSet:
    """The verification set of a network."""
    return build_verification_set(TEXTS, trained.tokenizer, trained.config.context_length)
