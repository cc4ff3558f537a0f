"""What no request gets past: foreign names and pages, bodies that are too large, too many at once."""

import logging
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from urllib.parse import urlsplit

import httpx
import pytest

from actors.api import connections
from actors.api.connections import EACH_MAX
from protocol.config.settings import ApiKey, ApiSettings
from protocol.http_api import page_files
from protocol.http_api.middleware.request_guard import BODIES_EACH_MAX, is_ours
from tests.protocol.http_api.serving import Api, open_settings, serving

READY = "/health/ready"


@pytest.fixture(scope="module")
def shared() -> Iterator[Api]:
    with serving() as api:
        yield api


@pytest.fixture
def api(shared: Api) -> Api:
    shared.configure(open_settings())
    return shared


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("127.0.0.1:5030", True),
        ("192.0.2.1", True),
        ("[::1]:5030", True),
        ("localhost:5030", True),
        ("LOCALHOST", True),
        ("localhost.", True),
        ("nas.example.org:80", True),
        ("evil.example.org", False),
        ("a.wild.example.org", True),
        ("wild.example.org", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("evil.example", False),
        ("", False),
        (":5030", False),
        ("[::1", False),
        ("localhost:port", False),
        ("localhost?.evil.example", False),
        ("localhost#.evil.example", False),
        ("localhost/.evil.example", False),
        ("localhost\\.evil.example", False),
        ("[::1]evil.example", False),
        ("localhost:", True),
        ("evil.example@localhost", False),
    ],
)
def test_only_our_names_are_answered_to(host: str, ours: bool) -> None:
    assert is_ours(host, ApiSettings(hosts=("NAS.example.org", "*.wild.example.org"))) is ours


def test_another_name_for_our_address_gets_nothing(api: Api) -> None:
    refused = api.client.get("/health", headers={"Host": "rebound.example"})
    assert refused.status_code == 403
    assert refused.json()["error"]["field"] == "Host"
    api.configure(open_settings(hosts=("rebound.example",)))
    assert api.client.get("/health", headers={"Host": "rebound.example:5030"}).status_code == 200
    api.configure(open_settings(hosts=("*",)))
    assert api.client.get("/health", headers={"Host": "other.example"}).status_code == 200


def test_below_a_base_an_error_looks_as_without_one(api: Api) -> None:
    api.configure(open_settings(url_base="/shoal"))
    refused = api.client.get("/Shoal/api/v0/multisource/jobs", headers={"Host": "rebound.example"})
    assert refused.json()["error"]["field"] == "Host"


def test_two_hosts_or_none_get_nothing(api: Api) -> None:
    two = b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n"
    assert raw_answer(api.url, two).startswith((b"HTTP/1.1 400", b"HTTP/1.1 403"))
    assert raw_answer(api.url, b"GET /health HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://localhost"])
def test_a_foreign_page_can_have_nothing_done(api: Api, origin: str) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        refused = api.client.request(method, "/api/v0/multisource/x", headers={"Origin": origin})
        assert refused.status_code == 403
        assert refused.json()["error"]["field"] == "Origin"


def test_our_own_page_can(api: Api) -> None:
    assert api.client.post("/api/v0/x", headers={"Origin": api.url}).status_code == 404
    assert api.client.post("/api/v0/x", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 404


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_browser_that_says_so_itself_is_believed_for_reading_too(api: Api, site: str) -> None:
    assert api.client.get("/api/v0/session", headers={"Sec-Fetch-Site": site}).status_code == 403
    visit = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert api.client.get("/health", headers=visit).status_code == 200
    assert api.client.get("/api/v0/session", headers=visit).status_code == 403


def test_other_pages_are_reported_nothing_unless_they_were_configured(api: Api) -> None:
    page = {"Origin": "https://page.example"}
    preflight = {**page, "Access-Control-Request-Method": "DELETE", "Access-Control-Request-Headers": "X-API-Key"}
    assert "access-control-allow-origin" not in api.client.get("/health", headers=page).headers
    assert "access-control-allow-origin" not in api.client.options("/api/v0/x", headers=preflight).headers
    api.configure(open_settings(origins=("https://page.example",)))
    answer = api.client.get("/health", headers=page)
    assert answer.headers["access-control-allow-origin"] == "https://page.example"
    assert "X-Total-Count" in answer.headers["access-control-expose-headers"]
    assert "X-URL-Base" in answer.headers["access-control-expose-headers"]
    assert api.client.options("/api/v0/x", headers=preflight).status_code == 200
    assert api.client.delete("/api/v0/x", headers=page).status_code == 404
    other = api.client.get("/health", headers={"Origin": "https://other.example"})
    assert "access-control-allow-origin" not in other.headers


def test_a_preflight_needs_no_key() -> None:
    key = ApiKey(name="one", key="a-key-of-16-characters")
    settings = open_settings(authentication=True, keys=(key,), origins=("https://page.example",))
    with serving(settings=settings) as api:
        preflight = {"Origin": "https://page.example", "Access-Control-Request-Method": "GET"}
        assert api.client.options("/api/v0/session", headers=preflight).status_code == 200
        assert api.client.get("/api/v0/session", headers=preflight).status_code == 401


def test_every_answer_says_what_browsers_may_do_with_it(api: Api) -> None:
    for path in ("/health", "/api/v0/nothing"):
        headers = api.client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["cache-control"] == "no-store"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-url-base"] == "/"
        assert "server" not in headers


def test_a_body_that_is_too_large_is_refused_however_it_comes(api: Api) -> None:
    api.configure(open_settings(body_bytes_max=1000))

    def chunks() -> Iterator[bytes]:
        yield b'{"username": "'
        for _ in range(100):
            yield b"x" * 100
        yield b'"}'

    json = {"Content-Type": "application/json"}
    assert api.client.post("/api/v0/session", content=b" " * 1001, headers=json).status_code == 413
    assert api.client.post("/api/v0/session", content=chunks(), headers=json).status_code == 413
    assert api.client.post("/api/v0/session", content=b" " * 1000, headers=json).status_code == 400


def raw_answer(url: str, request: bytes) -> bytes:
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=5.0) as sock:
        sock.sendall(request)
        return sock.recv(65536)


def test_a_head_that_is_too_large_is_refused(api: Api) -> None:
    many = b"".join(b"X-%d: %s\r\n" % (number, b"y" * 1000) for number in range(100))
    answer = raw_answer(api.url, b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + many + b"\r\n")
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431"))


def whole_answer(url: str, *requests: bytes) -> bytes:
    """What comes until the other side closes. All but the first request are sent once something has come."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10.0) as sock:
        sock.sendall(requests[0])
        received = sock.recv(65536)
        with suppress(ConnectionError):  # what is still being sent meets a closed door
            for request in requests[1:]:
                sock.sendall(request)
            while more := sock.recv(65536):
                received += more
        return received


LOGIN = b"POST /api/v0/session HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
BEHIND = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize(
    "fields", [b"Content-Length: 4\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: chunked\r\nContent-Length: 0"]
)
def test_of_two_ends_of_a_request_one_is_taken_and_nothing_behind_it_is_answered(api: Api, fields: bytes) -> None:
    received = whole_answer(api.url, LOGIN + fields + b"\r\n\r\n0\r\n\r\n" + BEHIND)
    assert received.startswith(b"HTTP/1.1 400 ")
    assert received.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    "chunk", [b"1\r\n \r\n" * 60_000, (b"1;" + b"a" * 15_000 + b"\r\n \r\n") * 200], ids=["tiny", "extensions"]
)
def test_chunks_that_cost_more_than_they_bring_are_refused(api: Api, chunk: bytes) -> None:
    received = whole_answer(api.url, LOGIN + b"Transfer-Encoding: chunked\r\n\r\n" + chunk + b"0\r\n\r\n" + BEHIND)
    assert received.startswith(b"HTTP/1.1 400 ")
    assert b"alive" not in received
    assert api.client.get("/health").status_code == 200


def test_a_body_of_small_chunks_is_taken(api: Api) -> None:
    chunks = b"".join(b"50\r\n" + b" " * 0x50 + b"\r\n" for _ in range(3000)) + b"2\r\n{}\r\n0\r\n\r\n"
    received = whole_answer(api.url, LOGIN + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
    assert b"Field required" in received


def test_garbage_behind_an_answer_ends_the_connection_without_a_word(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    received = whole_answer(
        api.url, b"POST /no HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", b"-1\r\n"
    )
    assert received.startswith(b"HTTP/1.1 404 ")
    assert received.count(b"HTTP/1.1 ") == 1
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []


def test_a_path_that_is_too_long_is_refused(api: Api) -> None:
    for target in (b"/" + b"a" * 40_000, b"/health?" + b"a" * 40_000):
        received = raw_answer(api.url, b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert received.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431"))


def test_garbage_is_refused(api: Api) -> None:
    assert raw_answer(api.url, b"\x16\x03\x01 not http\r\n\r\n").startswith(b"HTTP/1.1 400")
    no_host = raw_answer(api.url, b"GET /health HTTP/1.0\r\n\r\n")
    assert no_host.startswith((b"HTTP/1.1 403", b"HTTP/1.1 400"))


def test_who_does_not_finish_a_request_is_hung_up_on_and_who_waits_for_an_answer_is_not() -> None:
    with serving(beat_s=0.05, head_s_max=0.3) as api:
        host, port = api.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10.0) as slow:
            slow.sendall(b"GET /health HTTP/1.1\r\nHost: localh")
            # No one answers the question of this one for longer than the other may be silent.
            assert api.client.get(READY).status_code == 503
            assert slow.recv(1000) == b""
            assert api.client.get("/health").status_code == 200


def test_only_a_bounded_number_of_requests_run_at_once_and_health_is_answered_beside_them() -> None:
    jobs = "/api/v0/multisource/jobs"
    with serving(settings=open_settings(requests_max=2)) as api:
        threads = [threading.Thread(target=lambda: httpx.get(f"{api.url}{jobs}", timeout=10.0)) for _ in range(2)]
        for thread in threads:
            thread.start()
        while len(api.posted) < 2:
            time.sleep(0.01)
        refused = api.client.get(jobs)
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        assert api.client.get("/health").status_code == 200
        for thread in threads:
            thread.join()
        assert api.client.get("/api/v0/session").status_code == 200


HALF_HEAD = b"GET /health HTTP/1.1\r\nHost: localh"
REST = b'"username": "me", "password": "wrong"}'
HALF_BODY = (
    b"POST /api/v0/session HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n{" % (len(REST) + 1)
)


@contextmanager
def flood(api: Api, count: int, sent: bytes) -> Iterator[list[socket.socket]]:
    host, port = api.url.removeprefix("http://").split(":")
    with ExitStack() as opened:
        socks = []
        for _ in range(count):
            sock = opened.enter_context(socket.create_connection((host, int(port)), timeout=10.0))
            sock.sendall(sent)
            socks.append(sock)
        yield socks


@pytest.mark.parametrize("sent", [b"", HALF_HEAD], ids=["idle", "half heads"])
def test_of_many_idle_connections_the_longest_idle_are_closed_for_new_ones(sent: bytes) -> None:
    with serving() as api, flood(api, EACH_MAX + 40, sent) as socks:
        assert api.client.get("/health").status_code == 200
        assert api.client.get("/api/v0/session").status_code == 200
        assert [sock.recv(1) for sock in socks[:20]] == [b""] * 20
        socks[-1].setblocking(False)
        with pytest.raises(BlockingIOError):
            socks[-1].recv(1)


@pytest.mark.parametrize("locked", [False, True], ids=["open", "behind keys"])
def test_of_many_half_sent_bodies_the_oldest_are_ended_and_take_no_place_of_requests(locked: bool) -> None:
    settings = open_settings(requests_max=8, authentication=locked, username="me", password="of mine")
    with serving(settings=settings) as api, flood(api, BODIES_EACH_MAX + 40, HALF_BODY) as socks:
        assert api.client.get("/health").status_code == 200
        login = api.client.post("/api/v0/session", json={"username": "me", "password": "of mine"})
        assert login.status_code == 200
        assert all(sock.recv(1000).startswith(b"HTTP/1.1 408 ") for sock in socks[:20])
        socks[-1].sendall(REST)
        answer = socks[-1].recv(1000)
        assert answer.startswith(b"HTTP/1.1 401 " if locked else b"HTTP/1.1 200 "), answer


def test_a_half_sent_body_is_ended_when_the_daemon_stops_also_if_it_comes_after_that() -> None:
    with serving() as api, flood(api, 2, b"") as (before, after):
        before.sendall(HALF_BODY)
        assert api.client.get("/health").status_code == 200
        api.loop.call_soon_threadsafe(api.gateway.close)
        after.sendall(HALF_BODY)
        for sock in (before, after):
            assert sock.recv(1000).startswith(b"HTTP/1.1 503 ")


def test_who_does_not_read_an_answer_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "ANSWER_S_MAX", 0.3)
    largest = max(page_files.FOLDER.rglob("*.js"), key=lambda each: each.stat().st_size)
    path = largest.relative_to(page_files.FOLDER).as_posix().encode()
    with serving(beat_s=0.05, head_s_max=0.2) as api, socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.settimeout(10.0)
        host, port = api.url.removeprefix("http://").split(":")
        slow.connect((host, int(port)))
        slow.sendall(b"GET /page/%s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path * 200)
        gone = select.poll()
        gone.register(slow, select.POLLRDHUP)  # POLLERR and POLLHUP are always reported
        assert gone.poll(10_000), "it is still connected"
        assert api.client.get("/health").status_code == 200
