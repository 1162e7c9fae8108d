"""The layout of the shared arrays, and the parts of them that each worker reduces and updates."""

import dataclasses
import math
from itertools import pairwise

import numpy as np
import pytest

from cllm.model.config import TransformerConfig, is_matrix
from cllm.training.choose import config_of_size
from cllm.training.layout import (
    ALIGNED_ELEMENTS,
    MEMORY_MARGIN,
    PART_ELEMENTS,
    gradient_layout,
    layout,
    needed_bytes,
    parameter_slices,
    parts,
)
from cllm.training.loop import shares

CONFIGS = [
    config_of_size(0, 1024),
    config_of_size(1, 4096),
    dataclasses.replace(config_of_size(2, 10_000), n_kv_head=2, tied=True),
]


@pytest.mark.parametrize("config", CONFIGS)
def test_parts_cover_each_parameter_once(config: TransformerConfig) -> None:
    all_parts = parts(config)
    for parameter in parameter_slices(config):
        assert parameter.offset % ALIGNED_ELEMENTS == 0
        own_parts = [part for part in all_parts if part.name == parameter.name]
        assert (
            own_parts[0].offset == parameter.offset and sum(part.shape[0] for part in own_parts) == parameter.shape[0]
        )
        assert all(part.shape[1:] == parameter.shape[1:] for part in own_parts)
        assert all(one.offset + one.size == other.offset for one, other in pairwise(own_parts))
        assert is_matrix(parameter.name) or all(part.size <= PART_ELEMENTS for part in own_parts)
    last = all_parts[-1]
    assert last.offset + last.size <= layout(config, "bfloat16")["compute"][1][0]


def test_fused_matrices_are_separate_parts() -> None:
    shapes = [
        part.shape
        for part in parts(config_of_size(1, 4096))
        if part.name.startswith("blocks.1.") and len(part.shape) == 2
    ]
    assert shapes == [(192, 192)] * 4 + [(576, 192)] * 2 + [(192, 576)]


def test_row_of_maximum_length_is_one_part() -> None:
    wide = dataclasses.replace(config_of_size(0, 300), n_embd=PART_ELEMENTS)
    assert [part.shape[0] for part in parts(wide) if part.name == "embedding.weight"] == [1] * 300


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("num_workers", [1, 2, 5, 12])
def test_every_part_has_one_worker_and_shares_are_balanced(config: TransformerConfig, num_workers: int) -> None:
    worker_parts = shares(config, num_workers)
    assert sorted(index for share in worker_parts for index in share) == list(range(len(parts(config))))
    sizes = [sum(math.prod(parts(config)[index].shape) for index in share) for share in worker_parts]
    assert max(sizes) < 2 * sum(sizes) / num_workers + PART_ELEMENTS


@pytest.mark.parametrize(
    ("levels", "num_workers", "num_below"), [(1, 12, 0), (2, 1, 1), (2, 12, 1), (2, 13, 2), (2, 25, 3), (2, 144, 12)]
)
def test_each_sphere_below_needs_memory_for_its_gradients(levels: int, num_workers: int, num_below: int) -> None:
    config = CONFIGS[0]
    layouts = [layout(config, "bfloat16", levels), *[gradient_layout(config, "bfloat16")] * num_below]
    sizes = [np.dtype(kind).itemsize * math.prod(shape) for arrays in layouts for kind, shape in arrays.values()]
    assert needed_bytes(config, "bfloat16", levels, num_workers) == pytest.approx(MEMORY_MARGIN * sum(sizes))
