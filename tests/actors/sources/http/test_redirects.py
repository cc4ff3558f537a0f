"""Redirects are resolved once, by the probe; credentials stay with their host and out of sight."""

import base64
import traceback

import pytest

from actors.sources import open_reader
from actors.sources.http.reader import VISITS_MAX
from actors.sources.http.settings import REDIRECTS_MAX
from protocol.model.faults import FaultKind, SourceFault
from tests.actors.sources.conftest import Read, Serve
from tests.actors.sources.reading import read_span
from tests.actors.sources.scripted import Act, answer, part

CONTENT = bytes(range(256)) * 4
SIZE = len(CONTENT)
PROBE = [part(CONTENT, 1, 2)]


def moved(location: str, status: str = "302 Found") -> list[bytes]:
    return [answer(status, f"Location: {location}", body=b"over there")]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_every_kind_of_redirect_is_followed(serve: Serve, read: Read, status: int) -> None:
    server = serve([moved("/there?x=1", f"{status} Moved"), PROBE])
    assert read(server.url()).probe().size_bytes == SIZE
    assert server.first_line(1) == "GET /there?x=1 HTTP/1.1"
    assert server.fields(1)["range"] == "bytes=1-1"
    assert server.connections == 1


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("b", "/dir/b"),
        ("../b", "/b"),
        ("?q", "/dir/file?q"),
        ("//{host}/b", "/b"),
        ("http://{host}/b#x", "/b"),
        ("/größe x", "/gr%C3%B6%C3%9Fe%20x"),
        ("http://{host}", "/"),
    ],
)
def test_a_relative_location_is_relative_to_the_last_url(serve: Serve, read: Read, location: str, path: str) -> None:
    other = serve([PROBE])
    server = serve([moved(location.format(host=f"127.0.0.1:{other.port}").encode().decode("latin-1")), PROBE])
    assert read(server.url("/dir/file")).probe().size_bytes == SIZE
    asked = other if "{host}" in location else server
    assert asked.first_line(-1) == f"GET {path} HTTP/1.1"


def test_rides_go_to_where_the_probe_was_led(serve: Serve, read: Read) -> None:
    mirror = serve([PROBE, [part(CONTENT, 10, 20)]])
    front = serve([moved(mirror.url("/m"))])
    reader = read(front.url())
    reader.probe()
    assert read_span(reader, 10, 20, size_bytes=SIZE) == CONTENT[10:20]
    assert len(front.requests) == 1


def test_a_transfer_follows_redirects_and_remembers_where_they_led(serve: Serve, read: Read) -> None:
    mirror = serve([[part(CONTENT, 10, 20)], [part(CONTENT, 20, 30)]])
    server = serve([PROBE, moved(mirror.url())])
    reader = read(server.url())
    reader.probe()
    assert read_span(reader, 10, 20, size_bytes=SIZE) == CONTENT[10:20]
    assert read_span(reader, 20, 30, size_bytes=SIZE) == CONTENT[20:30]
    assert len(server.requests) == 2

    server = serve([PROBE, *(moved("/a"), moved("/b")) * (VISITS_MAX + 2)])
    reader = read(server.url())
    reader.probe()
    with pytest.raises(SourceFault) as caught:
        read_span(reader, 10, 20, size_bytes=SIZE)
    assert caught.value.kind == FaultKind.REDIRECT_LOOP


def test_a_mirror_that_no_longer_lets_us_in_is_looked_for_again_from_the_first_url(serve: Serve, read: Read) -> None:
    fresh = serve([[part(CONTENT, 10, 20)]])
    stale = serve([PROBE, [answer("403 Forbidden", "Connection: close")]])
    front = serve([moved(stale.url())], [moved(fresh.url())])
    reader = read(front.url())
    reader.probe()
    assert read_span(reader, 10, 20, size_bytes=SIZE) == CONTENT[10:20]


def fault_of_redirects(serve: Serve, read: Read, *locations: str) -> SourceFault:
    server = serve([moved(location) for location in locations])
    with pytest.raises(SourceFault) as caught:
        read(server.url("/start")).probe()
    assert "127.0.0.1" in caught.value.detail
    return caught.value


def test_a_circle_is_a_loop(serve: Serve, read: Read) -> None:
    assert fault_of_redirects(serve, read, *("/a", "/start") * (VISITS_MAX + 1)).kind == FaultKind.REDIRECT_LOOP
    assert fault_of_redirects(serve, read, *("/start",) * (VISITS_MAX + 1)).kind == FaultKind.REDIRECT_LOOP


def test_more_redirects_than_browsers_follow_are_a_loop(serve: Serve, read: Read) -> None:
    assert fault_of_redirects(serve, read, *(f"/{n}" for n in range(REDIRECTS_MAX + 1))).kind == FaultKind.REDIRECT_LOOP


def test_as_many_redirects_as_browsers_follow_are_followed(serve: Serve, read: Read) -> None:
    server = serve([*(moved(f"/{n}") for n in range(REDIRECTS_MAX)), PROBE])
    assert read(server.url()).probe().size_bytes == SIZE


def test_a_redirect_to_nowhere_is_a_fault(serve: Serve, read: Read) -> None:
    for location in ("ftp://127.0.0.1/x", "http://[bad/", "http://[::1%25lo]/x", "http://a..b/"):
        assert fault_of_redirects(serve, read, location).kind == FaultKind.BAD_ANSWER
    with pytest.raises(SourceFault) as caught:
        read(serve([[answer("302 Found")]]).url()).probe()
    assert caught.value.kind == FaultKind.BAD_ANSWER


def test_a_login_is_sent_decoded_to_its_host(serve: Serve, read: Read) -> None:
    server = serve([moved("/there"), PROBE])
    read(server.url(login="us%40er:p%3Ass%C3%A9")).probe()
    login = "Basic " + base64.b64encode("us@er:p:ssé".encode()).decode()
    assert [server.fields(n)["authorization"] for n in (0, 1)] == [login, login]
    assert "@" not in server.requests[0].decode("latin-1")


def test_a_login_does_not_go_to_another_host_or_port(serve: Serve, read: Read) -> None:
    for host in ("127.0.0.1", "localhost"):
        other = serve([PROBE])
        read(serve([moved(other.url(host=host))]).url(login="user:secret")).probe()
        assert "authorization" not in other.fields(0)


def test_the_password_is_in_no_fault_repr_or_traceback(serve: Serve, read: Read) -> None:
    scripts: list[list[bytes | Act]] = [
        [answer("401 Unauthorized")],
        [answer("401 hunter2")],
        [answer("302 Found", "Location: /file")],
        [answer("302 Found", "Location: http://user:hunter2@[x/")],
        [b"garbage hunter2"],
        [Act.RESET],
        [Act.HANG],
    ]
    for pieces in scripts:
        reader = read(serve([pieces]).url(login="user:hunter2"))
        with pytest.raises(SourceFault) as caught:
            reader.probe()
        shown = caught.value.detail + repr(caught.value) + repr(reader) + repr(vars(reader))
        shown += "".join(traceback.format_exception(caught.value))
        assert "hunter2" not in shown
        assert base64.b64encode(b"user:hunter2").decode() not in shown


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/x",
        "slsk://user",
        "host/x",
        "",
        "http://",
        "http:///x",
        "http://ho st/",
        "http://user:hunter2@host:99999/",
        "http://user:hunter2@host:0/",
        "http://user:hunter2@host:port/",
        "http://user:hunter2@[::1/",
        "http://[fe80::1%25eth0]/",
        "http://" + "ä" * 80 + "/",
        "http://host/\udfff\ud800",
        "file:///etc/passwd",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_in_words(url: str) -> None:
    with pytest.raises(SourceFault) as caught:
        open_reader(url)
    assert caught.value.kind == FaultKind.UNSUPPORTED_URL
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
