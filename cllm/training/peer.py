"""Many machines as one sphere: on each of them a control node, which has that machine's workers.

A step's twelve positions, each of twelve micro-batches, are dealt to the machines by their speed, neighbours to each.
What a machine has computed it sums as far as the one order allows (`cllm.spheres.order`); then every machine gets a
slice of these sums from every other, sums its slice, and gives it to all. Each has all that is learned and updates all
of it, by the same sum: so nothing is lost with a machine, and the others go on with the very step. The first machine is
Node Zero's. What it has is what holds; whoever comes, or comes back, is given it.

While they compute, machines tell each other twice a second that they are there, and between two steps the first does:
one that is silent for `COLLECTIVE_TIMEOUT_SECONDS` is given up, and its positions are computed by the others.
"""

import hashlib
import json
import math
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cllm.artifacts import sha256_of
from cllm.errors import TrainingError
from cllm.spheres import SharedArrays, WorkerLost
from cllm.spheres.group import Group
from cllm.spheres.order import FANOUT, Block, blocks, ordered_sum, spans
from cllm.training.control import ControlNode
from cllm.training.layout import buffer_index, layout
from cllm.training.loop import check_finite, shares

HEARTBEAT_SECONDS = 0.5
STATE_ARRAYS = ("weights", "first_moment", "second_moment")  # of the shared memory


class Peer:
    """One of the machines of a run, as its control node sees it."""

    def __init__(self, processes: ExitStack) -> None:
        """`processes`: what ends with this one."""
        self._control = ControlNode(processes)
        self._group: Group | None = None
        self._speeds: list[float] = []  # of the group's machines, in positions a second
        self._min_per_peer = 1  # positions for each, until all are measured
        self._speed = 0.0  # of this one; 0: it was never measured
        self._losses: dict[int, float] = {}  # of the positions whose gradients are in their rows
        self._losses_step = -1  # the step that these belong to

    def load_run(self, run: str, plan: str, descriptor: int, dev: list[int], num_workers: int) -> None:
        """Have so many workers, who know the run; `descriptor` is of the memory of what is learned, on this machine."""
        self._control.load_run(run, plan, descriptor, dev, num_workers)
        self._run, self._plan_path, self._dev, self._num_workers = Path(run), Path(plan), dev, num_workers
        model, engine = self._control.plan.model, self._control.plan.engine
        self._shared = SharedArrays(layout(model, engine.dtype, self._control.plan.levels), descriptor)
        self._identity = run_identity(self._run, self._control.plan.identity)

    @property
    def group(self) -> Group:
        assert self._group is not None, "there is no group"
        return self._group

    def set_speeds(self, speeds: list[float], default_speeds: list[float]) -> None:
        """The speeds of all machines; as long as one is not measured, what they are taken for."""
        is_known = min(speeds) > 0
        self._speeds, self._min_per_peer = (speeds, 0) if is_known else (default_speeds, 1)

    def state_digest(self, step: int) -> int:
        """Of what this machine has learned in so many steps: the same number of steps may have been others."""
        found = 0
        for name in STATE_ARRAYS:
            found = zlib.crc32(self._shared[name][buffer_index(step)], found)
        return found

    def broadcast_state(self, step: int) -> None:
        """What the first machine has learned in so many steps becomes everybody's."""
        before = self.state_digest(step)
        for name in STATE_ARRAYS:
            self.group.broadcast(torch.from_numpy(self._shared[name][buffer_index(step)]))
        if self.state_digest(step) != before:
            self._losses = {}  # they were by what was there before
        if self.group.rank:
            self._control.cast_weights(step)

    def barrier(self, step: int) -> None:
        """Return when all machines have what they lacked, and what products read is of the step that comes.

        It may be of the step after: an update that one machine has made, and another has not.
        """
        self._control.cast_weights(step)
        self.group.all_gather_values([0.0])

    def run_step(self, step: int) -> dict[str, Any]:
        """Take a step with the group: its "loss", and the "squared_norm" of its gradient."""
        peer_spans, plan = spans(self._speeds, self._min_per_peer), self._control.plan
        losses = self._compute(step, peer_spans[self.group.rank])
        loss = math.fsum(losses) / FANOUT
        is_synchronous = plan.training.sync_every == 1
        if is_synchronous:
            self._sum_gradients(peer_spans)
        else:
            self._sum_own_gradients(peer_spans[self.group.rank])
        self._losses = {}  # their rows are not all theirs any more
        (parts,) = shares(plan.model, 1)
        squared_norm = math.fsum(self._control.reduce(parts, is_summed=True))
        check_finite(step, loss, squared_norm)
        self._control.update(step, parts, is_summed=True)
        if not is_synchronous and ((step + 1) % plan.training.sync_every == 0 or step + 1 == plan.steps):
            self._average_weights(step + 1, peer_spans)
        return {"loss": loss, "squared_norm": squared_norm}

    def _compute(self, step: int, span: Block) -> list[float]:
        """Compute this machine's positions while the others compute theirs; everybody's losses."""
        if self._losses_step != step:
            self._losses, self._losses_step = {}, step
        # What was computed before would count as fast, and nothing as nothing.
        stop_event, is_speed_known = threading.Event(), bool(self._losses) or span[0] == span[1]
        began = time.monotonic()
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(self._compute_all, step, range(*span), stop_event)
            try:
                while True:
                    wait([future], HEARTBEAT_SECONDS)
                    if done := future.done():
                        future.result()
                    if done and not is_speed_known:
                        is_speed_known, self._speed = True, (span[1] - span[0]) / (time.monotonic() - began)
                    own = [self._losses.get(p, math.nan) if p in range(*span) else 0.0 for p in range(FANOUT)]
                    found = self.group.all_gather_values([done, self._speed, *own])
                    if found[:, 0].all():
                        self.set_speeds(found[:, 1].tolist(), self._speeds)
                        return [float(loss) for loss in found[:, 2:].sum(0)]
            finally:
                stop_event.set()
                wait([future])
                if isinstance(lost := future.exception(), WorkerLost):  # more than that a machine is lost
                    raise lost

    def _compute_all(self, step: int, micro_batches: Sequence[int], stop_event: threading.Event) -> None:
        for micro_batch in micro_batches:
            if micro_batch not in self._losses and not stop_event.is_set():
                try:
                    self._losses[micro_batch] = self._control.compute(step, micro_batch)
                except WorkerLost:
                    raise
                except TrainingError:  # a loss that is not finite, which all machines are to know
                    self._losses[micro_batch] = math.nan

    def _sum_gradients(self, peer_spans: Sequence[Block]) -> None:
        """Sum all positions' gradients, into the first row of this machine's memory."""
        rows = torch.from_numpy(self._shared["gradients"])
        blocks_of = [blocks(*span) for span in peer_spans]
        flat = [block for theirs in blocks_of for block in theirs]
        own = blocks_of[self.group.rank]

        def sum_in_order(vectors: Tensor) -> Tensor:
            found: Tensor = ordered_sum(dict(zip(flat, vectors, strict=True)))
            return found

        counts = [len(theirs) for theirs in blocks_of]
        rows[0].copy_(
            self._all_reduce(lambda columns: [block_sum(rows, block, columns) for block in own], counts, sum_in_order)
        )

    def _sum_own_gradients(self, span: Block) -> None:
        """The same of this machine's positions alone, as if all twelve were like them."""
        rows, everything = torch.from_numpy(self._shared["gradients"]), slice(None)
        if span[0] == span[1]:
            rows[0].zero_()  # its weights do not count in the mean
            return
        first, *others = [block_sum(rows, block, everything) for block in blocks(*span)]
        for other in others:
            first = first + other
        torch.mul(first, FANOUT / (span[1] - span[0]), out=rows[0])

    def _average_weights(self, step: int, peer_spans: Sequence[Block]) -> None:
        """The mean of all machines' weights, by their positions, becomes everybody's (McMahan et al. 2017, FedAvg)."""
        weights = torch.from_numpy(self._shared["weights"][buffer_index(step)])
        first, end = peer_spans[self.group.rank]
        share = (end - first) / FANOUT
        counts = [1] * self.group.size
        weights.copy_(
            self._all_reduce(lambda columns: [weights[columns] * share], counts, lambda vectors: vectors.sum(0))
        )
        self._control.cast_weights(step)

    def _all_reduce(
        self, own: Callable[[slice], list[Tensor]], counts: Sequence[int], reduce_slice: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """A sum of vectors over all machines: each sums a slice of what all have, and gives it to all.

        `own`: this machine's vectors, at a slice; `counts`: how many each machine has; `reduce_slice`: the sum of
        all of
        them, at a slice (sum of counts, width).
        """
        group, size = self.group, self._shared["gradients"].shape[1]
        each = -(-size // group.size)
        slices = [slice(min(size, n * each), min(size, (n + 1) * each)) for n in range(group.size)]
        widths = [columns.stop - columns.start for columns in slices]
        count, width = counts[group.rank], widths[group.rank]
        to_send = torch.cat([torch.zeros(0), *(vector for columns in slices for vector in own(columns))])
        received = group.all_to_all(to_send, [count * w for w in widths], [theirs * width for theirs in counts])
        own_slice = torch.zeros(each)
        own_slice[:width] = reduce_slice(received.view(sum(counts), width))
        return group.all_gather(own_slice)[:size]


def block_sum(rows: Tensor, block: Block, columns: slice) -> Tensor:
    """The sum of a block's gradients, of a slice of them."""
    return ordered_sum({(micro_batch, micro_batch + 1): rows[micro_batch, columns] for micro_batch in range(*block)})


def run_files(run: Path) -> dict[str, Path]:
    """What a machine must have to learn a run, but for its plan, by the names that it has on another machine, too."""
    dataset = {f"dataset/{path.name}": path for path in sorted((run / "dataset").iterdir())}
    return {"tokenizer.json": run / "tokenizer.json", **dataset}


def run_identity(run: Path, plan_identity: str) -> str:
    """A digest of a run's files and plan."""
    digests = {name: sha256_of(path) for name, path in run_files(run).items()}
    return hashlib.sha256(json.dumps([plan_identity, digests]).encode()).hexdigest()
