"""Where the workers of all stages come from."""

import contextlib

from cllm.errors import UsageError
from cllm.spheres import FANOUT, ForkServer, WorkerLost
from cllm.stages.job import Job
from cllm.training.launch import Workers, worker_environment
from cllm.training.plan import load_plan
from cllm.workspace.run import Run

KERNELS_MODULE = "cllm.operations.compile_kernels"
PRELOADED_MODULES = (
    *("cllm.training.worker", "cllm.training.control", "cllm.training.leader", "cllm.training.follower"),
    *("cllm.memory.worker", "cllm.evaluation.worker", KERNELS_MODULE),
)
# Arrays of 8 MB go back to the system when they are freed: a whole run's peak is 1,283 MB with it, 1,377 without.
# Smaller ones must not. With either threshold set the other stays at 128 KB, from which on the heap's end is given back
# at every free: a training then spent a tenth of its time in the system, for 17% fewer tokens a second (docs/LOG.md).
MALLOC_ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": str(8 << 20), "MALLOC_TRIM_THRESHOLD_": str(64 << 20)}
KERNELS_TIMEOUT_SECONDS = 600.0  # to compile them all, where that was not done: a minute here


def start_fork_server() -> ForkServer:
    """The process that a command's workers are forks of; it starts, and is not waited for."""
    return ForkServer(PRELOADED_MODULES, {**worker_environment(), **MALLOC_ENVIRONMENT})


def load_kernels(fork_server: ForkServer) -> None:
    """Have all kernels in the memory that workers share from now on, instead of in each."""
    with contextlib.suppress(WorkerLost):  # then each loads its own; and if nobody can be born, that will be said
        fork_server.run(KERNELS_MODULE, "main", KERNELS_TIMEOUT_SECONDS)


def launch_workers(job: Job, run: Run, fork_server: ForkServer) -> Workers:
    """Those who learn a planned run: as many as the session has, if its plan has room for them."""
    levels = load_plan(run.plan).levels
    if job.listen and levels == 1:
        raise UsageError(
            "the run was planned for one machine, so there is nothing for others to do: leave out --listen, or begin "
            "anew with --fresh"
        )
    max_workers = int(FANOUT**levels)
    if job.num_workers > max_workers:
        job.report.log(f"the run was planned for at most {max_workers} workers, so there are no more")
    return Workers(min(job.num_workers, max_workers), fork_server, levels=levels, listen=job.listen)
