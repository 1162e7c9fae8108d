"""`cllm train --join HOST:PORT`: compute for another machine's run until it is done.

No repository is needed: the run's data is received over the network, into a temporary folder.
"""

import os
import tempfile
import time
from typing import Any

from cllm.errors import TrainingError, UsageError
from cllm.interrupt import InterruptHandler
from cllm.machine import count_cores
from cllm.progress import Reporter
from cllm.spheres import FANOUT, FIRST_EXTRA_FD, Sphere, create_shared_memory
from cllm.stages.job import parse_endpoint
from cllm.stages.workers import load_kernels, start_fork_server
from cllm.training.launch import FOLLOWER, PEER_MAX_IDLE_CHECKS

START_TIMEOUT_SECONDS, RECONNECT_TIMEOUT_SECONDS = (
    600.0,
    120.0,
)  # to wait for the first contact (the other machine first prepares the run), and for a reconnection
RETRY_SECONDS = 0.5  # between two attempts to connect


def join_run(address: str, workers: int | None, report: Reporter) -> None:
    """Compute for the run that listens at `address` (HOST:PORT) until it is done.

    Raises UsageError for an invalid address or number of workers.
    """
    host, port = parse_endpoint("--join", address)
    if workers is not None and not 1 <= workers <= FANOUT:
        raise UsageError(f"--workers {workers} is not between 1 and {FANOUT}, the limit with --join")
    num_workers = workers or min(count_cores(), FANOUT)
    descriptor = create_shared_memory()
    try:
        with (
            InterruptHandler(),
            start_fork_server() as fork_server,
            tempfile.TemporaryDirectory(prefix="cllm-") as folder,
        ):
            report.start_phase("kernels")
            load_kernels(fork_server)
            extra_fds = [descriptor]
            with Sphere(
                fork_server, FOLLOWER, 1, extra_fds, idempotent=True, max_idle_checks=PEER_MAX_IDLE_CHECKS
            ) as sphere:
                arguments = {"address": host, "port": port, "folder": folder}
                sphere.prepare("configure", **arguments, descriptor=FIRST_EXTRA_FD, num_workers=num_workers)
                follow_run(sphere, f"{host}:{port}", report)
    finally:
        os.close(descriptor)


def follow_run(sphere: Sphere, address: str, report: Reporter) -> None:
    """Turn by turn, until the run is done; TrainingError where it is gone, or never was there."""
    report.start_phase("join")
    previous_state, last_contact, has_joined = "", time.monotonic(), False
    while True:
        found = sphere.call_one("run_next")
        state = found["state"]
        if state != previous_state:
            report.log(status_message(found, address))
        previous_state = state
        if state == "done":
            return
        if state != "unreachable":
            last_contact = time.monotonic()
        elif has_joined and time.monotonic() - last_contact > RECONNECT_TIMEOUT_SECONDS:
            raise TrainingError(f"the run at {address} has ended or cannot be reached ({found['reason']})")
        elif time.monotonic() - last_contact > START_TIMEOUT_SECONDS:
            raise TrainingError(
                f"no run listens at {address} ({found['reason']}): start it there with "
                f"`cllm train --listen {address}`, then repeat this command"
            )
        else:
            time.sleep(RETRY_SECONDS)
        if "step" in found:
            if not has_joined:
                report.start_phase("train")
            has_joined = True
            note = f"step {found['step']:,}/{found['steps']:,}  loss {found['loss']:.3f}  {found['num_peers']} machines"
            report.update(found["step"] / found["steps"], note)


def status_message(found: dict[str, Any], address: str) -> str:
    """The progress line for a change of state."""
    return {
        "waiting": f"at {address}: waiting for the next step",
        "training": f"joined the run, {found.get('num_peers')} machines in total",
        "unreachable": f"{address} does not answer ({found.get('reason')}); retrying",
        "done": "the run is done",
    }[str(found["state"])]
