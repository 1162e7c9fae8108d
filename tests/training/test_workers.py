import dataclasses
from collections.abc import Callable

import pytest

from cllm.spheres import SharedArrays
from cllm.training.loop import StepReport
from cllm.training.plan import Amendment, Plan

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
def test_dropout_and_shared_keys_are_the_same_for_any_number_of_workers(train_tiny: TrainTiny, plan: Plan) -> None:
    for unusual in (
        dataclasses.replace(plan, recipe=dataclasses.replace(plan.recipe, dropout=0.1)),
        dataclasses.replace(plan, model=dataclasses.replace(plan.model, n_kv_head=1)),
    ):
        reports, _, weights = train_tiny(unusual, 1)
        assert reports[-1].loss < reports[0].loss and train_tiny(unusual, 2)[2] == weights


@pytest.mark.slow
def test_another_seed_gives_other_weights(train_tiny: TrainTiny, plan: Plan) -> None:
    assert train_tiny(plan, 2)[2] != train_tiny(dataclasses.replace(plan, seed=1), 2)[2]
