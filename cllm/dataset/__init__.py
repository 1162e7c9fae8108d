"""Ids on disk, memory-mapped, and the rows that are learned from them."""

from cllm.dataset.rows import Rows
from cllm.dataset.shards import Shard, write_shard

__all__ = ["Rows", "Shard", "write_shard"]
