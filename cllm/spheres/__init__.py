"""Node Zero and the workers that touch it: processes that share memory, and the messages between them."""

from cllm.spheres.shared import SharedArrays, create_memory
from cllm.spheres.sphere import MAX_WORKERS, Sphere, WorkerLost

__all__ = ["MAX_WORKERS", "SharedArrays", "Sphere", "WorkerLost", "create_memory"]
