"""The control node of a follower: a machine that joined another machine's run and executes the leader's messages."""

import functools
import os
import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from cllm import __version__
from cllm.artifacts import write_file
from cllm.errors import ArtifactError, TrainingError
from cllm.machine import detect_machine
from cllm.spheres.group import CHUNK_BYTES, GroupLost, RendezvousClient
from cllm.spheres.worker import serve
from cllm.training.control import exit_on_worker_lost
from cllm.training.engine import differences, engine_of
from cllm.training.layout import needed_bytes
from cllm.training.peer import Peer
from cllm.training.plan import Engine, Plan, save_plan

CALLS = ("configure", "run_next")
NO_DIGEST = -1  # sent by a machine that does not have the run
FILE_NAME = re.compile(r"(dataset/)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


class Follower(Peer):
    """A machine that joined another machine's run."""

    def __init__(self, processes: ExitStack) -> None:
        super().__init__(processes)
        self._rendezvous: RendezvousClient | None = None
        self._identity = ""

    def configure(self, address: str, port: int, folder: str, descriptor: int, num_workers: int) -> None:
        """Set the leader's address, the folder for the run's files, and the number of workers.

        `descriptor`: of the memory for the run's state, in this process.
        """
        self._address, self._port, self._folder = address, port, Path(folder)
        self._state_fd, self._num_workers = descriptor, num_workers

    def run_next(self) -> dict[str, Any]:
        """Join a group if there is none, or execute the leader's next message.

        Returns {"state": "waiting", "unreachable", "training" or "done", ...}. Raises TrainingError if the message is
        malformed.
        """
        try:
            self._rendezvous = self._rendezvous or RendezvousClient(self._address, self._port)
            if self._group is None:
                self._group = self._rendezvous.wait_for_group()
                if self._group is None:
                    return {"state": "waiting"}
                self._handshake()
            message = self.group.broadcast_object()
            if message["call"] == "step":
                return {"state": "training", "num_peers": self.group.size, **self._run_announced_step(message)}
            if message["call"] == "sample_telemetry":
                self.group.all_gather_object(self._control.sample_telemetry(message["tokens_per_micro_batch"]))
            if message["call"] in ("wait", "sample_telemetry"):
                return {"state": "training", "num_peers": self.group.size}
            self._leave_group()
            return {"state": "done" if message["call"] == "end" else "waiting"}
        except GroupLost as lost:
            self._leave_group()
            return {"state": "unreachable", "reason": str(lost)}
        except (KeyError, TypeError, ValueError) as error:
            raise TrainingError(
                f"a message from {self._address} is malformed ({error!r}): check that both machines run the same "
                "version of CLLM"
            ) from None

    def _leave_group(self) -> None:
        self._group = self._rendezvous = None

    def _handshake(self) -> None:
        message = self.group.broadcast_object()
        if (version := message["cllm"]) != __version__:
            raise TrainingError(
                f"the machine at {self._address} runs CLLM {version}, this one {__version__}: install the same version"
            )
        step = message["step"]
        engine = Engine(**message["engine"])
        is_same_engine = not list(differences(engine, engine_of(detect_machine(), engine.dtype)))
        has_run = message["run"] == self._identity
        if self._identity and not has_run:
            os._exit(1)  # the leader has another run than before: the replacement process starts without one
        own_digest = self.state_digest(step) if has_run else NO_DIGEST
        found = self.group.all_gather_values([has_run, own_digest, self._speed, self._num_workers, is_same_engine])
        self.set_speeds(found[:, 2].tolist(), found[:, 3].tolist())
        if not found[:, 0].all():
            self._receive_run(has_run, message["run"])
        if not (found[:, 1] == found[0, 1]).all():
            self.broadcast_state(step)
        self.barrier(step)

    def _receive_run(self, has_run: bool, identity: str) -> None:
        """Receive the files of the run, and load it; a machine that has them takes part in the broadcasts only."""
        message = self.group.broadcast_object()
        for name, size in message["files"]:
            content = bytearray()
            for first in range(0, size, CHUNK_BYTES):
                chunk = torch.empty(min(CHUNK_BYTES, size - first), dtype=torch.uint8)
                self.group.broadcast(chunk)
                content += b"" if has_run else chunk.numpy().tobytes()
            if not has_run:
                self._save_file(name, bytes(content))
        if not has_run:
            self._save_file("plan.json", message["plan"].encode())
            self.load_run(
                str(self._folder),
                str(self._folder / "plan.json"),
                self._state_fd,
                message["dev"],
                self._num_workers,
                functools.partial(check_available_memory, self._num_workers),
            )
            if self._identity != identity:
                raise ArtifactError("the run received from the leader is corrupt: its hash does not match")

    def _save_file(self, name: str, content: bytes) -> None:
        if not FILE_NAME.fullmatch(name):
            raise ArtifactError(f"the run has a file with the invalid name {name!r}")
        path = self._folder / name
        try:
            path.parent.mkdir(exist_ok=True)
            write_file(path, content)
        except OSError as error:
            raise TrainingError(
                f"{path} cannot be written ({error.strerror}): free some space, and join again"
            ) from None

    def _run_announced_step(self, message: dict[str, Any]) -> dict[str, Any]:
        """Run the step that the leader announced."""
        step = message["step"]
        if message["amendments"] is not None:
            save_plan(self._control.plan.with_amendments(message["amendments"]), self._plan_path)
            self._control.amend(message["amendments"])
        if message["resync"]:
            self.broadcast_state(step)
        done = self.run_step(step)
        return {"step": step + 1, "steps": self._control.plan.steps, **done}


def check_available_memory(num_workers: int, plan: Plan) -> None:
    """Raise TrainingError if this machine does not have enough memory for a run with `num_workers` workers."""
    needed = needed_bytes(plan.model, plan.engine.dtype, plan.levels, num_workers)
    free = detect_machine().available_bytes
    if needed > free:
        raise TrainingError(f"the run needs {needed / 1e9:.1f} GB of memory; this machine has {free / 1e9:.1f} GB free")


def main() -> None:
    with ExitStack() as processes:
        follower = Follower(processes)
        serve({name: exit_on_worker_lost(getattr(follower, name)) for name in CALLS})
