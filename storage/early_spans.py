"""Spans of chunks that came before the chunk was stored: compared when it is, instead of being read again."""

from collections.abc import Sequence
from typing import Final

from protocol.messages import SlotFilled, SpanCompared
from storage.part_file import PartFile

CHUNKS_MAX: Final = 64
"""Chunks of which spans are kept; they are read again of further ones."""


class EarlySpans:
    """Spans of chunks of one part file that are not stored yet, by chunk, without their bytes: digests tell."""

    def __init__(self) -> None:
        self._spans: dict[int, list[SlotFilled]] = {}

    def keep(self, span: SlotFilled) -> None:
        """Keep a span until its chunk is stored."""
        if len(self._spans) < CHUNKS_MAX or span.first in self._spans:
            self._spans.setdefault(span.first, []).append(span)

    def compare(self, part: PartFile, stored: Sequence[tuple[int, int]]) -> list[SpanCompared]:
        """Compare the spans of the chunks ``[first, stop)`` that have been stored. Raises PartFileFault."""
        due = [chunk for chunk in self._spans if any(first <= chunk < stop for first, stop in stored)]
        return [
            compared(span, part.same(chunk, span.span_at, span.length_bytes, span.digests, span.source_hash), lease=0)
            for chunk in due
            for span in self._spans.pop(chunk)
        ]


def compared(span: SlotFilled, agrees: bool | None, *, lease: int) -> SpanCompared:
    """Return what is said of a span. `agrees` None: its chunk is not stored."""
    stored = agrees is not None
    return SpanCompared(
        job=span.job, source=span.source, lease=lease, chunk=span.first, stored=stored, agrees=agrees is True
    )
