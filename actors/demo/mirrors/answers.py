"""What a mirror answers: pure decisions from a request and a character, no socket and no clock."""

from __future__ import annotations

import base64
import http
import re
from dataclasses import dataclass, field

from actors.demo.mirrors.behavior import DEFAULT_ETAG, Character

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
class Resource:
    """What the mirror has to offer: the true size, its default validator, where redirects lead."""

    size: int
    etag: str
    redirect_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A head, then either `text` or the content's span `[start, stop)`."""

    status: int
    headers: Headers = field(default_factory=list)
    start: int = 0
    stop: int = 0
    text: bytes = b""

    def head(self, *, keep_alive: bool) -> bytes:
        """The packed status line and headers with the empty line."""
        lines = [f"HTTP/1.1 {self.status} {_phrase(self.status)}", "Server: box"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        lines.append("Connection: keep-alive" if keep_alive else "Connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def parsed(head: bytes) -> Request:
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


def answer(character: Character, request: Request, resource: Resource, *, number: int) -> Answer:
    """Decide the answer to the mirror's request `number`, counted from 0."""
    refusal = _refusal(character, request, resource, number)
    if refusal is not None:
        return refusal
    headers: Headers = _description(character, resource)
    if character.gzip or character.chunked:
        return Answer(status=200, headers=[*headers, ("Transfer-Encoding", "chunked")], stop=resource.size)
    if character.no_length:
        return Answer(status=200, headers=headers, stop=resource.size)
    announced = resource.size if character.size_lie is None else character.size_lie
    if not character.ranges:
        return _entire(announced, headers, resource)
    headers.append(("Accept-Ranges", "bytes"))
    if not _range_applies(character, request, resource):
        return _entire(announced, headers, resource)
    return _ranged(character, request.headers["range"], announced, headers, resource)


def _refusal(character: Character, request: Request, resource: Resource, number: int) -> Answer | None:
    """The answer without content, when the character wants one."""
    again: Headers = [] if character.retry_after_s is None else [("Retry-After", str(character.retry_after_s))]
    if request.method not in ("GET", "HEAD"):
        return _said(405, [("Allow", "GET, HEAD")])
    if character.status is not None:
        return _said(character.status, again)
    if int((number + 1) * character.busy_share) > int(number * character.busy_share):
        return _said(503, again)
    if character.redirect_loop:
        return _said(302, [("Location", f"/again-{number + 1}")])
    if resource.redirect_url is not None:
        return _said(302, [("Location", resource.redirect_url)])
    if character.auth is not None:
        wanted = "Basic " + base64.b64encode(character.auth.encode()).decode()
        if request.headers.get("authorization") != wanted:
            return _said(401, [("WWW-Authenticate", 'Basic realm="box"')])
    return None


def _description(character: Character, resource: Resource) -> Headers:
    headers: Headers = [("Content-Type", "application/octet-stream")]
    etag = _etag(character, resource)
    if etag is not None:
        headers.append(("ETag", etag))
    if character.last_modified is not None:
        headers.append(("Last-Modified", character.last_modified))
    if character.disposition is not None:
        headers.append(("Content-Disposition", character.disposition))
    if character.gzip:
        headers.append(("Content-Encoding", "gzip"))
    return headers


def _etag(character: Character, resource: Resource) -> str | None:
    return resource.etag if character.etag == DEFAULT_ETAG else character.etag


def _range_applies(character: Character, request: Request, resource: Resource) -> bool:
    if "range" not in request.headers or request.method != "GET":
        return False
    condition = request.headers.get("if-range")
    if condition is None:
        return True
    # RFC 9110 §13.1.5: a weak validator never satisfies If-Range.
    etag = _etag(character, resource)
    strong = None if etag is None or etag.startswith("W/") else etag
    return condition in (strong, character.last_modified)


def _entire(announced: int, headers: Headers, resource: Resource) -> Answer:
    headers = [*headers, ("Content-Length", str(announced))]
    return Answer(status=200, headers=headers, stop=min(announced, resource.size))


def _ranged(character: Character, value: str, announced: int, headers: Headers, resource: Resource) -> Answer:
    read = ONE_RANGE.fullmatch(value)
    if read is None:  # several ranges, another unit, nonsense: RFC 9110 §14.2 lets a server ignore all of them
        return _entire(announced, headers, resource)
    start, stop = _span(read["first"], read["last"], announced)
    if start >= stop or (character.refuse_offsets and start > 0):
        return _said(416, [("Content-Range", f"bytes */{announced}")])
    if character.wrong_range and start + 1 < stop:
        start += 1
    told = [("Content-Range", f"bytes {start}-{stop - 1}/{announced}"), ("Content-Length", str(stop - start))]
    there = max(start, min(stop, resource.size))
    return Answer(status=206, headers=[*headers, *told], start=start, stop=there)


def _span(first: str, last: str, size: int) -> tuple[int, int]:
    """`[start, stop)` of one range of a `size` long whole; empty when it cannot be satisfied."""
    if first == "":
        return size - min(int(last or "0"), size), size
    return int(first), size if last == "" else min(int(last) + 1, size)


def _said(status: int, headers: Headers) -> Answer:
    text = f"{status} {_phrase(status)}\n".encode()
    told = [("Content-Type", "text/plain"), ("Content-Length", str(len(text)))]
    return Answer(status=status, headers=[*headers, *told], text=text)


def _phrase(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Unheard Of"
