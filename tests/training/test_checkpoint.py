"""Checkpoints: round trip, damaged and incomplete ones, retention, and errors of the disk."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest

from cllm.artifacts import MANIFEST
from cllm.errors import ArtifactError
from cllm.spheres import SharedArrays, create_shared_memory
from cllm.training.checkpoint import (
    NUM_KEPT_CHECKPOINTS,
    Checkpointer,
    ResourceUsage,
    newest_checkpoint,
    restore,
    saved_arrays,
)
from cllm.training.layout import buffer_index, layout
from cllm.training.plan import Amendment, Plan


def new_shared_arrays(plan: Plan) -> SharedArrays:
    descriptor = create_shared_memory()
    shared = SharedArrays(layout(plan.model, "bfloat16"), descriptor)
    os.close(descriptor)
    return shared


@pytest.fixture
def shared(plan: Plan) -> SharedArrays:
    shared = new_shared_arrays(plan)
    for step in (0, 1):
        for number, values in enumerate(saved_arrays(shared, plan.model, step).values()):
            values[...] = np.random.default_rng([number, step]).standard_normal(values.shape)
    return shared


@pytest.fixture
def folder(tmp_path: Path, shared: SharedArrays, plan: Plan) -> Path:
    checkpointer = Checkpointer(tmp_path / "checkpoints", shared, plan)
    for step in (5, 9):
        checkpointer.save(step, ResourceUsage(seconds=1.5 * step, dev_bits_per_byte=((step, 2.0),)))
    checkpointer.wait()
    assert checkpointer.last_step == 9
    return tmp_path / "checkpoints"


def newest_step(folder: Path) -> tuple[int | None, list[str]]:
    messages: list[str] = []
    checkpoint = newest_checkpoint(folder, messages.append)
    return (checkpoint.step if checkpoint else None), messages


def test_checkpoint_round_trip(folder: Path, shared: SharedArrays, plan: Plan) -> None:
    checkpoint = newest_checkpoint(folder, pytest.fail)
    assert checkpoint is not None and checkpoint.step == 9
    assert checkpoint.usage == ResourceUsage(seconds=13.5, dev_bits_per_byte=((9, 2.0),))
    restored = new_shared_arrays(plan)
    restore(checkpoint, restored, plan)
    pairs = zip(
        saved_arrays(restored, plan.model, 9).values(), saved_arrays(shared, plan.model, 9).values(), strict=True
    )
    assert all(np.array_equal(found, expected) for found, expected in pairs)
    assert not restored["weights"][buffer_index(8)].any(), "the other buffer is unchanged"


@pytest.mark.parametrize("name", ["state.safetensors", MANIFEST])
@pytest.mark.parametrize("damage", ["truncate", "alter", "remove", "empty"])
def test_damaged_checkpoint_is_reported_and_skipped(folder: Path, name: str, damage: str) -> None:
    path = folder / "step-000009" / name
    content = path.read_bytes()
    if damage == "remove":
        path.unlink()
    else:
        offset = content.index(b'"sha256": "') + 12 if name == MANIFEST else len(content) // 2
        flipped = content[:offset] + bytes([content[offset] ^ 1]) + content[offset + 1 :]
        path.write_bytes({"truncate": content[:-7], "alter": flipped, "empty": b""}[damage])
    step, messages = newest_step(folder)
    assert step == 5
    assert len(messages) == 1 and "step-000009" in messages[0]


def test_no_checkpoint_is_found_if_all_are_damaged(folder: Path) -> None:
    for path in folder.glob("step-*"):
        (path / MANIFEST).unlink()
    step, messages = newest_step(folder)
    assert step is None and len(messages) == 2


def test_old_checkpoints_and_temporary_directories_are_removed(folder: Path, shared: SharedArrays, plan: Plan) -> None:
    (folder / ".tmp-1-step-000010").mkdir()
    assert newest_step(folder) == (9, [])
    checkpointer = Checkpointer(folder, shared, plan)
    for step in range(20, 26):
        checkpointer.save(step, ResourceUsage())
    checkpointer.wait()
    assert sorted(path.name for path in folder.iterdir()) == ["step-000024", "step-000025"][-NUM_KEPT_CHECKPOINTS:]


def test_saving_the_same_step_again_replaces_the_checkpoint(folder: Path, shared: SharedArrays, plan: Plan) -> None:
    checkpointer = Checkpointer(folder, shared, plan)
    checkpointer.save(9, ResourceUsage(seconds=99.0))
    checkpointer.wait()
    checkpoint = newest_checkpoint(folder, pytest.fail)
    assert checkpoint is not None and checkpoint.usage.seconds == 99.0


def test_full_disk_raises_artifact_error_and_keeps_the_last_checkpoint(
    folder: Path, shared: SharedArrays, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    checkpointer = Checkpointer(folder, shared, plan)
    monkeypatch.setattr("safetensors.numpy.save_file", fail)
    checkpointer.save(30, ResourceUsage())
    with pytest.raises(ArtifactError, match="No space left on device.*free some space"):
        checkpointer.wait()
    assert newest_step(folder) == (9, [])
    assert not list(folder.glob(".tmp-*"))


def test_state_is_copied_before_save_returns(folder: Path, shared: SharedArrays, plan: Plan) -> None:
    before = shared["weights"].copy()
    checkpointer = Checkpointer(folder, shared, plan)
    checkpointer.save(11, ResourceUsage())
    shared["weights"][...] = 0
    checkpointer.wait()
    checkpoint = newest_checkpoint(folder, pytest.fail)
    assert checkpoint is not None
    restored = new_shared_arrays(plan)
    restore(checkpoint, restored, plan)
    assert np.array_equal(restored["weights"][buffer_index(11)], before[buffer_index(11)])


def test_checkpoint_renamed_during_replacement_is_found(folder: Path) -> None:
    (folder / "step-000009").rename(folder / ".old-77-step-000009")
    assert newest_step(folder) == (9, [])


def test_checkpoint_of_another_plan_is_rejected(folder: Path, plan: Plan) -> None:
    checkpoint = newest_checkpoint(folder, pytest.fail)
    assert checkpoint is not None
    with pytest.raises(ArtifactError, match="another plan"):
        restore(checkpoint, new_shared_arrays(plan), dataclasses.replace(plan, seed=1))
    amended = dataclasses.replace(plan, amendments=(Amendment(step=2, remaining=3),), seconds=5.0)
    restore(checkpoint, new_shared_arrays(plan), amended)
