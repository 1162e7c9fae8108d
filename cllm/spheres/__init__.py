"""Node Zero and the workers that touch it: processes that share memory, and the messages between them."""

from cllm.spheres.nursery import FIRST_MORE, Nursery, WorkerLost
from cllm.spheres.shared import SharedArrays, create_memory
from cllm.spheres.sphere import MAX_WORKERS, Sphere

__all__ = ["FIRST_MORE", "MAX_WORKERS", "Nursery", "SharedArrays", "Sphere", "WorkerLost", "create_memory"]
