"""Probe answers: one byte asked for at offset 1 shows the size and whether offsets are honoured."""

from dataclasses import dataclass
from typing import Final

from actors.sources.http.head import Head, refusal, refuse_encoded
from actors.sources.http.range import content_range, range_field
from protocol.model.faults import FaultKind

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
