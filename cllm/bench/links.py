"""A process that sums numbers with others like it, over sockets, flat and by trees: `python -m cllm.bench.links ...`.

    HOST PORT PROCESSES NUMBERS REPEATS FANOUT ...

The one whose environment says `RANK=0` listens at HOST:PORT, and the others come there. It prints one JSON object: the
median seconds of a sum over all processes, by fan-out. A tree is `cllm.spheres.cost`'s: at each
level slices are exchanged and summed, and on the way back they are joined.
"""

import json
import math
import os
import statistics
import sys
import time
from collections.abc import Sequence

import torch
from torch import Tensor

from cllm.spheres.cost import radices
from cllm.spheres.group import Group, GroupLost, Lobby, Visitor, wait_until

PATIENCE_SECONDS = 120.0


def main() -> None:
    host, port, processes, numbers, repeats, *fanouts = sys.argv[1:]
    torch.set_num_threads(1)
    if os.environ["RANK"] == "0":
        lobby = Lobby(host, int(port))
        if not wait_until(lambda: lobby.waiting() >= int(processes) - 1, PATIENCE_SECONDS):
            sys.exit("not all have come")
        group = lobby.convene(int(processes) - 1, int(processes))
    else:
        group = met(host, int(port))
    found = {fanout: timed(group, int(fanout), int(numbers), int(repeats)) for fanout in fanouts}
    if group.rank == 0:
        print(json.dumps(found), flush=True)


def met(host: str, port: int) -> Group:
    """The group that this process comes to be of."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    visitor = None
    while time.monotonic() < deadline:
        try:
            visitor = visitor or Visitor(host, port)
            if (group := visitor.wait_for_group()) is not None:
                return group
        except GroupLost:
            visitor = None
            time.sleep(0.1)
    sys.exit("nobody is there")


def timed(group: Group, fanout: int, numbers: int, repeats: int) -> float:
    """Median seconds of a sum, of which the first is not counted; each begins when all are there."""
    levels = tree(group, fanout)
    values = torch.full((numbers,), float(group.rank + 1))
    seconds = []
    for _ in range(repeats + 1):
        group.gather([0.0])
        began = time.perf_counter()
        total = tree_sum(levels, values)
        seconds.append(time.perf_counter() - began)
        assert total[0] == total[-1] == group.size * (group.size + 1) / 2
    return statistics.median(seconds[1:])


def tree(group: Group, fanout: int) -> list[Group]:
    """The groups of a process at each level: those who differ in one digit of their rank."""
    levels, stride = [], 1
    assert math.prod(radices(group.size, fanout)) == group.size, "the tree is not even"
    for number in radices(group.size, fanout):
        first = group.rank - group.rank // stride % number * stride
        levels.append(group.part(range(first, first + number * stride, stride), str(fanout)))
        stride *= number
    return levels


def tree_sum(levels: Sequence[Group], values: Tensor) -> Tensor:
    """The sum over all processes of a tree."""
    if not levels:
        return values
    group, above = levels[0], levels[1:]
    size = -(-len(values) // group.size)
    padded = torch.zeros(size * group.size)
    padded[: len(values)] = values
    pieces = group.exchange(padded, [size] * group.size, [size] * group.size).view(group.size, size)
    return group.join(tree_sum(above, pieces.sum(0)))[: len(values)]


if __name__ == "__main__":
    main()
