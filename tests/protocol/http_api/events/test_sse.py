"""What happened: pages, and a stream that has no gaps."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from protocol.http_api.events import replay_feed, sse
from protocol.http_api.gateway import EVENTS_QUEUED_MAX
from protocol.messages import ProcessLost, ProcessReady, WatchEvents
from protocol.model.job_records import EventEntry
from tests.protocol.http_api.events.event_store import JOB, Book
from tests.protocol.http_api.serving import Api, serving

OTHER = "00000000-0000-4000-8000-000000000000"


class Stream:
    """A client of the stream: `next` is the next event as ``(id, type, data)``."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.iter_lines()

    def block(self) -> list[str]:
        lines: list[str] = []
        for line in self._lines:
            if not line:
                return lines
            lines.append(line)
        raise EOFError("the stream has ended")

    def next(self) -> tuple[int, str, dict[str, Any]]:
        while True:
            fields = dict(line.split(": ", 1) for line in self.block() if not line.startswith(":"))
            if "data" in fields:
                event = json.loads(fields["data"])
                assert event["type"] == fields["event"]
                return int(fields.get("id", 0)), fields["event"], event


@contextmanager
def streaming(api: Api, query: str = "", **headers: str) -> Iterator[Stream]:
    with api.client.stream("GET", f"/api/v0/events/stream{query}", headers=headers) as response:
        response.raise_for_status()
        opened = Stream(response)
        assert opened.block() == ["retry: 2000"]
        yield opened


def test_a_page_begins_with_the_newest() -> None:
    book = Book()
    for number in range(5):
        book.happened("job.noted", text=f"note {number}")
    with serving(book.answer) as api:
        page = api.client.get("/api/v0/multisource/events", params={"offset": 1, "limit": 2})
    assert page.headers["X-Total-Count"] == "5"
    assert [event["id"] for event in page.json()] == [4, 3]
    assert page.json()[0] == {
        "id": 4,
        "timestamp": "2026-09-21T14:13:20.123Z",
        "type": "job.noted",
        "job": JOB,
        "version": 1,
        "data": {"text": "note 3"},
    }


def test_a_page_after_an_event_begins_with_the_oldest() -> None:
    book = Book()
    for number in range(5):
        book.happened("job.noted", text=f"note {number}")
    with serving(book.answer) as api:
        page = api.client.get("/api/v0/multisource/events", params={"after": 2, "limit": 2})
    assert [event["id"] for event in page.json()] == [3, 4]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("after=-2", "after"),
        ("after=x", "after"),
        ("limit=0", "limit"),
        ("limit=100000", "limit"),
        ("offset=-1", "offset"),
    ],
)
def test_a_wrong_page_is_refused_by_name(query: str, field: str) -> None:
    with serving(Book().answer) as api:
        answer = api.client.get(f"/api/v0/multisource/events?{query}")
    assert answer.status_code == 400
    assert answer.json()["error"]["field"] == field


@pytest.mark.parametrize("query", ["?kind=job.exploded", "?job=7", "?progress=perhaps", "?lastEventId=-1"])
def test_a_wrong_stream_is_refused(query: str) -> None:
    with serving(Book().answer) as api:
        assert api.client.get(f"/api/v0/events/stream{query}").status_code == 400


def test_a_stream_tells_what_happens_from_now_on() -> None:
    book = Book()
    book.happened("job.queued")
    with serving(book.answer) as api, streaming(api) as stream:
        api.say(book.happened("job.progressed", storedBytes=7), book.happened("job.sealed", path="/x"))
        serial, kind, event = stream.next()
        assert (serial, kind, event["data"]) == (0, "job.progressed", {"storedBytes": 7})
        assert stream.next()[:2] == (2, "job.sealed")


@pytest.mark.parametrize("as_header", [True, False])
def test_who_comes_back_gets_everything_since(as_header: bool) -> None:
    book = Book()
    for _ in range(2 * replay_feed.PAGE + 3):
        book.happened("job.noted")
    headers, query = ({"Last-Event-ID": "2"}, "?lastEventId=400") if as_header else ({}, "?lastEventId=2")
    with serving(book.answer) as api, streaming(api, query, **headers) as stream:
        seen = [stream.next()[0] for _ in range(2 * replay_feed.PAGE + 1)]
        api.say(book.happened("job.sealed"))
        seen.append(stream.next()[0])
    assert seen == list(range(3, 2 * replay_feed.PAGE + 5))


def test_what_a_replaced_job_manager_did_not_tell_is_asked_for() -> None:
    book = Book()
    with serving(book.answer) as api, streaming(api) as stream:
        api.say(book.happened("job.queued"))
        assert stream.next()[0] == 1
        api.say(ProcessLost(process="jobs", detail="killed"))
        book.happened("job.started")
        api.say(ProcessReady(process="jobs", pid=7), book.happened("job.sealed"))
        assert [stream.next()[:2], stream.next()[:2]] == [(2, "job.started"), (3, "job.sealed")]
    assert sum(isinstance(message, WatchEvents) for _to, message in api.posted) == 1


def test_a_filter_lets_through_only_its_own() -> None:
    book = Book()
    query = f"?job={JOB.upper()}&kind=job.sealed&kind=job.progressed&progress=False"
    with serving(book.answer) as api, streaming(api, query) as stream:
        api.say(
            book.happened("job.sealed", id=OTHER),
            book.happened("job.failed"),
            book.happened("job.progressed"),
            book.happened("job.sealed"),
        )
        assert stream.next()[0] == 3


def test_a_reader_that_does_not_keep_up_loses_progress_and_nothing_that_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    book = Book()
    with serving(book.answer) as api:
        host, port = api.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as slow:
            slow.settimeout(20.0)
            slow.sendall(b"GET /api/v0/events/stream HTTP/1.1\r\nHost: " + f"{host}:{port}".encode() + b"\r\n\r\n")
            head = slow.recv(4096)
            assert head.startswith(b"HTTP/1.1 200")
            filling = "x" * 20_000  # fills the sockets on the way
            for _ in range(2 * EVENTS_QUEUED_MAX):
                api.say(book.happened("job.progressed", filling=filling))
            for _ in range(EVENTS_QUEUED_MAX + 500):
                api.say(book.happened("job.noted"))
            said = bytearray()
            while f"\nid: {EVENTS_QUEUED_MAX + 500}\n".encode() not in said:
                part = slow.recv(1 << 20)
                assert part, "the stream has ended"
                said += part
    numbers = [int(line[4:]) for line in said.decode().splitlines() if line.startswith("id: ")]
    assert numbers == list(range(1, EVENTS_QUEUED_MAX + 501))
    assert said.count(b"event: job.progressed") < 2 * EVENTS_QUEUED_MAX


def test_a_silent_stream_shows_that_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "BEAT_S", 0.01)
    with serving(Book().answer) as api, streaming(api) as stream:
        assert stream.block() == [": beat"]


def test_streams_are_bounded_and_given_back() -> None:
    book = Book()
    with serving(book.answer) as api:
        streams_max = api.gateway.settings.api.streams_max
        with streaming(api) as first:
            opened = [api.client.build_request("GET", "/api/v0/events/stream") for _ in range(streams_max - 1)]
            answers = [api.client.send(request, stream=True) for request in opened]
            assert {answer.status_code for answer in answers} == {200}
            refused = api.client.get("/api/v0/events/stream")
            assert refused.status_code == 429
            assert "Retry-After" in refused.headers
            for answer in answers:
                answer.close()
            api.say(book.happened("job.sealed"))
            assert first.next()[0] == 1
        while api.client.send(opened[0], stream=True).status_code != 200:
            pass  # until the server has noticed that they are gone


def test_streams_end_when_the_daemon_stops() -> None:
    with serving(Book().answer) as api, streaming(api) as stream:
        api.loop.call_soon_threadsafe(api.gateway.close)
        with pytest.raises(EOFError):
            stream.next()


def test_every_kind_is_reported_of() -> None:
    with serving(Book().answer) as api:
        kinds = api.client.get("/api/v0/events/kinds").json()
    assert "job.failed" in kinds
    assert all(kinds.values())


def test_an_event_without_data_is_an_empty_object() -> None:
    book = Book()
    book.events.append(EventEntry(serial=1, at_ms=0, kind="job.deleted", id=JOB, data=b""))
    with serving(book.answer) as api:
        (event,) = api.client.get("/api/v0/multisource/events").json()
    assert (event["data"], event["timestamp"]) == ({}, "1970-01-01T00:00:00.000Z")
