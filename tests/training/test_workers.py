import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cllm.model.config import is_matrix
from cllm.spheres import Nursery, SharedArrays
from cllm.spheres.remote import Call, Worker
from cllm.training.launch import Workers
from cllm.training.layout import parameters, side_of
from cllm.training.loop import StepReport, shares
from cllm.training.plan import POSITIONS, Amendment, Plan, save_plan

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


@pytest.mark.slow
def test_dropout_and_shared_keys_are_the_same_for_any_number_of_workers(train_tiny: TrainTiny, plan: Plan) -> None:
    for unusual in (
        dataclasses.replace(plan, recipe=dataclasses.replace(plan.recipe, dropout=0.1)),
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
    asked = 0
    send = Worker.send

    def send_and_kill(worker: Worker, message: Call) -> None:
        nonlocal asked
        send(worker, message)
        if message.name == call:
            asked += 1
            if asked % 7 == 0:
                worker.process.kill()

    monkeypatch.setattr(Worker, "send", send_and_kill)
    assert train_tiny(plan, 3)[2] == weights
    assert asked > 7


@pytest.mark.slow
def test_an_update_that_was_half_done_is_made_again(run: Path, tmp_path: Path, nursery: Nursery, plan: Plan) -> None:
    path = tmp_path / "plan.json"
    save_plan(plan, path)
    with Workers(1, nursery) as workers:
        shared = workers.join(run, plan, path, [])
        workers.sphere.call_one("initialise")
        everything = shares(plan.model, 1)[0]
        for position in range(POSITIONS):
            workers.sphere.call_one("compute", step=0, position=position)
        workers.sphere.call_one("reduce", parts=everything)
        workers.sphere.call_one("update", step=0, parts=everything)
        done = {name: shared[name].copy() for name in ("weights", "first", "second", "compute")}
        for name in ("weights", "first", "second"):
            shared[name][side_of(1), ::3] = 7.0
        shared["compute"][::3] = 7
        workers.sphere.call_one("update", step=0, parts=everything)
        for parameter in parameters(plan.model):
            part = slice(parameter.offset, parameter.offset + parameter.size)
            assert np.array_equal(shared["compute"][part], done["compute"][part])
            for name in ("weights", "first") if is_matrix(parameter.name) else ("weights", "first", "second"):
                assert np.array_equal(shared[name][:, part], done[name][:, part]), (name, parameter.name)


@pytest.mark.slow
def test_another_seed_gives_other_weights(train_tiny: TrainTiny, plan: Plan) -> None:
    assert train_tiny(plan, 2)[2] != train_tiny(dataclasses.replace(plan, seed=1), 2)[2]
