"""What may stand where: each check takes a raw value, returns the good one or raises ValueError with the end of a
sentence that begins with the key's name."""

import ipaddress
import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

from protocol.model.source_url import is_host_name

Check = Callable[[object], Any]

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
PATH_CHARS_MAX: Final = 4096


def text(chars_max: int, *, chars_min: int = 1) -> Check:
    def checked(value: object) -> str:
        if not isinstance(value, str):
            raise ValueError("must be a text in quotes")
        if not chars_min <= len(value) <= chars_max or not value.isprintable():
            raise ValueError(f"must have {chars_min} to {chars_max} printable characters")
        return value

    return checked


def secret(chars_min: int, chars_max: int) -> Check:
    """A text that goes into a header."""

    def checked(value: object) -> str:
        word: str = text(chars_max, chars_min=chars_min)(value)
        if not word.isascii() or " " in word:
            raise ValueError("must be of ASCII letters, figures and signs, without spaces")
        return word

    return checked


def one_of(*words: str) -> Check:
    def checked(value: object) -> str:
        if not isinstance(value, str) or value not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return value

    return checked


def flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def whole(least: int, most: int, *, times: int = 1) -> Check:
    """`times`: what one of its unit is in ours."""

    def checked(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return value * times

    return checked


def seconds(least: float, most: float) -> Check:
    def checked(value: object) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(f"must be a number of seconds from {least:g} to {most:g}")
        return float(value)

    return checked


def list_of(check: Check, most: int, what: str) -> Check:
    def each(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) > most:
            raise ValueError(f"must be a list of at most {most} {what} in [ ]")
        return tuple(check(one) for one in value)

    return each


def at_least_one(check: Check, otherwise: str) -> Check:
    def checked(value: object) -> tuple[Any, ...]:
        good: tuple[Any, ...] = check(value)
        if not good:
            raise ValueError(otherwise)
        return good

    return checked


def path(value: object) -> str:
    return str(text(PATH_CHARS_MAX)(value))


def host(value: object) -> str:
    name: str = text(254)(value)
    if not (is_host_name(name) or is_address(name)):
        raise ValueError("is no possible host name")
    return name


def host_pattern(value: object) -> str:
    """A name, ``*.`` and a name, or ``*``."""
    name: str = text(254)(value)
    if not re.fullmatch(r"\*|(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", name):
        raise ValueError("must be host names, like nas.example.org, *.example.org or *")
    return name.lower()


def address(value: object) -> str:
    word: str = text(60)(value)
    if not is_address(word):
        raise ValueError("must be an address of this machine, like 0.0.0.0 or 127.0.0.1")
    return word


def is_address(word: str) -> bool:
    try:
        ipaddress.ip_address(word)
    except ValueError:
        return False
    return True


def network(value: object) -> str:
    word: str = text(60)(value)
    try:
        return str(ipaddress.ip_network(word))
    except ValueError:
        raise ValueError("must be networks, like 192.168.1.0/24 or ::1/128") from None


def url_base(value: object) -> str:
    """``/`` and ``shoal/`` are as good as nothing and ``/shoal``."""
    word: str = text(200, chars_min=0)(value)
    base = word.strip("/")
    if base and not re.fullmatch(r"[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*", base):
        raise ValueError("must be a path, like /shoal")
    return f"/{base}" if base else ""


def origin(value: object) -> str:
    word: str = text(300)(value)
    parts = urlsplit(word)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/") or parts.query:
        raise ValueError("must be origins, like https://page.example.org:8080")
    return word.rstrip("/").lower()


def web_url(value: object) -> str:
    word: str = text(2000)(value)
    try:
        parts = urlsplit(word)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or " " in word:
        raise ValueError("must be an address that begins with http:// or https://")
    return word


def headers(value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict) or len(value) > 20:
        raise ValueError("must be a table of at most 20 headers, like { X-Token = 'word' }")
    for name, word in value.items():
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", name) or not isinstance(word, str):
            raise ValueError("must have header names and texts")
        if not (word.isascii() and word.isprintable() and len(word) <= 1000):
            raise ValueError("must have texts of at most 1000 printable ASCII characters")
    return tuple(value.items())


def minute_of_day(value: object) -> int:
    """``HH:MM`` as minutes since midnight; ``24:00`` is the end of the day."""
    found = re.fullmatch(r"(\d\d):(\d\d)", value, re.ASCII) if isinstance(value, str) else None
    minute = int(found[1]) * 60 + int(found[2]) if found and int(found[2]) < 60 else -1
    if not 0 <= minute <= 24 * 60:
        raise ValueError('must be a time of the day, like "23:30"')
    return minute


def days(value: object) -> tuple[int, ...]:
    words = list_of(one_of(*DAYS), len(DAYS), "days")(value)
    return tuple(sorted({DAYS.index(word) for word in words}))
