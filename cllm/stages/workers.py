"""Where the workers of all stages come from."""

import contextlib

from cllm.errors import UsageError
from cllm.run import Run
from cllm.spheres import MAX_WORKERS, Nursery, WorkerLost
from cllm.stages.session import Session
from cllm.training.launch import Workers, worker_environment
from cllm.training.plan import load_plan

KERNELS = "cllm.kernels"
MODULES = (
    *("cllm.training.worker", "cllm.training.control", "cllm.training.first", "cllm.training.other"),
    *("cllm.memory.worker", "cllm.evaluation.worker", KERNELS),
)
# Arrays of 8 MB go back to the system when they are freed: a whole run's peak is 1,283 MB with it, 1,377 without.
# Smaller ones must not. With either threshold set the other stays at 128 KB, from which on the heap's end is given back
# at every free: a training then spent a tenth of its time in the system, for 17% fewer tokens a second (docs/LOG.md).
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(8 << 20), "MALLOC_TRIM_THRESHOLD_": str(64 << 20)}
KERNELS_SECONDS = 600.0  # to compile them all, where that was not done: a minute here


def start_nursery() -> Nursery:
    """The process that a command's workers are forks of; it starts, and is not waited for."""
    return Nursery(MODULES, {**worker_environment(), **ALLOCATOR})


def load_kernels(nursery: Nursery) -> None:
    """Have all kernels in the memory that workers share from now on, instead of in each."""
    with contextlib.suppress(WorkerLost):  # then each loads its own; and if nobody can be born, that will be said
        nursery.run(KERNELS, "main", KERNELS_SECONDS)


def launch_workers(session: Session, run: Run, nursery: Nursery) -> Workers:
    """Those who learn a planned run: as many as the session has, if its plan has room for them."""
    levels = load_plan(run.plan).levels
    if session.listen and levels == 1:
        raise UsageError(
            "the run was planned for one machine, so there is nothing for others to do: leave out --listen, or begin "
            "anew with --fresh"
        )
    most = int(MAX_WORKERS**levels)
    if session.num_workers > most:
        session.report.say(f"the run was planned for at most {most} workers, so there are no more")
    return Workers(min(session.num_workers, most), nursery, levels=levels, listen=session.listen)
