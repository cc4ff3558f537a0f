"""The Soulseek account and what is chosen about its session: from ``shoal.toml`` and the environment, checked.

The environment wins over the file. Anything wrong is one `BadUsage` line; none of them quotes a value, because the
password stands among them.
"""

import ipaddress
import os
import stat
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from protocol.messages.jobs import STOPS_PER_DAY, STOPS_PER_JOB
from protocol.terminal.options import BadUsage
from protocol.terminal.words import printable
from protocol.urls import is_host_name

FILE_NAME: Final = "shoal.toml"
FILE_BYTES_MAX: Final = 1 << 20
NAME_CHARS_MAX: Final = 30
PASSWORD_CHARS_MAX: Final = 200
PORTS_MAX: Final = 20
FOLDERS_MAX: Final = 1000
_PREFIX: Final = "SHOAL_SOULSEEK_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One login and its manners; the password is in no repr. `notes` are lines that people should read once.

    `ports`: the first free one is taken, 0 is any. `obfuscated_port`: 0 any, -1 none. `shared_folders` are absolute and
    exist. `upload_limit_kib_s` 0: none. At most `searches` searches in any `searches_s` seconds.
    A user is hung up on at most `stops_per_job` and `stops_per_day` times.
    """

    username: str
    password: str = field(repr=False)
    server_host: str = "server.slsknet.org"
    server_port: int = 2416
    ports: tuple[int, ...] = (0,)
    obfuscated_port: int = -1
    bind_host: str = "0.0.0.0"
    upnp: bool = False
    shared_folders: tuple[str, ...] = ()
    sharing: bool = True
    upload_slots: int = 2
    upload_limit_kib_s: int = 0
    searches: int = 34
    searches_s: float = 220.0
    stops_per_job: int = STOPS_PER_JOB
    stops_per_day: int = STOPS_PER_DAY
    notes: tuple[str, ...] = ()

    @property
    def manners(self) -> dict[str, int]:
        """The fields of `JobAsked` that say what users are spared."""
        return {"stops_per_job": self.stops_per_job, "stops_per_day": self.stops_per_day}


def load_account(config: str = "", environ: Mapping[str, str] | None = None) -> Account:
    """The account of this user. `config` is the file to read, empty: the first that is found.

    Raises `BadUsage` when there is none, or something about it is wrong.
    """
    environ = os.environ if environ is None else environ
    path = _config_path(config, environ)
    chosen, notes = _read(path) if path is not None else ({}, ())
    chosen.update(_from_environment(environ))
    missing = [key for key in ("username", "password") if key not in chosen]
    if missing:
        raise BadUsage(_missing(missing, path))
    account = replace(Account(**chosen), notes=notes)
    return replace(account, notes=(*notes, *_manners(account)))


def _missing(keys: list[str], path: Path | None) -> str:
    names = " and ".join(_PREFIX + key.upper() for key in keys)
    where = printable(str(path)) if path is not None else f"./{FILE_NAME} or ~/.config/shoal/{FILE_NAME}"
    what = "no Soulseek account" if len(keys) == 2 else f"the Soulseek account has no {keys[0]}"
    return f"{what}: set {names}, or {' and '.join(keys)} under [soulseek] in {where}"


def _manners(account: Account) -> tuple[str, ...]:
    if not account.sharing:
        return ("sharing is switched off: many Soulseek users ban those who share nothing",)
    if not account.shared_folders:
        return ("no folder is shared (shared_folders): many Soulseek users ban those who share nothing",)
    return ()


# the file


def _config_path(config: str, environ: Mapping[str, str]) -> Path | None:
    """The file that was named, else the first that is there."""
    named = config or environ.get("SHOAL_CONFIG", "")
    if named:
        return Path(named)
    home = environ.get("XDG_CONFIG_HOME") or os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".config")
    for path in (Path(FILE_NAME), Path(home, "shoal", FILE_NAME)):
        if os.path.lexists(path):
            return path
    return None


def _read(path: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """``(fields of Account, notes)``."""
    shown = printable(str(path))
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(FILE_BYTES_MAX + 1)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        why = error.strerror if isinstance(error, OSError) else "no possible path"
        raise BadUsage(f"{shown} cannot be read: {why}") from None
    if len(text) > FILE_BYTES_MAX:
        raise BadUsage(f"{shown} is longer than {FILE_BYTES_MAX} bytes: that is no {FILE_NAME}")
    table = _soulseek_table(text, shown)
    chosen = {}
    for key, value in table.items():
        entry = _KEYS.get(key)
        if entry is None:
            raise BadUsage(f"{shown}: [soulseek] has no key {printable(key)[:60]!r} (known: {', '.join(_KEYS)})")
        try:
            chosen[entry.name] = entry.checked(value)
        except ValueError as error:
            raise BadUsage(f"{shown}: {key} under [soulseek] {error}") from None
    notes = []
    if "password" in chosen and stat.S_ISREG(mode) and mode & stat.S_IROTH:
        notes.append(f"everybody on this machine can read the password in {shown}: chmod 600 it")
    if "shared_folders" in chosen:
        chosen["shared_folders"], lost = _folders(chosen["shared_folders"], path.parent)
        notes += [f"{shown}: the shared folder {printable(folder)} is not there" for folder in lost]
    return chosen, tuple(notes)


def _soulseek_table(text: bytes, shown: str) -> dict[str, Any]:
    try:
        document = tomllib.loads(text.decode())
    except UnicodeDecodeError:
        raise BadUsage(f"{shown} is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        where = str(error).rpartition("(at ")[2].rstrip(")")  # the words before it may quote the line
        raise BadUsage(f"{shown} is not TOML: wrong at {where}; write texts in quotes") from None
    except (ValueError, RecursionError):
        raise BadUsage(f"{shown} is not TOML") from None
    unknown = sorted(set(document) - {"soulseek"})
    if unknown:
        raise BadUsage(f"{shown}: unknown table or key {printable(unknown[0])[:60]!r} (known: [soulseek])")
    table = document.get("soulseek", {})
    if not isinstance(table, dict):
        raise BadUsage(f"{shown}: soulseek must be a table, [soulseek]")
    return table


def _folders(folders: tuple[str, ...], base: Path) -> tuple[tuple[str, ...], list[str]]:
    """``(those that are there, absolute; the others)``; relative ones are meant from the file's folder."""
    there: list[str] = []
    lost: list[str] = []
    for folder in folders:
        path = os.path.abspath(os.path.join(base, os.path.expanduser(folder)))
        (there if os.path.isdir(path) else lost).append(path)
    return tuple(there), lost


# the environment


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Fields of Account. An empty variable is as good as none."""
    chosen: dict[str, Any] = {}
    for name, key in _VARIABLES.items():
        word = environ.get(_PREFIX + name, "")
        if not word:
            continue
        entry = _KEYS[key]
        try:
            chosen[entry.name] = entry.checked(_numbers(word) if key == "listen_ports" else _number_or(word, key))
        except ValueError as error:
            raise BadUsage(f"{_PREFIX}{name} {error}") from None
    return chosen


def _numbers(word: str) -> list[int]:
    return [_number(part.strip()) for part in word.split(",")]


def _number_or(word: str, key: str) -> str | int:
    return _number(word.strip()) if key == "port" else word


def _number(word: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) < 10):
        raise ValueError("must be a whole number")
    return int(word)


# what may stand where: each takes a raw value, returns the good one or raises ValueError with the end of a sentence


def _text(value: object, chars_max: int) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a text in quotes")
    if not 0 < len(value) <= chars_max or not value.isprintable():
        raise ValueError(f"must have 1 to {chars_max} printable characters")
    return value


def _host(value: object) -> str:
    host = _text(value, 254)
    if not (is_host_name(host) or _is_address(host)):
        raise ValueError("is no possible host name")
    return host


def _address(value: object) -> str:
    address = _text(value, 60)
    if not _is_address(address):
        raise ValueError("must be an address of this machine, like 0.0.0.0 or 127.0.0.1")
    return address


def _is_address(word: str) -> bool:
    try:
        ipaddress.ip_address(word)
    except ValueError:
        return False
    return True


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _whole(least: int, most: int) -> Callable[[object], int]:
    def checked(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return value

    return checked


def _seconds(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 1 <= value <= 86400:
        raise ValueError("must be a number of seconds from 1 to 86400")
    return float(value)


def _list_of(checked: Callable[[object], Any], most: int, what: str) -> Callable[[object], tuple[Any, ...]]:
    def each(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) > most:
            raise ValueError(f"must be a list of at most {most} {what} in [ ]")
        return tuple(checked(one) for one in value)

    return each


def _ports(value: object) -> tuple[int, ...]:
    ports = _list_of(_whole(0, 65535), PORTS_MAX, "ports")(value)
    if not ports:
        raise ValueError("must have one port at least; [0] is any")
    return ports


@dataclass(frozen=True, slots=True)
class _Key:
    """`name` of the field in `Account`."""

    name: str
    checked: Callable[[object], Any]


_KEYS: Final = {
    "username": _Key("username", lambda value: _text(value, NAME_CHARS_MAX)),
    "password": _Key("password", lambda value: _text(value, PASSWORD_CHARS_MAX)),
    "server": _Key("server_host", _host),
    "port": _Key("server_port", _whole(1, 65535)),
    "listen_ports": _Key("ports", _ports),
    "obfuscated_port": _Key("obfuscated_port", _whole(-1, 65535)),
    "bind": _Key("bind_host", _address),
    "upnp": _Key("upnp", _flag),
    "shared_folders": _Key("shared_folders", _list_of(lambda value: _text(value, 4096), FOLDERS_MAX, "folders")),
    "sharing": _Key("sharing", _flag),
    "upload_slots": _Key("upload_slots", _whole(1, 100)),
    "upload_limit_kib_s": _Key("upload_limit_kib_s", _whole(0, 1 << 30)),
    "searches": _Key("searches", _whole(1, 1000)),
    "searches_s": _Key("searches_s", _seconds),
    "stops_per_job": _Key("stops_per_job", _whole(0, 1000)),
    "stops_per_day": _Key("stops_per_day", _whole(0, 1000)),
}
"""Keys of ``[soulseek]``."""

_VARIABLES: Final = {
    "USERNAME": "username",
    "PASSWORD": "password",
    "SERVER": "server",
    "PORT": "port",
    "LISTEN_PORT": "listen_ports",
    "BIND": "bind",
}
"""Environment variables, after their common beginning, and the keys they stand for."""
