"""In a fresh run each process opens each artefact at most once."""

from collections import Counter
from pathlib import Path

from commandline import Cllm

# Python imports this module at the start of every process; a hook is kept by forked processes.
RECORDER = """
import os, sys

def record(event, arguments):
    path = os.fspath(arguments[0]) if event == "open" and isinstance(arguments[0], (str, os.PathLike)) else ""
    if "/runs/0001/" in path:
        line = f"{os.getpid()} {path.partition('/runs/0001/')[2]}\\n"
        descriptor = os.open(os.environ["OPENED_FILES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, line.encode())
        os.close(descriptor)

sys.addaudithook(record)
"""
ARTEFACTS = ("plan.json", "memory-plan.json", "corpus/MANIFEST.json", "dataset/MANIFEST.json")


def test_a_fresh_run_opens_each_artefact_once_per_process(cllm: Cllm, tmp_path: Path) -> None:
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(RECORDER)
    opened = tmp_path / "opened"
    environment = {"PYTHONPATH": str(tmp_path / "hook"), "OPENED_FILES": str(opened)}
    done = cllm.train("--minutes", "0.5", "--workers", "2", environment=environment)
    assert done.returncode == 0, done.stderr
    counts = Counter(line for line in opened.read_text().splitlines() if line.partition(" ")[2] in ARTEFACTS)
    node_zero = opened.read_text().split()[0]
    assert counts[f"{node_zero} corpus/MANIFEST.json"] == 1, "Node Zero opens the corpus"
    assert counts[f"{node_zero} plan.json"] == 0, "and has the plan that it made"
    assert sum(line.endswith(" plan.json") for line in counts) >= 2, "the workers read it"
    assert max(counts.values()) == 1, [line for line, count in counts.items() if count > 1]
