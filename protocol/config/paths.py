"""Paths of this user's files: the configuration, the state, and the secrets that the daemon makes for itself there."""

import contextlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from protocol.model.errors import BadConfig

API_KEY_FILE: Final = "api-key"
ADDRESS_FILE: Final = "address"
"""In the state folder while a daemon runs: the URL of its API."""
SESSION_KEY_FILE: Final = "session-key"
FILE_NAME: Final = "shoal.toml"


def find_file(config: str, environ: Mapping[str, str], *, here: bool) -> Path | None:
    """The configuration file that was named, else the first that is there. `here`: the current folder is a place too.

    A file of the current folder that another user owns or may write is refused: it could name programs to run and
    servers to send the password to. Raises `BadConfig`.
    """
    named = config or environ.get("SHOAL_CONFIG", "")
    if named:
        return Path(named)
    home = environ.get("XDG_CONFIG_HOME") or os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".config")
    if here and os.path.lexists(FILE_NAME):
        _check_owner(FILE_NAME)
        return Path(FILE_NAME)
    path = Path(home, "shoal", FILE_NAME)
    return path if os.path.lexists(path) else None


def is_private(found: os.stat_result) -> bool:
    """Whether only this user (and the administrator) may read and write a file."""
    return found.st_uid in (os.geteuid(), 0) and not found.st_mode & 0o077


def _check_owner(name: str) -> None:
    try:
        link, file = os.lstat(name), os.stat(name)
    except OSError as error:
        raise BadConfig(f"{name} cannot be read: {error.strerror}") from None
    foreign = {one.st_uid for one in (link, file)} - {os.geteuid(), 0}
    if foreign:
        what = f"it belongs to another user (uid {min(foreign)})"
    elif file.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        what = "others may write it (chmod go-w)"
    elif not stat.S_ISREG(file.st_mode):
        what = "it is not a plain file"
    else:
        return
    raise BadConfig(f"./{name} is not read, {what}; name the file that is meant with --config or SHOAL_CONFIG")


def state_folder(environ: Mapping[str, str]) -> str:
    """Return the default folder of the daemon's state; systemd's StateDirectory where there is one."""
    given = environ.get("SHOAL_STATE") or environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if not given:
        import platformdirs

        given = platformdirs.user_state_dir("shoal")
    return os.path.abspath(given)


def downloads_folder(environ: Mapping[str, str]) -> str:
    """Return the default folder of finished files."""
    under = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if not under:
        import platformdirs

        under = platformdirs.user_data_dir("shoal")
    return os.path.abspath(os.path.join(under, "downloads"))


def made_api_key(state: str) -> tuple[str, str, bool]:
    """``(key, path, made)``: the administrator's key of a daemon that has none in its configuration. Raises OSError."""
    path = os.path.join(state, API_KEY_FILE)
    key, made = _secret(path)
    return key, path, made


def session_key(state: str) -> bytes:
    """Return the key that signs sessions; stored, so that they outlive a restart. Raises OSError."""
    return _secret(os.path.join(state, SESSION_KEY_FILE))[0].encode()


def _secret(path: str) -> tuple[str, bool]:
    """Return ``(secret in the file, whether it was made now)``.

    The file is its owner's alone from the first moment on; one without a usable secret is replaced.
    """
    with contextlib.suppress(FileNotFoundError), open(path, encoding="ascii", errors="replace") as file:
        word = file.read(256).strip()
        if 16 <= len(word) <= 255 and word.isascii() and word.isprintable():
            return word, False
    import secrets

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
