"""Imports point one way. The table is the architecture: a room may import the rooms in its row, and no other."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "cllm"
# Every room and module may import these, and they import nothing but each other, downwards.
FOUNDATION = {"errors", "artifacts", "config", "compiled", "vectors", "ahead"}
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "artifacts": {"errors"},
    "config": {"errors"},
    "compiled": set(),
    "vectors": set(),
    "ahead": set(),
    "__init__": set(),
    "machine": set(),
    "interrupt": set(),
    "progress": set(),
    "tables": set(),
    "lock": {"errors"},
    "workspace": {"lock"},
    "run": {"workspace"},
    "corpus": set(),
    "tokenizer": set(),
    "dataset": {"tokenizer"},
    "lattice": set(),
    "model": set(),
    "spheres": {"machine"},
    "memory": {"corpus", "tokenizer", "model", "spheres", "machine"},
    "training": {"dataset", "tokenizer", "model", "spheres", "machine"},
    "syntax": set(),
    "generation": {"dataset", "tokenizer", "model", "memory", "syntax"},
    "evaluation": {"corpus", "tokenizer", "model", "memory", "generation", "spheres", "syntax"},
    "doctor": {"machine"},
    "kernels": {"tokenizer", "model", "memory", "training", "generation"},
    "info": {"corpus", "training", "run", "workspace"},
    "top": {"info", "run", "spheres", "stages", "workspace"},
    "export": {"dataset", "tokenizer", "model"},
    "export_run": {"corpus", "export", "model", "progress", "run", "workspace"},
    "complete": {"corpus", "generation", "machine", "memory", "run", "syntax", "workspace"},
    "stages": {
        *("corpus", "tokenizer", "dataset", "model", "spheres", "training", "evaluation"),
        *("machine", "interrupt", "progress", "run", "workspace", "__init__"),
    },
    "pipeline": {"corpus", "training", "evaluation", "machine", "interrupt", "progress", "run", "workspace", "stages"},
    "bench": {
        *("corpus", "tokenizer", "dataset", "lattice", "model", "spheres", "training", "evaluation", "stages"),
        *("generation", "memory", "export", "doctor", "machine", "progress", "run", "workspace", "__init__"),
        *("complete", "syntax"),
    },
    "__main__": {"cli"},
}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_names(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
            assert node.level == 0, "relative imports hide the direction"
    return names


def imported_rooms(tree: ast.AST) -> set[str]:
    parts = [name.split(".") for name in imported_names(tree) if name.split(".")[0] == "cllm"]
    return {
        part[1] if (PACKAGE / part[1]).exists() or (PACKAGE / f"{part[1]}.py").exists() else "__init__"
        for part in parts
        if len(part) > 1
    }


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    room = room_of(path)
    if room == "cli":
        return
    found = imported_rooms(ast.parse(path.read_text())) - {room}
    assert found <= ALLOWED[room] | FOUNDATION, f"{path.name} imports {found - ALLOWED[room] - FOUNDATION}"


def test_the_table_has_no_rings() -> None:
    def below(room: str, seen: tuple[str, ...]) -> None:
        assert room not in seen, f"ring: {seen}"
        for other in ALLOWED.get(room, set()):
            below(other, (*seen, room))

    for room in ALLOWED:
        below(room, ())


def test_only_the_command_line_imports_inside_functions() -> None:
    for path in PACKAGE.rglob("*.py"):
        if room_of(path) == "cli":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                inner = [n for n in ast.walk(node) if isinstance(n, ast.Import | ast.ImportFrom)]
                assert not inner, f"{path.name}: {node.name}"


@pytest.mark.parametrize(
    "module",
    ["cllm.pipeline", "cllm.info", "cllm.cli", "cllm.bench.training", "cllm.bench.softmax", "cllm.bench.seed"],
)
def test_node_zero_computes_no_batch_because_it_has_nothing_to_compute_with(module: str) -> None:
    program = f"import sys, {module}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_peers_are_known_to_processes_of_their_own() -> None:
    knowing = {
        "transformers": {
            *(PACKAGE / "bench" / name for name in ("gpt2.py", "hugging_face.py")),
            PACKAGE / "export" / "beside_transformers.py",
        },
        "xllamacpp": {PACKAGE / "bench" / "llama.py", PACKAGE / "export" / "beside_llama.py"},
    }
    everybody = set.union(*knowing.values())
    found: dict[str, set[Path]] = {name: set() for name in knowing}
    modules = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}
    for path in modules.values():
        names = imported_names(ast.parse(path.read_text()))
        for peer in knowing.keys() & {name.split(".")[0] for name in names}:
            found[peer].add(path)
        for name in names:
            inside = modules.get(name, modules.get(name.rpartition(".")[0]))
            assert inside not in everybody or path in everybody, f"{path} imports {name}"
    assert found == knowing


def test_nothing_is_unpickled_or_evaluated() -> None:
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert not {alias.name for alias in node.names} & {"pickle", "marshal", "shelve"}, path
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec", "compile", "__import__"), path
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("torch.load", "np.load"):
                assert ast.unparse(node).endswith("allow_pickle=False)"), path
