"""Runs that are interrupted, in every way a run can be, and go on."""

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
    """Hash of the weights of a run that was never stopped."""
    cllm = make_cllm(tmp_path_factory.mktemp("uninterrupted"))
    assert cllm.train("--steps", STEPS, "--workers", "1").returncode == 0
    return str(cllm.scorecard()["weights_sha256"])


def kill(process: "subprocess.Popen[str]", number: int) -> int:
    process.send_signal(number)
    process.communicate()
    return process.returncode


def is_past(cllm: Cllm, step: int) -> bool:
    return bool(cllm.status()) and cllm.status()["last_checkpoint_step"] >= step


def workers_of(cllm: Cllm) -> list[dict[str, Any]]:
    """Those that are there; none before it trains."""
    found = json.loads(cllm("info", "--json").stdout)
    return found.get("workers", [])  # type: ignore[no-any-return]


def checkpoint_of(cllm: Cllm) -> Path:
    """The manifest of the newest checkpoint."""
    return max((cllm.repository / ".cllm" / "runs" / "0001" / "checkpoints").glob("step-*")) / "MANIFEST.json"


@pytest.mark.slow
def test_stop_and_resume_equals_never_stopped_bit_for_bit(cllm: Cllm, uninterrupted: str) -> None:
    process = cllm.start_training("--steps", STEPS, "--workers", "2")
    wait_for(lambda: is_past(cllm, 1), "a checkpoint")
    pids = json.loads(cllm("info", "--json").stdout)
    assert pids["state"] == "training" and pids["run"]["pid"] == process.pid
    assert len(pids["workers"]) == 2
    assert kill(process, signal.SIGKILL) == -signal.SIGKILL
    wait_for(lambda: not any(Path(f"/proc/{w['pid']}").exists() for w in pids["workers"]), "the workers' end")
    assert not (cllm.repository / ".cllm" / "scorecard.json").exists()
    before = json.loads(checkpoint_of(cllm).read_text())["usage"]
    done = cllm.train("--steps", "9", "--seed", "3", "--workers", "2", "--json")
    assert done.returncode == 0, done.stderr
    assert "resuming from step" in done.stderr and "--steps, --seed not used" in done.stderr
    card = cllm.scorecard()
    assert card["train"]["resumed_from_step"] > 0 and card["train"]["steps"] == int(STEPS)
    assert card["seconds"]["total"] > before["run_seconds"] > 0
    assert card["train"]["seconds"] > before["seconds"] > 0
    assert 0 < card["train"]["worker_utilisation"] <= 1.05
    dev_steps = [step for step, _ in card["train"]["dev_bits_per_byte"]]
    assert dev_steps == sorted(set(dev_steps)) and len(dev_steps) >= 4  # those before the resume and those after it
    assert card["weights_sha256"] == uninterrupted


@pytest.mark.slow
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one core")
def test_workers_leave_and_join_with_the_cores(cllm: Cllm) -> None:
    cores = sorted(os.sched_getaffinity(0))[:2]
    process = cllm.start_training("--steps", "100000")
    for usable in (cores, cores[:1], cores):
        os.sched_setaffinity(process.pid, usable)
        wait_for(lambda: len(workers_of(cllm)) == len(usable), f"{len(usable)} workers")  # noqa: B023
        assert all(os.sched_getaffinity(worker["pid"]) == set(usable) for worker in workers_of(cllm))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130 and "available cores: 1; workers: 1, before" in err, err
    assert "workers: 2, before 1" in err and "saved at step" in err


@pytest.mark.slow
def test_thirteen_workers_are_two_spheres_and_two_workers_go_on_with_the_same_bits(cllm: Cllm, tmp_path: Path) -> None:
    process = cllm.start_training("--steps", "40", "--workers", "13")
    wait_for(lambda: is_past(cllm, 1), "a checkpoint")
    controls = workers_of(cllm)
    assert len(controls) == 2, "what touches Node Zero"
    pids = [pid for worker in controls for pid in (worker["pid"], *descendants(worker["pid"]))]
    assert len(pids) == 2 + 2 + 13
    kill(process, signal.SIGKILL)
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
def test_a_plan_of_one_level_has_at_most_twelve_workers(cllm: Cllm, tmp_path: Path) -> None:
    assert cllm.train("--steps", "3", "--workers", "1").returncode == 0
    weights = cllm.scorecard()["weights_sha256"]
    shutil.copy(cllm.repository / ".cllm" / "runs" / "0001" / "plan.json", tmp_path / "plan.json")
    done = cllm.train("--plan", str(tmp_path / "plan.json"), "--workers", "13", "--fresh")
    assert done.returncode == 0 and "planned for at most 12 workers" in done.stderr, done.stderr
    assert cllm.scorecard()["weights_sha256"] == weights and cllm.scorecard()["train"]["workers"] == 12


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_ends_with_its_code(cllm: Cllm, uninterrupted: str, number: int, code: int) -> None:
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
def test_killed_at_any_moment_it_ends_with_the_same_weights(cllm: Cllm, uninterrupted: str) -> None:
    rng = random.Random(0)
    for _ in range(6):
        process = cllm.start_training("--steps", STEPS, "--workers", "1")
        time.sleep(rng.uniform(0.2, 6.0))  # the moment is drawn, not waited for
        if process.poll() is None:
            kill(process, signal.SIGKILL)
        else:
            process.communicate()
    done = cllm.train("--steps", STEPS, "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert cllm.scorecard()["weights_sha256"] == uninterrupted
    assert not list((cllm.repository / ".cllm").rglob(".tmp-*"))


@pytest.mark.slow
def test_a_damaged_checkpoint_costs_the_steps_since_the_one_before(cllm: Cllm, uninterrupted: str) -> None:
    process = cllm.start_training("--steps", STEPS, "--workers", "1")
    wait_for(lambda: is_past(cllm, 1), "a checkpoint")
    kill(process, signal.SIGKILL)
    newest = max((cllm.repository / ".cllm" / "runs" / "0001" / "checkpoints").glob("step-*"))
    with (newest / "state.safetensors").open("r+b") as file:
        file.seek(-3, os.SEEK_END)
        file.write(b"x")
    done = cllm.train("--steps", STEPS, "--workers", "1")
    assert done.returncode == 0 and f"skipped the checkpoint {newest.name}" in done.stderr
    assert cllm.scorecard()["weights_sha256"] == uninterrupted


@pytest.mark.slow
def test_two_runs_in_one_workspace_and_completing_while_one_trains(cllm: Cllm) -> None:
    assert cllm.train("--steps", "5", "--workers", "1").returncode == 0
    before = cllm("complete", "int", "--max-tokens", "10")
    process = cllm.start_training("--steps", "100000", "--workers", "1", "--fresh")
    wait_for(lambda: cllm.status()["steps"] == 100_000 and is_past(cllm, 1), "a checkpoint of the second run")
    second = cllm.train("--steps", "5")
    assert second.returncode == 1 and str(process.pid) in second.stderr
    assert cllm("clean").returncode == 1
    during = cllm("complete", "int", "--max-tokens", "10")
    assert during.returncode == 0 and during.stdout == before.stdout
    kill(process, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_lost_worker_is_replaced_and_the_weights_are_the_same(cllm: Cllm, uninterrupted: str, number: int) -> None:
    process = cllm.start_training("--steps", STEPS, "--workers", "2")
    wait_for(lambda: is_past(cllm, 1), "a checkpoint")
    (worker, _) = json.loads(cllm("info", "--json").stdout)["workers"]
    os.kill(worker["pid"], number)
    _, err = process.communicate()
    assert process.returncode == 0, err
    assert err.count("its tasks were given to a new worker") == 1
    why = "was killed by signal 9" if number == signal.SIGKILL else "used no CPU time for 10 s"
    assert f"worker 0 (process {worker['pid']}) {why}" in err
    assert cllm.scorecard()["weights_sha256"] == uninterrupted


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_before_the_weights_change(cllm: Cllm) -> None:
    config = cllm.config.read_text() + "[optimizer]\nlr = 10\nmatrix_lr = 10\nweight_decay = 100\n"
    cllm.config.write_text(config)
    done = cllm.train("--steps", "50", "--workers", "1")
    assert done.returncode == 1
    assert "before the weights changed" in done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_a_saved_plan_gives_the_same_weights_elsewhere(cllm: Cllm, uninterrupted: str, tmp_path: Path) -> None:
    assert cllm.train("--steps", STEPS, "--workers", "1").returncode == 0
    plan = cllm.repository / ".cllm" / "runs" / "0001" / "plan.json"
    saved = tmp_path / "plan.json"
    saved.write_bytes(plan.read_bytes())
    assert cllm.train("--plan", str(saved), "--fresh", "--workers", "2").returncode == 0
    assert cllm.scorecard()["weights_sha256"] == uninterrupted


@pytest.mark.slow
def test_learning_by_minutes_keeps_to_the_time(cllm: Cllm) -> None:
    began = time.monotonic()
    done = cllm.train("--minutes", "0.5", "--json")
    assert done.returncode == 0, done.stderr
    card = json.loads(done.stdout)
    assert card["seconds"]["total"] <= time.monotonic() - began
    assert card["seconds"]["total"] < 45
    # A small repository: its passes are over long before the time is.
    assert card["bits_per_byte"]["model"] < 3


@pytest.mark.parametrize("seconds", [0.0, 0.5])
def test_a_terminals_interrupt_shows_no_traceback(cllm: Cllm, seconds: float) -> None:
    """Ctrl-C goes to every process of the terminal's group, also while what the workers need is still imported."""
    process = cllm.popen("train", "--steps", "5", start_new_session=True)
    while not (cllm.repository / ".cllm" / "lock").exists():  # before, Python itself may not be there
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130 and "Traceback" not in err, err


def test_a_one_line_repository_has_information(cllm: Cllm, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a.c").write_text("int a;")
    assert cllm.train(str(tmp_path / "one"), "--steps", "1", "--workers", "1").returncode == 0
    done = cllm("info", "-C", str(tmp_path / "one"))
    assert done.returncode == 0 and "no held-out files" in done.stdout


@pytest.mark.slow
def test_a_run_without_its_memory_learns_that_alone(cllm: Cllm) -> None:
    """As if it had been killed after the network was saved."""
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
