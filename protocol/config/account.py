"""The Soulseek account and what is chosen about its session: from ``shoal.toml``, credentials and the environment.

The environment wins over credentials, those win over the file. Anything wrong is one `BadConfig` line; none of them
quotes a value, because the password stands among them.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from protocol.config.credentials import credential
from protocol.config.file import FILE_NAME, Document, Values, find_file, from_environment, read_file
from protocol.model.errors import BadConfig
from protocol.model.limits import STOPS_PER_DAY, STOPS_PER_JOB
from protocol.model.printable import printable

_TABLE: Final = "soulseek"
_LOGIN: Final = ("username", "password")


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
        """The fields of `StartJob` that say what users are spared."""
        return {"stops_per_job": self.stops_per_job, "stops_per_day": self.stops_per_day}


def load_account(config: str = "", environ: Mapping[str, str] | None = None) -> Account:
    """The account of this user. `config` is the file to read, empty: the first that is found.

    Raises `BadConfig` when there is none, or something about it is wrong.
    """
    environ = os.environ if environ is None else environ
    document = read_file(find_file(config, environ))
    account = account_of(document, environ)
    if account is None:
        raise BadConfig(_missing(_LOGIN, document.path))
    return account


def account_of(document: Document, environ: Mapping[str, str]) -> Account | None:
    """None when there is neither name nor password; raises `BadConfig` when there is one of them."""
    chosen: Values = dict(document.tables.get(_TABLE, {}))
    notes = []
    if "password" in chosen and document.readable_by_all:
        notes.append(f"everybody on this machine can read the password in {document.shown}: chmod 600 it")
    if "shared_folders" in chosen and document.path is not None:
        chosen["shared_folders"], lost = _folders(chosen["shared_folders"], document.path.parent)
        notes += [f"{document.shown}: the shared folder {printable(folder)} is not there" for folder in lost]
    for key in _LOGIN:
        if word := credential(_TABLE, key, environ):
            chosen[key] = word
    chosen.update(from_environment(_TABLE, environ))
    missing = [key for key in _LOGIN if key not in chosen]
    if len(missing) == len(_LOGIN):
        return None
    if missing:
        raise BadConfig(_missing(missing, document.path))
    account = replace(Account(**chosen), notes=tuple(notes))
    return replace(account, notes=(*account.notes, *_manners(account)))


def _missing(keys: tuple[str, ...] | list[str], path: Path | None) -> str:
    names = " and ".join(f"SHOAL_SOULSEEK_{key.upper()}" for key in keys)
    where = printable(str(path)) if path is not None else f"./{FILE_NAME} or ~/.config/shoal/{FILE_NAME}"
    what = "no Soulseek account" if len(keys) == 2 else f"the Soulseek account has no {keys[0]}"
    return f"{what}: set {names}, or {' and '.join(keys)} under [soulseek] in {where}"


def _manners(account: Account) -> tuple[str, ...]:
    if not account.sharing:
        return ("sharing is switched off: many Soulseek users ban those who share nothing",)
    if not account.shared_folders:
        return ("no folder is shared (shared_folders): many Soulseek users ban those who share nothing",)
    return ()


def _folders(folders: tuple[str, ...], base: Path) -> tuple[tuple[str, ...], list[str]]:
    """``(those that are there, absolute; the others)``; relative ones are meant from the file's folder."""
    there: list[str] = []
    lost: list[str] = []
    for folder in folders:
        path = os.path.abspath(os.path.join(base, os.path.expanduser(folder)))
        (there if os.path.isdir(path) else lost).append(path)
    return tuple(there), lost
