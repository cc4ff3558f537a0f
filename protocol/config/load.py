"""Configuration of the daemon and the Soulseek account: the environment before credentials before the file.

Credentials are files in ``$CREDENTIALS_DIRECTORY`` (systemd's LoadCredential): ``soulseek-password`` stands for
`password` under [soulseek], ``api-keys-NAME`` for `key` of the [[api.keys]] of that name, ``webhooks-NAME`` for a
webhook's secret. Anything wrong is one `BadConfig` line.
"""

import os
import re
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from protocol.config.file import Document, KeyPath, Values, credential_name, read_file, variables_of
from protocol.config.paths import FILE_NAME, downloads_folder, find_file, named_file, state_folder
from protocol.config.schema import Field, converted, converted_word, fields_of, is_loopback
from protocol.config.settings import (
    ADMINISTRATOR,
    TABLES,
    Account,
    AccountShown,
    ApiKey,
    ApiSettings,
    DaemonSettings,
    FleetSettings,
    LimitSettings,
    LimitWindow,
    Script,
    Settings,
    SlskdSettings,
    Webhook,
)
from protocol.model.errors import BadConfig
from protocol.model.printable import printable

ENVIRONMENT_KEY: Final = "SHOAL_API_KEY"
"""An administrator's key, the same that clients read."""
_ACCOUNT: Final = "soulseek"
_CREDENTIAL_BYTES_MAX: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Loaded configuration.

    `path`: the file it was read from, empty when there is none. `notes` are lines that the user should read once.
    """

    settings: Settings
    account: Account | None
    fleet: FleetSettings | None = None
    """None: this daemon is alone."""
    path: str
    notes: tuple[str, ...]


def load(config: str = "", environ: Mapping[str, str] | None = None, *, servers: tuple[str, ...] = ()) -> Config:
    """Read the daemon's configuration. `config` is the file, empty: that of this user. Raises `BadConfig`.

    `servers`: brokers of a fleet, in the place of those of the file.

    The current folder is no place to look at: whose it is depends on where the daemon was started.
    """
    source = ConfigSource(config, os.environ if environ is None else environ, here=False)
    document = source.document
    account = source.account()
    limits = source.merged("limits")
    settings = Settings(
        daemon=_daemon(source),
        api=_api(source),
        limits=LimitSettings(**limits, schedule=tuple(LimitWindow(**row) for row in source.rows("limits.schedule"))),
        webhooks=tuple(Webhook(**row) for row in source.rows("webhooks", secret="secret")),
        scripts=tuple(Script(**row) for row in source.rows("scripts")),
        slskd=SlskdSettings(**source.merged("slskd")),
        account=AccountShown()
        if account is None
        else AccountShown(username=account.username, server_host=account.server_host, server_port=account.server_port),
    )
    notes = [] if account is None else list(account.notes)
    if document.path is None and os.path.lexists(FILE_NAME):
        notes.append(f"./{FILE_NAME} is not read by a daemon; if it is meant, add --config {FILE_NAME}")
    if document.readable_by_all and _holds_secrets(document):
        notes.append(f"everybody on this machine can read the secrets in {document.shown}: chmod 600 it")
    path = os.path.abspath(document.path) if document.path is not None else ""
    fleet = _fleet(source, servers)
    return Config(settings=settings, account=account, fleet=fleet, path=path, notes=tuple(notes))


class ConfigSource:
    """The file, the credentials and the environment, asked table by table. `here`: see `find_file`."""

    def __init__(self, config: str = "", environ: Mapping[str, str] | None = None, *, here: bool = True) -> None:
        self.environ = environ = os.environ if environ is None else environ
        named = bool(named_file(config, environ))
        self.document = read_file(find_file(config, environ, here=here), named=named)
        self.notes: tuple[str, ...] = ()
        """Lines that the user should read once, besides those of the account."""
        if self.document.path == Path(FILE_NAME) and not named:
            self.notes = (f"the configuration is ./{FILE_NAME} of this folder",)

    def login(self) -> Account:
        """The account of this user. Raises `BadConfig` also when there is none."""
        account = self.account()
        if account is None:
            raise BadConfig(_missing(("username", "password"), self.document.path))
        return account

    def merged(self, table: str) -> Values:
        """The values of a single table by field; what has a default may lack."""
        values = dict(self.document.tables.get(table, {}))
        for name, one in fields_of(TABLES[table].kind).items():
            if word := self._credential(table, name, one):
                values[one.name] = word
            for variable in variables_of(table, name):
                if word := self.environ.get(variable, ""):
                    values[one.name] = _checked(variable, converted_word, word, one)
        return values

    def rows(self, table: str, *, secret: str = "", required: bool = False) -> Iterable[Values]:
        """The rows of an array of tables, no two of one name. `secret`: the key that may come from a credential."""
        names: set[str] = set()
        for index, row in enumerate(self.document.rows.get(table, [])):
            path: KeyPath = (*table.split("."), index)
            name = row.get("name", "")
            if name and name in names:
                raise self.document.mistake(path, f"another [[{table}]] has this name already")
            names.add(name)
            word = secret and self._credential(table, secret, fields_of(TABLES[table].kind)[secret], row=name)
            if required and not word and secret not in row:
                what = f"{secret} is missing under [[{table}]], and there is no credential"
                raise self.document.mistake(path, f"{what} {credential_name(table, secret, name)}")
            yield {**row, secret: word} if word else row

    def _credential(self, table: str, key: str, one: Field, *, row: str = "") -> Any:
        """The checked secret; empty when there is none of this name."""
        folder = self.environ.get("CREDENTIALS_DIRECTORY", "")
        if not folder:
            return ""
        name = credential_name(table, key, row)
        try:
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                word = file.read(_CREDENTIAL_BYTES_MAX).rstrip("\r\n")
        except FileNotFoundError:
            return ""
        except (OSError, ValueError) as error:
            raise BadConfig(f"the credential {name} cannot be read: {type(error).__name__}") from None
        return _checked(f"the credential {name}", converted, word, one)

    def account(self) -> Account | None:
        """None when there is neither name nor password; raises `BadConfig` when there is one of them."""
        document, notes = self.document, []
        if "password" in document.tables.get(_ACCOUNT, {}) and document.readable_by_all:
            notes.append(f"everybody on this machine can read the password in {document.shown}: chmod 600 it")
        values = self.merged(_ACCOUNT)
        missing = [key for key in ("username", "password") if key not in values]
        if len(missing) == 2:
            return None
        if missing:
            raise BadConfig(_missing(missing, document.path))
        paths = [_absolute(folder, document.folder) for folder in values.get("shared_folders", ())]
        values["shared_folders"] = tuple(path for path in paths if os.path.isdir(path))
        gone = [path for path in paths if path not in values["shared_folders"]]
        notes += [f"{document.shown}: the shared folder {printable(path)} is not there" for path in gone]
        account = Account(**values)
        if not account.sharing:
            notes.append("sharing is switched off: many Soulseek users ban those who share nothing")
        elif not account.shared_folders:
            notes.append("no folder is shared (shared_folders): many Soulseek users ban those who share nothing")
        return replace(account, notes=tuple(notes))


def _checked(what: str, convert: Callable[[str, Field], Any], word: str, field: Field) -> Any:
    try:
        return convert(word, field)
    except ValueError as error:
        raise BadConfig(f"{what} {error}") from None


def _missing(keys: tuple[str, ...] | list[str], path: Path | None) -> str:
    names = " and ".join(f"SHOAL_SOULSEEK_{key.upper()}" for key in keys)
    where = printable(str(path)) if path is not None else f"./{FILE_NAME} or ~/.config/shoal/{FILE_NAME}"
    what = "no Soulseek account" if len(keys) == 2 else f"the Soulseek account has no {keys[0]}"
    return f"{what}: set {names}, or {' and '.join(keys)} under [soulseek] in {where}"


def _daemon(source: ConfigSource) -> DaemonSettings:
    values, base = source.merged("daemon"), source.document.folder
    defaults = {"state": state_folder(source.environ), "downloads": downloads_folder(source.environ)}
    values |= {name: _absolute(values.get(name, default), base) for name, default in defaults.items()}
    values["more_folders"] = tuple(_absolute(one, base) for one in values.get("more_folders", ()))
    return DaemonSettings(**values)


def _fleet(source: ConfigSource, servers: tuple[str, ...]) -> FleetSettings | None:
    values, document = source.merged("fleet"), source.document
    if servers:
        field = fields_of(FleetSettings)["servers"]
        values["servers"] = _checked("--fleet", converted, list(servers), field)  # type: ignore[arg-type]
    if not values.get("servers"):
        return None
    if not values.get("destination"):
        raise document.mistake(
            ("fleet",),
            "destination is missing under [fleet]: s3://bucket, a folder that all have, or node://NAME/folder",
        )
    if not values.get("node"):
        host = re.sub(r"[^a-z0-9]+", "-", socket.gethostname().lower()).strip("-")[:32].strip("-")
        values["node"] = host or "node"
    if bool(values.get("access_key")) != bool(values.get("secret_key")):
        lacks = "secret_key" if values.get("access_key") else "access_key"
        raise document.mistake(("fleet",), f"{lacks} is missing under [fleet]")
    for name in ("key_file", "creds_file", "ca_file"):
        if values.get(name):
            values[name] = _absolute(values[name], document.folder)
    return FleetSettings(**values)


def _absolute(folder: str, base: Path) -> str:
    return os.path.abspath(os.path.join(base, os.path.expanduser(folder)))


def _api(source: ConfigSource) -> ApiSettings:
    keys = [ApiKey(**row) for row in source.rows("api.keys", secret="key", required=True)]
    if word := source.environ.get(ENVIRONMENT_KEY, ""):
        key = _checked(ENVIRONMENT_KEY, converted, word, fields_of(ApiKey)["key"])
        keys.append(ApiKey(name="environment", key=key, role=ADMINISTRATOR))
    api = ApiSettings(**source.merged("api"), keys=tuple(keys))
    if not api.authentication and not is_loopback(api.host):
        what = "authentication under [api] must be true unless host is a loopback address, like 127.0.0.1"
        raise source.document.mistake(("api", "authentication"), what)
    if bool(api.username) != bool(api.password):
        lacks = "password" if api.username else "username"
        raise source.document.mistake(("api",), f"{lacks} is missing under [api]: a login has both")
    return api


def _holds_secrets(document: Document) -> bool:
    """Besides the Soulseek password, about which the account has its own note."""
    rows = document.rows.get("api.keys") or document.rows.get("webhooks")
    fleet = document.tables.get("fleet", {})
    return bool(rows) or "password" in document.tables.get("api", {}) or "secret_key" in fleet
