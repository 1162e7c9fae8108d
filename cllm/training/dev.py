"""How well a network in training predicts the `dev` documents, which it has not learned from yet."""

import math

from cllm.spheres import Sphere

ROWS = 24  # the same ones every time
ROWS_PER_TASK = 2


def dev_bits_per_byte(sphere: Sphere, context: int) -> float:
    """Bits per byte over some rows of the dev documents, shared out among the workers.

    A row's first tokens have little before them, so this is higher than a whole file's; it shows the course.
    """
    tasks = [{"context": context, "first": first, "count": ROWS_PER_TASK} for first in range(0, ROWS, ROWS_PER_TASK)]
    found = sphere.map_tasks("dev_loss", tasks)
    bits = math.fsum(nats for nats, _ in found) / math.log(2)
    return bits / max(1, sum(int(size) for _, size in found))
