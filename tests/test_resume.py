"""Interrupted, killed and resumed training runs: the weights stay bit-identical."""

import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from commandline import Cllm, make_cllm, wait_for

from cllm.machine import descendants

STEPS = "60"


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> str:
    """SHA-256 of the weights of an uninterrupted run."""
    cllm = make_cllm(tmp_path_factory.mktemp("uninterrupted"))
    assert cllm.train("--steps", STEPS, "--workers", "1").returncode == 0
    return str(cllm.scorecard()["weights_sha256"])


def send_signal_and_wait(process: "subprocess.Popen[str]", number: int) -> int:
    process.send_signal(number)
    process.communicate()
    return process.returncode


def has_checkpoint_at(cllm: Cllm, step: int) -> bool:
    return bool(cllm.status()) and cllm.status()["last_checkpoint_step"] >= step


def running_workers(cllm: Cllm) -> list[dict[str, Any]]:
    """The workers in `cllm info`; none before training starts."""
    found = json.loads(cllm("info", "--json").stdout)
    return found.get("workers", [])  # type: ignore[no-any-return]


def newest_manifest(cllm: Cllm) -> Path:
    """The manifest of the newest checkpoint."""
    return max((cllm.repository / ".cllm" / "runs" / "0001" / "checkpoints").glob("step-*")) / "MANIFEST.json"


@pytest.mark.slow
def test_killed_and_resumed_run_gives_bit_identical_weights(cllm: Cllm, uninterrupted: str) -> None:
    process = cllm.start_training("--steps", STEPS, "--workers", "2")
    wait_for(lambda: has_checkpoint_at(cllm, 1), "a checkpoint")
    pids = json.loads(cllm("info", "--json").stdout)
    assert pids["state"] == "training" and pids["run"]["pid"] == process.pid
    assert len(pids["workers"]) == 2
    assert send_signal_and_wait(process, signal.SIGKILL) == -signal.SIGKILL
    wait_for(lambda: not any(Path(f"/proc/{w['pid']}").exists() for w in pids["workers"]), "the workers' end")
    assert not (cllm.repository / ".cllm" / "scorecard.json").exists()
    before = json.loads(newest_manifest(cllm).read_text())["usage"]
    done = cllm.train("--steps", "9", "--seed", "3", "--workers", "2", "--json")
    assert done.returncode == 0, done.stderr
    assert "resuming from step" in done.stderr and "--steps, --seed not used" in done.stderr
    card = cllm.scorecard()
    assert card["train"]["resumed_from_step"] > 0 and card["train"]["steps"] == int(STEPS)
    assert card["seconds"]["total"] > before["run_seconds"] > 0
    assert card["train"]["seconds"] > before["seconds"] > 0
    assert 0 < card["train"]["worker_utilisation"] <= 1.05
    dev_steps = [step for step, _ in card["train"]["dev_bits_per_byte"]]
    assert dev_steps == sorted(set(dev_steps)) and len(dev_steps) >= 4  # evaluations before and after resuming
    assert card["weights_sha256"] == uninterrupted


@pytest.mark.slow
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one core")
def test_number_of_workers_follows_the_available_cores(cllm: Cllm) -> None:
    cores = sorted(os.sched_getaffinity(0))[:2]
    process = cllm.start_training("--steps", "100000")
    for usable in (cores, cores[:1], cores):
        os.sched_setaffinity(process.pid, usable)
        wait_for(lambda: len(running_workers(cllm)) == len(usable), f"{len(usable)} workers")  # noqa: B023
        assert all(os.sched_getaffinity(worker["pid"]) == set(usable) for worker in running_workers(cllm))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130 and "available cores: 1; workers: 1, before" in err, err
    assert "workers: 2, before 1" in err and "saved at step" in err


@pytest.mark.slow
def test_run_with_two_spheres_resumes_with_two_workers_and_bit_identical_weights(cllm: Cllm, tmp_path: Path) -> None:
    process = cllm.start_training("--steps", "40", "--workers", "13")
    wait_for(lambda: has_checkpoint_at(cllm, 1), "a checkpoint")
    controls = running_workers(cllm)
    assert len(controls) == 2, "one control node per sphere"
    pids = [pid for worker in controls for pid in (worker["pid"], *descendants(worker["pid"]))]
    assert len(pids) == 2 + 2 + 13
    send_signal_and_wait(process, signal.SIGKILL)
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "the workers' end")
    done = cllm.train("--workers", "2")
    assert done.returncode == 0 and "resuming from step" in done.stderr and "steps of 144 x" in done.stderr, done.stderr
    weights = cllm.scorecard()["weights_sha256"]
    assert cllm.scorecard()["train"]["workers"] == 2 and 0 < cllm.scorecard()["train"]["worker_utilisation"] <= 1.05
    shutil.copy(cllm.repository / ".cllm" / "runs" / "0001" / "plan.json", tmp_path / "plan.json")
    done = cllm.train("--plan", str(tmp_path / "plan.json"), "--workers", "1", "--fresh")
    assert done.returncode == 0, done.stderr
    assert cllm.scorecard()["weights_sha256"] == weights


@pytest.mark.slow
def test_one_level_plan_limits_the_workers_to_twelve(cllm: Cllm, tmp_path: Path) -> None:
    assert cllm.train("--steps", "3", "--workers", "1").returncode == 0
    weights = cllm.scorecard()["weights_sha256"]
    shutil.copy(cllm.repository / ".cllm" / "runs" / "0001" / "plan.json", tmp_path / "plan.json")
    done = cllm.train("--plan", str(tmp_path / "plan.json"), "--workers", "13", "--fresh")
    assert done.returncode == 0 and "planned for at most 12 workers" in done.stderr, done.stderr
    assert cllm.scorecard()["weights_sha256"] == weights and cllm.scorecard()["train"]["workers"] == 12


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_saves_a_checkpoint_and_sets_the_exit_code(
    cllm: Cllm, uninterrupted: str, number: int, code: int
) -> None:
    process = cllm.start_training("--steps", STEPS, "--workers", "1")
    wait_for(lambda: bool(cllm.status()), "the first step")
    began = time.monotonic()
    process.send_signal(number)
    _, err = process.communicate()
    assert process.returncode == code, err
    assert time.monotonic() - began < 10
    assert "saved at step" in err
    done = cllm.train("--steps", STEPS, "--workers", "1")
    assert done.returncode == 0 and "resuming from step" in done.stderr
    assert cllm.scorecard()["weights_sha256"] == uninterrupted


@pytest.mark.slow
def test_run_killed_at_random_times_gives_bit_identical_weights(cllm: Cllm, uninterrupted: str) -> None:
    rng = random.Random(0)
    for _ in range(6):
        process = cllm.start_training("--steps", STEPS, "--workers", "1")
        time.sleep(rng.uniform(0.2, 6.0))  # a random time
        if process.poll() is None:
            send_signal_and_wait(process, signal.SIGKILL)
        else:
            process.communicate()
    done = cllm.train("--steps", STEPS, "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert cllm.scorecard()["weights_sha256"] == uninterrupted
    assert not list((cllm.repository / ".cllm").rglob(".tmp-*"))


@pytest.mark.slow
def test_damaged_checkpoint_is_skipped_for_the_previous_one(cllm: Cllm, uninterrupted: str) -> None:
    process = cllm.start_training("--steps", STEPS, "--workers", "1")
    wait_for(lambda: has_checkpoint_at(cllm, 1), "a checkpoint")
    send_signal_and_wait(process, signal.SIGKILL)
    newest = max((cllm.repository / ".cllm" / "runs" / "0001" / "checkpoints").glob("step-*"))
    with (newest / "state.safetensors").open("r+b") as file:
        file.seek(-3, os.SEEK_END)
        file.write(b"x")
    done = cllm.train("--steps", STEPS, "--workers", "1")
    assert done.returncode == 0 and f"skipped the checkpoint {newest.name}" in done.stderr
    assert cllm.scorecard()["weights_sha256"] == uninterrupted


@pytest.mark.slow
def test_second_run_is_rejected_and_complete_works_during_training(cllm: Cllm) -> None:
    assert cllm.train("--steps", "5", "--workers", "1").returncode == 0
    before = cllm("complete", "int", "--max-tokens", "10")
    process = cllm.start_training("--steps", "100000", "--workers", "1", "--fresh")
    wait_for(lambda: cllm.status()["steps"] == 100_000 and has_checkpoint_at(cllm, 1), "a checkpoint of the second run")
    second = cllm.train("--steps", "5")
    assert second.returncode == 1 and str(process.pid) in second.stderr
    assert cllm("clean").returncode == 1
    during = cllm("complete", "int", "--max-tokens", "10")
    assert during.returncode == 0 and during.stdout == before.stdout
    send_signal_and_wait(process, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_lost_worker_is_replaced_with_bit_identical_weights(cllm: Cllm, uninterrupted: str, number: int) -> None:
    process = cllm.start_training("--steps", STEPS, "--workers", "2")
    wait_for(lambda: has_checkpoint_at(cllm, 1), "a checkpoint")
    (worker, _) = json.loads(cllm("info", "--json").stdout)["workers"]
    os.kill(worker["pid"], number)
    _, err = process.communicate()
    assert process.returncode == 0, err
    assert err.count("its tasks were given to a new worker") == 1
    reason = "was killed by signal 9" if number == signal.SIGKILL else "used no CPU time for 10 s"
    assert f"worker 0 (process {worker['pid']}) {reason}" in err
    assert cllm.scorecard()["weights_sha256"] == uninterrupted


@pytest.mark.slow
def test_non_finite_loss_stops_before_the_weights_change(cllm: Cllm) -> None:
    config = cllm.config.read_text() + "[optimizer]\nlr = 10\nmatrix_lr = 10\nweight_decay = 100\n"
    cllm.config.write_text(config)
    done = cllm.train("--steps", "50", "--workers", "1")
    assert done.returncode == 1
    assert "before the weights changed" in done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_saved_plan_reproduces_the_weights(cllm: Cllm, uninterrupted: str, tmp_path: Path) -> None:
    assert cllm.train("--steps", STEPS, "--workers", "1").returncode == 0
    plan = cllm.repository / ".cllm" / "runs" / "0001" / "plan.json"
    saved = tmp_path / "plan.json"
    saved.write_bytes(plan.read_bytes())
    assert cllm.train("--plan", str(saved), "--fresh", "--workers", "2").returncode == 0
    assert cllm.scorecard()["weights_sha256"] == uninterrupted


@pytest.mark.slow
def test_minutes_limit_the_duration_of_a_run(cllm: Cllm) -> None:
    began = time.monotonic()
    done = cllm.train("--minutes", "0.5", "--json")
    assert done.returncode == 0, done.stderr
    card = json.loads(done.stdout)
    assert card["seconds"]["total"] <= time.monotonic() - began
    assert card["seconds"]["total"] < 45
    # Enough time to train well on a repository this small.
    assert card["bits_per_byte"]["model"] < 3


@pytest.mark.parametrize("seconds", [0.0, 0.5])
def test_interrupt_of_the_process_group_shows_no_traceback(cllm: Cllm, seconds: float) -> None:
    """Ctrl-C reaches every process of the terminal's process group, also while workers still import modules."""
    process = cllm.popen("train", "--steps", "5", start_new_session=True)
    while not (cllm.repository / ".cllm" / "lock").exists():  # until then, Python itself may still be starting
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130 and "Traceback" not in err, err


def test_info_works_without_held_out_files(cllm: Cllm, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a.c").write_text("int a;")
    assert cllm.train(str(tmp_path / "one"), "--steps", "1", "--workers", "1").returncode == 0
    done = cllm("info", "-C", str(tmp_path / "one"))
    assert done.returncode == 0 and "no held-out files" in done.stdout


@pytest.mark.slow
def test_resume_without_memory_builds_only_the_memory(cllm: Cllm) -> None:
    """As after a kill between saving the network and building the memory."""
    assert cllm.train("--steps", "9", "--workers", "1").returncode == 0
    before = cllm.scorecard()
    run = cllm.repository / ".cllm" / "runs" / "0001"
    shutil.rmtree(run / "memory")
    (run / "scorecard.json").unlink()
    (cllm.repository / ".cllm" / "current.json").unlink()
    done = cllm.train("--steps", "9", "--workers", "1")
    assert done.returncode == 0 and "train ..." not in done.stderr, done.stderr
    after = cllm.scorecard()
    assert after["bits_per_byte"] == before["bits_per_byte"] and after["train"] == before["train"]
