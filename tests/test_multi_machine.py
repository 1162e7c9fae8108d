"""Training on several machines: hosts in network namespaces on one bridge (Linux, needs root)."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from commandline import Cllm, wait_for
from processes import wait_until_gone

from cllm.machine import descendants
from cllm.stages.job import parse_endpoint

STEPS = 120


def has_network_namespaces() -> bool:
    tool = shutil.which("ip")
    return tool is not None and os.geteuid() == 0 and subprocess.run(["unshare", "-n", "true"]).returncode == 0


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


class Network:
    """A bridge with hosts 1, 2, 3, ... at the addresses 10.77.0.1, 10.77.0.2, ..."""

    def __init__(self, hosts: int) -> None:
        self.name = f"cllm{os.getpid()}"
        ip("netns", "add", self.name)
        ip("-n", self.name, "link", "add", "switch", "type", "bridge")
        ip("-n", self.name, "link", "set", "switch", "up")
        self.hosts = range(1, hosts + 1)
        for host in self.hosts:
            namespace = f"{self.name}-{host}"
            ip("netns", "add", namespace)
            ip("-n", namespace, "link", "set", "lo", "up")
            cable = ("link", "add", f"port{host}", "type", "veth", "peer", "name", "cable", "netns", namespace)
            ip("-n", self.name, *cable)
            ip("-n", self.name, "link", "set", f"port{host}", "master", "switch", "up")
            ip("-n", namespace, "addr", "add", f"{self.address(host)}/24", "dev", "cable")
            ip("-n", namespace, "link", "set", "cable", "up")

    @staticmethod
    def address(host: int) -> str:
        return f"10.77.0.{host}"

    def cable(self, host: int, state: str) -> None:
        ip("-n", self.name, "link", "set", f"port{host}", state)

    def start(self, host: int, *arguments: str, log: Path) -> "subprocess.Popen[bytes]":
        inside = ["ip", "netns", "exec", f"{self.name}-{host}", sys.executable, "-m", "cllm", *arguments]
        with log.open("wb") as file:
            return subprocess.Popen(inside, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=file)

    def remove(self) -> None:
        for name in (self.name, *(f"{self.name}-{host}" for host in self.hosts)):
            subprocess.run(["ip", "netns", "del", name])


@pytest.fixture
def network() -> Iterator[Network]:
    made = Network(4)
    try:
        yield made
    finally:
        made.remove()


@pytest.fixture
def cllm_with_plan(cllm: Cllm) -> tuple[Cllm, Path, str]:
    """A repository, a plan of short steps for several machines, and the SHA-256 of the weights one machine gets."""
    assert cllm.train("--steps", "2", "--workers", "13").returncode == 0
    plan = json.loads((cllm.repository / ".cllm" / "runs" / "0001" / "plan.json").read_text())
    plan["phases"] = [{"context": 32, "rows": 1, "until": 1.0, "steps": STEPS}]
    path = cllm.repository.parent / "plan.json"
    path.write_text(json.dumps(plan))
    assert cllm.train("--plan", str(path), "--fresh", "--workers", "2").returncode == 0
    return cllm, path, cllm.scorecard()["weights_sha256"]


def lines(log: Path) -> list[str]:
    return log.read_text().splitlines()


def machine_counts(log: Path) -> list[int]:
    """The number of machines after each change, from the log."""
    return [int(line.split(" machines:")[0].split()[-1]) for line in lines(log) if " machines:" in line]


def wait_for_machines(log: Path, number: int) -> None:
    before = len(machine_counts(log))
    wait_for(lambda: len(machine_counts(log)) > before and machine_counts(log)[-1] == number, f"{number} machines")


@pytest.mark.slow
@pytest.mark.skipif(not has_network_namespaces(), reason="needs root and `ip` (iproute2) for network namespaces")
def test_weights_are_bit_identical_when_machines_join_leave_and_lose_their_link(
    network: Network, cllm_with_plan: tuple[Cllm, Path, str], tmp_path: Path
) -> None:
    cllm, plan, weights = cllm_with_plan
    log = {host: tmp_path / f"{host}.log" for host in network.hosts}
    leader_address = f"{network.address(1)}:29477"
    options = ("--config", str(cllm.config), "--plan", str(plan), "--fresh")
    with ExitStack() as processes:

        def start(host: int, *arguments: str) -> "subprocess.Popen[bytes]":
            process = network.start(host, "train", *arguments, "--workers", "1", log=log[host])
            processes.callback(process.wait)
            processes.callback(process.kill)
            return process

        first = start(1, str(cllm.repository), *options, "--listen", leader_address)
        second, third = start(2, "--join", leader_address), start(3, "--join", leader_address)
        wait_for(lambda: log[1].exists() and 3 in machine_counts(log[1]), "three machines")
        network.cable(3, "down")
        began = time.monotonic()
        wait_for_machines(log[1], 2)
        assert time.monotonic() - began < 30
        network.cable(3, "up")
        wait_for_machines(log[1], 3)
        second.kill()
        began = time.monotonic()
        wait_for_machines(log[1], 2)
        assert time.monotonic() - began < 10
        fourth = start(4, "--join", leader_address)
        wait_for_machines(log[1], 3)
        before = len(machine_counts(log[1]))
        os.kill(json.loads(cllm("info", "--json").stdout)["workers"][0]["pid"], signal.SIGKILL)  # its control node
        wait_for(
            lambda: len(machine_counts(log[1])) > before and machine_counts(log[1])[-1] == 3, "three machines again"
        )
        for process in (first, third, fourth):
            assert process.wait(120) == 0, "\n".join(lines(log[1]) + lines(log[3]) + lines(log[4]))
        assert "does not answer" in log[3].read_text() and "the run is done" in log[4].read_text()
    assert cllm.scorecard()["weights_sha256"] == weights


@pytest.mark.slow
@pytest.mark.skipif(not has_network_namespaces(), reason="needs root and `ip` (iproute2) for network namespaces")
def test_peers_listen_only_on_the_given_address(network: Network, cllm: Cllm, tmp_path: Path) -> None:
    leader_address = f"{network.address(1)}:29477"
    arguments = ("--config", str(cllm.config), "--steps", "100000", "--workers", "1", "--listen", leader_address)
    log = {host: tmp_path / f"{host}.log" for host in network.hosts}
    first = network.start(1, "train", str(cllm.repository), *arguments, log=log[1])
    other = network.start(2, "train", "--join", leader_address, "--workers", "1", log=log[2])
    try:
        wait_for(lambda: log[1].exists() and 2 in machine_counts(log[1]), "two machines")
        for host in (1, 2):
            inside = ["ip", "netns", "exec", f"{network.name}-{host}", "ss", "-Hltn"]
            found = subprocess.run(inside, capture_output=True, text=True, check=True).stdout.splitlines()
            assert found and all(line.split()[3].startswith(f"{network.address(host)}:") for line in found), found
    finally:
        pids = descendants(other.pid)
        first.kill()
        first.wait()
        other.send_signal(signal.SIGINT)
        assert other.wait(30) == 130
        wait_until_gone(pids)


@pytest.mark.slow
def test_periodic_averaging_changes_the_weights_only_with_several_machines(
    cllm_with_plan: tuple[Cllm, Path, str], tmp_path: Path
) -> None:
    cllm, path, weights = cllm_with_plan
    plan = json.loads(path.read_text())
    plan["training"]["sync_every"] = 7
    path.write_text(json.dumps(plan))
    options = ("--plan", str(path), "--fresh", "--workers", "1", "--listen")
    assert cllm.train(*options, "127.0.0.1:29478").returncode == 0
    alone = cllm.scorecard()
    assert alone["weights_sha256"] == weights
    other = cllm.popen("train", "--join", "127.0.0.1:29479", "--workers", "1")
    done = cllm.train(*options, "127.0.0.1:29479")
    assert done.returncode == 0 and other.wait(60) == 0 and "2 machines" in done.stderr, done.stderr
    other.communicate()
    together = cllm.scorecard()
    assert together["weights_sha256"] != weights
    bits = [card["bits_per_byte"]["model"] for card in (alone, together)]
    assert bits[1] == pytest.approx(bits[0], rel=0.2)


def test_invalid_listen_address_is_reported(cllm: Cllm) -> None:
    for leader_address, message in (
        ("0.0.0.0", "every address"),
        ("198.51.100.7", "not possible"),
        ("localhost:x", "not a port"),
    ):
        done = cllm.train("--steps", "2", "--listen", leader_address)
        assert done.returncode in (1, 2) and message in done.stderr and "Traceback" not in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("box", "box", 29400),
        ("10.0.0.1:7", "10.0.0.1", 7),
        ("::1", "::1", 29400),
        ("[::1]:7", "::1", 7),
        ("[::1]", "::1", 29400),
    ],
)
def test_parse_endpoint_accepts_an_optional_port(text: str, host: str, port: int) -> None:
    assert parse_endpoint("--join", text) == (host, port)


def test_join_rejects_fresh(cllm: Cllm, monkeypatch: pytest.MonkeyPatch) -> None:
    done = cllm("train", "--join", "localhost", "--fresh")
    assert done.returncode == 2 and "--fresh does not go with --join" in done.stderr
