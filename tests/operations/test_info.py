"""`cllm info --redactions`: places and kinds of the secrets that were replaced."""

import json
from pathlib import Path

import pytest
from secrets_for_tests import TOKENS

from cllm.commands.main import main
from cllm.corpus.ingest import CorpusConfig, ingest
from cllm.operations.info import redactions_info
from cllm.workspace.run import Run
from cllm.workspace.workspace import Workspace

TOKEN = TOKENS["GitHub token"][0]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a secret, of which a run has ingested the corpus."""
    root = tmp_path / "repository"
    root.mkdir()
    (root / "settings.py").write_text(f'import os\nTOKEN = "{TOKEN}"\n')
    (root / "main.c").write_text("int main(void) { return 0; }\n" * 20)
    workspace = Workspace(root)
    workspace.create()
    ingest(root, Run(workspace.new_run()).corpus_path, CorpusConfig(keep=("none.py:GitHub token",)))
    return root


def test_redactions_are_listed_without_the_secrets(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = redactions_info(repository)
    assert found["redactions"] == [{"path": "settings.py", "line": 2, "kind": "GitHub token"}]
    assert found["keep_unused"] == ["none.py:GitHub token"]
    assert main(["info", "--redactions", "--json", "-C", str(repository)]) == 0
    assert json.loads(capsys.readouterr().out) == found
    assert main(["info", "--redactions", "-C", str(repository)]) == 0
    printed = capsys.readouterr().out
    assert "settings.py:2" in printed and "GitHub token" in printed and "matches no secret" in printed
    assert TOKEN not in printed and TOKEN[4:] not in printed
