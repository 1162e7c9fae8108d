"""The fork server of a run, with kernels loaded before workers are started."""

from cllm.spheres import Sphere
from cllm.stages.workers import KERNELS_MODULE, start_fork_server


def test_kernels_are_loaded_before_workers_are_started() -> None:
    with start_fork_server() as fork_server:
        fork_server.run(KERNELS_MODULE, "main", 300)  # raises WorkerLost on failure, which a run ignores
        with Sphere(fork_server, "cllm.evaluation.worker", 1) as sphere:
            assert sphere.pids
