"""Validation of HTTP options that users give: header fields, proxies, network interfaces.

The same for command line and API. Each check raises `ValueError` with words that do not repeat a secret.
"""

import re
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from protocol.model.value import late_pattern

TEXT_CHARS_MAX: Final = 2000
HEADERS_CHARS_MAX: Final = 16_000
NO_PROXY: Final = "none"
PROXY_SCHEMES: Final = ("http", "https", "socks5", "socks5h")
COOKIES_CHARS_MAX: Final = 12_000
LOGINS_CHARS_MAX: Final = 4000
CONNECTIONS_MAX: Final = 16
_COOKIE_FIELDS: Final = 7
_LIKE_ADDRESS: Final = late_pattern(r"[0-9]+(\.[0-9]+)+|.*:.*:.*")
"""No interface is called like this."""
_FIELD_NAME: Final = late_pattern(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_OWN_FIELDS: Final = (
    *("connection", "content-length", "expect", "if-range", "keep-alive", "proxy-connection", "range", "te"),
    *("trailer", "transfer-encoding", "upgrade"),
)


def check_header(line: str) -> None:
    """Refuse what is not ``Name: value``, and fields that frame a request or name the part of the file."""
    name, colon, value = line.partition(":")
    if not colon or _FIELD_NAME.fullmatch(name) is None:
        raise ValueError("must be written as 'Name: value'; 'Name:' takes a usual field away")
    if not all(char.isprintable() and ord(char) < 256 for char in value) or len(line) > HEADERS_CHARS_MAX:
        raise ValueError(f"must not have characters in the value of {name} that no field can have, nor be too long")
    if name.lower() in _OWN_FIELDS:
        raise ValueError(f"must not have {name}, which is set by the program itself")


def check_text(word: str) -> None:
    """Refuse what cannot be the value of a request's field."""
    if not (word.isprintable() and word.isascii() and len(word) <= TEXT_CHARS_MAX):
        raise ValueError(f"must have at most {TEXT_CHARS_MAX} printable ASCII characters")


def check_command(word: str) -> None:
    """Refuse what a shell would not split into a program and its arguments."""
    from shlex import split

    try:
        words = split(word)
    except ValueError:
        raise ValueError("must close each quote") from None
    if not words:
        raise ValueError("must name a program")


def check_cookies(lines: tuple[str, ...]) -> None:
    """Refuse lines that are none of a cookie file in Netscape's format, and too many."""
    for line in lines:
        domain, *fields = line.removeprefix("#HttpOnly_").split("\t")
        plain = line.isascii() and all(char.isprintable() or char == "\t" for char in line)
        if not plain or len(fields) != _COOKIE_FIELDS - 1 or not domain or domain.startswith("#"):
            raise ValueError("a line of a cookie file has seven printable fields with tabs between them")
    if sum(map(len, lines)) > COOKIES_CHARS_MAX:
        raise ValueError(f"more than {COOKIES_CHARS_MAX} characters together")


def login_line(host: str, username: str, password: str) -> str:
    """Return a login of a host as `HttpOptions.logins` has it. Raises `ValueError`."""
    parts = (host.lower(), username, password)
    if not host or not all(part.isprintable() for part in parts) or sum(map(len, parts)) > LOGINS_CHARS_MAX:
        raise ValueError("host, user and password are printable, and not long")
    return "\t".join(parts)


def cookies_for(text: str, hosts: Collection[str]) -> tuple[str, ...]:
    """Return the lines of a cookie file that are for these hosts; what is no cookie is left out."""
    kept = []
    for line in text.splitlines():
        domain = line.removeprefix("#HttpOnly_").partition("\t")[0].lstrip(".").lower()
        if domain and any(host == domain or host.endswith(f".{domain}") for host in hosts):
            try:
                check_cookies((line,))
            except ValueError:
                continue
            kept.append(line)
    return tuple(kept)


def check_proxy(word: str) -> None:
    """Refuse what is neither `NO_PROXY` nor the address of a proxy."""
    try:
        parts = urlsplit(word if "://" in word else f"http://{word}")
        good = parts.scheme in PROXY_SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if word != NO_PROXY and not (good and word.isprintable() and " " not in word and len(word) <= TEXT_CHARS_MAX):
        raise ValueError(f"must be {NO_PROXY}, or an address that begins with {', '.join(PROXY_SCHEMES)}")


def check_socks(word: str) -> None:
    """Refuse what is not the address of a SOCKS5 proxy."""
    check_proxy(word)
    if not word.startswith(("socks5://", "socks5h://")):
        raise ValueError("must be the address of a SOCKS5 proxy, like socks5h://127.0.0.1:1080")


def check_interface(word: str) -> None:
    """Refuse what is neither the name of a network interface nor an address."""
    fits = re.fullmatch(r"[A-Za-z0-9_.:%@-]{1,45}", word) is not None
    if not fits or (_LIKE_ADDRESS.fullmatch(word) and not _is_address(word.partition("%")[0])):
        raise ValueError("must be the name of an interface, or an address of this machine")


def _is_address(word: str) -> bool:
    from ipaddress import ip_address

    try:
        ip_address(word)
    except ValueError:
        return False
    return True
