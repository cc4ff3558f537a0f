"""HTTP byte ranges: Range and Content-Range, and what the answers to a probe and to a transfer mean."""

import re
from dataclasses import dataclass
from typing import Final

from actors.sources.http.head import Head, refusal, refuse_encoded
from actors.sources.http.settings import SIZE_BYTES_MAX
from protocol.model.faults import FaultKind, SourceFault

_CONTENT_RANGE: Final = re.compile(
    r"\s*bytes\s+(?:(\d{1,19})-(\d{1,19})|\*)/(\d{1,19}|\*)\s*", re.ASCII | re.IGNORECASE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentRange:
    """Bytes ``[start, stop)`` of a file of `total` (-1 unknown). A 416 gives `total` only: start = stop = 0."""

    start: int
    stop: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Request for one body. `stop` None: to the end; `ranged`: by a Range field, else for everything."""

    start: int
    stop: int | None
    size_bytes: int
    validator: str
    ranged: bool

    @property
    def end(self) -> int | None:
        """Offset at which the body must end, None while unknown."""
        if self.size_bytes < 0:
            return self.stop
        return self.size_bytes if self.stop is None else min(self.stop, self.size_bytes)


def range_field(start: int, stop: int | None) -> str:
    """Return the value of a Range field; HTTP's last byte is inclusive."""
    return f"bytes={start}-" if stop is None else f"bytes={start}-{stop - 1}"


def content_range(head: Head) -> ContentRange | None:
    """Parse the Content-Range field; None when there is none, or one that makes no sense."""
    match = _CONTENT_RANGE.fullmatch(head.fields.get("content-range", ""))
    if match is None:
        return None
    total = -1 if match[3] == "*" else int(match[3])
    start, stop = (0, 0) if match[1] is None else (int(match[1]), int(match[2]) + 1)
    if (match[1] is not None and start >= stop) or stop > (total if total >= 0 else SIZE_BYTES_MAX):
        return None
    return None if total > SIZE_BYTES_MAX else ContentRange(start=start, stop=stop, total=total)


def check_answer(head: Head, asked: Asked, host: str) -> int | None:
    """Return the offset in the file at which the body ends, None when only its end will show it.

    Raises the `SourceFault` of an answer that is not exactly what was asked for.
    """
    if head.status == 206:
        refuse_encoded(head, host)
        return _check_part(head, asked, host)
    if head.status == 200:
        refuse_encoded(head, host)
        return _check_whole(head, asked, host)
    if head.status == 416:
        raise _unsatisfied(head, asked, host)
    raise refusal(head, host)


def _check_part(head: Head, asked: Asked, host: str) -> int:
    got = content_range(head)
    if got is None or got.stop == 0:
        raise SourceFault(FaultKind.WRONG_RANGE, f"{host} does not say which bytes it sends")
    _refuse_changed(head, got.total, asked, host)
    end = asked.end if asked.end is not None else (got.total if got.total >= 0 else got.stop)
    if (got.start, got.stop) != (asked.start, end):
        raise SourceFault(
            FaultKind.WRONG_RANGE,
            f"{host} sends bytes {got.start} to {got.stop}, asked for {asked.start} to {end}",
        )
    if head.length is not None and head.length != got.stop - got.start:
        raise SourceFault(
            FaultKind.WRONG_RANGE,
            f"{host} announces {head.length} bytes for a range of {got.stop - got.start}",
        )
    return end


def _check_whole(head: Head, asked: Asked, host: str) -> int | None:
    _refuse_changed(head, -1 if head.length is None else head.length, asked, host)
    if asked.start > 0:
        raise SourceFault(FaultKind.RANGE_REFUSED, f"{host} sends from the beginning only")
    if asked.end is None or head.length is None:
        return head.length if asked.end is None else asked.end
    return min(asked.end, head.length)


def _refuse_changed(head: Head, size_bytes: int, asked: Asked, host: str) -> None:
    if size_bytes >= 0 and 0 <= asked.size_bytes != size_bytes:
        raise SourceFault(
            FaultKind.CHANGED, f"the file at {host} has {size_bytes} bytes now, not {asked.size_bytes} as before"
        )
    if head.differs_from(asked.validator):
        raise SourceFault(FaultKind.CHANGED, f"the file at {host} is another version than before")


def _unsatisfied(head: Head, asked: Asked, host: str) -> SourceFault:
    got = content_range(head)
    if got is not None and got.total >= 0 and 0 <= asked.size_bytes != got.total:
        return SourceFault(
            FaultKind.CHANGED, f"the file at {host} has {got.total} bytes now, not {asked.size_bytes} as before"
        )
    return SourceFault(FaultKind.RANGE_REFUSED, f"{host} refuses to begin at byte {asked.start}")


# The probe: one byte asked for at offset 1 shows the size and whether offsets are honoured.

# Offset 1 and not 0: a server that ignores offsets gives itself away only at one that is not the beginning.
PROBE_RANGE: Final = range_field(1, 2)
_MAYBE_THE_OFFSET: Final = frozenset({FaultKind.BAD_ANSWER, FaultKind.SERVER_ERROR})


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """Size (-1 unknown) and whether offsets are honoured."""

    size_bytes: int
    offset_ok: bool


def offset_probe(head: Head, host: str) -> Learned | None:
    """Judge the answer to `PROBE_RANGE`; None: ask again without an offset. Raises what is a real refusal."""
    got = content_range(head)
    if head.status == 206:
        refuse_encoded(head, host)
        right = got is not None and (got.start, got.stop) == (1, 2)
        return Learned(size_bytes=got.total, offset_ok=True) if got is not None and right else None
    if head.status == 200:
        return plain_probe(head, host)
    if head.status == 416:
        tiny = got is not None and 0 <= got.total <= 1  # byte 1 is refused because there is none
        return Learned(size_bytes=got.total, offset_ok=True) if got is not None and tiny else None
    fault = refusal(head, host)
    if head.status == 403 or (head.status >= 400 and fault.kind in _MAYBE_THE_OFFSET):
        return None
    raise fault


def plain_probe(head: Head, host: str) -> Learned:
    """Judge the answer to a request without a range: a server that is read from the beginning only."""
    if head.status != 200:
        raise refusal(head, host)
    refuse_encoded(head, host)
    return Learned(size_bytes=-1 if head.length is None else head.length, offset_ok=False)
