"""Training rows as a stateless function of (seed, index).

In each epoch the documents are shuffled and concatenated, and the stream is cut into rows, which are shuffled too. So
the cuts differ between epochs, and a run that resumes at step N gets the rows of step N without replaying earlier ones.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from cllm.dataset.shards import Shard


class Rows:
    """Infinite sequence of rows (T + 1,) int64 over documents (M,) of a shard, given by their indices.

    A row's inputs are its first T ids, its targets the last T.
    """

    def __init__(self, shard: Shard, documents: npt.NDArray[np.int64], context: int, seed: int, end_of_text: int):
        self.shard, self.documents = shard, documents
        self.context, self.seed, self.end_of_text = context, seed, end_of_text
        self._lengths = np.diff(shard.starts)[documents]
        self.rows_per_epoch = max(1, int(self._lengths.sum()) // context)
        self._epoch = lru_cache(maxsize=2)(self._shuffle_epoch)

    def _shuffle_epoch(self, epoch: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """An epoch's order of documents (M,), their starts in the stream and the total (M + 1,), and order of rows."""
        generator = np.random.default_rng([self.seed, self.context, epoch])
        order = generator.permutation(len(self.documents))
        starts = np.concatenate([[0], np.cumsum(self._lengths[order])])
        return self.documents[order], starts, generator.permutation(self.rows_per_epoch)

    def __getitem__(self, index: int) -> npt.NDArray[np.int64]:
        epoch, index_in_epoch = divmod(index, self.rows_per_epoch)
        order, starts, rows = self._epoch(epoch)
        first = int(rows[index_in_epoch]) * self.context
        row = np.full(self.context + 1, self.end_of_text, np.int64)
        # The first row has no token before its first document: it begins with end-of-text.
        filled = 1 if first == 0 else 0
        stream_offset = first - 1 + filled
        document = int(np.searchsorted(starts, stream_offset, "right")) - 1
        while filled < len(row) and document < len(order):
            ids = self.shard.document(int(order[document]))[stream_offset - int(starts[document]) :]
            taken = ids[: len(row) - filled]
            row[filled : filled + len(taken)] = taken
            filled += len(taken)
            stream_offset += len(taken)
            document += 1
        return row
