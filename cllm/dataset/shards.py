"""Token shards: concatenated token ids of documents on disk, and where each document begins.

A shard is two `.npy` files: NAME.npy with the ids (uint16, or uint32 for vocabularies over 65,536), each document
followed by the end-of-text token, and NAME.starts.npy with the index of each document's first id and, last, the total.
They are memory-mapped and never unpickled.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cllm.errors import ArtifactError

Ids = npt.NDArray[np.uint16] | npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Shard:
    """Token ids of D documents: `ids` (N,) uint16 or uint32, `starts` (D + 1,) int64."""

    ids: Ids
    starts: npt.NDArray[np.int64]

    @classmethod
    def open(cls, directory: Path, name: str) -> "Shard":
        """Memory-map a shard; ArtifactError: a file is missing, is not an array, or the two do not fit each other."""
        try:
            ids = np.load(directory / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            starts = np.load(directory / f"{name}.starts.npy", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise ArtifactError(f"the token shard {directory / name} cannot be read: {error}") from None
        if starts.ndim != 1 or ids.ndim != 1 or starts[-1] != len(ids):
            raise ArtifactError(f"the token shard {directory / name} does not fit its index")
        return cls(ids, starts)

    @property
    def num_documents(self) -> int:
        return len(self.starts) - 1

    @property
    def num_tokens(self) -> int:
        return int(self.starts[-1])

    def document(self, index: int) -> Ids:
        """Ids (n,) of one document, including its end-of-text token."""
        return self.ids[self.starts[index] : self.starts[index + 1]]


def write_shard(directory: Path, name: str, documents: Iterable[list[int]], vocab_size: int, end_of_text: int) -> None:
    """Write a shard from documents' ids one by one, never all in memory; uint16 if `vocab_size` <= 65,536."""
    dtype = np.dtype(np.uint16 if vocab_size <= 1 << 16 else np.uint32)
    raw = directory / f"{name}.raw"
    starts = [0]
    with raw.open("wb") as file:
        for ids in documents:
            np.array([*ids, end_of_text], dtype).tofile(file)
            starts.append(starts[-1] + len(ids) + 1)
    array = np.lib.format.open_memmap(directory / f"{name}.npy", "w+", dtype, (starts[-1],))
    if starts[-1]:
        array[:] = np.memmap(raw, dtype, "r")
    array.flush()
    raw.unlink()
    np.save(directory / f"{name}.starts.npy", np.array(starts, np.int64), allow_pickle=False)
