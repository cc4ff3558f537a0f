"""In which line of a TOML text something stands. tomllib does not say; but it does read beginnings of a text."""

import tomllib
from typing import Any

Path = tuple[str | int, ...]
"""Keys and, inside arrays of tables, indexes: ``("api", "keys", 1, "role")``."""


def line_of(text: str, path: Path) -> int:
    """The line, from 1, where the value at `path` begins; of a table, its header. 1 when it cannot be said.

    The text must be good TOML. The line names the key, what comes before it can be read, and the shortest beginning
    with it that can be read has the value.
    """
    lines = text.splitlines(keepends=True)
    name = next(step for step in reversed(path) if isinstance(step, str))
    for index in (index for index, line in enumerate(lines) if name in line):
        if _read(lines[:index]) is None:
            continue  # in the middle of a value of several lines
        ends = (document for stop in range(index + 1, len(lines) + 1) if (document := _read(lines[:stop])) is not None)
        if _has(next(ends, {}), path):
            return index + 1
    return 1


def _read(lines: list[str]) -> dict[str, Any] | None:
    try:
        return tomllib.loads("".join(lines))
    except (ValueError, RecursionError):
        return None


def _has(document: Any, path: Path) -> bool:
    for step in path:
        try:
            document = document[step]
        except (KeyError, IndexError, TypeError):
            return False
    return True
