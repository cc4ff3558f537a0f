"""Paths of this user's files: the configuration, the state, and the secrets that the daemon makes for itself there."""

import contextlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

API_KEY_FILE: Final = "api-key"
ADDRESS_FILE: Final = "address"
"""In the state folder while a daemon runs: the URL of its API."""
SESSION_KEY_FILE: Final = "session-key"
FILE_NAME: Final = "shoal.toml"


def find_file(config: str, environ: Mapping[str, str], *, here: bool) -> Path | None:
    """The configuration file that was named, else the first that is there. `here`: also in the current folder."""
    if named := named_file(config, environ):
        return Path(named)
    home = environ.get("XDG_CONFIG_HOME") or os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".config")
    if here and os.path.lexists(FILE_NAME):
        return Path(FILE_NAME)
    path = Path(home, "shoal", FILE_NAME)
    return path if os.path.lexists(path) else None


def is_private(found: os.stat_result) -> bool:
    """Whether only this user (and the administrator) may read and write a file."""
    return found.st_uid in (os.geteuid(), 0) and not found.st_mode & 0o077


def named_file(config: str, environ: Mapping[str, str]) -> str:
    """Return the configuration file that the user named, by option or environment; empty: none."""
    return config or environ.get("SHOAL_CONFIG", "")


def why_foreign(link: os.stat_result, file: os.stat_result, *, named: bool) -> str:
    """Return why a configuration is not read: it could name programs to run and servers to send a password to.

    One that was found, not `named`, must be a plain file that only this user or the administrator owns and can write;
    `link` is the status of its name. One that was named must not be writable by everybody. Empty: it is read.
    """
    others = stat.S_IWOTH if named else stat.S_IWGRP | stat.S_IWOTH
    foreign = set() if named else {one.st_uid for one in (link, file)} - {os.geteuid(), 0}
    if foreign:
        what = f"it belongs to another user (uid {min(foreign)})"
    elif not (named or stat.S_ISREG(file.st_mode)):
        what = "it is not a plain file"
    elif stat.S_ISREG(file.st_mode) and file.st_mode & others:
        what = "others may write it (chmod go-w)"
    else:
        return ""
    return what if named else f"{what}; name the file that is meant with --config or SHOAL_CONFIG"


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

    The file is its owner's alone from the first moment on; one without a usable secret, or of another user, who knows
    it, is replaced.
    """
    with contextlib.suppress(FileNotFoundError), open(path, encoding="ascii", errors="replace") as file:
        word, status = file.read(256).strip(), os.fstat(file.fileno())
        own = status.st_uid in (os.geteuid(), 0)
        if own and 16 <= len(word) <= 255 and word.isascii() and word.isprintable():
            if status.st_uid == os.geteuid() and status.st_mode & 0o077:
                os.fchmod(file.fileno(), 0o600)
            return word, False
    import secrets

    word = secrets.token_urlsafe(32)
    replace_file(path, word + "\n")
    return word, True


def replace_file(path: str, text: str) -> None:
    """Write a file that its owner alone may read, in the place of what has its name. Raises OSError."""
    new = f"{path}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
