"""The direction of imports between the packages of `cllm`, and forbidden calls."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "cllm"
# Every package may import these modules; they import only each other, as the table below allows.
FOUNDATION = {"errors", "artifacts", "config", "jit", "background_iterator"}
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "artifacts": {"errors"},
    "config": {"errors"},
    "jit": set(),
    "background_iterator": set(),
    "__init__": set(),
    "machine": set(),
    "interrupt": set(),
    "progress": set(),
    "workspace": {"git"},
    "git": set(),
    "corpus": {"git"},
    "tokenizer": set(),
    "dataset": {"tokenizer"},
    "lattice": set(),
    "model": set(),
    "spheres": {"machine"},
    "memory": {"corpus", "tokenizer", "dataset", "model", "spheres", "machine"},
    "training": {"dataset", "tokenizer", "model", "spheres", "machine", "__init__"},
    "syntax": {"corpus"},
    "generation": {"corpus", "dataset", "tokenizer", "model", "memory", "syntax"},
    "evaluation": {"corpus", "tokenizer", "model", "memory", "generation", "spheres", "syntax", "machine"},
    "export": {"dataset", "tokenizer", "model"},
    "stages": {
        *("corpus", "tokenizer", "dataset", "model", "spheres", "training", "evaluation"),
        *("machine", "interrupt", "progress", "workspace", "__init__"),
    },
    "operations": {
        *("corpus", "tokenizer", "model", "memory", "syntax", "training", "generation", "evaluation", "export"),
        *("spheres", "stages", "machine", "interrupt", "progress", "workspace"),
    },
    "bench": {
        *("corpus", "tokenizer", "dataset", "lattice", "model", "spheres", "training", "evaluation", "stages"),
        *("generation", "memory", "export", "operations", "machine", "progress", "workspace", "__init__"),
        "syntax",
    },
    "commands": {
        *("operations", "bench", "stages", "generation", "corpus", "spheres", "workspace"),
        *("interrupt", "progress", "__init__"),
    },
    "__main__": {"commands"},
}
# Subpackages: each may import the subpackages in its row; "" stands for the modules directly in the package.
ALLOWED_INNER: dict[str, dict[str, set[str]]] = {
    "memory": {"mixer": set(), "index": set(), "": {"mixer", "index"}},
    "generation": {
        "predict": set(),
        "grammar": set(),
        "guide": {"predict"},
        "infill": {"guide"},
        "": {"predict", "grammar", "guide", "infill"},
    },
    "bench": {
        "shared": set(),
        "ablation": {"shared"},
        **{name: {"shared", "ablation"} for name in ("training", "softmax", "lattice", "seed", "spheres")},
        **{name: {"shared"} for name in ("valid", "complete", "cursors", "guide", "secrets")},
        "": set(),
    },
}
MAX_MODULES = 8  # directly in `cllm/`


def package_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_names(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
            assert node.level == 0, "relative import"
    return names


def imported_packages(tree: ast.AST) -> set[str]:
    parts = [name.split(".") for name in imported_names(tree) if name.split(".")[0] == "cllm"]
    return {
        part[1] if (PACKAGE / part[1]).exists() or (PACKAGE / f"{part[1]}.py").exists() else "__init__"
        for part in parts
        if len(part) > 1
    }


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_packages_import_only_what_the_table_allows(path: Path) -> None:
    package = package_of(path)
    found = imported_packages(ast.parse(path.read_text())) - {package}
    assert found <= ALLOWED[package] | FOUNDATION, f"{path.name} imports {found - ALLOWED[package] - FOUNDATION}"


@pytest.mark.parametrize("package", ALLOWED_INNER)
def test_subpackages_import_only_what_the_table_allows(package: str) -> None:
    folders = {path.parent.name for path in (PACKAGE / package).glob("*/__init__.py")}
    assert folders == ALLOWED_INNER[package].keys() - {""}
    for path in (PACKAGE / package).rglob("*.py"):
        folder = path.relative_to(PACKAGE / package).parts[0]
        folder = folder if folder in folders else ""
        names = [name.split(".") for name in imported_names(ast.parse(path.read_text()))]
        found = {name[2] for name in names if name[:2] == ["cllm", package] and name[2] in folders} - {folder}
        assert found <= ALLOWED_INNER[package][folder], f"{path} imports {found}"


def test_number_of_top_level_modules_is_limited() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= MAX_MODULES


def test_allowed_imports_are_acyclic() -> None:
    def visit(package: str, seen: tuple[str, ...]) -> None:
        assert package not in seen, f"cycle: {seen}"
        for other in ALLOWED.get(package, set()):
            visit(other, (*seen, package))

    for package in ALLOWED:
        visit(package, ())


def test_only_commands_import_inside_functions() -> None:
    for path in PACKAGE.rglob("*.py"):
        if package_of(path) == "commands":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                inner = [n for n in ast.walk(node) if isinstance(n, ast.Import | ast.ImportFrom)]
                assert not inner, f"{path.name}: {node.name}"


@pytest.mark.parametrize(
    "module",
    [
        *("cllm.operations.pipeline", "cllm.operations.info", "cllm.commands.main"),
        *(f"cllm.bench.{name}.benchmark" for name in ("training", "softmax", "seed")),
    ],
)
def test_node_zero_does_not_import_torch(module: str) -> None:
    program = f"import sys, {module}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_transformers_and_llama_cpp_are_imported_only_in_their_own_processes() -> None:
    importers = {
        "transformers": {
            *(PACKAGE / "bench" / name for name in ("training/gpt2.py", "complete/transformers_backend.py")),
            PACKAGE / "export" / "transformers_process.py",
        },
        "xllamacpp": {
            PACKAGE / "bench" / "complete" / "llama_cpp_backend.py",
            PACKAGE / "export" / "llama_cpp_process.py",
        },
    }
    all_importers = set.union(*importers.values())
    found: dict[str, set[Path]] = {name: set() for name in importers}
    modules = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}
    for path in modules.values():
        names = imported_names(ast.parse(path.read_text()))
        for library in importers.keys() & {name.split(".")[0] for name in names}:
            found[library].add(path)
        for name in names:
            module = modules.get(name, modules.get(name.rpartition(".")[0]))
            assert module not in all_importers or path in all_importers, f"{path} imports {name}"
    assert found == importers


def test_package_neither_unpickles_nor_evaluates_code() -> None:
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert not {alias.name for alias in node.names} & {"pickle", "marshal", "shelve"}, path
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec", "compile", "__import__"), path
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("torch.load", "np.load"):
                assert ast.unparse(node).endswith("allow_pickle=False)"), path
