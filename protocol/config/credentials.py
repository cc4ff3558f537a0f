"""Secrets that a service manager hands over: one file each in ``$CREDENTIALS_DIRECTORY`` (systemd's LoadCredential).

``soulseek-password`` stands for `password` under [soulseek], ``api-keys-NAME`` for `key` of the [[api.keys]] of that
name, ``webhooks-NAME`` for a webhook's secret.
"""

import os
from collections.abc import Mapping
from typing import Any

from protocol.config.schema import ARRAYS, TABLES
from protocol.model.errors import BadConfig

_BYTES_MAX = 4096


def credential(table: str, key: str, environ: Mapping[str, str], *, row: str = "") -> Any:
    """The checked secret; empty when there is none of this name. `row`: the name of a row of an array."""
    folder = environ.get("CREDENTIALS_DIRECTORY", "")
    if not folder:
        return ""
    name = credential_name(table, key, row)
    try:
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            word = file.read(_BYTES_MAX).rstrip("\r\n")
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        raise BadConfig(f"the credential {name} cannot be read: {type(error).__name__}") from None
    try:
        return TABLES[table][key].check(word)
    except ValueError as error:
        raise BadConfig(f"the credential {name} {error}") from None


def credential_name(table: str, key: str, row: str = "") -> str:
    """``api-keys-NAME`` for a row of an array, ``api-password`` for a single key."""
    return f"{table}-{row if table in ARRAYS else key}".replace(".", "-").replace("/", "-")
