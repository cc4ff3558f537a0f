"""Parsing of ``shoal.toml``: from its bytes to checked settings, and back to a file with every key.

A complaint names the file, the line and the key, never a value: secrets stand among them.
"""

import difflib
import json
import os
import stat
import tomllib
from collections.abc import Iterable
from dataclasses import MISSING, dataclass, field
from pathlib import Path
from typing import Any, Final

from protocol.config.paths import FILE_NAME, why_foreign
from protocol.config.schema import Field, converted, fields_of
from protocol.config.settings import TABLES
from protocol.model.errors import BadConfig
from protocol.model.printable import printable

FILE_BYTES_MAX: Final = 1 << 18
ROWS_MAX: Final = 64
"""Of one array of tables."""

Values = dict[str, Any]
"""Checked values by name of the settings' field."""
KeyPath = tuple[str | int, ...]
"""Keys and, inside arrays of tables, indexes: ``("api", "keys", 1, "role")``."""


@dataclass(slots=True)
class Document:
    """Configuration file that was read: values of single tables, and rows of ``[[...]]``.

    Without a `path` there is none. `readable_by_all`: every user of this machine may read it.
    """

    path: Path | None = None
    text: str = ""
    tables: dict[str, Values] = field(default_factory=dict)
    rows: dict[str, list[Values]] = field(default_factory=dict)
    readable_by_all: bool = False

    @property
    def shown(self) -> str:
        return printable(str(self.path)) if self.path is not None else FILE_NAME

    @property
    def folder(self) -> Path:
        """Folder that relative paths in it are relative to."""
        return self.path.parent if self.path is not None else Path()

    def mistake(self, path: KeyPath, what: str) -> BadConfig:
        """A complaint about what stands at `path`, with its line."""
        return BadConfig(f"{self.shown}:{line_of(self.text, path)}: {what}")


def read_file(path: Path | None, *, named: bool = True) -> Document:
    """Read and check a file, `named` by the user or found.

    Raises `BadConfig` for anything that `TABLES` does not allow, and for a file of others, see `why_foreign`.
    """
    if path is None:
        return Document()
    text, readable_by_all = _text_of(path, named=named)
    document = Document(path=path, text=text, readable_by_all=readable_by_all)
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        where = str(error).rpartition("(at ")[2].rstrip(")")  # the words before it may quote the line
        raise BadConfig(f"{document.shown} is not TOML: wrong at {where}; write texts in quotes") from None
    except (ValueError, RecursionError):
        raise BadConfig(f"{document.shown} is not TOML") from None
    for name, value in found.items():
        if name not in TABLES:
            known = [table for table in TABLES if "." not in table]
            raise document.mistake((name,), f"unknown table or key {_named(name)}{_nearest(name, known)}")
        _check_table(document, name, value)
    return document


def _text_of(path: Path, *, named: bool) -> tuple[str, bool]:
    shown = printable(str(path))
    try:
        # A pipe may be named, and is waited for; one that was found is none of the user's.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | (0 if named else os.O_NONBLOCK))
        try:
            link, status = os.lstat(path), os.fstat(fd)
            if (foreign := why_foreign(link, status, named=named)) == "":
                with open(fd, "rb", closefd=False) as file:
                    raw = file.read(FILE_BYTES_MAX + 1)
        finally:
            os.close(fd)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        why = error.strerror if isinstance(error, OSError) else "no possible path"
        raise BadConfig(f"{shown} cannot be read: {why}") from None
    if foreign:
        raise BadConfig(f"{'./' if path == Path(FILE_NAME) and not named else ''}{shown} is not read, {foreign}")
    if len(raw) > FILE_BYTES_MAX:
        raise BadConfig(f"{shown} is longer than {FILE_BYTES_MAX} bytes: that is no {FILE_NAME}")
    try:
        return raw.decode("utf-8-sig"), stat.S_ISREG(status.st_mode) and bool(status.st_mode & stat.S_IROTH)
    except UnicodeDecodeError:
        raise BadConfig(f"{shown} is not UTF-8") from None


def _check_table(document: Document, table: str, value: Any) -> None:
    path: KeyPath = tuple(table.split("."))
    if TABLES[table].rows:
        if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
            raise document.mistake(path, f"{table} must be tables, [[{table}]]")
        if len(value) > ROWS_MAX:
            raise document.mistake(path, f"at most {ROWS_MAX} tables [[{table}]]")
        document.rows[table] = [_row(document, table, row, (*path, index)) for index, row in enumerate(value)]
    elif isinstance(value, dict):
        document.tables[table] = _values(document, table, value, path)
    else:
        raise document.mistake(path, f"{table} must be a table, [{table}]")


def _row(document: Document, table: str, value: dict[str, Any], path: KeyPath) -> Values:
    values = _values(document, table, value, path)
    for name, one in fields_of(TABLES[table].kind).items():
        if one.required and name not in value:
            raise document.mistake(path, f"{name} is missing under [[{table}]]")
    return values


def _values(document: Document, table: str, value: dict[str, Any], path: KeyPath) -> Values:
    known = fields_of(TABLES[table].kind)
    values: Values = {}
    for name, raw in value.items():
        inner = f"{table}.{name}"
        if inner in TABLES:
            _check_table(document, inner, raw)
            continue
        if name not in known:
            what = f"{_header(table)} has no key {_named(name)}{_nearest(name, known)}"
            raise document.mistake((*path, name), what)
        try:
            values[known[name].name] = converted(raw, known[name])
        except ValueError as error:
            raise document.mistake((*path, name), f"{name} under {_header(table)} {error}") from None
    return values


def _header(table: str) -> str:
    return f"[[{table}]]" if TABLES[table].rows else f"[{table}]"


def _named(name: str) -> str:
    return repr(printable(name)[:60])


def _nearest(name: str, known: Iterable[str]) -> str:
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {close[0]!r}?" if close else f" (known: {', '.join(names)})"


# In which line of a TOML text something stands. tomllib does not say; but it does read beginnings of a text.


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


# The configuration as a file.


def printed() -> str:
    """A ``shoal.toml`` with every key, its default and what it means; all commented out, so that it changes nothing."""
    lines = ["# shoal.toml: every key, with what holds without it.", ""]
    for table, (kind, meaning, rows) in TABLES.items():
        lines += [f"# {meaning}", f"#{_header(table)}" if rows else _header(table)]
        for name, one in fields_of(kind).items():
            also = variables_of(table, name)[-1:]
            if one.key.secret:
                also += (f"credential {credential_name(table, name, 'NAME')}",)
            restart = " Holds after a restart." if one.key.restart else ""
            place = f" ({', '.join(also)})" if also else ""
            lines += [f"# {one.key.meaning}{restart}{place}", f"#{name} = {_shown(one)}"]
        lines.append("")
    return "\n".join(lines)


def _shown(one: Field) -> str:
    key = one.key
    if one.default is MISSING or key.default or key.example:
        return key.default or key.example or '"name"'
    return json.dumps(one.default // key.unit if key.unit != 1 else one.default)  # JSON of these is TOML too


_ALIASES: Final = {
    ("soulseek", "listen_ports"): "SHOAL_SOULSEEK_LISTEN_PORT",
    ("daemon", "state"): "SHOAL_STATE",
}


def variables_of(table: str, name: str) -> tuple[str, ...]:
    """The environment variables of a key, of which the last wins; none for keys of rows."""
    if TABLES[table].rows:
        return ()
    plain = f"SHOAL_{table.upper()}_{name.upper()}"
    alias = _ALIASES.get((table, name))
    return (plain,) if alias is None else (plain, alias)


def credential_name(table: str, key: str, row: str = "") -> str:
    """``api-keys-NAME`` for a row, ``api-password`` for a single key."""
    return f"{table}-{row if TABLES[table].rows else key}".replace(".", "-").replace("/", "-")
