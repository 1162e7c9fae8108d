"""An export is looked at before it gets its name: read back here, then read by the program that it is for.

Where that program is not installed, what was found says so; then what was read back has to do.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cllm.errors import ExportError
from cllm.export import gguf, huggingface, llama
from cllm.export.encoding import F32
from cllm.export.gguf import Tensor
from cllm.export.learned import Learned
from cllm.export.material import Material
from cllm.export.names import Array, Dialect, parts, whole
from cllm.export.peers import LLAMA, TRANSFORMERS, Peer, ask
from cllm.export.proof import bits_per_byte, compare, require_same_ids
from cllm.model.load import build_model
from cllm.tokenizer import Tokenizer

# Of logits, for each so many tokens of the context: transformers turns by angles in float32, which are further off the
# further a token is from the first. Measured at 511 tokens: 3e-5 to 5e-5 with seven trained networks (2026-11-27).
TRANSFORMERS_BOUND, TRANSFORMERS_TOKENS = 1e-4, 512
# Of log-probabilities, beside ours with the file's own numbers. What llama.cpp multiplies with f16 or q8_0 it rounds,
# too. Measured: 6e-5, 4e-3, 0.14 with libuv's 4 x 256, 1e-4, 0.02, 0.55 with 88 million drawn weights (2026-11-27).
LLAMA_BOUNDS = {"f32": 5e-3, "f16": 5e-2, "q8_0": 1.0}

Environment = Mapping[str, str]  # of the other program's process


def verify_huggingface(
    learned: Learned, material: Material, folder: Path, environment: Environment = os.environ
) -> dict[str, Any]:
    """What was found. ExportError: the folder does not hold the model, or transformers reads another one."""
    config, values = huggingface.read_huggingface(folder)
    require(config == huggingface.config_of(learned), huggingface.CONFIG)
    tensors = {name: Tensor(name, each, F32) for name, each in values.items()}
    weights = require_same_tensors(learned, tensors, "huggingface")
    found = require_same_words(huggingface.WORDS, Tokenizer.load(folder / huggingface.WORDS), material)
    bound = TRANSFORMERS_BOUND * max(1.0, learned.config.context_length / TRANSFORMERS_TOKENS)
    peer = beside(TRANSFORMERS, learned, weights, material, folder, bound, environment)
    return {"tensors": len(tensors), **found, "peer": peer}


def verify_gguf(
    learned: Learned, material: Material, path: Path, kind: str, environment: Environment = os.environ
) -> dict[str, Any]:
    """What was found. ExportError: the file does not hold the model, or llama.cpp reads another one."""
    settings, tensors = gguf.read(path)
    require(settings == llama.settings_of(learned, kind), "the file's settings")
    weights = require_same_tensors(learned, tensors, "gguf")
    found = require_same_words("what the file's words make", llama.tokenizer_of(settings), material)
    cost = None if kind == "f32" else rounding(learned, weights, material)
    peer = beside(LLAMA, learned, weights, material, path, LLAMA_BOUNDS[kind], environment)
    return {"tensors": len(tensors), **found, "rounding": cost, "peer": peer}


def require(holds: bool, what: str) -> None:
    """ExportError: something does not read back as it was written."""
    if not holds:
        raise ExportError(f"{what} did not read back as written: the disk or the memory may be failing, try again")


def require_same_tensors(learned: Learned, tensors: Mapping[str, Tensor], dialect: Dialect) -> Mapping[str, Array]:
    """The tensors as weights of ours. ExportError: one is missing or further from ours than its encoding rounds."""
    expected = {getattr(names, dialect): values for names, values in parts(learned.config, learned.weights)}
    require(tensors.keys() == expected.keys(), "the names of the tensors")
    for name, ours in expected.items():
        theirs, encoding = tensors[name].values, tensors[name].encoding
        most = encoding.relative * np.abs(ours).max(-1, keepdims=True) + encoding.absolute
        require(theirs.shape == ours.shape and bool((np.abs(theirs - ours) <= most).all()), name)
    return whole(learned.config, {name: tensor.values for name, tensor in tensors.items()}, dialect)


def require_same_words(name: str, tokenizer: Tokenizer, material: Material) -> dict[str, int]:
    """How many texts have the same ids by a tokenizer that was read back. ExportError: one has not."""
    require_same_ids(name, [tokenizer.encode(text.encode()) for text in material.texts], material)
    return {"texts": len(material.texts), "text_bytes": sum(len(text.encode()) for text in material.texts)}


def rounding(learned: Learned, weights: Mapping[str, Array], material: Material) -> dict[str, Any]:
    """What our network costs with its own weights and with those of a file, on the material's windows."""
    token_bytes = learned.tokenizer.token_lengths().tolist()
    before, after = (
        bits_per_byte(build_model(learned.config, each, torch.float32), material.windows, token_bytes)
        for each in (learned.weights, weights)
    )
    return {"bits_per_byte": before, "rounded": after, "tokens": sum(map(len, material.windows))}


def beside(
    peer: Peer,
    learned: Learned,
    weights: Mapping[str, Array],
    material: Material,
    export: Path,
    bound: float,
    environment: Environment,
) -> dict[str, Any]:
    """Our network with an export's weights and the program that it is for, side by side, if that is installed."""
    about = {"name": peer.name, "package": peer.package, "version": None, "compared": peer.compared}
    if not peer.is_installed:
        return about
    said = ask(peer, export, material, learned.config.vocab_size, environment)
    network = build_model(learned.config, weights, torch.float32)
    return {**about, "version": said.version, **compare(peer, said, network, material, bound)}
