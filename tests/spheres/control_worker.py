"""A worker that is a control node: it has a nested fork server and workers of its own."""

import os
from typing import Any

import answering_worker

from cllm.spheres import Sphere
from cllm.spheres.nested_fork_server import NestedForkServer
from cllm.spheres.worker import serve

WORKER = "answering_worker"


def main() -> None:
    answering_worker.PREPARED.append(1)  # inherited by forks of this process
    fork_server = NestedForkServer([WORKER])
    sphere = Sphere(fork_server, WORKER, 3, idempotent=True)

    def map_tasks(numbers: list[int]) -> Any:
        return sphere.map_tasks("square", [{"x": x} for x in numbers], chunked=True)

    def describe_children() -> dict[str, Any]:
        return {
            "own": os.getpid(),
            "fork_server": fork_server.process.pid,
            "workers": sphere.call_all("pid"),
            "prepared": sphere.call_all("prepared"),
            "num_replacements": len(sphere.replacement_reasons),
        }

    serve({"map_tasks": map_tasks, "describe_children": describe_children})
