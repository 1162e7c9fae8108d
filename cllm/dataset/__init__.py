"""Memory-mapped token shards, and the training rows that are cut from them."""

from cllm.dataset.header import path_header, text_ids
from cllm.dataset.rows import Rows
from cllm.dataset.shards import Shard, write_shard

__all__ = ["Rows", "Shard", "path_header", "text_ids", "write_shard"]
