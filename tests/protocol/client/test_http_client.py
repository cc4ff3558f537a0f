"""The client against something that answers as a daemon does, and as others do."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from protocol.client.credentials import Access
from protocol.client.http_client import PAGE, Daemon, DaemonError
from protocol.client.sse_client import Gone, Stream

Answer = tuple[int, Any]
Ask = Callable[[str, str, dict[str, str]], Answer]


@contextmanager
def answering(ask: Ask) -> Iterator[str]:
    """`ask` gets method, path with query, and headers; bytes are sent as they are, all else as JSON."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, said = ask(self.command, self.path, dict(self.headers.items()))
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header(
                "Content-Type", "text/event-stream" if "/events/stream" in self.path else "application/json"
            )
            if status == 302:
                self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """No one reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def refusal(detail: str, field: str = "") -> dict[str, Any]:
    return {"error": {"kind": "x", "field": field, "detail": detail}}


@pytest.mark.parametrize(
    ("status", "said", "kind", "words"),
    [
        (401, refusal("who?"), "access", "does not let in the key from SHOAL_API_KEY"),
        (403, refusal("not you"), "access", "forbids it: not you"),
        (403, refusal("it is elsewhere", "folder"), "refused", "folder: it is elsewhere"),
        (400, refusal("size: too large", "size"), "refused", "size: too large"),
        (404, refusal("no such job"), "unknown", "no such job"),
        (409, refusal("it is sealed"), "refused", "it is sealed"),
        (503, refusal("the jobs process is away"), "away", "cannot answer now: the jobs process is away"),
        (500, b"<html>", "away", "is no Shoal daemon (HTTP status 500)"),
        (404, b'"a string"', "away", "is no Shoal daemon (HTTP status 404)"),
        (302, b"", "away", "is no Shoal daemon (HTTP status 302)"),
        (200, b"<html>", "away", "is no Shoal daemon"),
    ],
)
def test_every_refusal_says_whose_fault_it_is(status: int, said: Any, kind: str, words: str) -> None:
    with answering(lambda *_: (status, said)) as url:
        access = Access(url=url, key="s3cr3t", key_from="SHOAL_API_KEY")
        with Daemon(access) as daemon, pytest.raises(DaemonError) as refused:
            daemon.job("x")
    assert refused.value.kind == kind
    assert words in refused.value.detail
    assert "s3cr3t" not in refused.value.detail


def test_without_a_key_it_is_said_how_to_give_one() -> None:
    hint = "set SHOAL_API_KEY or give --api-key-file"
    with answering(lambda *_: (401, refusal("who?"))) as url, Daemon(Access(url=url)) as daemon:  # noqa: SIM117
        with pytest.raises(DaemonError, match=hint):
            daemon.job("x")


def test_no_one_there_is_said_with_the_reason() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with Daemon(Access(url=url)) as daemon, pytest.raises(DaemonError) as refused:
            daemon.job("x")
    assert (refused.value.kind, refused.value.detail) == (
        "away",
        f"no daemon at {url} (connection refused); start one: shoal daemon",
    )


def test_who_accepts_and_says_nothing_is_not_waited_for_for_ever() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with Daemon(Access(url=url), answer_s=0.2) as daemon, pytest.raises(DaemonError, match="does not answer"):
            daemon.job("x")


def test_an_order_whose_answer_is_lost_is_sent_again_under_the_same_key() -> None:
    keys: list[str] = []

    def ask(_method: str, _path: str, headers: dict[str, str]) -> Answer:
        keys.append(headers["Idempotency-Key"])
        return (503, refusal("not now")) if len(keys) == 1 else (202, {"id": "x"})

    with answering(ask) as url, Daemon(Access(url=url)) as daemon:
        assert daemon.order("/download", {}) == {"id": "x"}
        assert len(keys) == 2
        assert len(set(keys)) == 1
        daemon.order("/download", {})
        assert len(set(keys)) == 2, "the same order given twice is two jobs"


def test_an_order_that_is_refused_is_sent_once() -> None:
    asked: list[str] = []

    def ask(_method: str, path: str, _headers: dict[str, str]) -> Answer:
        asked.append(path)
        return 400, refusal("no")

    with answering(ask) as url, Daemon(Access(url=url)) as daemon, pytest.raises(DaemonError, match=r"^no$"):
        daemon.order("/download", {})
    assert asked == ["/api/v0/multisource/download"]


def uuid_of(number: int) -> str:
    return f"{number:08x}-0000-4000-8000-000000000000"


@contextmanager
def listing(count: int) -> Iterator[Daemon]:
    """A daemon with a given number of jobs, in pages."""

    def ask(_method: str, path: str, _headers: dict[str, str]) -> Answer:
        query = parse_qs(urlsplit(path).query)
        offset, limit = int(query["offset"][0]), int(query["limit"][0])
        return 200, [{"id": uuid_of(number)} for number in range(offset, min(count, offset + limit))]

    with answering(ask) as url, Daemon(Access(url=url)) as daemon:
        yield daemon


def test_a_job_is_found_by_the_beginning_of_its_id_on_any_page() -> None:
    with listing(PAGE + 20) as daemon:
        assert daemon.find_job(f"{PAGE + 9:08X}") == uuid_of(PAGE + 9)
        assert daemon.find_job(uuid_of(5).upper()) == uuid_of(5), "a whole id is not looked up"
        with pytest.raises(DaemonError, match=r"^16 jobs have an id that begins with 0000001: write more of it$"):
            daemon.find_job("0000001")
        for word in ("f", "", "x", "-\x1b"):
            with pytest.raises(DaemonError, match=r"^no job has an id that begins with"):
                daemon.find_job(word)
        assert [row["id"] for row in daemon.jobs({}, most=3)[0]] == [uuid_of(number) for number in range(3)]
        assert len(daemon.jobs({}, most=10**6)[0]) == PAGE + 20


def test_a_stream_goes_on_where_it_broke() -> None:
    seen: list[str] = []

    def ask(_method: str, _path: str, headers: dict[str, str]) -> Answer:
        seen.append(headers.get("Last-Event-ID", ""))
        number = len(seen)
        return 200, b'id: %d\nevent: x\ndata: {"id": %d}\n\nid: 99\ndata: cut o' % (number, number)

    with answering(ask) as url, Stream(Access(url=url), last=0) as stream:
        heard = [stream.next(wait_s=5) for _ in range(3)]
    assert heard == [{"id": 1}, Gone("the daemon ended the stream of events", final=False), {"id": 2}]
    assert seen[:2] == ["0", "1"]


def test_a_stream_of_what_is_no_event_of_ours_is_reopened() -> None:
    answers = [b"data: {no json\n\n", b'id: 7\ndata: {"id": 7}\n\n']
    with answering(lambda *_: (200, answers.pop(0) if answers else b"")) as url, Stream(Access(url=url)) as stream:
        assert stream.next(wait_s=20) == Gone("the stream of events broke", final=False)
        assert stream.next(wait_s=20) == {"id": 7}


def test_a_stream_that_is_closed_asks_no_more() -> None:
    asked = threading.Semaphore(0)

    def ask(*_: object) -> Answer:
        asked.release()
        return 503, refusal("not now")

    with answering(ask) as url:
        with Stream(Access(url=url)) as stream:
            assert isinstance(stream.next(wait_s=20), Gone)
        (reader,) = (each for each in threading.enumerate() if each.name == "events")
        reader.join(20)
        assert not reader.is_alive()
    assert asked.acquire(blocking=False)


def test_a_stream_that_is_refused_is_over() -> None:
    asked: list[str] = []

    def ask(_method: str, path: str, _headers: dict[str, str]) -> Answer:
        asked.append(path)
        return 401, refusal("who?")

    with answering(ask) as url, Stream(Access(url=url), job="x") as stream:
        gone = stream.next(wait_s=5)
        assert isinstance(gone, Gone)
        assert gone.final
        assert stream.next(wait_s=1.5) is None
    assert asked == ["/api/v0/events/stream?job=x"]
