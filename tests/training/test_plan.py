"""The training plan: storage, progress, amendments, learning rate, and rejection of invalid values."""

import dataclasses
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm.errors import ArtifactError, CllmError
from cllm.training.plan import (
    Amendment,
    Plan,
    learning_rate_scale,
    load_plan,
    save_plan,
    timeline,
)


def test_plan_round_trip(plan: Plan, tmp_path: Path) -> None:
    plan = dataclasses.replace(plan, amendments=(Amendment(step=4, remaining=3),), seconds=12.5)
    save_plan(plan, tmp_path / "plan.json")
    assert load_plan(tmp_path / "plan.json") == plan


@pytest.mark.parametrize("damage", ["unknown key", "missing key", "other version", "no object", "no JSON"])
def test_invalid_plan_file_raises_an_error_naming_it(plan: Plan, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "plan.json"
    save_plan(plan, path)
    value = json.loads(path.read_text())
    if damage == "unknown key":
        value["learning_speed"] = 3
    elif damage == "missing key":
        del value["model"]["n_head"]
    elif damage == "other version":
        value["schema_version"] = 99
    path.write_text({"no object": "[]", "no JSON": "{"}.get(damage, json.dumps(value)))
    with pytest.raises(CllmError, match="plan.json"):
        load_plan(path)


def test_progress_is_the_share_of_planned_time(plan: Plan) -> None:
    step_infos = timeline(plan)
    assert [step_info.phase for step_info in step_infos] == [0] * 6 + [1] * 4
    assert [step_info.phase_step for step_info in step_infos] == [0, 1, 2, 3, 4, 5, 0, 1, 2, 3]
    assert [step_info.progress for step_info in step_infos] == pytest.approx(
        [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    )
    assert plan.tokens == 12 * (6 * 2 * 32 + 4 * 64)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 30)), max_size=3))
def test_amendments_keep_earlier_steps_and_set_the_remaining_ones(
    plan: Plan, amendments: list[tuple[int, int]]
) -> None:
    for step, remaining in amendments:
        before = timeline(plan)
        if step >= len(before):
            return
        plan = dataclasses.replace(plan, amendments=(*plan.amendments, Amendment(step=step, remaining=remaining)))
        after = timeline(plan)
        assert after[:step] == before[:step]
        assert after[step].progress == pytest.approx(before[step].progress)
        assert len(after) == step + remaining
        progress = [step_info.progress for step_info in after]
        assert all(one < other for one, other in pairwise([*progress, 1.0]))


def test_learning_rate_warms_up_stays_constant_and_decays(plan: Plan) -> None:
    scales = [learning_rate_scale(plan.training, progress / 100) for progress in range(101)]
    assert scales[0] < 0.5
    assert scales[5:50] == [1.0] * 45
    assert scales[50:] == sorted(scales[50:], reverse=True)
    assert scales[100] == pytest.approx(plan.training.min_lr_ratio)


INVALID_VALUES: dict[str, Any] = {
    "seed": -1,
    "seconds": "long",
    "phases": [],
    "phases.0.context": 1 << 12,
    "phases.0.rows": 0,
    "phases.0.steps": 2.5,
    "phases.0.until": 1.0,
    "phases.1.until": 0.9,
    "engine.dtype": "float8",
    "model.n_layer": "two",
    "training.fim_rate": True,
    "optimizer.betas": [0.9],
    "amendments": [{"step": 99, "remaining": 1}],
}


@pytest.mark.parametrize("key", INVALID_VALUES)
def test_invalid_value_raises_an_error_naming_it(plan: Plan, tmp_path: Path, key: str) -> None:
    path = tmp_path / "plan.json"
    save_plan(plan, path)
    value = part = json.loads(path.read_text())
    *parents, last = [int(name) if name.isdecimal() else name for name in key.split(".")]
    for name in parents:
        part = part[name]
    part[last] = INVALID_VALUES[key]
    path.write_text(json.dumps(value))
    with pytest.raises(ArtifactError, match=f"{last}|the phases|a phase" if parents else str(last).rstrip("s")):
        load_plan(path)
