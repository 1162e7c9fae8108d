"""Starts the fork server and the workers of all stages."""

import contextlib

from cllm.errors import UsageError
from cllm.spheres import FANOUT, ForkServer, WorkerLost
from cllm.stages.job import Job
from cllm.training.launch import Workers, worker_environment
from cllm.training.plan import Plan

KERNELS_MODULE = "cllm.operations.compile_kernels"
PRELOADED_MODULES = (
    *("cllm.training.worker", "cllm.training.control", "cllm.training.leader", "cllm.training.follower"),
    *("cllm.memory.worker", "cllm.evaluation.worker", KERNELS_MODULE),
)
# Arrays of 8 MB and more are returned to the system when they are freed: a run's peak is 1,283 MB with it, 1,377
# without. Smaller ones must not be. If only one threshold is set, the other stays at 128 KB, and the top of the heap is
# returned at every free: a training then spent 10% of its time in the system, for 17% fewer tokens per second
# (docs/LOG.md).
MALLOC_ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": str(8 << 20), "MALLOC_TRIM_THRESHOLD_": str(64 << 20)}
KERNELS_TIMEOUT_SECONDS = 600.0  # to compile all kernels if they are not cached: a minute here


def start_fork_server() -> ForkServer:
    """Start the fork server of a command's workers, without waiting for it."""
    return ForkServer(PRELOADED_MODULES, {**worker_environment(), **MALLOC_ENVIRONMENT})


def load_kernels(fork_server: ForkServer) -> None:
    """Load all kernels into the fork server, so that workers share their memory instead of loading them each."""
    with contextlib.suppress(WorkerLost):  # then each worker loads its own; a fork server that ended is reported later
        fork_server.run(KERNELS_MODULE, "main", KERNELS_TIMEOUT_SECONDS)


def launch_workers(job: Job, plan: Plan, fork_server: ForkServer) -> Workers:
    """Start the workers of a run: the job's number, at most as many as the plan allows.

    Raises UsageError if other machines are to join a run that was planned for one.
    """
    if job.listen and plan.levels == 1:
        raise UsageError(
            "the run was planned for one machine, so other machines cannot join: leave out --listen, or start a new "
            "run with --fresh"
        )
    max_workers = int(FANOUT**plan.levels)
    if job.num_workers > max_workers:
        job.report.log(f"the run was planned for at most {max_workers} workers: no more are started")
    return Workers(min(job.num_workers, max_workers), fork_server, levels=plan.levels, listen=job.listen)
