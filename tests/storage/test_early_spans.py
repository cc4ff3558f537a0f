"""Spans that came before their chunk: each is compared once, when the chunk is stored."""

from pathlib import Path

from protocol.messages import SlotFilled, SpanCompared
from storage.digests import digests_of
from storage.early_spans import CHUNKS_MAX, EarlySpans, compared
from tests.storage.parts import CHUNK, content, count, opened, put

DATA = content((CHUNKS_MAX + 2) * CHUNK)
OTHER = bytes(len(DATA))


def span(chunk: int, *, at: int = 3, length: int = 5, data: bytes = DATA, source: int = 7) -> SlotFilled:
    view = memoryview(data)[chunk * CHUNK + at :][:length]
    digest = digests_of(view, length, CHUNK)
    return SlotFilled(
        job=2, source=source, lease=9, first=chunk, slot=0, length_bytes=length, digests=digest, source_hash=source,
        shelf="shelf", span_at=at,
    )  # fmt: skip


def result(chunk: int, agrees: bool, source: int = 7) -> SpanCompared:
    return SpanCompared(job=2, source=source, lease=0, chunk=chunk, stored=True, agrees=agrees)


def test_a_span_is_compared_when_its_chunk_is_stored_and_only_then(tmp_path: Path) -> None:
    part, spans = opened(tmp_path, len(DATA)).part, EarlySpans()
    spans.keep(span(3))
    spans.keep(span(3, data=OTHER, source=8))
    spans.keep(span(4, at=0, length=CHUNK))
    put(part, DATA, 2, 5)
    assert spans.compare(part, [(0, 3)]) == []
    assert spans.compare(part, [(5, 9), (3, 4)]) == [result(3, True), result(3, False, 8)]
    assert spans.compare(part, [(3, 5)]) == [result(4, True)]
    assert spans.compare(part, [(0, count(DATA))]) == []
    part.close()


def test_spans_of_a_limited_number_of_chunks_are_kept_all_of_each(tmp_path: Path) -> None:
    part, spans = opened(tmp_path, len(DATA)).part, EarlySpans()
    for chunk in range(CHUNKS_MAX + 1):
        spans.keep(span(chunk))
    spans.keep(span(0, source=8))
    put(part, DATA, 0, count(DATA))
    said = spans.compare(part, [(0, count(DATA))])
    assert [(each.chunk, each.source) for each in said[:3]] == [(0, 7), (0, 8), (1, 7)]
    assert {each.chunk for each in said} == set(range(CHUNKS_MAX))
    part.close()


def test_what_is_said_of_a_span() -> None:
    for agrees in (True, False, None):
        said = compared(span(5), agrees, lease=9)
        assert said == SpanCompared(job=2, source=7, lease=9, chunk=5, stored=agrees is not None, agrees=agrees is True)
