"""Spheres: a control node and up to 12 worker processes that share memory, and the messages between them.

Terms:

    machine        a computer; a sphere of workers that compute is on one machine
    Node Zero      the process that the user started, the root of all control nodes
    control node   a process that gives tasks to workers and computes nothing; it can be a worker of another one
    worker         a process that answers its control node's calls
    sphere         a control node and its workers
    position       one of the 12 parts of a step in a sphere, 0 to 11: a micro-batch, or the 12 of a sphere below
    peer           a machine's control node, if there are several: the leader is on Node Zero's, followers on others
"""

from cllm.spheres.fork_server import FIRST_EXTRA_FD, ForkServer, WorkerLost
from cllm.spheres.order import FANOUT
from cllm.spheres.shared import SharedArrays, create_shared_memory
from cllm.spheres.sphere import Sphere

__all__ = ["FANOUT", "FIRST_EXTRA_FD", "ForkServer", "SharedArrays", "Sphere", "WorkerLost", "create_shared_memory"]
