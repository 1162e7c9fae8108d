"""Functions stay short, and take few parameters."""

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "cllm"
MAX_LINES, MAX_PARAMETERS, MAX_EXCEPTIONS = 60, 10, 5
# Functions that exceed a limit, with the reason.
EXCEPTIONS: dict[str, str] = {}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions() -> Iterator[tuple[str, Function]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, Function):
                yield f"{path.relative_to(PACKAGE).as_posix()}:{node.name}", node


def num_parameters(function: Function) -> int:
    arguments = function.args
    names = [each.arg for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return len([name for name in names if name not in ("self", "cls")])


def num_lines(function: Function) -> int:
    """Lines of the function, without decorators."""
    assert function.end_lineno is not None
    return function.end_lineno - function.lineno + 1


def test_functions_are_short_and_take_few_parameters() -> None:
    too_large = {
        name: (num_lines(function), num_parameters(function))
        for name, function in functions()
        if num_lines(function) > MAX_LINES or num_parameters(function) > MAX_PARAMETERS
    }
    assert too_large.keys() == EXCEPTIONS.keys(), too_large
    assert len(EXCEPTIONS) <= MAX_EXCEPTIONS and all(EXCEPTIONS.values())
