"""The one TOML file that overrides what CLLM derives by itself.

    [corpus]      fields of corpus.CorpusConfig     what is read
    [tokenizer]   vocab_size
    [model]       fields of TransformerConfig       the network's shape
    [training]    fields of Recipe                  schedule, dropout, fill-in-the-middle
    [engine]      dtype                             what the numbers are computed with
    [optimizer]   fields of OptimizerConfig         step sizes
    [run]         checkpoint_seconds                how much a killed run may lose

An unknown section or key is an error that names the nearest one.
"""

import dataclasses
import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from cllm.errors import UsageError

Settings = dict[str, dict[str, Any]]
T = TypeVar("T")


def load_settings(path: Path, allowed: Mapping[str, Iterable[str]]) -> Settings:
    """The sections of a TOML file; every section and key must be among `allowed` (section -> keys)."""
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"the configuration {path} cannot be read: {error}") from None
    for section, values in settings.items():
        _require(section, allowed, f"{path} has a section")
        if not isinstance(values, dict):
            raise UsageError(f"{path}: {section} must be a section, [{section}], not a single value")
        for key in values:
            _require(key, allowed[section], f"{path} has in [{section}] a key")
    return settings


def override(config: T, values: dict[str, Any], section: str) -> T:
    """A dataclass with the given fields replaced; a value of another type, or one it does not allow, is named."""
    for key, value in values.items():
        current = getattr(config, key)
        is_valid = isinstance(value, type(current)) or (isinstance(current, float) and isinstance(value, int))
        if isinstance(current, tuple):
            is_valid = isinstance(value, list) and all(type(part) in (int, float) for part in value)
        if not is_valid or (isinstance(value, bool) and not isinstance(current, bool)):
            raise UsageError(f"[{section}] {key} = {value!r}: expected {type(current).__name__}, like {current!r}")
    try:
        return dataclasses.replace(config, **values)  # type: ignore[type-var]
    except UsageError as error:
        raise UsageError(f"[{section}] {error}") from None


def check_bounds(config: object, **bounds: tuple[float, float]) -> None:
    """UsageError for the first field, or element of one, that is no number between its two bounds (both allowed).

    A field that is annotated as `int` must hold a whole number.
    """
    kinds = {part.name: part.type for part in dataclasses.fields(config)}  # type: ignore[arg-type]
    for name, (low, high) in bounds.items():
        value = getattr(config, name)
        for number in value if isinstance(value, tuple) else (value,):
            kind = int if kinds[name] is int else (int, float)
            if isinstance(number, bool) or not isinstance(number, kind):
                raise UsageError(f"{name} is {number!r}; it must be a {'whole ' if kind is int else ''}number")
            if not low <= number <= high:
                raise UsageError(f"{name} is {number}; it must be between {low:g} and {high:g}")


def check_choice(name: str, value: str, choices: Iterable[str]) -> None:
    """UsageError for a value that is not among the choices."""
    if value not in choices:
        raise UsageError(f"{name} is {value!r}; it must be one of {', '.join(choices)}")


def _require(name: str, known: Iterable[str], message: str) -> None:
    known = list(known)
    if name not in known:
        matches = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {matches[0]!r}?" if matches else f"there are: {', '.join(sorted(known))}"
        raise UsageError(f"{message} {name!r} that does not exist; {hint}")
