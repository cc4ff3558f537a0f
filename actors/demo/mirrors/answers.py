"""HTTP/1.1 request heads and range answers of a mirror: pure functions, no socket and no clock."""

from __future__ import annotations

import http
import re
from dataclasses import dataclass, field

Headers = list[tuple[str, str]]
ONE_RANGE = re.compile(r"\s*bytes\s*=\s*(?P<first>\d*)-(?P<last>\d*)\s*", re.IGNORECASE)


class BadRequestError(Exception):
    """The bytes before the empty line are no HTTP/1 request head."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One parsed request head; header names are in lower case."""

    method: str
    target: str
    version: str
    headers: dict[str, str]

    @property
    def keep_alive(self) -> bool:
        return self.version == "HTTP/1.1" and self.headers.get("connection", "").lower() != "close"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A response head, then either `text` or the bytes `[start, stop)` of the content."""

    status: int
    headers: Headers = field(default_factory=list)
    start: int = 0
    stop: int = 0
    text: bytes = b""

    def head(self, *, keep_alive: bool) -> bytes:
        """Encode the status line and headers with the empty line."""
        lines = [f"HTTP/1.1 {self.status} {phrase(self.status)}", "Server: demo"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        lines.append("Connection: keep-alive" if keep_alive else "Connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def parse_request(head: bytes) -> Request:
    """Read a request head that ends with its empty line. Raises BadRequestError."""
    first, *rest = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise BadRequestError(first)
    headers: dict[str, str] = {}
    for line in rest:
        name, colon, value = line.partition(":")
        if not colon:
            raise BadRequestError(line)
        headers[name.strip().lower()] = value.strip()
    return Request(method=words[0], target=words[1], version=words[2], headers=headers)


def plain_answer(request: Request, size: int, etag: str, *, ranges: bool) -> Answer:
    """Answer GET and HEAD for `size` bytes; without `ranges` always with the whole."""
    if request.method not in ("GET", "HEAD"):
        return text_answer(405, [("Allow", "GET, HEAD")])
    headers: Headers = [("Content-Type", "application/octet-stream"), ("ETag", etag)]
    if not ranges:
        return whole_answer(size, headers, size)
    headers.append(("Accept-Ranges", "bytes"))
    if not range_applies(request, (etag,)):
        return whole_answer(size, headers, size)
    return range_answer(request.headers["range"], size, headers)


def range_applies(request: Request, validators: tuple[str | None, ...]) -> bool:
    """Whether the Range header is to be obeyed: there is one, and no If-Range names another version."""
    if "range" not in request.headers or request.method != "GET":
        return False
    condition = request.headers.get("if-range")
    return condition is None or condition in validators


def whole_answer(length: int, headers: Headers, size: int) -> Answer:
    """200 with an announced `length`, which may differ from the true `size`."""
    return Answer(status=200, headers=[*headers, ("Content-Length", str(length))], stop=min(length, size))


def range_answer(value: str, size: int, headers: Headers) -> Answer:
    """206 for one satisfiable range, 416 for another, 200 for what is not one range (RFC 9110 section 14.2)."""
    read = ONE_RANGE.fullmatch(value)
    if read is None:
        return whole_answer(size, headers, size)
    start, stop = _span(read["first"], read["last"], size)
    if start >= stop:
        return text_answer(416, [("Content-Range", f"bytes */{size}")])
    return partial_answer(start, stop, size, headers)


def partial_answer(start: int, stop: int, size: int, headers: Headers) -> Answer:
    """206 with `[start, stop)`."""
    described = [("Content-Range", f"bytes {start}-{stop - 1}/{size}"), ("Content-Length", str(stop - start))]
    return Answer(status=206, headers=[*headers, *described], start=start, stop=stop)


def text_answer(status: int, headers: Headers) -> Answer:
    """An answer without content: its status as text."""
    text = f"{status} {phrase(status)}\n".encode()
    described = [("Content-Type", "text/plain"), ("Content-Length", str(len(text)))]
    return Answer(status=status, headers=[*headers, *described], text=text)


def phrase(status: int) -> str:
    """Return the reason phrase of a status code."""
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def _span(first: str, last: str, size: int) -> tuple[int, int]:
    """`[start, stop)` of one range of `size` bytes; empty when it cannot be satisfied."""
    if first == "":
        return size - min(int(last or "0"), size), size
    return int(first), size if last == "" else min(int(last) + 1, size)
