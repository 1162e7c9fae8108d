"""The control node of a machine that came to take part in another one's run: it does what the first machine says."""

import os
import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from cllm.artifacts import write_file
from cllm.errors import ArtifactError, TrainingError
from cllm.machine import describe
from cllm.spheres.group import CHUNK_BYTES, GroupLost, Visitor
from cllm.spheres.worker import serve
from cllm.training.control import ending_if_lost
from cllm.training.engine import differences, engine_of
from cllm.training.layout import needed_bytes
from cllm.training.machines import Machine
from cllm.training.plan import Engine, Plan, load_plan

CALLS = ("attend", "turn")
NOTHING = -1  # no digest
FILE_NAME = re.compile(r"(dataset/)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


class Other(Machine):
    """A machine that came to take part in another one's run."""

    def __init__(self, processes: ExitStack) -> None:
        super().__init__(processes)
        self._visitor: Visitor | None = None
        self._identity = ""

    def attend(self, address: str, port: int, folder: str, descriptor: int, num_workers: int) -> None:
        """What `turn` needs to know; files of the run go into `folder`."""
        self._address, self._port, self._folder = address, port, Path(folder)
        self._descriptor, self._num_workers = descriptor, num_workers

    def turn(self) -> dict[str, Any]:
        """Do the next thing that there is to do; {"state": "waiting", "lost", "learning" or "done", ...}."""
        try:
            self._visitor = self._visitor or Visitor(self._address, self._port)
            if self._group is None:
                self._group = self._visitor.wait_for_group()
                if self._group is None:
                    return {"state": "waiting"}
                self._be_welcomed()
            told = self.group.tell()
            if told["call"] == "step":
                return {"state": "learning", "machines": self.group.size, **self._follow(told)}
            if told["call"] == "look":
                self.group.collect(self._control.look(told["tokens_per_position"]))
            if told["call"] in ("wait", "look"):
                return {"state": "learning", "machines": self.group.size}
            self._leave()
            return {"state": "done" if told["call"] == "end" else "waiting"}
        except GroupLost as lost:
            self._leave()
            return {"state": "lost", "why": str(lost)}
        except (KeyError, TypeError, ValueError) as error:
            raise TrainingError(
                f"what {self._address} says is not understood ({error!r}): is it another version of CLLM?"
            ) from None

    def _leave(self) -> None:
        self._group = self._visitor = None

    def _be_welcomed(self) -> None:
        told = self.group.tell()
        step = told["step"]
        engine = Engine(**told["engine"])
        is_alike = not list(differences(engine, engine_of(describe(), engine.dtype)))
        knows = told["run"] == self._identity
        if self._identity and not knows:
            os._exit(1)  # another run than before: for another process in this one's place
        has = self.digest(step) if knows else NOTHING
        found = self.group.gather([knows, has, self._speed, self._num_workers, is_alike])
        self.note_speeds(found[:, 2].tolist(), found[:, 3].tolist())
        if not found[:, 0].all():
            self._take_run(knows, told["run"])
        if not (found[:, 1] == found[0, 1]).all():
            self.share_state(step)
        self.be_ready(step)

    def _take_run(self, knows: bool, identity: str) -> None:
        """Take the files of the run; who has them lets them pass."""
        told = self.group.tell()
        for name, size in told["files"]:
            content = bytearray()
            for first in range(0, size, CHUNK_BYTES):
                chunk = torch.empty(min(CHUNK_BYTES, size - first), dtype=torch.uint8)
                self.group.send_to_all(chunk)
                content += b"" if knows else chunk.numpy().tobytes()
            if not knows:
                self._keep(name, bytes(content))
        if not knows:
            self._keep("plan.json", told["plan"].encode())
            plan = self._folder / "plan.json"
            check_room(load_plan(plan))
            self.join(str(self._folder), str(plan), self._descriptor, told["dev"], self._num_workers)
            if self._identity != identity:
                raise ArtifactError("what came over the network is not the run: its hash is another one")

    def _keep(self, name: str, content: bytes) -> None:
        if not FILE_NAME.fullmatch(name):
            raise ArtifactError(f"a file of the run is called {name!r}, which cannot be")
        path = self._folder / name
        try:
            path.parent.mkdir(exist_ok=True)
            write_file(path, content)
        except OSError as error:
            raise TrainingError(
                f"{path} cannot be written ({error.strerror}): free some space, and join again"
            ) from None

    def _follow(self, told: dict[str, Any]) -> dict[str, Any]:
        """Take the step that the first machine says."""
        step = told["step"]
        if told["plan"]:
            self._keep("plan.json", told["plan"].encode())
            self._control.amend(str(self._plan_path))
        if told["renew"]:
            self.share_state(step)
        done = self.take(step)
        return {"step": step + 1, "steps": self._control.plan.steps, **done}


def check_room(plan: Plan) -> None:
    """TrainingError where this machine has not the memory for a run."""
    needed, free = needed_bytes(plan.model, plan.engine.dtype, plan.levels), describe().available_bytes
    if needed > free:
        raise TrainingError(f"the run takes {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free here")


def main() -> None:
    with ExitStack() as processes:
        other = Other(processes)
        serve({name: ending_if_lost(getattr(other, name)) for name in CALLS})
