"""Cookies that a server sets on the way to a file, sent back by the rules of RFC 6265 for as long as the reader lives.

Nothing is written to disk, and no two sources share a cookie. `http.cookiejar` does the work; it is imported with the
first cookie, because few servers set one.
"""

from collections.abc import Iterable
from email.message import Message
from http.cookiejar import CookieJar
from urllib.request import Request

from actors.sources.http.target import Target

COOKIES_MAX = 100
COOKIE_BYTES_MAX = 8192


class Cookies:
    """Cookie jar of one source. Host, path, Secure and expiry are respected."""

    def __init__(self) -> None:
        self._jar = CookieJar()

    def store(self, target: Target, values: Iterable[str]) -> None:
        """Keep what the Set-Cookie fields of an answer of `target` ask for."""
        if len(self._jar) >= COOKIES_MAX:
            return
        fields = Message()
        for value in list(values)[:COOKIES_MAX]:
            if len(value) <= COOKIE_BYTES_MAX:
                fields["Set-Cookie"] = value
        self._jar.extract_cookies(_Answer(fields), Request(target.url))  # type: ignore[arg-type]

    def field(self, target: Target) -> str:
        """Return the value of the Cookie field for a request, empty when there is none."""
        request = Request(target.url)
        self._jar.add_cookie_header(request)
        return request.get_header("Cookie", "") or ""


class _Answer:
    """What `CookieJar` reads of an answer."""

    def __init__(self, fields: Message) -> None:
        self._fields = fields

    def info(self) -> Message:
        return self._fields
