"""Several machines as one sphere: each runs a control node with that machine's workers.

A step's twelve positions, of twelve micro-batches each, are divided among the machines by speed, a contiguous block to
each. A machine sums its own gradients as far as the fixed order allows (`cllm.spheres.order`). Then the partial sums
are reduced: an all-to-all gives each machine a slice of all partial sums, it sums the slice, and an all-gather
distributes the result. Every machine has the full state and applies the same update, so no state is lost with a
machine, and the others repeat the same step without it. The state of the leader (rank 0, Node Zero's machine) is
authoritative: a machine that joins or rejoins receives it.

During a computation machines exchange heartbeats twice a second; between steps the leader sends them. A machine that is
silent for `COLLECTIVE_TIMEOUT_SECONDS` is dropped, and the others compute its positions.
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
from cllm.training.plan import Plan

HEARTBEAT_SECONDS = 0.5
STATE_ARRAYS = ("weights", "first_moment", "second_moment")  # of the shared memory


class Peer:
    """The control node of one machine of a group."""

    def __init__(self, processes: ExitStack) -> None:
        """Before anything that starts threads: this forks. `processes`: closes the fork server and the workers."""
        self._control = ControlNode(processes)
        self._group: Group | None = None
        self._speeds: list[float] = []  # of the group's machines, in positions per second
        self._min_per_peer = 1  # positions for each machine, until all speeds are measured
        self._speed = 0.0  # of this machine; 0: not measured yet
        self._losses: dict[int, float] = {}  # by position, for those whose gradients are in their rows
        self._losses_step = -1  # the step of `_losses`

    def load_run(
        self,
        run: str,
        plan: str,
        descriptor: int,
        dev: list[int],
        num_workers: int,
        check: Callable[[Plan], None] = lambda plan: None,
    ) -> None:
        """Start `num_workers` workers with the run; `descriptor`: of the run's state, in this process.

        Before that, `check` gets the plan, and can raise.
        """
        self._control.load_run(run, plan, descriptor, dev, num_workers, check)
        self._run, self._plan_path, self._dev, self._num_workers = Path(run), Path(plan), dev, num_workers
        model, engine = self._control.plan.model, self._control.plan.engine
        self._shared = SharedArrays(layout(model, engine.dtype, self._control.plan.levels), descriptor)
        self._identity = run_identity(self._run, self._control.plan.identity)

    @property
    def group(self) -> Group:
        assert self._group is not None, "there is no group"
        return self._group

    def set_speeds(self, speeds: list[float], default_speeds: list[float]) -> None:
        """Set the speeds of all machines, by rank; `default_speeds` are used until all are measured (positive)."""
        is_known = min(speeds) > 0
        self._speeds, self._min_per_peer = (speeds, 0) if is_known else (default_speeds, 1)

    def state_digest(self, step: int) -> int:
        """CRC-32 of this machine's state after `step` steps; machines at the same step can have different states."""
        found = 0
        for name in STATE_ARRAYS:
            found = zlib.crc32(self._shared[name][buffer_index(step)], found)
        return found

    def broadcast_state(self, step: int) -> None:
        """Copy the leader's state after `step` steps to all machines."""
        before = self.state_digest(step)
        for name in STATE_ARRAYS:
            self.group.broadcast(torch.from_numpy(self._shared[name][buffer_index(step)]))
        if self.state_digest(step) != before:
            self._losses = {}  # they were computed with the previous weights
        if self.group.rank:
            self._control.cast_weights(step)

    def barrier(self, step: int) -> None:
        """Set the compute weights to those of `step`, and wait for all machines.

        Before, they can be of the next step on a machine that had made an update that another had not.
        """
        self._control.cast_weights(step)
        self.group.all_gather_values([0.0])

    def run_step(self, step: int) -> dict[str, Any]:
        """Run a step with the group; returns its "loss" (nats per token) and the "squared_norm" of its gradient."""
        peer_spans, plan = spans(self._speeds, self._min_per_peer), self._control.plan
        losses = self._compute(step, peer_spans[self.group.rank])
        loss = math.fsum(losses) / FANOUT
        is_synchronous = plan.training.sync_every == 1
        if is_synchronous:
            self._sum_gradients(peer_spans)
        else:
            self._sum_own_gradients(peer_spans[self.group.rank])
        self._losses = {}  # the sum overwrote the first row
        (part_indices,) = shares(plan.model, 1)
        squared_norm = math.fsum(self._control.reduce(part_indices, is_summed=True))
        check_finite(step, loss, squared_norm)
        self._control.update(step, part_indices, is_summed=True)
        if not is_synchronous and ((step + 1) % plan.training.sync_every == 0 or step + 1 == plan.steps):
            self._average_weights(step + 1, peer_spans)
        return {"loss": loss, "squared_norm": squared_norm}

    def _compute(self, step: int, span: Block) -> list[float]:
        """Compute this machine's positions while the others compute theirs; returns the losses of all positions."""
        if self._losses_step != step:
            self._losses, self._losses_step = {}, step
        # Do not measure the speed if some positions are already computed, or if there are none.
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
                if isinstance(lost := future.exception(), WorkerLost):  # takes precedence over GroupLost
                    raise lost

    def _compute_all(self, step: int, positions: Sequence[int], stop_event: threading.Event) -> None:
        for position in positions:
            if position not in self._losses and not stop_event.is_set():
                try:
                    self._losses[position] = self._control.compute(step, position)
                except WorkerLost:
                    raise
                except TrainingError:  # a loss that is not finite: reported to all machines as NaN
                    self._losses[position] = math.nan

    def _sum_gradients(self, peer_spans: Sequence[Block]) -> None:
        """Sum the gradients of all positions into the first row of this machine's memory."""
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
        """Sum this machine's own gradients into the first row, scaled as if they were of all twelve positions."""
        rows, everything = torch.from_numpy(self._shared["gradients"]), slice(None)
        if span[0] == span[1]:
            rows[0].zero_()  # a machine without positions has weight 0 in the mean
            return
        first, *others = [block_sum(rows, block, everything) for block in blocks(*span)]
        for other in others:
            first = first + other
        torch.mul(first, FANOUT / (span[1] - span[0]), out=rows[0])

    def _average_weights(self, step: int, peer_spans: Sequence[Block]) -> None:
        """Replace the weights of all machines by their mean, weighted by positions (McMahan et al. 2017, FedAvg)."""
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
        """Reduce the vectors of all machines to one vector (P,): each machine reduces a slice and sends it to all.

        `own`: slice of columns -> this machine's vectors at it; `counts`: the number of vectors of each machine;
        `reduce_slice`: (sum of counts, width) -> (width,).
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
    """The sum of a block's gradients at some columns: `rows` (12, P) -> (width,), in the fixed order."""
    return ordered_sum({(position, position + 1): rows[position, columns] for position in range(*block)})


def run_files(run: Path) -> dict[str, Path]:
    """The files that a machine needs for a run except the plan, by name; a follower stores them under these names."""
    dataset = {f"dataset/{path.name}": path for path in sorted((run / "dataset").iterdir())}
    return {"tokenizer.json": run / "tokenizer.json", **dataset}


def run_identity(run: Path, plan_identity: str) -> str:
    """SHA-256 (hex) of a run's files and plan."""
    digests = {name: sha256_of(path) for name, path in run_files(run).items()}
    return hashlib.sha256(json.dumps([plan_identity, digests]).encode()).hexdigest()
