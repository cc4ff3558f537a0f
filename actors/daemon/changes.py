"""What of another configuration holds at once, and what only after a restart."""

from dataclasses import fields, replace
from typing import Any, Final

from protocol.config.account import Account
from protocol.config.keys import TABLES
from protocol.config.load import Config


def applied(old: Config, new: Config) -> tuple[Config, list[str]]:
    """``(what holds from now on, keys whose new values have to wait for a restart)``."""
    waiting: list[str] = []
    settings = replace(
        new.settings,
        daemon=_kept("daemon", old.settings.daemon, new.settings.daemon, waiting),
        api=_kept("api", old.settings.api, new.settings.api, waiting),
    )
    return replace(new, settings=settings, account=_account(old.account, new.account, waiting)), waiting


def _kept(table: str, old: Any, new: Any, waiting: list[str]) -> Any:
    """`new` with the fields of `old` that cannot change; their keys go into `waiting`."""
    keys = {key.field or name: name for name, key in TABLES[table].items() if not key.live}
    changed = [one.name for one in fields(old) if one.name in keys and getattr(old, one.name) != getattr(new, one.name)]
    waiting += [f"{table}.{keys[name]}" for name in changed]
    return replace(new, **{name: getattr(old, name) for name in changed})


def _account(old: Account | None, new: Account | None, waiting: list[str]) -> Account | None:
    if old is None or new is None:
        waiting += [] if old is new else [_ACCOUNT]
        return old
    kept: Account = _kept(_ACCOUNT, old, new, waiting)
    return kept


_ACCOUNT: Final = "soulseek"
