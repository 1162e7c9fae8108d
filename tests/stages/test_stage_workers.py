from cllm.spheres import Sphere
from cllm.stages.workers import KERNELS_MODULE, start_fork_server


def test_the_kernels_can_be_loaded_before_workers_are_born() -> None:
    with start_fork_server() as fork_server:
        fork_server.run(KERNELS_MODULE, "main", 300)  # or WorkerLost, which a run does without
        with Sphere(fork_server, "cllm.evaluation.worker", 1) as sphere:
            assert sphere.pids
