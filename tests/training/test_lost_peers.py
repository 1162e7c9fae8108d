"""Two machines of which one is lost before or after every kind of group call: the weights stay bit-identical."""

import dataclasses
import socket
import threading
from pathlib import Path

import pytest
from conftest import DEV

from cllm.model.weights import weights_sha256
from cllm.spheres import FIRST_EXTRA_FD, ForkServer, Sphere, create_shared_memory
from cllm.training import launch
from cllm.training.launch import CONTROL, FOLLOWER, LEADER, WORKER, Workers, worker_environment
from cllm.training.layout import named_arrays
from cllm.training.loop import train
from cllm.training.plan import Phase, Plan, save_plan

HOST = "127.0.0.1"


def free_port() -> int:
    with socket.create_server((HOST, 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def long_plan(plan: Plan) -> Plan:
    """Sixteen steps of 144 micro-batches."""
    return dataclasses.replace(plan, phases=(Phase(context=32, rows=1, until=1.0, steps=16),), levels=2)


@pytest.mark.slow
@pytest.mark.parametrize(("leader", "follower"), [(LEADER, "failing_follower"), ("failing_leader", FOLLOWER)])
def test_weights_are_bit_identical_if_a_machine_is_lost_at_any_call(
    run: Path, tmp_path: Path, long_plan: Plan, monkeypatch: pytest.MonkeyPatch, leader: str, follower: str
) -> None:
    monkeypatch.setattr(launch, "LEADER", leader)
    environment = {**worker_environment(), "PYTHONPATH": str(Path(__file__).parent)}
    path, port = tmp_path / "plan.json", free_port()
    save_plan(long_plan, path)
    states: list[str] = []

    with (
        ForkServer([leader, CONTROL, WORKER], environment) as fork_server,
        ForkServer([follower, WORKER], environment) as other_fork_server,
    ):
        hashes = []
        for listen in (None, (HOST, port)):
            with Workers(1, fork_server, levels=2, listen=listen) as workers:
                shared = workers.load_run(run, long_plan, path, DEV)
                workers.sphere.call_one("initialise")
                messages: list[str] = []
                follower_thread = threading.Thread(
                    target=run_follower, args=(other_fork_server, follower, port, tmp_path, states)
                )
                if listen is not None:
                    follower_thread.start()
                run_step = workers.step_runner(messages.append)
                list(train(workers.sphere, long_plan, path, 0, lambda plan, _: plan, lambda: 1, run_step))
                workers.end()
                hashes.append(weights_sha256(named_arrays(shared, "weights", long_plan.model, long_plan.steps)))
            if listen is not None:
                follower_thread.join(60)
        assert hashes[0] == hashes[1]
        assert states.count("unreachable") >= 8 and states.count("training") >= 4, states
        assert any("2 machines" in sentence for sentence in messages)


def run_follower(fork_server: ForkServer, module: str, port: int, folder: Path, states: list[str]) -> None:
    with Sphere(fork_server, module, 1, [create_shared_memory()], idempotent=True) as sphere:
        arguments = {"address": HOST, "port": port, "folder": str(folder / "other")}
        (folder / "other").mkdir()
        sphere.prepare("configure", **arguments, descriptor=FIRST_EXTRA_FD, num_workers=1)
        while not states or states[-1] != "done":
            states.append(sphere.call_one("run_next")["state"])
            if states[-8:] == ["unreachable"] * 8:
                return
