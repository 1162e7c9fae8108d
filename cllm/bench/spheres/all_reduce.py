"""One process of an all-reduce benchmark over sockets, flat and by trees.

    python -m cllm.bench.spheres.all_reduce HOST PORT PROCESSES NUMBERS REPEATS FANOUT ...

The process with `RANK=0` in its environment listens at HOST:PORT, and the others connect to it. It prints one JSON
object: the median seconds of a sum over all processes, by fan-out. Trees are those of `cllm.spheres.cost`: at each
level slices are exchanged and summed (reduce-scatter), and on the way back they are gathered (all-gather).
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
from cllm.spheres.group import Group, GroupLost, RendezvousClient, RendezvousServer, wait_until

CONNECT_TIMEOUT_SECONDS = 120.0


def main() -> None:
    host, port, num_processes, num_values, repeats, *fanouts = sys.argv[1:]
    torch.set_num_threads(1)
    if os.environ["RANK"] == "0":
        server = RendezvousServer(host, int(port))
        if not wait_until(lambda: server.num_waiting() >= int(num_processes) - 1, CONNECT_TIMEOUT_SECONDS):
            sys.exit("all_reduce: not all processes connected within 120 s")
        group = server.form_group(int(num_processes) - 1, int(num_processes))
    else:
        group = join_group(host, int(port))
    found = {fanout: median_all_reduce_seconds(group, int(fanout), int(num_values), int(repeats)) for fanout in fanouts}
    if group.rank == 0:
        print(json.dumps(found), flush=True)


def join_group(host: str, port: int) -> Group:
    """Connect to the leader and return the group. Exits if there is none within 120 s."""
    deadline = time.monotonic() + CONNECT_TIMEOUT_SECONDS
    client = None
    while time.monotonic() < deadline:
        try:
            client = client or RendezvousClient(host, port)
            if (group := client.wait_for_group()) is not None:
                return group
        except GroupLost:
            client = None
            time.sleep(0.1)
    sys.exit("all_reduce: no leader answered within 120 s")


def median_all_reduce_seconds(group: Group, fanout: int, num_values: int, repeats: int) -> float:
    """Return the median seconds of a sum, without the first; a barrier precedes each."""
    levels = tree_levels(group, fanout)
    values = torch.full((num_values,), float(group.rank + 1))
    seconds = []
    for _ in range(repeats + 1):
        group.all_gather_values([0.0])
        began = time.perf_counter()
        total = tree_all_reduce(levels, values)
        seconds.append(time.perf_counter() - began)
        assert total[0] == total[-1] == group.size * (group.size + 1) / 2
    return statistics.median(seconds[1:])


def tree_levels(group: Group, fanout: int) -> list[Group]:
    """Return the process's group at each level: the ranks that differ in one digit only."""
    levels, stride = [], 1
    assert math.prod(radices(group.size, fanout)) == group.size, "the tree is not even"
    for radix in radices(group.size, fanout):
        first = group.rank - group.rank // stride % radix * stride
        levels.append(group.subgroup(range(first, first + radix * stride, stride), str(fanout)))
        stride *= radix
    return levels


def tree_all_reduce(levels: Sequence[Group], values: Tensor) -> Tensor:
    """Return the sum (N,) of values (N,) float32 over all processes of a tree."""
    if not levels:
        return values
    group, upper_levels = levels[0], levels[1:]
    size = -(-len(values) // group.size)
    padded = torch.zeros(size * group.size)
    padded[: len(values)] = values
    slices = group.all_to_all(padded, [size] * group.size, [size] * group.size).view(group.size, size)
    return group.all_gather(tree_all_reduce(upper_levels, slices.sum(0)))[: len(values)]


if __name__ == "__main__":
    main()
