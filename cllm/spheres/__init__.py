"""Node Zero and the workers that touch it: processes that share memory, and the messages between them."""

from cllm.spheres.shared import SharedArrays, create_memory
from cllm.spheres.sphere import Sphere, WorkerLost

__all__ = ["SharedArrays", "Sphere", "WorkerLost", "create_memory"]
