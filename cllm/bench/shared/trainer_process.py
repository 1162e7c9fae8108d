"""The process of a single-process trainer, which trains on all cores by its own clock."""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cllm.dataset import Shard
from cllm.operations.doctor import matrix_speed
from cllm.spheres.worker import serve
from cllm.tokenizer import Tokenizer


class TrainerProcess(ABC):
    """Calls that the process serves: `begin`, `train_until`, `score`. Subclasses define the network and a step."""

    def begin(self, folder: str, seconds: float, threads: int, seed: int, settings: dict[str, Any]) -> float:
        """Prepare training for `seconds`; return the seconds that the preparation took."""
        began = time.perf_counter()
        torch.set_num_threads(threads)
        torch.manual_seed(seed)
        self._seconds, self._seconds_trained, self._tokens = seconds, 0.0, 0
        tokenizer = Tokenizer.load(Path(folder) / "tokenizer.json")
        self.end_of_text, self.vocab_size = tokenizer.end_of_text, tokenizer.vocab_size
        train = Shard.open(Path(folder) / "dataset", "train")
        self.stream = train.ids  # (N,), memory-mapped
        self._held_out = Shard.open(Path(folder) / "dataset", "val")
        self._generator = np.random.default_rng(seed)
        self.prepare(settings)
        return time.perf_counter() - began

    def train_until(self, until: float) -> dict[str, float]:
        """Step until `until` seconds or the end of training; return total seconds and tokens."""
        while self._seconds_trained < min(until, self._seconds):
            began = time.perf_counter()
            self._tokens += self.step(self._seconds_trained / self._seconds)
            self._seconds_trained += time.perf_counter() - began
        return {"seconds": self._seconds_trained, "tokens": self._tokens}

    def score(self, document: int) -> float:
        """Return the bits of the held-out document with this index."""
        return self.bits(self._held_out.document(document).astype(np.int64))

    def sample_batch(self, num_rows: int, context: int) -> tuple[Tensor, Tensor]:
        """Sample inputs and targets, both (num_rows, context) int64, from the concatenated training documents."""
        begins = self._generator.integers(0, len(self.stream) - context, num_rows)
        ids = torch.from_numpy(
            np.stack([self.stream[begin : begin + context + 1] for begin in begins]).astype(np.int64)
        )
        return ids[:, :-1], ids[:, 1:]

    @abstractmethod
    def prepare(self, settings: dict[str, Any]) -> None:
        """Create the network and its optimizer."""

    @abstractmethod
    def step(self, progress: float) -> int:
        """Train on one batch at a progress of 0 to 1; return its number of tokens."""

    @abstractmethod
    def bits(self, ids: npt.NDArray[np.int64]) -> float:
        """Return the bits of a document's ids (N,) with end-of-text; windows as in `sliding_windows`."""


def measure_peak_gflops(dtype: str, threads: int) -> float:
    """Measure the GFLOP/s of a large matrix product: the machine's current peak."""
    before = torch.get_num_threads()
    speed = matrix_speed(getattr(torch, dtype), threads)
    torch.set_num_threads(before)
    return speed


def sliding_windows(ids: npt.NDArray[np.int64], context: int, end_of_text: int) -> list[tuple[Tensor, Tensor]]:
    """Split ids (N,) into windows of a context's length, half a context apart: inputs (T,) and new targets (n,).

    All targets of the first window are new; those of later windows have at least half a context before them.
    """
    inputs = torch.from_numpy(np.concatenate([[end_of_text], ids[:-1]]))
    targets, half = torch.from_numpy(ids), context // 2
    found = [(inputs[:context], targets[:context])]
    for begin in range(context, len(ids), half):
        found.append((inputs[begin - half : begin + half], targets[begin : begin + half]))
    return found


def document_bits(
    ids: npt.NDArray[np.int64], context: int, end_of_text: int, nats: Callable[[Tensor, Tensor], Tensor]
) -> float:
    """Return the bits of a document's ids (N,), by `nats` of inputs (1, T) and targets (n,) of each window."""
    found = sliding_windows(ids, context, end_of_text)
    return sum(nats(inputs.unsqueeze(0), targets).item() for inputs, targets in found) / math.log(2)


def serve_trainer(process: TrainerProcess) -> None:
    """Serve calls until standard input closes."""
    torch.set_flush_denormal(True)
    calls = (process.begin, process.train_until, process.score)
    serve({**{call.__name__: call for call in calls}, "measure_peak_gflops": measure_peak_gflops})
