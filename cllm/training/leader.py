"""The control node of the leader, Node Zero's machine: it accepts followers and announces each step to them."""

import contextlib
import dataclasses
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor

from cllm import __version__
from cllm.machine import detect_machine
from cllm.spheres.group import CHUNK_BYTES, MAX_FOLLOWERS, GroupLost, RendezvousServer
from cllm.spheres.telemetry import checked_sample, control_node_row
from cllm.spheres.worker import serve
from cllm.training.control import exit_on_worker_lost
from cllm.training.engine import engine_of
from cllm.training.peer import HEARTBEAT_SECONDS, Peer, run_files

CALLS = ("listen", "load_run", "amend", "initialise", "cast_weights", "dev_loss", "step", "sample_telemetry", "end")
MAX_TRIES = 2  # of a step with a group, then it is run alone: a machine that fails repeatedly must not stop the run
RESYNC_STEPS = 50  # steps between two broadcasts of the state if the machines are not bit-exact


class Leader(Peer):
    """Node Zero's machine: it accepts followers, and announces each step."""

    def __init__(self, processes: ExitStack) -> None:
        super().__init__(processes)
        self._lock = threading.Lock()  # of the group: between steps the heartbeat thread uses it
        self._messages: list[str] = []
        self._malformed_telemetry: set[str] = set()  # addresses of the machines that sent some, reported once each
        self._num_followers = 0  # in the last group
        self._sent_amendments: list[dict[str, int]] | None = None  # None: nothing was sent to this group yet
        self._is_bit_exact = True  # whether all machines have the same engine
        threading.Thread(target=self._heartbeat, daemon=True).start()

    def listen(self, address: str, port: int) -> None:
        self._rendezvous = RendezvousServer(address, port)

    def amend(self, amendments: list[dict[str, int]]) -> None:
        self._control.amend(amendments)

    def initialise(self) -> None:
        self._control.initialise()

    def cast_weights(self, step: int) -> None:
        self._control.cast_weights(step)

    def dev_loss(self, context: int, first: int, count: int) -> tuple[float, int]:
        return self._control.dev_loss(context, first, count)

    def step(self, step: int) -> dict[str, Any]:
        """Run a step with the present group, and again if a machine is lost.

        Returns the result of `run_step`, with "messages" for the user and "retry_seconds", the time spent before the
        attempt that succeeded.
        """
        began, tries = time.monotonic(), 0
        with self._lock:
            while True:
                try:
                    self._ensure_group(step, alone=tries >= MAX_TRIES)
                    retry_seconds = time.monotonic() - began
                    self._broadcast_step(step)
                    done = self.run_step(step)
                    messages, self._messages = self._messages, []
                    return {**done, "messages": messages, "retry_seconds": retry_seconds}
                except GroupLost as lost:
                    tries += 1
                    self._drop_group(lost)

    def sample_telemetry(self, tokens_per_micro_batch: int) -> list[dict[str, Any]]:
        """A row for each machine: what its workers have done since the previous sample."""
        with self._lock:
            own = self._control.sample_telemetry(tokens_per_micro_batch)
            try:
                if self._group is not None:
                    self._group.broadcast_object(
                        {"call": "sample_telemetry", "tokens_per_micro_batch": tokens_per_micro_batch}
                    )
                    rows, malformed = telemetry_rows(self._group.addresses, self._group.all_gather_object(own))
                    for address in malformed.keys() - self._malformed_telemetry:
                        self._malformed_telemetry.add(address)
                        self._messages.append(f"{address} sends malformed telemetry: {malformed[address]}")
                    return rows
            except GroupLost as lost:
                self._drop_group(lost)
            except ValueError as error:  # not JSON
                self._drop_group(GroupLost(f"a machine sent malformed telemetry: {error!r}"[:120]))
            return [control_node_row(0, "this machine", own)]

    def end(self) -> None:
        """Tell the followers that the run is complete."""
        with self._lock:
            if self._group is not None:
                with contextlib.suppress(GroupLost):
                    self._group.broadcast_object({"call": "end"})
                self._group = None

    def _ensure_group(self, step: int, alone: bool) -> None:
        """Form a group if there is none or new followers are waiting; `alone`: of this machine only."""
        expected = self._num_followers
        if self._group is not None:
            new = self._rendezvous.num_waiting() if self._group.size <= MAX_FOLLOWERS else 0
            if not new:
                return
            self._group.broadcast_object({"call": "regroup"})
            expected += new
        self._group = None
        self._group = (
            self._rendezvous.form_group(0, max_followers=0) if alone else self._rendezvous.form_group(expected)
        )
        self._num_followers = self._group.size - 1
        self._greet(step)
        if self._num_followers or self._messages:
            self._messages.append(f"step {step + 1}: {self._group.size} machines: {', '.join(self._group.addresses)}")

    def _greet(self, step: int) -> None:
        """Compare engines and state with all members, and send the files and state that are missing or differ."""
        engine = engine_of(detect_machine(), self._control.plan.engine.dtype)
        self.group.broadcast_object(
            {"cllm": __version__, "run": self._identity, "step": step, "engine": dataclasses.asdict(engine)}
        )
        found = self.group.all_gather_values([True, self.state_digest(step), self._speed, self._num_workers, True])
        self._compare_engines(found)
        if not found[:, 0].all():
            self._send_run()
        self._sent_amendments = None
        if not (found[:, 1] == found[0, 1]).all():
            self.broadcast_state(step)
        self.barrier(step)

    def _compare_engines(self, found: Tensor) -> None:
        self.set_speeds(found[:, 2].tolist(), found[:, 3].tolist())
        self._is_bit_exact = bool(found[:, 4].all())
        if not self._is_bit_exact:
            self._messages.append("not bit-exact from this step on: the machines' processors or libraries differ")

    def _send_run(self) -> None:
        paths = run_files(self._run)
        files = [[name, path.stat().st_size] for name, path in paths.items()]
        self.group.broadcast_object({"files": files, "dev": self._dev, "plan": self._plan_path.read_text()})
        for path in paths.values():
            with path.open("rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    self.group.broadcast(torch.frombuffer(bytearray(chunk), dtype=torch.uint8))

    def _broadcast_step(self, step: int) -> None:
        is_synchronous = self._control.plan.training.sync_every == 1  # otherwise weights are averaged
        resyncs = is_synchronous and not self._is_bit_exact and step % RESYNC_STEPS == 0
        amendments = self._control.plan.amendments_as_json
        changed = amendments if amendments != self._sent_amendments else None
        self.group.broadcast_object({"call": "step", "step": step, "resync": resyncs, "amendments": changed})
        self._sent_amendments = amendments
        if resyncs:
            self.broadcast_state(step)

    def _drop_group(self, lost: GroupLost) -> None:
        self._messages.append(f"lost the connection to a machine ({lost}); training continues on the others")
        self._group = None

    def _heartbeat(self) -> None:
        """Send a "wait" message to the followers between steps, so that their collectives do not time out."""
        while True:
            time.sleep(HEARTBEAT_SECONDS)
            if self._lock.acquire(blocking=False):
                try:
                    if self._group is not None:
                        self._group.broadcast_object({"call": "wait"})
                except GroupLost as lost:
                    self._drop_group(lost)
                finally:
                    self._lock.release()


def telemetry_rows(addresses: Sequence[str], samples: Sequence[Any]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Rows of the machines whose samples are well-formed, and what is wrong with the others, by address."""
    rows, malformed = [], {}
    for rank, (address, sample) in enumerate(zip(addresses, samples, strict=True)):
        try:
            rows.append(control_node_row(rank, address, checked_sample(sample)))
        except ValueError as error:
            malformed[address] = str(error)
    return rows, malformed


def main() -> None:
    with ExitStack() as processes:
        leader = Leader(processes)
        serve({name: exit_on_worker_lost(getattr(leader, name)) for name in CALLS})
