"""From the bytes of ``shoal.toml`` and the environment to checked values. Nothing of it is quoted in a complaint but
names of keys and tables: secrets stand among the values."""

import difflib
import os
import stat
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from protocol.config.schema import ARRAYS, ROWS_MAX, TABLES, Key
from protocol.model.errors import BadConfig
from protocol.model.printable import printable

# In which line of a TOML text something stands. tomllib does not say; but it does read beginnings of a text.

KeyPath = tuple[str | int, ...]
"""Keys and, inside arrays of tables, indexes: ``("api", "keys", 1, "role")``."""


def line_of(text: str, path: KeyPath) -> int:
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


def _has(document: Any, path: KeyPath) -> bool:
    for step in path:
        try:
            document = document[step]
        except (KeyError, IndexError, TypeError):
            return False
    return True


FILE_NAME: Final = "shoal.toml"
FILE_BYTES_MAX: Final = 1 << 18
_PREFIX: Final = "SHOAL_"
_ALIASES: Final = {
    ("soulseek", "listen_ports"): "SHOAL_SOULSEEK_LISTEN_PORT",
    ("daemon", "state"): "SHOAL_STATE",
}

Values = dict[str, Any]
"""Good values by name of the settings' field."""


@dataclass(slots=True)
class Document:
    """A configuration file that was read. `tables`: values of single tables; `rows` of ``[[...]]``. `path` None: there
    is no file. `readable_by_all`: and it is not a secret to anybody on this machine."""

    path: Path | None = None
    text: str = ""
    tables: dict[str, Values] = field(default_factory=dict)
    rows: dict[str, list[Values]] = field(default_factory=dict)
    readable_by_all: bool = False

    @property
    def shown(self) -> str:
        return printable(str(self.path)) if self.path is not None else FILE_NAME

    def mistake(self, path: tuple[str | int, ...], what: str) -> BadConfig:
        """A complaint about what stands at `path`, with its line."""
        return BadConfig(f"{self.shown}:{line_of(self.text, path)}: {what}")


def find_file(config: str, environ: Mapping[str, str]) -> Path | None:
    """The file that was named, else the first that is there."""
    named = config or environ.get("SHOAL_CONFIG", "")
    if named:
        return Path(named)
    home = environ.get("XDG_CONFIG_HOME") or os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".config")
    for path in (Path(FILE_NAME), Path(home, "shoal", FILE_NAME)):
        if os.path.lexists(path):
            return path
    return None


def read_file(path: Path | None) -> Document:
    """Raises `BadConfig` for anything that is not as `TABLES` says."""
    if path is None:
        return Document()
    text, readable_by_all = _text_of(path)
    document = Document(path=path, text=text, readable_by_all=readable_by_all)
    _check(document, _parsed(text, document.shown))
    return document


def _text_of(path: Path) -> tuple[str, bool]:
    shown = printable(str(path))
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            raw = file.read(FILE_BYTES_MAX + 1)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        why = error.strerror if isinstance(error, OSError) else "no possible path"
        raise BadConfig(f"{shown} cannot be read: {why}") from None
    if len(raw) > FILE_BYTES_MAX:
        raise BadConfig(f"{shown} is longer than {FILE_BYTES_MAX} bytes: that is no {FILE_NAME}")
    try:
        return raw.decode(), stat.S_ISREG(mode) and bool(mode & stat.S_IROTH)
    except UnicodeDecodeError:
        raise BadConfig(f"{shown} is not UTF-8") from None


def _parsed(text: str, shown: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        where = str(error).rpartition("(at ")[2].rstrip(")")  # the words before it may quote the line
        raise BadConfig(f"{shown} is not TOML: wrong at {where}; write texts in quotes") from None
    except (ValueError, RecursionError):
        raise BadConfig(f"{shown} is not TOML") from None


# the file against the table of keys


def _check(document: Document, found: dict[str, Any]) -> None:
    for name, value in found.items():
        if name not in TABLES:
            known = [table for table in TABLES if "." not in table]
            raise document.mistake((name,), f"unknown table or key {_named(name)}{_nearest(name, known)}")
        _check_table(document, name, value)


def _check_table(document: Document, table: str, value: Any) -> None:
    path: tuple[str | int, ...] = tuple(table.split("."))
    if table in ARRAYS:
        if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
            raise document.mistake(path, f"{table} must be tables, [[{table}]]")
        if len(value) > ROWS_MAX:
            raise document.mistake(path, f"at most {ROWS_MAX} tables [[{table}]]")
        document.rows[table] = [_row(document, table, row, (*path, index)) for index, row in enumerate(value)]
    elif isinstance(value, dict):
        document.tables[table] = _values(document, table, value, path)
    else:
        raise document.mistake(path, f"{table} must be a table, [{table}]")


def _row(document: Document, table: str, value: dict[str, Any], path: tuple[str | int, ...]) -> Values:
    values = _values(document, table, value, path)
    for name, key in TABLES[table].items():
        if key.needed and name not in value:
            raise document.mistake(path, f"{name} is missing under [[{table}]]")
    return values


def _values(document: Document, table: str, value: dict[str, Any], path: tuple[str | int, ...]) -> Values:
    keys = TABLES[table]
    values: Values = {}
    header = f"[[{table}]]" if table in ARRAYS else f"[{table}]"
    for name, raw in value.items():
        inner = f"{table}.{name}"
        if inner in TABLES:
            _check_table(document, inner, raw)
            continue
        key = keys.get(name)
        if key is None:
            raise document.mistake((*path, name), f"{header} has no key {_named(name)}{_nearest(name, keys)}")
        try:
            values[key.field or name] = key.check(raw)
        except ValueError as error:
            raise document.mistake((*path, name), f"{name} under {header} {error}") from None
    return values


def _named(name: str) -> str:
    return repr(printable(name)[:60])


def _nearest(name: str, known: Iterable[str]) -> str:
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {close[0]!r}?" if close else f" (known: {', '.join(names)})"


# the environment


def from_environment(table: str, environ: Mapping[str, str]) -> Values:
    """What ``SHOAL_TABLE_KEY`` says for a single table. An empty variable is as good as none."""
    values: Values = {}
    for name, key in TABLES[table].items():
        for variable in variables_of(table, name):
            word = environ.get(variable, "")
            if word:
                values[key.field or name] = _checked_word(variable, word, key)
    return values


def variables_of(table: str, name: str) -> tuple[str, ...]:
    """The variables that stand for a key; none for those of arrays."""
    if table in ARRAYS:
        return ()
    plain = f"{_PREFIX}{table.upper()}_{name.upper()}"
    alias = _ALIASES.get((table, name))
    return (plain,) if alias is None else (plain, alias)


def _checked_word(variable: str, word: str, key: Key) -> Any:
    """A text is the word as it stands, a number or a flag as in the file, a list the parts between commas."""
    candidates: list[Any] = [word]
    if key.default.startswith("["):
        candidates = [[_plain(part.strip()) for part in word.split(",")]]
    elif (plain := _plain(word.strip())) != word:
        candidates.append(plain)
    for candidate in candidates:
        try:
            return key.check(candidate)
        except ValueError as error:
            why = error
    raise BadConfig(f"{variable} {why}")


def _plain(word: str) -> Any:
    """The number or flag that a word is in TOML; else the word itself."""
    try:
        return tomllib.loads(f"x = {word}")["x"] if "\n" not in word else word
    except (ValueError, RecursionError):
        return word
