"""The written-out attention finds what softmax and sums do."""

import numpy as np
import pytest
import torch

from cllm.compiled import Array, compiled
from cllm.generation.attention import attend


@compiled
def attended_by(query: Array, keys: Array, values: Array, scores: Array, attended: Array) -> None:
    attend(query, keys, values, scores, attended)


@pytest.mark.parametrize("channels", [2, 16, 24, 32, 64, 80])
@pytest.mark.parametrize("count", [1, 3, 4, 50])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_kernel_and_its_slow_twin_agree(channels: int, count: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(channels + count)
    query = 3 * torch.randn(channels, generator=generator)
    keys, values = (torch.randn(count, channels, generator=generator).to(dtype) for _ in range(2))
    expected = torch.softmax(keys.float() @ query / channels**0.5, 0) @ values.float()
    found = np.empty(channels, np.float32)
    arrays = [each.numpy() if dtype == torch.float32 else each.view(torch.uint16).numpy() for each in (keys, values)]
    attended_by(query.numpy(), *arrays, np.empty(count, np.float32), found)
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-5, atol=1e-5)
