"""Node Zero and the workers that touch it: processes that share memory, and the messages between them."""

from cllm.spheres.fork_server import FIRST_EXTRA_FD, ForkServer, WorkerLost
from cllm.spheres.shared import SharedArrays, create_shared_memory
from cllm.spheres.sphere import FANOUT, Sphere

__all__ = ["FIRST_EXTRA_FD", "FANOUT", "ForkServer", "SharedArrays", "Sphere", "WorkerLost", "create_shared_memory"]
