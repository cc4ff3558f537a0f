"""Address and API key of a daemon: from options, the environment, and the key file of a daemon on this machine.

A key is a secret: it is in no repr and in no error, and the file of this machine's daemon is only ever sent to this
machine.
"""

import contextlib
import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

DEFAULT_URL: Final = "http://127.0.0.1:5030"
KEY_CHARS_MAX: Final = 255
URL_CHARS_MAX: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Address and key of a daemon. `url` has no slash at its end; `key` may be empty; `key_from` names its origin."""

    url: str
    key: str = field(default="", repr=False)
    key_from: str = ""


def find_access(url: str, key: str, key_file: str, environ: Mapping[str, str]) -> Access:
    """Return the access that options, else the environment, give. Raises `ValueError` with one line for people."""
    where = checked_url(url or environ.get("SHOAL_URL", "") or own_url(environ) or DEFAULT_URL)
    if key and key_file:
        raise ValueError("--api-key and --api-key-file exclude each other")
    if key:
        return Access(url=where, key=checked_key(key, "--api-key"), key_from="--api-key")
    if key_file:
        return Access(url=where, key=_from_file(key_file), key_from=key_file)
    if word := environ.get("SHOAL_API_KEY", ""):
        return Access(url=where, key=checked_key(word, "SHOAL_API_KEY"), key_from="SHOAL_API_KEY")
    return _own(where, environ) if is_here(where) else Access(url=where)


def own_url(environ: Mapping[str, str]) -> str:
    """Return the address that this user's running daemon noted in its state folder; empty: none on this machine."""
    from protocol.config.paths import ADDRESS_FILE, state_folder

    with contextlib.suppress(OSError, ValueError), open(os.path.join(state_folder(environ), ADDRESS_FILE)) as file:
        url = checked_url(file.read(URL_CHARS_MAX).strip())
        return url if is_here(url) else ""
    return ""


def checked_url(word: str) -> str:
    """Return an address to append paths to. Raises `ValueError`, which quotes nothing that may be a secret."""
    try:
        parts = urlsplit(word)
        host, _port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("--url: this is not an address; write it like http://127.0.0.1:5030") from None
    if "@" in parts.netloc:
        raise ValueError("--url: no name and password in it; the key is given with SHOAL_API_KEY or --api-key-file")
    if parts.scheme not in ("http", "https") or not host or not (word.isascii() and word.isprintable()) or " " in word:
        raise ValueError("--url: this is not an address; write it like http://127.0.0.1:5030")
    if parts.query or parts.fragment:
        raise ValueError("--url: where the daemon is, without ? and #")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def checked_key(word: str, where: str) -> str:
    """Return the key without blanks. Raises `ValueError` for what cannot be one."""
    key = word.strip()
    if not key or len(key) > KEY_CHARS_MAX or not (key.isascii() and key.isprintable()):
        raise ValueError(f"{where}: this is no API key")
    return key


def is_here(url: str) -> bool:
    """Return whether this address is loopback."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _from_file(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return checked_key(file.read(4 * KEY_CHARS_MAX), f"--api-key-file {path}")
    except OSError as error:
        raise ValueError(f"--api-key-file {path}: {error.strerror}") from None


def _own(url: str, environ: Mapping[str, str]) -> Access:
    """Return the access to this user's own daemon, with its key where there is one."""
    from protocol.config.paths import API_KEY_FILE, state_folder

    path = os.path.join(state_folder(environ), API_KEY_FILE)
    with contextlib.suppress(OSError, ValueError), open(path, encoding="ascii", errors="replace") as file:
        return Access(url=url, key=checked_key(file.read(4 * KEY_CHARS_MAX), path), key_from=path)
    return Access(url=url)


_STAT_ARGUMENTS: Final = 45
"""Field of /proc/PID/stat behind the name: address of the arguments; the next one is their end."""


def hide_argument(secret: str) -> bool:
    """Overwrite this secret in the process's arguments, so that ``ps`` shows stars; returns whether it could (Linux).

    Until this is called every user of the machine can read it: that is why an option is no place for a secret.
    """
    if not secret:
        return False
    with contextlib.suppress(OSError, ValueError, IndexError), open("/proc/self/stat", "rb") as stat:
        fields = stat.read().rpartition(b")")[2].split()
        first, stop = int(fields[_STAT_ARGUMENTS]), int(fields[_STAT_ARGUMENTS + 1])
        with open("/proc/self/mem", "r+b", buffering=0) as memory:
            memory.seek(first)
            hidden = hidden_in(memory.read(stop - first), secret.encode())
            memory.seek(first)
            memory.write(hidden)
            return True
    return False


def hidden_in(arguments: bytes, secret: bytes) -> bytes:
    """Return NUL-terminated arguments with the secret as stars, as long as before."""
    stars = b"*" * len(secret)
    words = arguments.split(b"\0")
    return b"\0".join(
        word[: -len(secret)] + stars if word == secret or word.endswith(b"=" + secret) else word for word in words
    )
