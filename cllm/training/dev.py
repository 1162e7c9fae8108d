"""Loss of a network in training on the `dev` documents, which it has not been trained on yet."""

import math

from cllm.spheres import Sphere

ROWS = 24  # the same rows every time
ROWS_PER_TASK = 2


def dev_bits_per_byte(sphere: Sphere, context: int) -> float:
    """Bits per byte over `ROWS` rows of the dev documents, divided among the workers.

    The first tokens of a row have little context, so this is higher than a whole file's; use it to compare steps.
    """
    tasks = [{"context": context, "first": first, "count": ROWS_PER_TASK} for first in range(0, ROWS, ROWS_PER_TASK)]
    found = sphere.map_tasks("dev_loss", tasks)
    bits = math.fsum(nats for nats, _ in found) / math.log(2)
    return bits / max(1, sum(int(size) for _, size in found))
