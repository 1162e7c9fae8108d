"""Where the workers of all stages come from."""

from cllm.spheres import Nursery
from cllm.training.launch import worker_environment

MODULES = ("cllm.training.worker", "cllm.memory.worker", "cllm.evaluation.worker")


def start_nursery() -> Nursery:
    """The process that a command's workers are forks of; it starts, and is not waited for."""
    return Nursery(MODULES, worker_environment())
