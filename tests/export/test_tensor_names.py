"""Tensor names of both formats: splitting and fusing the weights, and llama.cpp's table of names."""

from typing import get_args

import gguf
import numpy as np
import pytest
from exported import CONFIGS, random_weights

from cllm.export.tensor_names import ExportFormat, fuse_weights, split_weights
from cllm.model.config import TransformerConfig


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("export_format", get_args(ExportFormat))
def test_fuse_weights_inverts_split_weights(config: TransformerConfig, export_format: ExportFormat) -> None:
    weights = random_weights(config)
    tensors = {getattr(names, export_format): values for names, values in split_weights(config, weights)}
    fused = fuse_weights(config, tensors, export_format)
    assert list(fused) == list(weights)
    assert all(np.array_equal(fused[name], weights[name]) for name in weights)
    assert sum(values.size for values in tensors.values()) == sum(values.size for values in weights.values())


def test_gguf_names_are_known_to_llama_cpp() -> None:
    known = {gguf.TENSOR_NAMES[tensor] for tensor in gguf.MODEL_TENSORS[gguf.MODEL_ARCH.QWEN3]}
    config = CONFIGS["untied"]
    for names, _ in split_weights(config, random_weights(config)):
        assert names.gguf.removesuffix(".weight").replace("blk.0.", "blk.{bid}.") in known
