"""Weights are bit-identical for any number of workers, also if workers idle, join, leave or are killed."""

import dataclasses
import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from processes import is_alive, wait_until_gone

from cllm.machine import descendants
from cllm.model.config import is_matrix
from cllm.spheres import ForkServer, SharedArrays
from cllm.spheres.order import FANOUT
from cllm.spheres.remote import Call, RemoteWorker
from cllm.training.launch import Workers
from cllm.training.layout import buffer_index, parameter_slices
from cllm.training.loop import StepReport, shares
from cllm.training.plan import Amendment, Plan, save_plan

TrainTiny = Callable[..., tuple[list[StepReport], SharedArrays, str]]


@pytest.mark.slow
def test_weights_and_losses_are_identical_for_any_number_of_workers(train_tiny: TrainTiny, plan: Plan) -> None:
    reports, _, weights = train_tiny(plan, 1)
    assert reports[-1].loss < reports[0].loss
    for num_workers in (2, 3, 5, 12):
        others, _, other_weights = train_tiny(plan, num_workers)
        assert other_weights == weights, f"{num_workers} workers"
        assert [report.loss for report in others] == [report.loss for report in reports]


@pytest.mark.slow
def test_weights_are_identical_in_float32_with_an_amended_plan(train_tiny: TrainTiny, plan: Plan) -> None:
    engine = dataclasses.replace(plan.engine, dtype="float32")
    plan = dataclasses.replace(plan, engine=engine, amendments=(Amendment(step=5, remaining=3),))
    reports, _, weights = train_tiny(plan, 1)
    assert len(reports) == 8
    assert train_tiny(plan, 2)[2] == weights


@pytest.mark.slow
def test_idle_workers_do_not_change_the_weights(train_tiny: TrainTiny, plan: Plan) -> None:
    weights = train_tiny(plan, 1)[2]
    reports, _, other_weights = train_tiny(plan, 3, [3, 1, 2])
    assert other_weights == weights
    assert [report.num_workers for report in reports[:4]] == [3, 1, 2, 3]


@pytest.mark.slow
def test_joining_and_leaving_workers_do_not_change_the_weights(train_tiny: TrainTiny, plan: Plan) -> None:
    reports, _, other_weights = train_tiny(plan, 2, [2, 3, 12, 1, 5, 2], resizes=True)
    assert other_weights == train_tiny(plan, 1)[2]
    assert [report.num_workers for report in reports[:6]] == [2, 3, 12, 1, 5, 2]


@pytest.fixture
def two_levels(plan: Plan) -> Plan:
    """Four steps of 144 micro-batches."""
    phases = (
        dataclasses.replace(plan.phases[0], rows=1, until=0.5, steps=2),
        dataclasses.replace(plan.phases[1], steps=2),
    )
    return dataclasses.replace(plan, phases=phases, levels=2)


@pytest.mark.slow
def test_two_levels_give_identical_weights_for_any_number_of_workers(train_tiny: TrainTiny, two_levels: Plan) -> None:
    reports, _, weights = train_tiny(two_levels, 1)
    assert reports[0].tokens == 144 * 32 and reports[-1].loss < reports[0].loss
    for num_workers in (2, 3, 5, 12, 13):
        others, _, other_weights = train_tiny(two_levels, num_workers)
        assert other_weights == weights, f"{num_workers} workers"
        assert [report.loss for report in others] == [report.loss for report in reports]
        assert others[0].num_workers == (2 if num_workers == 13 else 1)


def kill_periodically(
    monkeypatch: pytest.MonkeyPatch, choose: Callable[[int], int], number: int = signal.SIGKILL, every: int = 7
) -> list[int]:
    """At each `every`-th `compute` call, send a signal to `choose(worker's PID)`; returns the list of the PIDs."""
    killed: list[int] = []
    num_calls, send = 0, RemoteWorker.send

    def send_and_kill(worker: RemoteWorker, message: Call) -> None:
        nonlocal num_calls
        send(worker, message)
        if message.name == "compute":
            num_calls += 1
            if num_calls % every == 0:
                killed.append(choose(worker.process.pid))
                os.kill(killed[-1], number)

    monkeypatch.setattr(RemoteWorker, "send", send_and_kill)
    return killed


CHOICES: dict[str, Callable[[int], int]] = {
    "control": lambda pid: pid,
    "fork_server": lambda pid: descendants(pid)[0],
    "leaf": lambda pid: descendants(pid)[-1],
}


@pytest.mark.slow
@pytest.mark.parametrize("process", CHOICES)
def test_two_levels_replace_killed_processes(
    train_tiny: TrainTiny, two_levels: Plan, process: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = train_tiny(two_levels, 1)[2]
    killed = kill_periodically(monkeypatch, CHOICES[process])
    assert train_tiny(two_levels, 13)[2] == weights
    assert len(killed) > 2 and not any(is_alive(pid) for pid in killed)


@pytest.mark.slow
def test_two_levels_replace_a_hanging_leaf(
    train_tiny: TrainTiny, two_levels: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = train_tiny(two_levels, 1)[2]
    stopped = kill_periodically(monkeypatch, CHOICES["leaf"], signal.SIGSTOP, every=15)
    assert train_tiny(two_levels, 13)[2] == weights
    assert len(stopped) == 1 and not is_alive(stopped[0])


@pytest.mark.slow
def test_two_levels_end_all_processes(run: Path, tmp_path: Path, fork_server: ForkServer, two_levels: Plan) -> None:
    path = tmp_path / "plan.json"
    save_plan(two_levels, path)
    with Workers(13, fork_server, levels=2) as workers:
        workers.load_run(run, two_levels, path, [])
        assert workers.num_workers == 13 and len(workers.sphere.workers) == 2
        pids = workers.pids
        assert len(pids) == 2 + 2 + 13
    wait_until_gone(pids)


@pytest.mark.slow
def test_weights_are_identical_with_dropout_and_grouped_query_attention(train_tiny: TrainTiny, plan: Plan) -> None:
    for variant in (
        dataclasses.replace(plan, training=dataclasses.replace(plan.training, dropout=0.1)),
        dataclasses.replace(plan, model=dataclasses.replace(plan.model, n_kv_head=1)),
    ):
        reports, _, weights = train_tiny(variant, 1)
        assert reports[-1].loss < reports[0].loss and train_tiny(variant, 2)[2] == weights


@pytest.mark.slow
@pytest.mark.parametrize("call", ["compute", "reduce", "update"])
def test_workers_killed_during_a_call_do_not_change_the_weights(
    train_tiny: TrainTiny, plan: Plan, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = train_tiny(plan, 1)[2]
    num_calls = 0
    send = RemoteWorker.send

    def send_and_kill(worker: RemoteWorker, message: Call) -> None:
        nonlocal num_calls
        send(worker, message)
        if message.name == call:
            num_calls += 1
            if num_calls % 7 == 0:
                worker.process.kill()

    monkeypatch.setattr(RemoteWorker, "send", send_and_kill)
    assert train_tiny(plan, 3)[2] == weights
    assert num_calls > 7


@pytest.mark.slow
def test_partial_update_can_be_repeated(run: Path, tmp_path: Path, fork_server: ForkServer, plan: Plan) -> None:
    path = tmp_path / "plan.json"
    save_plan(plan, path)
    with Workers(1, fork_server) as workers:
        shared = workers.load_run(run, plan, path, [])
        workers.sphere.call_one("initialise")
        all_parts = shares(plan.model, 1)[0]
        for position in range(FANOUT):
            workers.sphere.call_one("compute", step=0, position=position)
        workers.sphere.call_one("reduce", part_indices=all_parts)
        workers.sphere.call_one("update", step=0, part_indices=all_parts)
        done = {name: shared[name].copy() for name in ("weights", "first_moment", "second_moment", "compute")}
        for name in ("weights", "first_moment", "second_moment"):
            shared[name][buffer_index(1), ::3] = 7.0
        shared["compute"][::3] = 7
        workers.sphere.call_one("update", step=0, part_indices=all_parts)
        for parameter in parameter_slices(plan.model):
            part = slice(parameter.offset, parameter.offset + parameter.size)
            assert np.array_equal(shared["compute"][part], done["compute"][part])
            for name in (
                ("weights", "first_moment")
                if is_matrix(parameter.name)
                else ("weights", "first_moment", "second_moment")
            ):
                assert np.array_equal(shared[name][:, part], done[name][:, part]), (name, parameter.name)


@pytest.mark.slow
def test_another_seed_gives_other_weights(train_tiny: TrainTiny, plan: Plan) -> None:
    assert train_tiny(plan, 2)[2] != train_tiny(dataclasses.replace(plan, seed=1), 2)[2]
