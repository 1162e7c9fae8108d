"""`cllm bench secrets` on samples that are made here."""

import importlib
import importlib.util
import json
from pathlib import Path

import pytest
from secrets_for_tests import TOKENS, random_string

from cllm.bench.secrets.engines import ENGINES
from cllm.bench.secrets.judge import judge
from cllm.bench.secrets.samples import load_samples
from cllm.commands.main import main
from cllm.errors import UsageError

WORD = "open" + "sesame"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Samples of which ours misses one secret that is a word, and replaces nothing in the negative one."""
    token, key = TOKENS["GitHub token"][0], random_string(32)
    rows = [
        {"text": f"x = '{token}'", "secrets": [token], "rule": "token"},
        {"text": f"api_key = '{key}'", "secrets": [key]},
        {"text": f"password = '{WORD}'", "secrets": [WORD], "rule": "word"},
        {"text": "token = next_token()", "secrets": []},
    ]
    (tmp_path / "made-here.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def test_shares_count_what_is_replaced(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "secrets", "--samples", str(folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["sources"] == {"made-here": {"positive": 3, "negative": 1}}
    ours = found["engines"]["cllm"]["made-here"]
    assert ours["recall"] == pytest.approx(2 / 3) and ours["false"] == 0 and ours["missed"] == {"word": 1}
    assert ours["megabytes_per_second"] > 0
    assert set(found["engines"]) | set(found["not_installed"]) == set(ENGINES)


@pytest.mark.parametrize("name", ENGINES)
def test_engines_replace_a_token(name: str, folder: Path) -> None:
    if importlib.util.find_spec(ENGINES[name].module) is None:
        pytest.skip(f"{name} is not installed")
    (sample, *_) = load_samples(folder)["made-here"]
    engine = importlib.import_module(f"cllm.bench.secrets.{ENGINES[name].process}")
    found = judge(engine.redact_text, [{"text": sample.text, "secrets": list(sample.secrets), "rule": sample.rule}])
    assert found["found"] == found["positive"] == 1


@pytest.mark.parametrize(
    "line", ["[]", "{}", '{"text": "a"}', '{"text": "a", "secrets": ["b"]}', '{"text": "a", "secrets": [""]}', "{"]
)
def test_unusable_samples_are_refused_with_their_place(line: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(line + "\n")
    with pytest.raises(UsageError, match="a.jsonl"):
        load_samples(tmp_path)


def test_folder_without_samples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no SOURCE.jsonl"):
        load_samples(tmp_path)
