"""Event stream read by the client from the real API: ids, silence, text that looks like lines of the stream."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocol.client.credentials import Access
from protocol.client.sse_client import Stream
from protocol.http_api.events import sse
from tests.protocol.http_api.events.event_store import Book
from tests.protocol.http_api.serving import Api, serving

CUTTERS = "\x0b\x0c\r\n\x1c\x85\u2028\u2029"


def texts_through(book: Book, *, last: int) -> list[Any]:
    with serving(book.answer) as api:
        return heard(api, len(book.events) - last, last=last)


def heard(api: Api, count: int, *, last: int = 0) -> list[Any]:
    with Stream(Access(url=api.url), last=last) as stream:
        return [stream.next(wait_s=20.0) for _ in range(count)]


def test_events_come_in_order_and_beats_and_waiting_times_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "BEAT_S", 0.01)
    book = Book()
    for number in range(3):
        book.happened("job.noted", text=f"note {number}")
    assert [event["data"]["text"] for event in texts_through(book, last=1)] == ["note 1", "note 2"]


def test_a_name_with_characters_that_end_lines_elsewhere_is_no_end_of_an_event() -> None:
    book = Book()
    book.happened("job.noted", text=f"a{CUTTERS}data: b\n\nid: 9")
    (event,) = texts_through(book, last=0)
    assert event["data"]["text"] == f"a{CUTTERS}data: b\n\nid: 9"


def test_no_text_breaks_the_stream() -> None:
    book = Book()
    with serving(lambda to, message: book.answer(to, message)) as api:

        @settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
        @given(st.lists(st.text(st.characters(codec="utf-8") | st.sampled_from(CUTTERS)), min_size=1, max_size=50))
        def come_as_they_are(texts: list[str]) -> None:
            nonlocal book
            book = Book()
            for text in texts:
                book.happened("job.noted", text=text)
            assert [event["data"] for event in heard(api, len(texts))] == [{"text": text} for text in texts]

        come_as_they_are()
