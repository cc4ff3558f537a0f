"""The daemon's whole configuration: file, credentials, environment and defaults, checked together."""

import ipaddress
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from protocol.config.account import Account, account_of
from protocol.config.credentials import credential, credential_name
from protocol.config.file import Document, Values, find_file, from_environment, read_file
from protocol.config.folders import downloads_folder, state_folder
from protocol.config.schema import TABLES
from protocol.config.settings import (
    ADMINISTRATOR,
    AccountShown,
    ApiKey,
    ApiSettings,
    DaemonSettings,
    LimitSettings,
    LimitWindow,
    Script,
    Settings,
    SlskdSettings,
    Webhook,
)
from protocol.model.errors import BadConfig

ENVIRONMENT_KEY: Final = "SHOAL_API_KEY"
"""An administrator's key, the same that clients read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """`path`: the file it was read from, empty when there is none. `notes` are lines that people should read once."""

    settings: Settings
    account: Account | None
    path: str
    notes: tuple[str, ...]


def load(config: str = "", environ: Mapping[str, str] | None = None) -> Config:
    """`config` is the file to read, empty: the first that is found. Raises `BadConfig`. Reads only."""
    environ = os.environ if environ is None else environ
    document = read_file(find_file(config, environ))
    account = account_of(document, environ)
    keys = _api_keys(document, environ)
    webhooks = [Webhook(**row) for row in _rows_with_secret(document, environ, "webhooks", "secret")]
    settings = Settings(
        daemon=_daemon(document, environ),
        api=_api(document, environ, keys),
        limits=_limits(document, environ),
        webhooks=tuple(webhooks),
        scripts=tuple(Script(**row) for row in document.rows.get("scripts", [])),
        slskd=SlskdSettings(**_merged(document, environ, "slskd")),
        account=_shown(account),
    )
    for table in ("api.keys", "webhooks", "scripts"):
        _no_name_twice(document, table)
    notes = [] if account is None else list(account.notes)
    if document.readable_by_all and _holds_secrets(document):
        notes.append(f"everybody on this machine can read the secrets in {document.shown}: chmod 600 it")
    path = os.path.abspath(document.path) if document.path is not None else ""
    return Config(settings=settings, account=account, path=path, notes=tuple(notes))


def _shown(account: Account | None) -> AccountShown:
    if account is None:
        return AccountShown()
    return AccountShown(username=account.username, server_host=account.server_host, server_port=account.server_port)


def _merged(document: Document, environ: Mapping[str, str], table: str) -> Values:
    """The file, then credentials, then the environment."""
    secrets = {name: word for name in _secrets(table) if (word := credential(table, name, environ))}
    return {**document.tables.get(table, {}), **secrets, **from_environment(table, environ)}


def _secrets(table: str) -> Iterable[str]:
    return (name for name, key in TABLES[table].items() if key.secret)


def _daemon(document: Document, environ: Mapping[str, str]) -> DaemonSettings:
    base = document.path.parent if document.path is not None else Path()
    values = _merged(document, environ, "daemon")
    for name, default in (("state", state_folder(environ)), ("downloads", downloads_folder(environ))):
        values[name] = _absolute(values.get(name, default), base)
    values["more_folders"] = tuple(_absolute(one, base) for one in values.get("more_folders", ()))
    return DaemonSettings(**values)


def _absolute(folder: str, base: Path) -> str:
    return os.path.abspath(os.path.join(base, os.path.expanduser(folder)))


def _limits(document: Document, environ: Mapping[str, str]) -> LimitSettings:
    schedule = tuple(LimitWindow(**row) for row in document.rows.get("limits.schedule", []))
    return LimitSettings(**_merged(document, environ, "limits"), schedule=schedule)


def _api(document: Document, environ: Mapping[str, str], keys: tuple[ApiKey, ...]) -> ApiSettings:
    api = ApiSettings(**_merged(document, environ, "api"), keys=keys)
    if not api.authentication and not is_loopback(api.host):
        what = "authentication under [api] must be true unless host is a loopback address, like 127.0.0.1"
        raise document.mistake(("api", "authentication"), what)
    if bool(api.username) != bool(api.password):
        lacks = "password" if api.username else "username"
        raise document.mistake(("api",), f"{lacks} is missing under [api]: a login has both")
    return api


def _api_keys(document: Document, environ: Mapping[str, str]) -> tuple[ApiKey, ...]:
    keys = [ApiKey(**row) for row in _rows_with_secret(document, environ, "api.keys", "key", needed=True)]
    if word := environ.get(ENVIRONMENT_KEY, ""):
        try:
            keys.append(ApiKey(name="environment", key=TABLES["api.keys"]["key"].check(word), role=ADMINISTRATOR))
        except ValueError as error:
            raise BadConfig(f"{ENVIRONMENT_KEY} {error}") from None
    return tuple(keys)


def _rows_with_secret(
    document: Document, environ: Mapping[str, str], table: str, key: str, *, needed: bool = False
) -> Iterable[dict[str, Any]]:
    for index, row in enumerate(document.rows.get(table, [])):
        word = credential(table, key, environ, row=row["name"]) or row.get(key, "")
        if needed and not word:
            name = credential_name(table, key, row["name"])
            what = f"{key} is missing under [[{table}]], and there is no credential {name}"
            raise document.mistake((*table.split("."), index), what)
        yield {**row, key: word} if word else row


def _no_name_twice(document: Document, table: str) -> None:
    names: set[str] = set()
    for index, row in enumerate(document.rows.get(table, [])):
        if row["name"] in names:
            raise document.mistake((*table.split("."), index), f"another [[{table}]] has this name already")
        names.add(row["name"])


def _holds_secrets(document: Document) -> bool:
    """Besides the Soulseek password, about which the account has its own note."""
    return bool(document.rows.get("api.keys") or document.rows.get("webhooks")) or "password" in document.tables.get(
        "api", {}
    )


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
