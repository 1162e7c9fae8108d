from typing import get_args

import gguf
import numpy as np
import pytest
from exported import CONFIGS, drawn

from cllm.export.names import Dialect, parts, whole
from cllm.model.config import TransformerConfig


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("dialect", get_args(Dialect))
def test_the_parts_of_all_weights_are_the_weights_again(config: TransformerConfig, dialect: Dialect) -> None:
    weights = drawn(config)
    tensors = {getattr(names, dialect): values for names, values in parts(config, weights)}
    again = whole(config, tensors, dialect)
    assert list(again) == list(weights)
    assert all(np.array_equal(again[name], weights[name]) for name in weights)
    assert sum(values.size for values in tensors.values()) == sum(values.size for values in weights.values())


def test_llama_cpp_knows_every_name_of_its_own() -> None:
    known = {gguf.TENSOR_NAMES[tensor] for tensor in gguf.MODEL_TENSORS[gguf.MODEL_ARCH.QWEN3]}
    config = CONFIGS["untied"]
    for names, _ in parts(config, drawn(config)):
        assert names.gguf.removesuffix(".weight").replace("blk.0.", "blk.{bid}.") in known
