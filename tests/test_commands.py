import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commandline import Cllm, source


def test_the_scorecard_holds_what_it_promises(trained: Cllm) -> None:
    card = trained.scorecard()
    for figures in (card, card["without_near_duplicates"]):
        assert {"files", "bytes"} <= figures["held_out"].keys()
    assert card["held_out"]["files"] == card["held_out"]["scored_files"] > 0
    assert 0 <= card["next_token"]["top1"] <= card["next_token"]["top5"] <= 1
    train = card["train"]
    promised = {"parameters", "vocab_size", "steps", "tokens", "tokens_per_second", "seconds", "resumed_from_step"}
    assert promised <= train.keys()
    assert train["steps"] == 60 and train["resumed_from_step"] == 0
    assert set(card["syntax"]) == {"int main", "struct", "#include", "void function"}
    assert all({"text", "parses", "compiles"} <= result.keys() for result in card["syntax"].values())
    assert card["seconds"]["total"] > train["seconds"]
    assert card["peak_memory_bytes"] > 1e8
    assert len(card["weights_sha256"]) == 64
    assert card["machine"]["cores"] >= 1 and card["versions"]["torch"].startswith("2.13")


def test_eval_gives_the_same_figures_again(trained: Cllm) -> None:
    before = trained.scorecard()
    done = trained("eval", "--json")
    assert done.returncode == 0, done.stderr
    again = json.loads(done.stdout)
    for key in ("bits_per_byte", "next_token", "held_out", "syntax", "weights_sha256", "train"):
        assert again[key] == before[key], key


def test_a_finished_run_says_so_and_what_changed(trained: Cllm) -> None:
    new = trained.repository / "src" / "new.c"
    new.write_text(source(99))
    try:
        done = trained.train("--json")
    finally:
        new.unlink()
    assert done.returncode == 0, done.stderr
    assert "already trained" in done.stderr and "1 added, 0 removed, 0 modified" in done.stderr
    assert json.loads(done.stdout)["changed_since"]["added"] == ["src/new.c"]


def test_complete_from_standard_input_and_with_a_suffix(trained: Cllm) -> None:
    done = trained("complete", "--max-tokens", "8", text="int read_")
    assert done.returncode == 0 and done.stdout.startswith("int read_")
    done = trained("complete", "int read_", "--suffix", "return 0;\n}", "--max-tokens", "8", "-n", "2", "--json")
    assert len(json.loads(done.stdout)["completions"]) == 2


def test_completions_need_no_pytorch(trained: Cllm) -> None:
    """Nor do their sources, a grammar, or several samples; importing it takes longer than all the rest."""
    without = "import sys; sys.modules['torch'] = None; from cllm.commands.main import main; sys.exit(main())"
    for arguments in (("--until", "line", "--explain"), ("--regex", "a+;"), ("-n", "3", "--temperature", "1")):
        command = [sys.executable, "-c", without, "complete", "int read_", *arguments]
        done = subprocess.run(command, cwd=trained.repository, capture_output=True, text=True)
        assert done.returncode == 0 and done.stdout.startswith("int read_"), done.stderr


def test_complete_at_a_place_in_a_file(trained: Cllm) -> None:
    file = next((trained.repository / "src").glob("*.c"))
    done = trained("complete", "--file", str(file), "--line", "4:5", "--max-tokens", "8", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["prompt"] == "\n".join(file.read_text().split("\n")[:3]) + "\nint "


def test_complete_with_a_grammar(trained: Cllm, tmp_path: Path) -> None:
    def texts(*arguments: str) -> list[str]:
        done = trained(
            "complete", "int x = ", "--max-tokens", "12", "--temperature", "1", "-n", "3", "--json", *arguments
        )
        assert done.returncode == 0, done.stderr
        completions = json.loads(done.stdout)["completions"]
        assert [completion["valid"] for completion in completions] == [True] * 3
        return [completion["text"] for completion in completions]

    files = {
        "schema.json": '{"enum": ["a", 1]}',
        "a.lark": 'start: "f(" /[0-9]/ ");"',
        "a.gbnf": 'root ::= "g(" [a-z]+ ");"',
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    assert [json.loads(text) for text in texts("--as-json")]
    assert set(texts("--json-schema", str(tmp_path / "schema.json"))) <= {'"a"', "1"}
    assert all(re.fullmatch("[a-z]{3}_[0-9]+", text) for text in texts("--regex", "[a-z]{3}_[0-9]+"))
    assert all(re.fullmatch(r"f\([0-9]\);", text) for text in texts("--grammar", str(tmp_path / "a.lark")))
    assert all(re.fullmatch(r"g\([a-z]+\);", text) for text in texts("--grammar", str(tmp_path / "a.gbnf")))
    assert trained("complete", "int x = ", "--regex", "3;").stdout == "int x = 3;\n"
    (tmp_path / "format.json").write_text('{"type": "string", "format": "password", "maxLength": 4}')
    noted = trained("complete", "x", "--json-schema", str(tmp_path / "format.json"), "-n", "2", "--json")
    assert noted.stderr == "cllm: the JSON schema's format 'password' is not known and restricts nothing\n"
    endless = trained("complete", "x", "--regex", "a{3000}b", "--max-tokens", "4")
    assert endless.returncode == 0 and endless.stdout.startswith("xa")
    assert endless.stderr == "cllm: completion 1: no end of the grammar was reached\n"
    nowhere = trained("complete", "x", "--regex", "[^\\s\\S]")
    assert nowhere.returncode == 2 and nowhere.stderr.startswith("cllm: the grammar allows no token at its beginning")


def test_a_completion_says_where_it_comes_from(trained: Cllm) -> None:
    text = source(3)
    done = trained("complete", text[: len(text) // 2], "--max-tokens", "40", "--explain")
    assert done.returncode == 0 and "\nnew " in done.stdout, done.stderr
    for experts in ("mixed", "model"):
        done = trained("complete", text[: len(text) // 2], "--max-tokens", "40", "--json", "--experts", experts)
        (completion,) = json.loads(done.stdout)["completions"]
        assert 0 <= completion["novel_share"] <= 1
        for stretch in completion["sources"]:
            assert stretch["end"] - stretch["begin"] >= 16 and stretch["first_line"] <= stretch["last_line"]
            path = stretch["path"]
            assert path == "the prompt" or (trained.repository / path).is_file()


def test_update_knows_new_files_and_forgets_old_ones_and_scores_stay(trained: Cllm) -> None:
    before = trained.scorecard()["bits_per_byte"]
    new = trained.repository / "src" / "brand_new.c"
    try:
        new.write_text("/* A licence. */\nint extraordinary_new_function(struct stream *stream);\n")
        done = trained("update", "--json")
        assert done.returncode == 0, done.stderr
        assert "src/brand_new.c" in json.loads(done.stdout)["new"]
        assert "src/brand_new.c" in json.loads(trained("info", "--json").stdout)["model"]["update"]["new"]
        done = trained("complete", "int extraordinary_new_fun", "--max-tokens", "12", "--stop", ")", "--json")
        (completion,) = json.loads(done.stdout)["completions"]
        assert completion["text"] == "ction(struct stream *stream"
        assert completion["sources"][0]["location"] == "src/brand_new.c:2"
        again = json.loads(trained("eval", "--json").stdout)["bits_per_byte"]
    finally:
        new.unlink()
        assert "other files" in trained("info").stdout
        done = trained("update")
    assert again == before
    assert done.returncode == 0 and "; 0 changed or deleted" in done.stdout


def test_same_seed_same_text_on_the_command_line(trained: Cllm) -> None:
    arguments = ("complete", "int", "--temperature", "1", "--seed", "3", "--max-tokens", "20")
    assert (
        trained(*arguments).stdout
        == trained(*arguments).stdout
        != trained(*arguments[:-3], "4", *arguments[-2:]).stdout
    )


def test_split_exports_exactly_what_was_learned_and_held_out(trained: Cllm, tmp_path: Path) -> None:
    done = trained("split", "--export", str(tmp_path / "split"))
    assert done.returncode == 0, done.stderr
    exported = {p.relative_to(tmp_path / "split") for p in (tmp_path / "split").rglob("*") if p.is_file()}
    assert len(exported) == 41
    for path in exported:
        original = trained.repository.joinpath(*path.parts[1:])
        assert (tmp_path / "split" / path).read_bytes() == original.read_bytes()
    val = sum((tmp_path / "split" / p).stat().st_size for p in exported if p.parts[0] == "val")
    assert val == trained.scorecard()["held_out"]["bytes"]
    again = trained("split", "--export", str(tmp_path / "split"))
    assert again.returncode == 1 and "cllm:" in again.stderr


def test_info_tells_of_corpus_plan_and_model(trained: Cllm) -> None:
    found = json.loads(trained("info", "--json").stdout)
    assert found["state"] == "finished" and found["holder"] is None
    assert found["corpus"]["files_kept"] == 41
    assert found["plan"]["model"]["n_embd"] == 32 and found["plan"]["training"]["dropout"] == 0.05  # as configured
    assert "C " in trained("info").stdout


def test_doctor_measures(trained: Cllm) -> None:
    found = json.loads(trained("doctor", "--json").stdout)
    assert found["dtype"] in ("bfloat16", "float32")
    assert all(speed > 0.1 for speed in found["matrix_gflops"].values())
    assert "GFLOP/s" in trained("doctor").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("bench",), 2, "required"),
        (("fly",), 2, "fly"),
        (("compelte",), 2, "did you mean 'complete'?"),
        (("train", "src", "-C", "src"), 2, "the repository is given twice"),
        (("bench", "valid", "--seed", "-1"), 2, "--seed -1"),
        (("train", "--minutes", "0"), 2, "--minutes 0"),
        (("train", "--minutes", "nan"), 2, "--minutes nan"),
        (("train", "--steps", "-3"), 2, "--steps -3"),
        (("train", "--workers", "145"), 2, "--workers 145"),
        (("train", "--config", "nowhere.toml"), 2, "nowhere.toml"),
        (("train", "--plan", "nowhere.json"), 2, "nowhere.json"),
        (("train", "--plan", "src"), 2, "cannot be read"),
        (("complete", "x", "--seed", "99999999999999999999"), 2, "seed"),
        (("train", "nowhere"), 1, "nowhere"),
        (("complete", "x"), 1, "cllm train"),
        (("eval",), 1, "cllm train"),
        (("split", "--export", "out"), 1, "cllm train"),
        (("complete", "x", "-C", "nowhere"), 1, "nowhere"),
        (("complete", "x", "--temperature", "-1"), 2, "temperature"),
        (("complete", "x", "--language", "Klingon"), 2, "Klingon"),
        (("complete", "--file", "nowhere.c"), 2, "nowhere.c"),
        (("complete", "x", "--file", "README.md"), 2, "a prompt does not go with --file"),
        (("complete", "--file", "README.md", "--suffix", "x"), 2, "--suffix does not go with --file"),
        (("complete", "x", "--stop", ""), 2, "--stop is empty"),
        (("complete", "x", "--regex", "(a"), 2, "unclosed group, at character 1 of the regex"),
        (("complete", "x", "--regex", "a", "--as-json"), 2, "--as-json: not allowed with argument --regex"),
        (("complete", "x", "--as-json", "--until", "line"), 2, "--until does not go with a grammar"),
        (("complete", "x", "--as-json", "--stop", "x"), 2, "--stop does not go with a grammar"),
        (("complete", "x", "--as-json", "--compile"), 2, "--compile does not go with a grammar"),
        (("complete", "x", "--json-schema", "nowhere.json"), 2, "--json-schema nowhere.json cannot be read"),
        (("complete", "x", "--json-schema", "README.md"), 2, "the JSON schema cannot be used: line 1, column 1"),
        (("complete", "x", "--grammar", "README.md"), 2, "README.md ends neither in .lark nor in .gbnf"),
        (("complete", "x", "--as-json"), 1, "cllm train"),
        (("clean", "-C", "nowhere"), 1, "nowhere"),
        (("complete", "--file", "README.md", "--line", "0"), 2, "--line 0"),
        (("complete", "--file", "README.md", "--line", "900"), 2, "lines"),
        (("complete", "--file", "README.md", "--line", "1:900"), 2, "characters"),
    ],
)
def test_wrong_usage_is_one_sentence(cllm: Cllm, arguments: tuple[str, ...], code: int, message: str) -> None:
    done = cllm(*arguments)
    assert done.returncode == code, done.stderr
    assert message in done.stderr and done.stderr.startswith("cllm:") and done.stderr.count("\n") == 1


def test_without_a_command_the_help_is_printed(cllm: Cllm) -> None:
    done = cllm()
    assert done.returncode == 0 and not done.stderr
    assert all(name in done.stdout for name in ("train", "complete", "eval", "doctor"))


def test_a_fifo_is_no_file_to_complete_in(cllm: Cllm, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.c")
    process = cllm.popen("complete", "--file", str(tmp_path / "pipe.c"))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2 and "is not a regular file" in errors


def test_a_prompt_needs_no_quotes_and_an_echo_adds_no_line(trained: Cllm) -> None:
    arguments = ("--json", "--max-tokens", "4")
    quoted = trained("complete", "int read_stream", *arguments).stdout
    assert trained("complete", "int", "read_stream", *arguments).stdout == quoted
    assert trained("complete", *arguments, text="int read_stream\n").stdout == quoted


def test_a_workspace_of_an_earlier_version_names_the_way_out(trained: Cllm, tmp_path: Path) -> None:
    shutil.copytree(trained.repository, tmp_path / "old")
    (manifest,) = (tmp_path / "old" / ".cllm" / "runs").glob("*/model/MANIFEST.json")
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "schema_version": 1}))
    for command in ("train", "complete", "eval"):
        prompt = ("int",) if command == "complete" else ()
        done = trained(command, *prompt, "-C", str(tmp_path / "old"))
        assert done.returncode == 1 and "Traceback" not in done.stderr
        assert "schema version 1" in done.stderr and "--fresh" in done.stderr


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("[modle]\n", "did you mean 'model'"),
        ("[model]\nn_layers = 3\n", "did you mean 'n_layer'"),
        ('[model]\nn_layer = "3"\n', "expected int"),
        ("[model]\nn_head = 3\nn_kv_head = 2\n", "do not fit"),
        ("model = 3\n", "section"),
        ("[model\n", "cannot be read"),
    ],
)
def test_a_wrong_configuration_names_the_nearest_key(cllm: Cllm, toml: str, message: str) -> None:
    cllm.config.write_text(toml)
    done = cllm.train("--steps", "1", "--workers", "1")
    assert done.returncode == 2 and message in done.stderr and done.stderr.splitlines()[-1].startswith("cllm:")


def test_an_empty_repository_is_one_sentence(tmp_path: Path, cllm: Cllm) -> None:
    (tmp_path / "empty").mkdir()
    done = cllm("train", str(tmp_path / "empty"), "--steps", "1")
    assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith("cllm:")


def test_a_repository_of_one_file_is_learned(tmp_path: Path, cllm: Cllm) -> None:
    folder = tmp_path / "one"
    folder.mkdir()
    (folder / "only.c").write_text("".join(source(number) for number in range(8)))
    done = cllm.train(str(folder), "--steps", "20", "--workers", "1", "--json")
    assert done.returncode == 0, done.stderr
    assert "small repository" in done.stderr
    assert json.loads(done.stdout)["held_out"]["files"] == 1


def test_clean_removes_everything_and_the_repository_was_never_written_to(cllm: Cllm) -> None:
    def content() -> dict[str, tuple[bytes, int]]:
        files = (p for p in cllm.repository.rglob("*") if p.is_file() and ".cllm" not in p.parts)
        return {str(p): (p.read_bytes(), p.stat().st_mtime_ns) for p in files}

    before = content()
    assert cllm.train("--steps", "2", "--workers", "1").returncode == 0
    assert (cllm.repository / ".cllm").stat().st_mode & 0o777 == 0o700
    assert content() == before
    assert cllm("clean").returncode == 0
    assert not (cllm.repository / ".cllm").exists()
    assert cllm("clean").returncode == 0


def test_nothing_of_the_repository_is_executed(cllm: Cllm, tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    for name in ("numpy.py", "tempfile.py", "torch.py", "cllm/__init__.py"):
        path = cllm.repository / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"open({str(marker)!r}, 'w').close()\n")
    program = "import sys; from cllm.commands.main import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-P", "-c", program, "train", "--config", str(cllm.config), "--steps", "2"]
    done = subprocess.run(command, cwd=cllm.repository, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not marker.exists()


@pytest.mark.slow
def test_the_baselines_stand_beside_the_scorecard(trained: Cllm, tmp_path: Path) -> None:
    shutil.copytree(trained.repository, tmp_path / "copy")
    copy = Cllm(tmp_path / "copy", trained.config)
    done = copy("eval", "--baselines", "--compressor", "copied cp {in} {out}", "--json")
    assert done.returncode == 0, done.stderr
    card = json.loads(done.stdout)
    bits = card["baselines"]["bits_per_byte"]
    assert bits["copied"] == 8 and {"gzip", "xz", "zstd", "ppmd", "n-gram"} <= bits.keys()
    assert all(0 < value <= 8 for value in bits.values())
    lines = card["baselines"]["rest_of_line"]
    assert lines.keys() == {"model", "memory", "mixed", "copied"} and lines["mixed"]["cursors"] == 500
    assert 0.2 < lines["memory"]["exact_match"] <= 1
    assert "<svg" in (copy.repository / ".cllm" / "baselines.svg").read_text()
    refused = copy("eval", "--compressor", "name command")
    assert refused.returncode == 2 and "--baselines" in refused.stderr


@pytest.mark.slow
def test_spheres_simulate_says_what_more_workers_would_be_worth(cllm: Cllm) -> None:
    done = cllm("spheres", "simulate", "--workers", "12", "1728", "--network", "2x128", "--context", "64", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [(row["workers"], row["machines"], row["levels"]) for row in found["workers"]] == [
        (12, 1, 1),
        (1728, 144, 3),
    ]
    assert found["costs"]["micro_batch_seconds"] > 0 and 0 < found["workers"][1]["efficiency"] < 1
    assert [row["fanout"] for row in found["fanouts"]] == [2, 4, 8, 12, 16, 144]
    text = cllm("spheres", "simulate", "--network", "2x128", "--context", "64").stdout
    assert "20,736" in text and "Assumed: machines of 12 such cores" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--workers", "0"), "1 to 20,736"),
        (("--cores", "13"), "not between 1 and 12"),
        (("--network", "1x1"), "none of 2x128"),
        (("--gbit", "0"), "--gbit 0"),
        (("--sync-every", "0"), "--sync-every 0"),
    ],
)
def test_spheres_simulate_refuses_what_cannot_be(cllm: Cllm, arguments: tuple[str, ...], words: str) -> None:
    done = cllm("spheres", "simulate", *arguments)
    assert done.returncode == 2 and words in done.stderr, done.stderr
