"""The TOML configuration file, which overrides derived settings.

    [corpus]      fields of corpus.CorpusConfig     which files are read
    [tokenizer]   vocab_size
    [model]       fields of TransformerConfig       the network's shape
    [training]    fields of TrainingConfig          schedule, dropout, fill-in-the-middle
    [engine]      dtype                             of the matrix products
    [optimizer]   fields of OptimizerConfig         learning rates, weight decay
    [run]         checkpoint_seconds                seconds between checkpoints

An unknown section or key is an error that names the nearest known one.
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
    """The sections of a TOML file; every section and key must be among `allowed` (section -> keys).

    Raises UsageError if the file cannot be read, or has an unknown section or key.
    """
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
    """A dataclass with the given fields replaced; UsageError if a value has another type or is not allowed."""
    for key, value in values.items():
        current = getattr(config, key)
        is_valid = isinstance(value, type(current)) or (isinstance(current, float) and isinstance(value, int))
        if isinstance(current, tuple):
            kinds = (int, float) if current and not isinstance(current[0], str) else (str,)
            is_valid = isinstance(value, list) and all(type(part) in kinds for part in value)
        if not is_valid or (isinstance(value, bool) and not isinstance(current, bool)):
            expected = "a list of texts" if current == () else f"{type(current).__name__}, like {current!r}"
            raise UsageError(f"[{section}] {key} = {value!r}: expected {expected}")
    try:
        return dataclasses.replace(config, **values)  # type: ignore[type-var]
    except UsageError as error:
        raise UsageError(f"[{section}] {error}") from None


def check_bounds(config: object, **bounds: tuple[float, float]) -> None:
    """Raise UsageError for the first field, or element of a tuple field, that is not a number within its bounds.

    Bounds are inclusive. A field that is annotated as `int` must hold an integer.
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
    """Raise UsageError if a value is not among the choices."""
    if value not in choices:
        raise UsageError(f"{name} is {value!r}; it must be one of {', '.join(choices)}")


def _require(name: str, known: Iterable[str], message: str) -> None:
    known = list(known)
    if name not in known:
        matches = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {matches[0]!r}?" if matches else f"there are: {', '.join(sorted(known))}"
        raise UsageError(f"{message} {name!r} that does not exist; {hint}")
