"""Part of `make lint`: public docstrings give the shapes of arrays and name the errors that are raised.

    python tests/style/check_docstrings.py [FILE ...]     default: every file of the package

A function that takes or returns an array states a shape: letters or numbers in parentheses, like (B, T, V), (n,) or
(45,); or it refers to what states it, as in "shapes as in `predict`". A function that raises a CllmError names its
class.
Private functions (`_name`), properties' setters and functions inside of functions are left out.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "cllm"
ARRAY = re.compile(r"\b(Array|NDArray|Tensor)\b")
SHAPE = re.compile(r"\((?:[A-Za-z0-9_*+/. ]+,)+[A-Za-z0-9_*+/. ]*\)|[Ss]hapes? as in `|\bscalar\b|any shape")
ERRORS = frozenset(
    node.name for node in ast.walk(ast.parse((PACKAGE / "errors.py").read_text())) if isinstance(node, ast.ClassDef)
)
Function = ast.FunctionDef | ast.AsyncFunctionDef


def public_functions(tree: ast.Module) -> Iterator[tuple[Function, str]]:
    """Public functions and methods, each with the docstrings that describe it: its own and its class's."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            of_class = ast.get_docstring(node) or ""
            for member in node.body:
                if isinstance(member, Function) and (not member.name.startswith("_") or member.name == "__init__"):
                    yield member, f"{of_class}\n{ast.get_docstring(member) or ''}"
        elif isinstance(node, Function) and not node.name.startswith("_"):
            yield node, ast.get_docstring(node) or ""


def takes_or_returns_arrays(function: Function) -> bool:
    """Whether an annotation of the function mentions an array type."""
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    annotations = [argument.annotation for argument in arguments] + [function.returns]
    return any(ARRAY.search(ast.unparse(annotation)) for annotation in annotations if annotation is not None)


def raised_errors(function: Function) -> set[str]:
    """Names of the CllmErrors that the function itself raises."""
    raised = (node.exc for node in ast.walk(function) if isinstance(node, ast.Raise) and node.exc is not None)
    names = (call.func.id for call in raised if isinstance(call, ast.Call) and isinstance(call.func, ast.Name))
    return {name for name in names if name in ERRORS}


def problems(path: Path) -> Iterator[str]:
    """What the docstrings of a file lack, a line each."""
    for function, text in public_functions(ast.parse(path.read_text())):
        if takes_or_returns_arrays(function) and not SHAPE.search(text):
            yield f"{path}:{function.lineno}: {function.name} takes or returns arrays and gives no shape"
        for name in sorted(raised_errors(function)):
            if name not in text:
                yield f"{path}:{function.lineno}: {function.name} raises {name} and does not say so"


def main() -> int:
    """Print all problems; 1 if there are any."""
    paths = [Path(name) for name in sys.argv[1:]] or sorted(PACKAGE.rglob("*.py"))
    found = [problem for path in paths for problem in problems(path)]
    print("\n".join(found)) if found else None
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
