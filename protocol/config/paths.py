"""Paths of this user's files: the configuration, the state, and the secrets that the daemon makes for itself there."""

import contextlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import platformdirs

API_KEY_FILE: Final = "api-key"
SESSION_KEY_FILE: Final = "session-key"
FILE_NAME: Final = "shoal.toml"


def find_file(config: str, environ: Mapping[str, str]) -> Path | None:
    """The configuration file that was named, else the first that is there."""
    named = config or environ.get("SHOAL_CONFIG", "")
    if named:
        return Path(named)
    home = environ.get("XDG_CONFIG_HOME") or os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".config")
    for path in (Path(FILE_NAME), Path(home, "shoal", FILE_NAME)):
        if os.path.lexists(path):
            return path
    return None


def state_folder(environ: Mapping[str, str]) -> str:
    """Where the daemon keeps its jobs unless it is configured; systemd's StateDirectory where there is one."""
    given = environ.get("SHOAL_STATE") or environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return os.path.abspath(given or platformdirs.user_state_path("shoal"))


def downloads_folder(environ: Mapping[str, str]) -> str:
    """Where finished files go unless it is configured."""
    under = environ.get("STATE_DIRECTORY", "").partition(":")[0] or str(platformdirs.user_data_path("shoal"))
    return os.path.abspath(os.path.join(under, "downloads"))


def made_api_key(state: str) -> tuple[str, str, bool]:
    """``(key, path, made)``: the administrator's key of a daemon that has none in its configuration. Raises OSError."""
    path = os.path.join(state, API_KEY_FILE)
    key, made = _secret(path)
    return key, path, made


def session_key(state: str) -> bytes:
    """What sessions are signed with; kept, so that they outlive a restart. Raises OSError."""
    return _secret(os.path.join(state, SESSION_KEY_FILE))[0].encode()


def _secret(path: str) -> tuple[str, bool]:
    """``(what the file says, whether it was made now)``. The file is its owner's alone from the first moment on; one
    that says nothing useful is replaced."""
    with contextlib.suppress(FileNotFoundError), open(path, encoding="ascii", errors="replace") as file:
        word = file.read(256).strip()
        if 16 <= len(word) <= 255 and word.isascii() and word.isprintable():
            return word, False
    word = secrets.token_urlsafe(32)
    new = f"{path}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(word + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
    return word, True
