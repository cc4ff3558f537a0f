"""Response head parser: status, fields, body framing, validators and Retry-After.

Servers are read as leniently as curl reads them (odd field names, lines without a colon, any HTTP version), but never
so that it is unclear where the body ends: contradicting lengths and unknown transfer codings are refused, and a
connection on which anything odd was said is not used again.
"""

import re
import time
from collections.abc import Callable
from typing import Final

from actors.sources.http.settings import HEAD_BYTES_MAX, SIZE_BYTES_MAX, plain, status_words
from protocol.model.faults import FaultKind, SourceFault
from protocol.model.units import http_date_s
from protocol.model.value import Struct, field

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
RETRY_AFTER_S_MAX: Final = 3600.0
_KINDS: Final = {
    202: FaultKind.BUSY,  # the file is being made
    401: FaultKind.FORBIDDEN,
    402: FaultKind.FORBIDDEN,
    403: FaultKind.FORBIDDEN,
    404: FaultKind.NOT_FOUND,
    407: FaultKind.FORBIDDEN,
    408: FaultKind.BUSY,
    410: FaultKind.NOT_FOUND,
    425: FaultKind.BUSY,
    429: FaultKind.BUSY,
    451: FaultKind.FORBIDDEN,
    503: FaultKind.BUSY,
}
_STATUS_LINE: Final = re.compile(
    rb"(?:HTTP(?:/(\d{1,3})(?:\.(\d{1,3}))?)?|ICY)[ \t]+([1-9]\d\d)(?:\D.*)?", re.DOTALL | re.IGNORECASE
)
_PROTOCOLS: Final = (b"HTTP", b"ICY ")
"""What a status line begins with; ICY is what servers of audio say for HTTP/1.0."""
_TRANSFER_CODINGS: Final = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}
_LINE_END: Final = re.compile(rb"\r{0,2}\n")
HEAD_END: Final = re.compile(rb"\n\r{0,2}\n")
_HEAD_END_BYTES_MAX: Final = 4
_NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_LENGTH: Final = re.compile(r"\+?([0-9]+)(?:[;. \t].*)?", re.ASCII)
_BLANK_BYTES_MAX: Final = 64
_LISTS: Final = frozenset({"connection", "content-encoding", "accept-ranges", "link", "repr-digest", "digest"})
"""Fields whose repetitions are one list; of any other the first is taken."""


class Head(Struct, frozen=True, kw_only=True):
    """Status, fields (names in lower case) and framing of one final answer.

    `length`: bytes of body as announced, None when only its end will show it. `keep_alive`: the connection may carry
    another request after the body. `transfer_coding`: what the body is to be decoded from before it is what the fields
    describe; empty for none but chunks.
    """

    status: int
    fields: dict[str, str]
    length: int | None
    chunked: bool
    keep_alive: bool
    transfer_coding: str = ""
    cookies: list[str] = field(default_factory=list)

    @property
    def redirects(self) -> bool:
        """Whether it sends elsewhere: by a status that says so, or by any other of its class that names a place."""
        named = 300 <= self.status < 400 and self.status != 304 and bool(self.fields.get("location"))
        return named or self.status in REDIRECTS

    def tokens(self, name: str) -> list[str]:
        """Return the members of a field that is a comma-separated list, in lower case."""
        return [token for token in (each.strip().lower() for each in self.fields.get(name, "").split(",")) if token]


class HeadParser:
    """Collects the bytes of one answer until its head is complete. `rest`: body bytes that came along with it."""

    def __init__(self, host: str) -> None:
        self.rest = b""
        self._host = host
        self._data = bytearray()
        self._searched = 0
        self._interim_bytes = 0

    @property
    def begun(self) -> bool:
        """Whether anything has been received."""
        return bool(self._data or self._interim_bytes)

    def feed(self, data: memoryview) -> Head | None:
        """Add received bytes; return the head of the final answer when it is complete."""
        self._data += data
        while True:
            start = self._begin()
            end = self._end(start)
            if end is None:
                if self._interim_bytes + len(self._data) > HEAD_BYTES_MAX:
                    raise self.bad("sends a head without end")
                return None
            lines = _LINE_END.split(bytes(self._data[start:end]).rstrip(b"\r\n"))
            match = _STATUS_LINE.fullmatch(lines[0])
            if match is None:
                raise self.bad("does not answer in HTTP")
            status = int(match[3])
            del self._data[:end]
            self._searched = 0
            if status == 101:
                raise self.bad("wants to speak another protocol")
            self._interim_bytes += end
            if status >= 200:
                self.rest = bytes(self._data)
                return self._head(status, _modern(match), lines[1:])

    def bad(self, words: str) -> SourceFault:
        """Return the fault of an answer that is not proper HTTP."""
        return SourceFault(FaultKind.BAD_ANSWER, f"{self._host} {words}")

    def _begin(self) -> int:
        """Return where the status line begins. Anything but a protocol of `_PROTOCOLS` is refused at once."""
        start = 0
        while start < len(self._data) and self._data[start] in b"\r\n":
            start += 1
        begun = bytes(self._data[start : start + 4]).upper()
        if start > _BLANK_BYTES_MAX or not any(each.startswith(begun) for each in _PROTOCOLS):
            raise self.bad("does not answer in HTTP")
        return start

    def _end(self, start: int) -> int | None:
        """Return the offset behind the empty line that ends the head, None when it has not come yet."""
        found = HEAD_END.search(self._data, max(self._searched, start))
        self._searched = max(0, len(self._data) - _HEAD_END_BYTES_MAX)
        return None if found is None else found.end()

    def _head(self, status: int, modern: bool, lines: list[bytes]) -> Head:
        found, odd = _fields(lines)
        fields: dict[str, str] = {}
        for name, value in found:
            if name in _LISTS and name in fields:
                fields[name] += f", {value}"
            else:
                fields.setdefault(name, value)
        named = [token for token in _list_of(found, "transfer-encoding") if token != "identity"]
        codings = list(dict.fromkeys(named))  # a proxy may name a coding once more than the server did
        chunked = codings[-1:] == ["chunked"]
        inner = codings[:-1] if chunked else codings
        if len(inner) > 1 or any(coding not in _TRANSFER_CODINGS for coding in inner):
            raise self.bad(f"sends its answer in the transfer coding {plain(', '.join(codings), 40)}, which is unknown")
        lengths = _list_of(found, "content-length")
        length = self._length(lengths)
        odd = odd or not all(each.isdigit() for each in lengths)
        empty = status in (204, 304)
        chunked = chunked and not empty
        clear = not odd and ("transfer-encoding" not in fields or (named == ["chunked"] and chunked and length is None))
        return Head(
            status=status,
            fields=fields,
            length=0 if empty else None if codings else length,
            chunked=chunked,
            keep_alive=modern and clear and "close" not in _list_of(found, "connection"),
            transfer_coding="".join(_TRANSFER_CODINGS[coding] for coding in inner),
            cookies=[value for name, value in found if name == "set-cookie"],
        )

    def _length(self, values: list[str]) -> int | None:
        if not values:
            return None
        found = [_LENGTH.fullmatch(value) for value in values]
        lengths = {each[1].lstrip("0") or "0" for each in found if each is not None}
        if len(lengths) != 1 or None in found:
            raise self.bad("announces no clear length of its answer")
        digits = lengths.pop()
        if len(digits) > 19 or int(digits) > SIZE_BYTES_MAX:
            raise self.bad("announces a length that no file has")
        return int(digits)


def _modern(match: re.Match[bytes]) -> bool:
    """Whether a connection of this version stays open by default."""
    return match[1] == b"1" and match[2] is not None and match[2] != b"0"


def _fields(lines: list[bytes]) -> tuple[list[tuple[str, str]], bool]:
    """Return the fields in order, and whether any line was not as it should be.

    Lines without a name are left out with their continuations, space before the colon is not part of the name.
    """
    found: list[tuple[str, str]] = []
    odd = kept = False
    for line in lines:
        if line[:1] in (b" ", b"\t"):
            if kept:
                found[-1] = found[-1][0], f"{found[-1][1]} {_text(line)}".strip()
            continue
        raw_name, colon, value = line.partition(b":")
        name = raw_name.strip(b" \t")
        kept = bool(colon) and _NAME.fullmatch(name) is not None
        odd = odd or not kept or name != raw_name
        if kept:
            found.append((name.decode("ascii").lower(), _text(value)))
    return found, odd


def fields_of(lines: bytes) -> dict[str, str]:
    """Return the fields of a head that is no answer's own, by names in lower case; the first of each name."""
    found, _ = _fields(_LINE_END.split(lines))
    return dict(reversed(found))


def _text(value: bytes) -> str:
    return _CONTROL.sub(b" ", value).strip(b" \t").decode("latin-1")


def _list_of(found: list[tuple[str, str]], name: str) -> list[str]:
    values = (value for each, value in found if each == name)
    return [token.strip().lower() for value in values for token in value.split(",") if token.strip()]


def refusal(head: Head, host: str) -> SourceFault:
    """Return the fault that an answer without the file stands for."""
    other = FaultKind.SERVER_ERROR if head.status >= 500 else FaultKind.BAD_ANSWER
    kind = _KINDS.get(head.status, other)
    wait_s = retry_after_s(head, time.time) if kind is FaultKind.BUSY or head.status >= 500 else 0.0
    return SourceFault(kind, f"{host} says {status_words(head.status)}", retry_after_s=wait_s)


def retry_after_s(head: Head, wall_s: Callable[[], float]) -> float:
    """Return the seconds of Retry-After, given as a number or a date; 0 without one, at most an hour."""
    text = head.fields.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:10]), RETRY_AFTER_S_MAX)
    then_s = http_date_s(text)
    if then_s is None:
        return 0.0
    now_s = http_date_s(head.fields.get("date", ""))  # by its own clock, if it shows one: ours may be wrong
    return min(max(then_s - (wall_s() if now_s is None else now_s), 0.0), RETRY_AFTER_S_MAX)
