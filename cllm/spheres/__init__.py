"""Spheres: a control node and up to 12 worker processes that share memory, and the messages between them."""

from cllm.spheres.fork_server import FIRST_EXTRA_FD, ForkServer, WorkerLost
from cllm.spheres.order import FANOUT
from cllm.spheres.shared import SharedArrays, create_shared_memory
from cllm.spheres.sphere import Sphere

__all__ = ["FANOUT", "FIRST_EXTRA_FD", "ForkServer", "SharedArrays", "Sphere", "WorkerLost", "create_shared_memory"]
