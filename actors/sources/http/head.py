"""Response head: status, framing, validators, Retry-After and the proposed file name."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

import h11

from actors.sources.http.settings import SIZE_BYTES_MAX, TEXT_MAX, plain, status_words
from protocol.model.faults import FaultKind, SourceFault

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
RETRY_AFTER_S_MAX: Final = 3600.0
_KINDS: Final = {
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
_PARAMETER: Final = re.compile(r';\s*([\w*-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;]*)')
_EXTENDED: Final = re.compile(r"(utf-8|iso-8859-1)'[^']*'(.*)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Status and fields (names in lower case; repeated ones joined with commas) of one final answer."""

    status: int
    fields: dict[str, str]
    keep_alive: bool

    @property
    def chunked(self) -> bool:
        return "transfer-encoding" in self.fields  # h11 lets no other coding pass

    @property
    def length(self) -> int | None:
        """Announced length of the body, None when only its end will show it."""
        if self.status in (204, 304):
            return 0
        if self.chunked or "content-length" not in self.fields:
            return None
        # h11 has checked that these are digits, and that repeated ones agree; 20 are more than a file can need.
        return int(self.fields["content-length"].partition(",")[0][:20])

    @property
    def validator(self) -> str:
        """Validator prefixed with ``etag:`` or ``date:``; empty when there is none that is strong."""
        etag = self.fields.get("etag", "")
        if len(etag) >= 2 and etag[0] == etag[-1] == '"' and len(etag) <= TEXT_MAX:
            return f"etag:{etag}"
        date = self.fields.get("last-modified", "")
        return f"date:{date}" if date and len(date) <= TEXT_MAX else ""

    def differs_from(self, validator: str) -> bool:
        """Whether this is certainly another version than the one with `validator`."""
        kind, mine = validator.partition(":")[0], self.validator
        return bool(validator) and mine.startswith(f"{kind}:") and mine != validator


def head_of(event: h11.Response, host: str) -> Head:
    """Return the head that h11 read. A length that no file can have is BAD_ANSWER."""
    fields: dict[str, str] = {}
    for raw_name, raw_value in event.headers:
        name, value = raw_name.decode("ascii"), raw_value.decode("latin-1")
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    tokens = [token.strip().lower() for token in fields.get("connection", "").split(",")]
    head = Head(
        status=event.status_code, fields=fields, keep_alive=event.http_version == b"1.1" and "close" not in tokens
    )
    if (head.length or 0) > SIZE_BYTES_MAX:
        raise SourceFault(FaultKind.BAD_ANSWER, f"{host} announces a length that no file has")
    return head


def refusal(head: Head, host: str) -> SourceFault:
    """Return the fault that an answer without the file stands for."""
    other = FaultKind.SERVER_ERROR if head.status >= 500 else FaultKind.BAD_ANSWER
    kind = _KINDS.get(head.status, other)
    wait_s = retry_after_s(head, time.time) if kind is FaultKind.BUSY else 0.0
    return SourceFault(kind, f"{host} says {status_words(head.status)}", retry_after_s=wait_s)


def refuse_encoded(head: Head, host: str) -> None:
    """Raise ENCODED for an encoded body: its offsets are not the file's."""
    encoding = head.fields.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        raise SourceFault(FaultKind.ENCODED, f"{host} sends the file encoded as {plain(encoding, 20)}, asked for as is")


def retry_after_s(head: Head, wall_s: Callable[[], float]) -> float:
    """Return the seconds of Retry-After, given as a number or a date; 0 without one, at most an hour."""
    text = head.fields.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:10]), RETRY_AFTER_S_MAX)
    then_s = _date_s(text)
    if then_s is None:
        return 0.0
    now_s = _date_s(head.fields.get("date", ""))  # by its own clock, if it shows one: ours may be wrong
    return min(max(then_s - (wall_s() if now_s is None else now_s), 0.0), RETRY_AFTER_S_MAX)


def _date_s(text: str) -> float | None:
    if not text:
        return None
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def proposed_name(head: Head) -> str:
    """Return the raw file name of Content-Disposition, ``filename*`` before ``filename``, else empty."""
    field = head.fields.get("content-disposition", "")[: 4 * TEXT_MAX]  # no name needs more
    found: dict[str, str] = {}
    for match in _PARAMETER.finditer(";" + field.partition(";")[2]):
        found.setdefault(match[1].lower(), match[2].strip())
    return (_extended(found.get("filename*", "")) or _quoted(found.get("filename", "")))[:TEXT_MAX]


def _extended(value: str) -> str:
    match = _EXTENDED.fullmatch(value.strip('"'))
    return _decoded(unquote_to_bytes(match[2]), match[1]) if match else ""


def _quoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    raw = value.encode("latin-1")
    return _decoded(raw, "utf-8") or raw.decode("latin-1")


def _decoded(raw: bytes, charset: str) -> str:
    try:
        return raw.decode(charset)
    except UnicodeDecodeError:
        return ""
