"""The attention kernel for one query against softmax and matrix products."""

import numpy as np
import pytest
import torch

from cllm.generation.predict.attention import attend
from cllm.jit.compiled import Array, compiled


@compiled
def attention_kernel(query: Array, keys: Array, values: Array, scores: Array, attended: Array) -> None:
    attend(query, keys, values, scores, attended)


@pytest.mark.parametrize("head_dim", [2, 16, 24, 32, 64, 80])
@pytest.mark.parametrize("count", [1, 3, 4, 50])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_kernel_equals_the_reference(head_dim: int, count: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(head_dim + count)
    query = 3 * torch.randn(head_dim, generator=generator)
    keys, values = (torch.randn(count, head_dim, generator=generator).to(dtype) for _ in range(2))
    expected = torch.softmax(keys.float() @ query / head_dim**0.5, 0) @ values.float()
    found = np.empty(head_dim, np.float32)
    arrays = [each.numpy() if dtype == torch.float32 else each.view(torch.uint16).numpy() for each in (keys, values)]
    attention_kernel(query.numpy(), *arrays, np.empty(count, np.float32), found)
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-5, atol=1e-5)
