"""Reads kernel files as text and fields."""

from pathlib import Path


def read_text(path: Path) -> str:
    """The text of a kernel file; empty if it does not exist (for example because its process has ended)."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def read_fields(path: Path, separator: str = ":") -> dict[str, str]:
    """`name: value` lines as a dictionary; of repeated names (one block per core) the first."""
    fields: dict[str, str] = {}
    for line in read_text(path).splitlines():
        name, found, value = line.partition(separator)
        if found:
            fields.setdefault(name.strip(), value.strip())
    return fields


def kibibytes(text: str | None) -> int:
    """Bytes of a field like "12 kB"; 0 if it is absent."""
    return int(text.split()[0]) * 1024 if text else 0
