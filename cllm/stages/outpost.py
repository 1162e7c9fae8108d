"""A machine that takes part in another one's run, from its first word to the last: `cllm train --join HOST:PORT`.

It needs no repository: what it is to learn comes over the network, into a folder that goes with the process.
"""

import os
import tempfile
import time
from typing import Any

from cllm.errors import TrainingError, UsageError
from cllm.interrupt import Interruption
from cllm.machine import count_cores
from cllm.progress import Reporter
from cllm.spheres import FIRST_MORE, MAX_WORKERS, Sphere, create_memory
from cllm.stages.session import endpoint
from cllm.stages.workers import load_kernels, start_nursery
from cllm.training.launch import MACHINE_HUNG_LOOKS, OTHER

BEFORE_SECONDS, AFTER_SECONDS = 600.0, 120.0  # for a run to be there at all, which is prepared first; or again
PAUSE_SECONDS = 0.5  # between two tries


def take_part(where: str, workers: int | None, report: Reporter) -> None:
    """Compute for the run that listens at HOST:PORT until it is done."""
    host, port = endpoint("--join", where)
    if workers is not None and not 1 <= workers <= MAX_WORKERS:
        raise UsageError(f"--workers {workers} is not between 1 and {MAX_WORKERS}, as a machine that takes part has")
    number = workers or min(count_cores(), MAX_WORKERS)
    descriptor = create_memory()
    try:
        with Interruption(), start_nursery() as nursery, tempfile.TemporaryDirectory(prefix="cllm-") as folder:
            report.phase("kernels")
            load_kernels(nursery)
            more = [descriptor]
            with Sphere(nursery, OTHER, 1, more, repeatable=True, hung_looks=MACHINE_HUNG_LOOKS) as sphere:
                place = {"address": host, "port": port, "folder": folder}
                sphere.prepare("attend", **place, descriptor=FIRST_MORE, num_workers=number)
                attend(sphere, f"{host}:{port}", report)
    finally:
        os.close(descriptor)


def attend(sphere: Sphere, where: str, report: Reporter) -> None:
    """Turn by turn, until the run is done; TrainingError where it is gone, or never was there."""
    report.phase("join")
    before, heard, learns = "", time.monotonic(), False
    while True:
        found = sphere.call_one("turn")
        state = found["state"]
        if state != before:
            report.say(sentence(found, where))
        before = state
        if state == "done":
            return
        if state != "lost":
            heard = time.monotonic()
        elif learns and time.monotonic() - heard > AFTER_SECONDS:
            raise TrainingError(f"the run at {where} has ended, or cannot be reached ({found['why']})")
        elif time.monotonic() - heard > BEFORE_SECONDS:
            raise TrainingError(
                f"nobody listens at {where} ({found['why']}): begin the run there with `cllm train --listen {where}`, "
                "then this command again"
            )
        else:
            time.sleep(PAUSE_SECONDS)
        if "step" in found:
            if not learns:
                report.phase("train")
            learns = True
            note = f"step {found['step']:,}/{found['steps']:,}  loss {found['loss']:.3f}  {found['machines']} machines"
            report.update(found["step"] / found["steps"], note)


def sentence(found: dict[str, Any], where: str) -> str:
    """What a person wants to know as the state changes."""
    return {
        "waiting": f"at {where}: waiting for the next step",
        "learning": f"taking part, with {found.get('machines')} machines in all",
        "lost": f"{where} does not answer ({found.get('why')}); trying again",
        "done": "the run is done",
    }[str(found["state"])]
