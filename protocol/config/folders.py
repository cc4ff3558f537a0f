"""Where this user's files are, and the secrets that the daemon makes for itself there."""

import contextlib
import os
import secrets
from collections.abc import Mapping
from typing import Final

import platformdirs

API_KEY_FILE: Final = "api-key"
SESSION_KEY_FILE: Final = "session-key"


def state_folder(environ: Mapping[str, str]) -> str:
    """Where the daemon keeps its jobs unless told otherwise; systemd's StateDirectory where there is one."""
    given = environ.get("SHOAL_STATE") or environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return os.path.abspath(given or platformdirs.user_state_path("shoal"))


def downloads_folder(environ: Mapping[str, str]) -> str:
    """Where finished files go unless told otherwise."""
    under = environ.get("STATE_DIRECTORY", "").partition(":")[0] or str(platformdirs.user_data_path("shoal"))
    return os.path.abspath(os.path.join(under, "downloads"))


def made_api_key(state: str) -> tuple[str, str, bool]:
    """``(key, path, made)``: the administrator's key of a daemon that nobody configured one for. Raises OSError."""
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
