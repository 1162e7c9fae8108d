"""What a step takes, by how many share it: a model of its parts, from a few measured numbers.

It is for questions that no machine at hand can answer: is it worth it with 12 machines, with 144, over this link? Each
part is what the program does there, taken for as fast as one core, one pipe and one link were measured:

    compute    positions in rounds of as many as there are workers, or as many as the cores do, whichever is longer
    sum        rows of gradients that are read once; of two levels, their sums again, by one core, three times: to add
               them, to send them, and to take what comes back
    exchange   between machines, at each level: a slice to each of the others, at once, and theirs back, from one to the
               next in a ring; every `sync_every` steps. Before each step a word to all, and one from each (gloo's
               broadcasts by halves, and its ring)
    update     all parameters, on every machine anew; the largest share of it decides
    messages   calls, one after another, by the control node

Left out: machines of different speed, links that others use, and that processors slow down when all cores work.
"""

import math
from dataclasses import dataclass

from cllm.spheres.order import FANOUT, blocks, spans


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What was measured, in seconds and bytes, on one core where nothing else is said."""

    micro_batch_seconds: float  # of a micro-batch
    update_seconds: float  # of all parameters
    largest_share: dict[int, float]  # of an update, of the most burdened worker, by the number of workers
    sum_bytes_per_second: float
    message_seconds: float  # of a call to a worker, and its answer
    vector_size: int  # in a vector of all parameters
    bytes_per_value: int  # of a number in a position's gradient
    tokens_per_micro_batch: int  # of a micro-batch


@dataclass(frozen=True, kw_only=True)
class Link:
    """Between two machines."""

    latency_seconds: float  # seconds
    bytes_per_second: float
    message_seconds: float = 30e-6  # seconds of a processor, for each message of a collective


@dataclass(frozen=True, kw_only=True)
class Topology:
    """Who shares a step."""

    workers: int  # in all
    cores: int  # of a machine
    machines: int = 1
    fanout: int = FANOUT  # of the tree of machines; as many as there are machines: flat
    levels: int = 1  # of spheres: 12 positions to the power of it
    sync_every: int = 1

    @property
    def num_micro_batches(self) -> int:
        return int(FANOUT**self.levels)


@dataclass(frozen=True, kw_only=True)
class StepCost:
    """Seconds of the parts of a step; tokens of it; bytes that a machine sends in it."""

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
    """So many that each worker has a position."""
    return max(1, math.ceil(round(math.log(workers, FANOUT), 9)))


def radices(machines: int, fanout: int) -> list[int]:
    """How many come together at each level of a tree of machines, from below: `fanout`, and at the top what is left."""
    found = []
    while machines > 1:
        found.append(min(fanout, machines))
        machines = -(-machines // fanout)
    return found


def step_cost(costs: Costs, topology: Topology, link: Link) -> StepCost:
    """What a step takes."""
    workers = -(-topology.workers // topology.machines)  # of the machine that has most
    spheres = -(-workers // FANOUT)  # of workers there
    workers_per_sphere, num_parallel = -(-workers // spheres), min(workers, topology.cores)
    groups_per_peer = -(
        -topology.num_micro_batches // FANOUT // topology.machines
    )  # twelve positions each, on that machine
    num_rounds = -(-groups_per_peer // spheres) * -(-FANOUT // workers_per_sphere)
    rows = groups_per_peer * FANOUT * costs.bytes_per_value / num_parallel
    upper_rows = 3 * groups_per_peer * 4 if topology.levels > 1 else 0
    exchange, sent = exchange_cost(costs, topology, link)
    # Twelve positions take touching workers twelve messages at most; a sum and an update one to each.
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
    """Seconds of a sum over all machines, and the bytes that each sends for it.

    At each level a machine gives every other of its sphere a slice of what it has, and gets as many to sum; with a
    slice of this it goes one level up. On the way back slices are joined. At the lowest level what a machine has may be
    several sums (`cllm.spheres.order`).
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
    """Seconds of a word of the first machine to all others, two broadcasts, and of one from each."""
    hops = [2 * math.ceil(math.log2(number)) + number - 1 for number in radices(topology.machines, topology.fanout)]
    return sum(hops) * link.latency_seconds


def max_blocks(machines: int) -> int:
    """How many sums the machine has that has most, of so many that are equally fast."""
    return max(len(blocks(*span)) for span in spans([1.0] * machines))


def efficiency(costs: Costs, topology: Topology, link: Link) -> float:
    """Tokens a second for each worker, over those of a single one that takes as large steps alone."""
    alone = Topology(workers=1, cores=1, levels=topology.levels)
    one = step_cost(costs, alone, link)
    many = step_cost(costs, topology, link)
    return one.seconds / many.seconds / topology.workers
