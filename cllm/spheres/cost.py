"""Cost model of a training step: seconds and bytes sent as a function of the number of workers and machines.

It estimates configurations that are not available for a measurement, such as 12 or 144 machines over a given link. A
step's seconds are the sum of these parts, at the measured speed of one core, one pipe and one link:

    compute    micro-batches in rounds, one per worker and round; at least the time that the cores need for all of them
    sum        one read of the gradient rows; with two levels also three passes of one core over the spheres' sums: to
               add them, to send them and to receive the result
    exchange   between machines, at each level: an all-to-all of slices and a ring all-gather of the summed slices,
               every `sync_every` steps; before each step, control messages (gloo's tree broadcasts and ring all-gather)
    update     all parameters on every machine; the worker with the largest share determines the time
    messages   calls to workers, sent one after another by the control node

Not modelled: machines of different speeds, other traffic on the links, and lower clock rates when all cores are busy.
"""

import math
from dataclasses import dataclass

from cllm.spheres.order import FANOUT, blocks, spans


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Measured costs of one machine, on one core unless stated otherwise."""

    micro_batch_seconds: float  # forward and backward pass of one micro-batch
    update_seconds: float  # optimizer update of all parameters
    largest_share: dict[int, float]  # number of workers -> share of the update of the most loaded worker
    sum_bytes_per_second: float
    message_seconds: float  # round trip of a call to a worker
    vector_size: int  # elements in a vector of all parameters
    bytes_per_value: int  # bytes of an element of a micro-batch's gradient
    tokens_per_micro_batch: int


@dataclass(frozen=True, kw_only=True)
class Link:
    """A network link between two machines."""

    latency_seconds: float
    bytes_per_second: float
    message_seconds: float = 30e-6  # CPU seconds for each message of a collective


@dataclass(frozen=True, kw_only=True)
class Topology:
    """The workers, cores and machines that share a step."""

    workers: int  # in total
    cores: int  # per machine
    machines: int = 1
    fanout: int = FANOUT  # of the tree of machines; equal to `machines` for a flat group
    levels: int = 1  # of spheres: a step has 12**levels micro-batches
    sync_every: int = 1  # steps between two exchanges

    @property
    def num_micro_batches(self) -> int:
        return int(FANOUT**self.levels)


@dataclass(frozen=True, kw_only=True)
class StepCost:
    """Seconds of each part of a step, its tokens, and the bytes that one machine sends in it."""

    compute: float
    sum: float
    exchange: float
    update: float
    messages: float
    tokens: int
    link_bytes: float

    @property
    def seconds(self) -> float:
        return self.compute + self.sum + self.exchange + self.update + self.messages


def levels_for(workers: int) -> int:
    """The fewest levels of spheres at which each worker has a micro-batch."""
    return max(1, math.ceil(round(math.log(workers, FANOUT), 9)))


def radices(machines: int, fanout: int) -> list[int]:
    """Group sizes at each level of a tree of machines, leaves first: `fanout`, and the remainder at the root."""
    found = []
    while machines > 1:
        found.append(min(fanout, machines))
        machines = -(-machines // fanout)
    return found


def step_cost(costs: Costs, topology: Topology, link: Link) -> StepCost:
    """The estimated cost of a step."""
    workers = -(-topology.workers // topology.machines)  # on the machine with the most
    spheres = -(-workers // FANOUT)  # of workers on that machine
    workers_per_sphere, num_parallel = -(-workers // spheres), min(workers, topology.cores)
    groups_per_peer = -(
        -topology.num_micro_batches // FANOUT // topology.machines
    )  # groups of 12 micro-batches on one machine
    num_rounds = -(-groups_per_peer // spheres) * -(-FANOUT // workers_per_sphere)
    rows = groups_per_peer * FANOUT * costs.bytes_per_value / num_parallel
    upper_rows = 3 * groups_per_peer * 4 if topology.levels > 1 else 0
    exchange, sent = exchange_cost(costs, topology, link)
    # 12 micro-batches take at most 12 messages; a sum and an update take one to each worker.
    calls = groups_per_peer * (FANOUT + workers_per_sphere) + 2 * workers_per_sphere
    return StepCost(
        compute=max(
            num_rounds * costs.micro_batch_seconds, groups_per_peer * FANOUT * costs.micro_batch_seconds / num_parallel
        ),
        sum=(rows + upper_rows) * costs.vector_size / costs.sum_bytes_per_second,
        exchange=exchange / topology.sync_every + control_message_seconds(topology, link),
        update=costs.update_seconds * costs.largest_share[min(FANOUT, num_parallel)],
        messages=calls * costs.message_seconds,
        tokens=topology.num_micro_batches * costs.tokens_per_micro_batch,
        link_bytes=sent / topology.sync_every,
    )


def exchange_cost(costs: Costs, topology: Topology, link: Link) -> tuple[float, float]:
    """Seconds of an all-reduce over all machines, and the bytes that each machine sends for it.

    At each level a machine sends a slice of its vectors to every other machine of its group, receives the same number
    of slices and sums them; the sum goes one level up. On the way back the slices are gathered. At the lowest level a
    machine can have several partial sums (`cllm.spheres.order`).
    """
    seconds, sent, size = 0.0, 0.0, costs.vector_size * 4.0
    for level, number in enumerate(radices(topology.machines, topology.fanout)):
        part = size * (number - 1) / number
        vectors = max_blocks(number) if level == 0 and number <= FANOUT else 1
        sent += (vectors + 1) * part
        seconds += (vectors + 1) * part / link.bytes_per_second
        seconds += number * link.latency_seconds + 2 * (number - 1) * link.message_seconds
        size /= number
    return seconds, sent


def control_message_seconds(topology: Topology, link: Link) -> float:
    """Seconds of the control messages of a step: two broadcasts from the leader and one all-gather."""
    hops = [2 * math.ceil(math.log2(number)) + number - 1 for number in radices(topology.machines, topology.fanout)]
    return sum(hops) * link.latency_seconds


def max_blocks(machines: int) -> int:
    """The largest number of partial sums that one of `machines` equally fast machines has."""
    return max(len(blocks(*span)) for span in spans([1.0] * machines))


def efficiency(costs: Costs, topology: Topology, link: Link) -> float:
    """Tokens per second per worker, relative to a single worker that runs steps of the same size alone."""
    alone = Topology(workers=1, cores=1, levels=topology.levels)
    one = step_cost(costs, alone, link)
    many = step_cost(costs, topology, link)
    return one.seconds / many.seconds / topology.workers
