"""Commands, options, links and names in the documentation exist, and its commands run."""

import re
import shlex
import textwrap
from pathlib import Path

import pytest
from commandline import Cllm

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "docs" / "tutorial.md"]
SLOW = (
    "train",
    "split",
    "clean",
    "doctor",
    "bench",
    "export",
)  # run by other tests; here they would modify the shared repository


def commands(document: Path) -> list[str]:
    """The `cllm` commands in the code blocks of a document, without comments."""
    lines = re.findall(r"^    (?:.*\| )?(?:\.venv/bin/)?(cllm .*)$", document.read_text(), re.MULTILINE)
    return [line.split("#")[0].strip() for line in lines]


ALL = sorted({command for document in DOCUMENTS for command in commands(document)})


def test_documentation_contains_commands() -> None:
    assert len(ALL) >= 8


@pytest.mark.parametrize("command", [c for c in ALL if c.split()[1] not in SLOW])
def test_commands_in_the_documentation_run(trained: Cllm, command: str) -> None:
    arguments = shlex.split(command)[1:]
    file = next((trained.repository / "src").glob("*.c"))
    for old, new in (
        ("/path/to/repository/src/x.c", str(file)),
        ("src/loop.c", str(file)),
        ("/path/to/repository", "."),
    ):
        arguments = [new if argument == old else argument for argument in arguments]
    arguments = [re.sub(r"^(120:9|40)$", "4", argument) for argument in arguments]
    done = trained(*arguments, text="for (i = 0; i <")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", [c for c in ALL if c.split()[1] in SLOW])
def test_options_of_slow_commands_in_the_documentation_exist(trained: Cllm, command: str) -> None:
    done = trained(shlex.split(command)[1], "--help")
    assert done.returncode == 0
    options = re.findall(r"--[a-z-]+", command)
    assert all(re.search(rf"{option}\b", done.stdout) for option in options), command


def test_guide_commands_run_and_print_the_shown_errors(trained: Cllm, tmp_path: Path) -> None:
    text = (ROOT / "docs" / "guides.md").read_text()
    for name, pattern in (
        ("schema.json", r"`schema.json` is\n\n((?:    .*\n)+)"),
        ("call.lark", r"`call.lark`:\n\n((?:    .*\n)+)"),
    ):
        block = re.search(pattern, text)
        assert block, name
        (tmp_path / name).write_text(textwrap.dedent(block[1]))
    shown = re.findall(r"^    \$ (cllm .*)\n    (.*)$", text, re.MULTILINE)
    assert len(shown) >= 5
    for command, output in shown:
        arguments = [str(trained.repository) if each == "libuv" else each for each in shlex.split(command)[1:]]
        done = trained(*arguments, "--max-tokens", "24", cwd=tmp_path)
        expected = 2 if output.startswith("cllm: ") else 0
        assert done.returncode == expected, (command, done.stderr)
        assert expected == 0 or done.stderr == output + "\n"


def test_make_targets_in_the_documentation_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for document in DOCUMENTS:
        for target in re.findall(r"^    make (\w+)", document.read_text(), re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_links_between_documents_resolve() -> None:
    for document in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / link).exists(), f"{document.name}: {link}"


def test_every_dependency_is_documented() -> None:
    text = (ROOT / "docs" / "dependencies.md").read_text()
    block = re.search(r"^dependencies = \[(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.MULTILINE | re.DOTALL)
    assert block
    for name in re.findall(r'"([a-z-]+)[=><]', block[1]):
        assert name in text or name.startswith("tree-sitter-"), name


def test_every_package_is_documented() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    packages = [path.parent.name for path in (ROOT / "cllm").glob("*/__init__.py")]
    assert all(f"`{package}`" in text for package in packages), packages
