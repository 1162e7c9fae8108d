"""The control node of Node Zero's machine, where others take part: it listens for them, and tells them what is done."""

import contextlib
import dataclasses
import threading
import time
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor

from cllm.machine import describe
from cllm.spheres.group import CHUNK_BYTES, MOST_OTHERS, GroupLost, Lobby
from cllm.spheres.telemetry import of_control_node
from cllm.spheres.worker import serve
from cllm.training.control import ending_if_lost
from cllm.training.engine import engine_of
from cllm.training.machines import BEAT_SECONDS, Machine, run_files

CALLS = ("listen", "join", "amend", "initialise", "round_weights", "dev_loss", "step", "look", "end")
MOST_TRIES = 2  # of a step with others, before it is taken alone: one that is lost always again must not stop it
RENEWAL_STEPS = 50  # after so many its numbers are given to all again, where the machines do not compute the same bits


class First(Machine):
    """Node Zero's machine: it listens for others, and says what is done."""

    def __init__(self, processes: ExitStack) -> None:
        super().__init__(processes)
        self._lock = threading.Lock()  # of the group: between two steps a thread keeps it company
        self._said: list[str] = []
        self._others = 0  # machines in the last group
        self._told_plan = ""
        self._alike = True  # all machines compute the same bits
        threading.Thread(target=self._keep_company, daemon=True).start()

    def listen(self, address: str, port: int) -> None:
        self._lobby = Lobby(address, port)

    def amend(self, plan: str) -> None:
        self._control.amend(plan)

    def initialise(self) -> None:
        self._control.initialise()

    def round_weights(self, step: int) -> None:
        self._control.round_weights(step)

    def dev_loss(self, context: int, first: int, count: int) -> tuple[float, int]:
        return self._control.dev_loss(context, first, count)

    def step(self, step: int) -> dict[str, Any]:
        """Take a step with whoever is there, and again where one is lost; what `take` gives, and what is to be said.

        "lost_seconds": that went by before the attempt which succeeded.
        """
        began, tries = time.monotonic(), 0
        with self._lock:
            while True:
                try:
                    self._meet(step, alone=tries >= MOST_TRIES)
                    lost_seconds = time.monotonic() - began
                    self._tell_step(step)
                    done = self.take(step)
                    said, self._said = self._said, []
                    return {**done, "said": said, "lost_seconds": lost_seconds}
                except GroupLost as lost:
                    tries += 1
                    self._lose(lost)

    def look(self, tokens_per_position: int) -> list[dict[str, Any]]:
        """What the workers of all machines have done since the look before."""
        with self._lock:
            own = self._control.look(tokens_per_position)
            try:
                if self._group is not None:
                    self._group.tell({"call": "look", "tokens_per_position": tokens_per_position})
                    samples = self._group.collect(own)
                    pairs = enumerate(zip(self._group.addresses, samples, strict=True))
                    return [of_control_node(rank, address, sample) for rank, (address, sample) in pairs]
            except GroupLost as lost:
                self._lose(lost)
            except (KeyError, TypeError, ValueError) as error:
                self._lose(GroupLost(f"a machine says of itself what cannot be: {error!r}"[:120]))
            return [of_control_node(0, "this machine", own)]

    def end(self) -> None:
        """Tell the others that the run is done."""
        with self._lock:
            if self._group is not None:
                with contextlib.suppress(GroupLost):
                    self._group.tell({"call": "end"})
                self._group = None

    def _meet(self, step: int, alone: bool) -> None:
        """Have a group, and a new one where somebody has come; `alone`: of this machine."""
        expected = self._others
        if self._group is not None:
            new = self._lobby.waiting() if self._group.size <= MOST_OTHERS else 0
            if not new:
                return
            self._group.tell({"call": "regroup"})
            expected += new
        self._group = None
        self._group = self._lobby.convene(0, most=0) if alone else self._lobby.convene(expected)
        self._others = self._group.size - 1
        self._welcome(step)
        if self._others or self._said:
            self._said.append(f"step {step + 1}: {self._group.size} machines: {', '.join(self._group.addresses)}")

    def _welcome(self, step: int) -> None:
        """Give everybody what they lack."""
        engine = engine_of(describe(), self._control.plan.engine.dtype)
        self.group.tell({"run": self._identity, "step": step, "engine": dataclasses.asdict(engine)})
        found = self.group.gather([True, self.digest(step), self._speed, self._num_workers, True])
        self._take_stock(found)
        if not found[:, 0].all():
            self._give_run()
        self._told_plan = ""
        if not (found[:, 1] == found[0, 1]).all():
            self.share_state(step)
        self.be_ready(step)

    def _take_stock(self, found: Tensor) -> None:
        self.note_speeds(found[:, 2].tolist(), found[:, 3].tolist())
        self._alike = bool(found[:, 4].all())
        if not self._alike:
            self._said.append("not bit-exact from here: the machines' processors or libraries are not the same")

    def _give_run(self) -> None:
        paths = run_files(self._run)
        files = [[name, path.stat().st_size] for name, path in paths.items()]
        self.group.tell({"files": files, "dev": self._dev, "plan": self._plan_path.read_text()})
        for path in paths.values():
            with path.open("rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    self.group.send_to_all(torch.frombuffer(bytearray(chunk), dtype=torch.uint8))

    def _tell_step(self, step: int) -> None:
        together = self._control.plan.recipe.sync_every == 1  # else they are averaged
        renews = together and not self._alike and step % RENEWAL_STEPS == 0
        plan = self._plan_path.read_text()
        self.group.tell(
            {"call": "step", "step": step, "renew": renews, "plan": plan if plan != self._told_plan else ""}
        )
        self._told_plan = plan
        if renews:
            self.share_state(step)

    def _lose(self, lost: GroupLost) -> None:
        self._said.append(f"the way to a machine is lost ({lost}); those that are there go on")
        self._group = None

    def _keep_company(self) -> None:
        """Let the others know between two steps that this machine is there."""
        while True:
            time.sleep(BEAT_SECONDS)
            if self._lock.acquire(blocking=False):
                try:
                    if self._group is not None:
                        self._group.tell({"call": "wait"})
                except GroupLost as lost:
                    self._lose(lost)
                finally:
                    self._lock.release()


def main() -> None:
    with ExitStack() as processes:
        first = First(processes)
        serve({name: ending_if_lost(getattr(first, name)) for name in CALLS})
