"""A worker that has workers of its own, forks of a fork of it."""

import os
from typing import Any

import answering_worker

from cllm.spheres import Sphere
from cllm.spheres.fork import ForkedNursery
from cllm.spheres.worker import serve

WORKER = "answering_worker"


def main() -> None:
    answering_worker.PREPARED.append(1)  # in this process, and in those that are forks of it
    nursery = ForkedNursery([WORKER])
    sphere = Sphere(nursery, WORKER, 3, repeatable=True)

    def deal(numbers: list[int]) -> Any:
        return sphere.deal("square", [{"x": x} for x in numbers], at_once=True)

    def below() -> dict[str, Any]:
        return {
            "own": os.getpid(),
            "nursery": nursery.process.pid,
            "workers": sphere.call_all("pid"),
            "prepared": sphere.call_all("prepared"),
            "replaced": len(sphere.replaced),
        }

    serve({"deal": deal, "below": below})
