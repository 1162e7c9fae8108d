import dataclasses
import socket
import threading
from pathlib import Path

import pytest
from conftest import DEV

from cllm.model.weights import weights_sha256
from cllm.spheres import FIRST_MORE, Nursery, Sphere, create_memory
from cllm.training import launch
from cllm.training.launch import CONTROL, FIRST, OTHER, WORKER, Workers, worker_environment
from cllm.training.layout import named_arrays
from cllm.training.loop import train
from cllm.training.plan import Phase, Plan, save_plan

HOST = "127.0.0.1"


def free_port() -> int:
    with socket.create_server((HOST, 0)) as listening:
        return int(listening.getsockname()[1])


@pytest.fixture
def long_plan(plan: Plan) -> Plan:
    """Sixteen steps of 144 positions."""
    return dataclasses.replace(plan, phases=(Phase(context=32, rows=1, until=1.0, steps=16),), levels=2)


@pytest.mark.slow
@pytest.mark.parametrize(("first", "other"), [(FIRST, "failing_other"), ("failing_first", OTHER)])
def test_a_machine_that_is_lost_at_every_place_in_turn_changes_nothing(
    run: Path, tmp_path: Path, long_plan: Plan, monkeypatch: pytest.MonkeyPatch, first: str, other: str
) -> None:
    monkeypatch.setattr(launch, "FIRST", first)
    environment = {**worker_environment(), "PYTHONPATH": str(Path(__file__).parent)}
    path, port = tmp_path / "plan.json", free_port()
    save_plan(long_plan, path)
    turns: list[str] = []

    with (
        Nursery([first, CONTROL, WORKER], environment) as nursery,
        Nursery([other, WORKER], environment) as others,
    ):
        hashes = []
        for listen in (None, (HOST, port)):
            with Workers(1, nursery, levels=2, listen=listen) as workers:
                shared = workers.join(run, long_plan, path, DEV)
                workers.sphere.call_one("initialise")
                said: list[str] = []
                visiting = threading.Thread(target=visit, args=(others, other, port, tmp_path, turns))
                if listen is not None:
                    visiting.start()
                take = workers.take(said.append)
                list(train(workers.sphere, long_plan, path, 0, lambda plan, _: plan, lambda: 1, take))
                workers.end()
                hashes.append(weights_sha256(named_arrays(shared, "weights", long_plan.model, long_plan.steps)))
            if listen is not None:
                visiting.join(60)
        assert hashes[0] == hashes[1]
        assert turns.count("lost") >= 8 and turns.count("learning") >= 4, turns
        assert any("2 machines" in sentence for sentence in said)


def visit(nursery: Nursery, module: str, port: int, folder: Path, turns: list[str]) -> None:
    with Sphere(nursery, module, 1, [create_memory()], repeatable=True) as sphere:
        place = {"address": HOST, "port": port, "folder": str(folder / "other")}
        (folder / "other").mkdir()
        sphere.prepare("attend", **place, descriptor=FIRST_MORE, num_workers=1)
        while not turns or turns[-1] != "done":
            turns.append(sphere.call_one("turn")["state"])
            if turns[-8:] == ["lost"] * 8:
                return
