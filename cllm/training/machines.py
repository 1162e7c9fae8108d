"""Many machines as one sphere: on each of them a control node, which has that machine's workers.

A step's twelve positions, each of twelve micro-batches, are dealt to the machines by their speed, neighbours to each.
What a machine has computed it sums as far as the one order allows (`cllm.spheres.order`); then every machine gets a
slice of these sums from every other, sums its slice, and gives it to all. Each has all that is learned and updates all
of it, by the same sum: so nothing is lost with a machine, and the others go on with the very step. The first machine is
Node Zero's. What it has is what holds; whoever comes, or comes back, is given it.

While they compute, machines tell each other twice a second that they are there, and between two steps the first does:
one that is silent for `LOST_SECONDS` is given up, and its positions are computed by the others.
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
from cllm.spheres.order import POSITIONS, Block, blocks, spans, summed
from cllm.training.control import Control
from cllm.training.layout import layout, side_of
from cllm.training.loop import check_finite, shares

BEAT_SECONDS = 0.5
LEARNED = ("weights", "first", "second")  # of the shared memory


class Machine:
    """One of the machines of a run, as its control node sees it."""

    def __init__(self, processes: ExitStack) -> None:
        """`processes`: what ends with this one."""
        self._control = Control(processes)
        self._group: Group | None = None
        self._speeds: list[float] = []  # of the group's machines, in positions a second
        self._least = 1  # positions for each, until all are measured
        self._speed = 0.0  # of this one; 0: it was never measured
        self._losses: dict[int, float] = {}  # of the positions whose gradients are in their rows
        self._losses_of = -1  # the step that these belong to

    def join(self, run: str, plan: str, descriptor: int, dev: list[int], num_workers: int) -> None:
        """Have so many workers, who know the run; `descriptor` is of the memory of what is learned, on this machine."""
        self._control.join(run, plan, descriptor, dev, num_workers)
        self._run, self._plan_path, self._dev, self._num_workers = Path(run), Path(plan), dev, num_workers
        model, engine = self._control.plan.model, self._control.plan.engine
        self._shared = SharedArrays(layout(model, engine.dtype, self._control.plan.levels), descriptor)
        self._identity = identity_of(self._run, self._control.plan.identity)

    @property
    def group(self) -> Group:
        assert self._group is not None, "there is no group"
        return self._group

    def note_speeds(self, speeds: list[float], otherwise: list[float]) -> None:
        """The speeds of all machines; as long as one is not measured, what they are taken for."""
        is_known = min(speeds) > 0
        self._speeds, self._least = (speeds, 0) if is_known else (otherwise, 1)

    def digest(self, step: int) -> int:
        """Of what this machine has learned in so many steps: the same number of steps may have been others."""
        found = 0
        for name in LEARNED:
            found = zlib.crc32(self._shared[name][side_of(step)], found)
        return found

    def share_state(self, step: int) -> None:
        """What the first machine has learned in so many steps becomes everybody's."""
        before = self.digest(step)
        for name in LEARNED:
            self.group.send_to_all(torch.from_numpy(self._shared[name][side_of(step)]))
        if self.digest(step) != before:
            self._losses = {}  # they were by what was there before
        if self.group.rank:
            self._control.round_weights(step)

    def be_ready(self, step: int) -> None:
        """Return when all machines have what they lacked, and what products read is of the step that comes.

        It may be of the step after: an update that one machine has made, and another has not.
        """
        self._control.round_weights(step)
        self.group.gather([0.0])

    def take(self, step: int) -> dict[str, Any]:
        """Take a step with the group: its "loss", and the "square" of its gradient's norm."""
        dealt, plan = spans(self._speeds, self._least), self._control.plan
        losses = self._compute(step, dealt[self.group.rank])
        loss = math.fsum(losses) / POSITIONS
        together = plan.recipe.sync_every == 1
        if together:
            self._sum(dealt)
        else:
            self._sum_own(dealt[self.group.rank])
        self._losses = {}  # their rows are not all theirs any more
        (parts,) = shares(plan.model, 1)
        square = math.fsum(self._control.reduce(parts, is_summed=True))
        check_finite(step, loss, square)
        self._control.update(step, parts, is_summed=True)
        if not together and ((step + 1) % plan.recipe.sync_every == 0 or step + 1 == plan.steps):
            self._average(step + 1, dealt)
        return {"loss": loss, "square": square}

    def _compute(self, step: int, span: Block) -> list[float]:
        """Compute this machine's positions while the others compute theirs; everybody's losses."""
        if self._losses_of != step:
            self._losses, self._losses_of = {}, step
        # What was computed before would count as fast, and nothing as nothing.
        enough, is_noted = threading.Event(), bool(self._losses) or span[0] == span[1]
        began = time.monotonic()
        with ThreadPoolExecutor(1) as pool:
            work = pool.submit(self._compute_all, step, range(*span), enough)
            try:
                while True:
                    wait([work], BEAT_SECONDS)
                    if done := work.done():
                        work.result()
                    if done and not is_noted:
                        is_noted, self._speed = True, (span[1] - span[0]) / (time.monotonic() - began)
                    own = [self._losses.get(p, math.nan) if p in range(*span) else 0.0 for p in range(POSITIONS)]
                    found = self.group.gather([done, self._speed, *own])
                    if found[:, 0].all():
                        self.note_speeds(found[:, 1].tolist(), self._speeds)
                        return [float(loss) for loss in found[:, 2:].sum(0)]
            finally:
                enough.set()
                wait([work])
                if isinstance(lost := work.exception(), WorkerLost):  # more than that a machine is lost
                    raise lost

    def _compute_all(self, step: int, positions: Sequence[int], enough: threading.Event) -> None:
        for position in positions:
            if position not in self._losses and not enough.is_set():
                try:
                    self._losses[position] = self._control.compute(step, position)
                except WorkerLost:
                    raise
                except TrainingError:  # a loss that is not finite, which all machines are to know
                    self._losses[position] = math.nan

    def _sum(self, dealt: Sequence[Block]) -> None:
        """Sum all positions' gradients, into the first row of this machine's memory."""
        rows = torch.from_numpy(self._shared["gradients"])
        blocks_of = [blocks(*span) for span in dealt]
        flat = [block for theirs in blocks_of for block in theirs]
        own = blocks_of[self.group.rank]

        def in_order(pieces: Tensor) -> Tensor:
            found: Tensor = summed(dict(zip(flat, pieces, strict=True)))
            return found

        counts = [len(theirs) for theirs in blocks_of]
        rows[0].copy_(self._by_slices(lambda place: [block_sum(rows, block, place) for block in own], counts, in_order))

    def _sum_own(self, span: Block) -> None:
        """The same of this machine's positions alone, as if all twelve were like them."""
        rows, everything = torch.from_numpy(self._shared["gradients"]), slice(None)
        if span[0] == span[1]:
            rows[0].zero_()  # its weights do not count in the mean
            return
        first, *others = [block_sum(rows, block, everything) for block in blocks(*span)]
        for other in others:
            first = first + other
        torch.mul(first, POSITIONS / (span[1] - span[0]), out=rows[0])

    def _average(self, step: int, dealt: Sequence[Block]) -> None:
        """The mean of all machines' weights, by their positions, becomes everybody's (McMahan et al. 2017, FedAvg)."""
        weights = torch.from_numpy(self._shared["weights"][side_of(step)])
        first, end = dealt[self.group.rank]
        share = (end - first) / POSITIONS
        counts = [1] * self.group.size
        weights.copy_(self._by_slices(lambda place: [weights[place] * share], counts, lambda pieces: pieces.sum(0)))
        self._control.round_weights(step)

    def _by_slices(
        self, own: Callable[[slice], list[Tensor]], counts: Sequence[int], sum_up: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """A sum of vectors over all machines: each sums a slice of what all have, and gives it to all.

        `own`: this machine's vectors, at a slice; `counts`: how many each machine has; `sum_up`: the sum of all of
        them, at a slice (sum of counts, width).
        """
        group, size = self.group, self._shared["gradients"].shape[1]
        each = -(-size // group.size)
        slices = [slice(min(size, n * each), min(size, (n + 1) * each)) for n in range(group.size)]
        widths = [place.stop - place.start for place in slices]
        count, width = counts[group.rank], widths[group.rank]
        given = torch.cat([torch.zeros(0), *(vector for place in slices for vector in own(place))])
        coming = group.exchange(given, [count * w for w in widths], [theirs * width for theirs in counts])
        piece = torch.zeros(each)
        piece[:width] = sum_up(coming.view(sum(counts), width))
        return group.join(piece)[:size]


def block_sum(rows: Tensor, block: Block, place: slice) -> Tensor:
    """The sum of a block's gradients, of a slice of them."""
    return summed({(position, position + 1): rows[position, place] for position in range(*block)})


def run_files(run: Path) -> dict[str, Path]:
    """What a machine must have to learn a run, but for its plan, by the names that it has on another machine, too."""
    dataset = {f"dataset/{path.name}": path for path in sorted((run / "dataset").iterdir())}
    return {"tokenizer.json": run / "tokenizer.json", **dataset}


def identity_of(run: Path, plan_identity: str) -> str:
    """A digest of a run's files and plan."""
    digests = {name: sha256_of(path) for name, path in run_files(run).items()}
    return hashlib.sha256(json.dumps([plan_identity, digests]).encode()).hexdigest()
