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
    sentences: list[str] = []
    checkpoint = newest_checkpoint(folder, sentences.append)
    return (checkpoint.step if checkpoint else None), sentences


def test_a_checkpoint_comes_back(folder: Path, shared: SharedArrays, plan: Plan) -> None:
    checkpoint = newest_checkpoint(folder, pytest.fail)
    assert checkpoint is not None and checkpoint.step == 9
    assert checkpoint.usage == ResourceUsage(seconds=13.5, dev_bits_per_byte=((9, 2.0),))
    other = new_shared_arrays(plan)
    restore(checkpoint, other, plan)
    pairs = zip(saved_arrays(other, plan.model, 9).values(), saved_arrays(shared, plan.model, 9).values(), strict=True)
    assert all(np.array_equal(one, two) for one, two in pairs)
    assert not other["weights"][buffer_index(8)].any(), "the other side is left alone"


@pytest.mark.parametrize("name", ["state.safetensors", MANIFEST])
@pytest.mark.parametrize("harm", ["truncate", "alter", "remove", "empty"])
def test_a_damaged_checkpoint_is_named_and_passed_over(folder: Path, name: str, harm: str) -> None:
    path = folder / "step-000009" / name
    content = path.read_bytes()
    if harm == "remove":
        path.unlink()
    else:
        place = content.index(b'"sha256": "') + 12 if name == MANIFEST else len(content) // 2
        flipped = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        path.write_bytes({"truncate": content[:-7], "alter": flipped, "empty": b""}[harm])
    step, sentences = newest_step(folder)
    assert step == 5
    assert len(sentences) == 1 and "step-000009" in sentences[0]


def test_without_a_good_one_there_is_none(folder: Path) -> None:
    for path in folder.glob("step-*"):
        (path / MANIFEST).unlink()
    step, sentences = newest_step(folder)
    assert step is None and len(sentences) == 2


def test_old_ones_go_and_leftovers_are_swept(folder: Path, shared: SharedArrays, plan: Plan) -> None:
    (folder / ".tmp-1-step-000010").mkdir()
    assert newest_step(folder) == (9, [])
    checkpointer = Checkpointer(folder, shared, plan)
    for step in range(20, 26):
        checkpointer.save(step, ResourceUsage())
    checkpointer.wait()
    assert sorted(path.name for path in folder.iterdir()) == ["step-000024", "step-000025"][-NUM_KEPT_CHECKPOINTS:]


def test_saving_the_same_step_again_is_allowed(folder: Path, shared: SharedArrays, plan: Plan) -> None:
    checkpointer = Checkpointer(folder, shared, plan)
    checkpointer.save(9, ResourceUsage(seconds=99.0))
    checkpointer.wait()
    checkpoint = newest_checkpoint(folder, pytest.fail)
    assert checkpoint is not None and checkpoint.usage.seconds == 99.0


def test_a_full_disk_is_one_sentence_and_the_last_one_stays(
    folder: Path, shared: SharedArrays, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    checkpointer = Checkpointer(folder, shared, plan)
    monkeypatch.setattr("safetensors.numpy.save_file", full)
    checkpointer.save(30, ResourceUsage())
    with pytest.raises(ArtifactError, match="No space left on device.*free some space"):
        checkpointer.wait()
    assert newest_step(folder) == (9, [])
    assert not list(folder.glob(".tmp-*"))


def test_the_state_is_copied_before_save_returns(folder: Path, shared: SharedArrays, plan: Plan) -> None:
    before = shared["weights"].copy()
    checkpointer = Checkpointer(folder, shared, plan)
    checkpointer.save(11, ResourceUsage())
    shared["weights"][...] = 0
    checkpointer.wait()
    checkpoint = newest_checkpoint(folder, pytest.fail)
    assert checkpoint is not None
    other = new_shared_arrays(plan)
    restore(checkpoint, other, plan)
    assert np.array_equal(other["weights"][buffer_index(11)], before[buffer_index(11)])


def test_one_that_was_put_aside_while_it_was_replaced_is_found(folder: Path) -> None:
    (folder / "step-000009").rename(folder / ".old-77-step-000009")
    assert newest_step(folder) == (9, [])


def test_a_checkpoint_of_another_plan_is_refused(folder: Path, plan: Plan) -> None:
    checkpoint = newest_checkpoint(folder, pytest.fail)
    assert checkpoint is not None
    with pytest.raises(ArtifactError, match="another plan"):
        restore(checkpoint, new_shared_arrays(plan), dataclasses.replace(plan, seed=1))
    amended = dataclasses.replace(plan, amendments=(Amendment(step=2, remaining=3),), seconds=5.0)
    restore(checkpoint, new_shared_arrays(plan), amended)
