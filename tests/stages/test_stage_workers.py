from cllm.spheres import Sphere
from cllm.stages.workers import KERNELS, start_nursery


def test_the_kernels_can_be_loaded_before_workers_are_born() -> None:
    with start_nursery() as nursery:
        nursery.run(KERNELS, "main", 300)  # or WorkerLost, which a run does without
        with Sphere(nursery, "cllm.evaluation.worker", 1) as sphere:
            assert sphere.pids
