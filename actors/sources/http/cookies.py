"""Cookies of a user's file, and those that a server sets on the way, sent back by the rules of RFC 6265.

Nothing is written to disk, and no two sources share a cookie. `http.cookiejar` does the work; it is imported with the
first cookie, because few servers set one.
"""

import re
from collections.abc import Iterable, Iterator
from email.message import Message
from http.cookiejar import Cookie, CookieJar
from itertools import chain
from urllib.request import Request

from actors.sources.http.target import Target

COOKIES_MAX = 100
COOKIE_BYTES_MAX = 8192
FILE_BYTES_MAX = 4 << 20
_PLACE = re.compile(r""";\s*(path|domain)\s*(?:=\s*"?([^";]*)"?\s*)?(?=;|$)""", re.IGNORECASE)


class Cookies:
    """Cookie jar of one source. Host, path, Secure and expiry are respected."""

    def __init__(self, path: str = "", lines: Iterable[str] = ()) -> None:
        self._jar = CookieJar()
        for cookie in chain(read_cookies(path) if path else (), cookies_of(lines)):
            self._jar.set_cookie(cookie)

    def store(self, target: Target, values: Iterable[str]) -> None:
        """Keep what the Set-Cookie fields of an answer of `target` ask for."""
        if len(self._jar) >= COOKIES_MAX:
            return
        for value in list(values)[:COOKIES_MAX]:
            if len(value) <= COOKIE_BYTES_MAX:  # one by one: a later field may take back what an earlier one set
                fields = Message()
                fields["Set-Cookie"] = _PLACE.sub(_plain_place, value)
                self._jar.extract_cookies(_Answer(fields), Request(target.url))  # type: ignore[arg-type]

    def field(self, target: Target) -> str:
        """Return the value of the Cookie field for a request, empty when there is none."""
        request = Request(target.url)
        self._jar.add_cookie_header(request)
        return request.get_header("Cookie", "") or ""


def _plain_place(attribute: re.Match[str]) -> str:
    """Return a Path or Domain attribute without quotes; nothing for one that RFC 6265 passes over."""
    name, value = attribute[1].lower(), (attribute[2] or "").strip()
    return f"; {name}={value}" if value.startswith("/") or (value and name == "domain") else ""


def read_cookies(path: str) -> Iterator[Cookie]:
    """Yield the cookies of a file in Netscape's format; lines that are none are skipped.

    So is all of a file that cannot be read: the command checked it when it began.
    """
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read(FILE_BYTES_MAX).splitlines()
    except OSError:
        return
    yield from cookies_of(lines)


def cookies_of(lines: Iterable[str]) -> Iterator[Cookie]:
    """Yield the cookies of lines in Netscape's format."""
    for line in lines:
        # What only servers may read is marked in a comment.
        fields = line.removeprefix("#HttpOnly_").split("\t")
        if len(fields) != 7 or fields[0].startswith("#"):
            continue
        domain, subdomains, folder, secure, expires, name, value = fields
        yield Cookie(
            version=0, name=name, value=value, port=None, port_specified=False, domain=domain,
            domain_specified=subdomains == "TRUE", domain_initial_dot=domain.startswith("."), path=folder,
            path_specified=True, secure=secure == "TRUE", discard=False, comment=None, comment_url=None, rest={},
            expires=int(expires) if expires.isascii() and expires.isdigit() and expires != "0" else None,
        )  # fmt: skip


class _Answer:
    """Answer as far as `CookieJar` reads it."""

    def __init__(self, fields: Message) -> None:
        self._fields = fields

    def info(self) -> Message:
        return self._fields
