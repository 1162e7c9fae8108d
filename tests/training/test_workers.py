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
def test_n_workers_give_the_loss_and_the_weights_of_one(train_tiny: TrainTiny, plan: Plan) -> None:
    reports, _, weights = train_tiny(plan, 1)
    assert reports[-1].loss < reports[0].loss
    for num_workers in (2, 3, 5, 12):
        others, _, same = train_tiny(plan, num_workers)
        assert same == weights, f"{num_workers} workers"
        assert [report.loss for report in others] == [report.loss for report in reports]


@pytest.mark.slow
def test_n_workers_give_the_weights_of_one_in_fp32_under_an_amended_plan(train_tiny: TrainTiny, plan: Plan) -> None:
    engine = dataclasses.replace(plan.engine, dtype="float32")
    plan = dataclasses.replace(plan, engine=engine, amendments=(Amendment(step=5, remaining=3),))
    reports, _, weights = train_tiny(plan, 1)
    assert len(reports) == 8
    assert train_tiny(plan, 2)[2] == weights


@pytest.mark.slow
def test_workers_that_rest_for_some_steps_change_nothing(train_tiny: TrainTiny, plan: Plan) -> None:
    weights = train_tiny(plan, 1)[2]
    reports, _, same = train_tiny(plan, 3, [3, 1, 2])
    assert same == weights
    assert [report.num_workers for report in reports[:4]] == [3, 1, 2, 3]


@pytest.mark.slow
def test_workers_that_join_and_leave_change_nothing(train_tiny: TrainTiny, plan: Plan) -> None:
    reports, _, same = train_tiny(plan, 2, [2, 3, 12, 1, 5, 2], joining=True)
    assert same == train_tiny(plan, 1)[2]
    assert [report.num_workers for report in reports[:6]] == [2, 3, 12, 1, 5, 2]


@pytest.fixture
def two_levels(plan: Plan) -> Plan:
    """Four steps of 144 positions."""
    phases = (
        dataclasses.replace(plan.phases[0], rows=1, until=0.5, steps=2),
        dataclasses.replace(plan.phases[1], steps=2),
    )
    return dataclasses.replace(plan, phases=phases, levels=2)


@pytest.mark.slow
def test_of_two_levels_any_number_of_workers_gives_the_weights_of_one(train_tiny: TrainTiny, two_levels: Plan) -> None:
    reports, _, weights = train_tiny(two_levels, 1)
    assert reports[0].tokens == 144 * 32 and reports[-1].loss < reports[0].loss
    for num_workers in (2, 3, 5, 12, 13):
        others, _, same = train_tiny(two_levels, num_workers)
        assert same == weights, f"{num_workers} workers"
        assert [report.loss for report in others] == [report.loss for report in reports]
        assert others[0].num_workers == (2 if num_workers == 13 else 1)


def killing(
    monkeypatch: pytest.MonkeyPatch, choose: Callable[[int], int], number: int = signal.SIGKILL, every: int = 7
) -> list[int]:
    """Now and then a position is asked of a worker below which a process, by `choose`, gets a signal; which ones."""
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
@pytest.mark.parametrize("which", CHOICES)
def test_of_two_levels_whoever_is_killed_is_replaced(
    train_tiny: TrainTiny, two_levels: Plan, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = train_tiny(two_levels, 1)[2]
    killed = killing(monkeypatch, CHOICES[which])
    assert train_tiny(two_levels, 13)[2] == weights
    assert len(killed) > 2 and not any(is_alive(pid) for pid in killed)


@pytest.mark.slow
def test_of_two_levels_a_leaf_that_hangs_is_replaced_by_its_control_node(
    train_tiny: TrainTiny, two_levels: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = train_tiny(two_levels, 1)[2]
    stopped = killing(monkeypatch, CHOICES["leaf"], signal.SIGSTOP, every=15)
    assert train_tiny(two_levels, 13)[2] == weights
    assert len(stopped) == 1 and not is_alive(stopped[0])


@pytest.mark.slow
def test_of_two_levels_nobody_is_left_behind(
    run: Path, tmp_path: Path, fork_server: ForkServer, two_levels: Plan
) -> None:
    path = tmp_path / "plan.json"
    save_plan(two_levels, path)
    with Workers(13, fork_server, levels=2) as workers:
        workers.load_run(run, two_levels, path, [])
        assert workers.num_workers == 13 and len(workers.sphere.workers) == 2
        pids = workers.pids
        assert len(pids) == 2 + 2 + 13
    wait_until_gone(pids)


@pytest.mark.slow
def test_dropout_and_shared_keys_are_the_same_for_any_number_of_workers(train_tiny: TrainTiny, plan: Plan) -> None:
    for unusual in (
        dataclasses.replace(plan, training=dataclasses.replace(plan.training, dropout=0.1)),
        dataclasses.replace(plan, model=dataclasses.replace(plan.model, n_kv_head=1)),
    ):
        reports, _, weights = train_tiny(unusual, 1)
        assert reports[-1].loss < reports[0].loss and train_tiny(unusual, 2)[2] == weights


@pytest.mark.slow
@pytest.mark.parametrize("call", ["compute", "reduce", "update"])
def test_workers_killed_in_the_middle_of_a_step_change_nothing(
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
def test_an_update_that_was_half_done_is_made_again(
    run: Path, tmp_path: Path, fork_server: ForkServer, plan: Plan
) -> None:
    path = tmp_path / "plan.json"
    save_plan(plan, path)
    with Workers(1, fork_server) as workers:
        shared = workers.load_run(run, plan, path, [])
        workers.sphere.call_one("initialise")
        everything = shares(plan.model, 1)[0]
        for position in range(FANOUT):
            workers.sphere.call_one("compute", step=0, position=position)
        workers.sphere.call_one("reduce", part_indices=everything)
        workers.sphere.call_one("update", step=0, part_indices=everything)
        done = {name: shared[name].copy() for name in ("weights", "first_moment", "second_moment", "compute")}
        for name in ("weights", "first_moment", "second_moment"):
            shared[name][buffer_index(1), ::3] = 7.0
        shared["compute"][::3] = 7
        workers.sphere.call_one("update", step=0, part_indices=everything)
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
