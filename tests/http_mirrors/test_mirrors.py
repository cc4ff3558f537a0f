"""The box is what other tests measure with, so its manners and its faults are tested themselves."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.client
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.http_mirrors.box import ROOT, Box, BoxError, Character, Content, mirrors

SIZE = 300_000
CONTENT = Content(SIZE, seed=5)
WHOLE = CONTENT.whole()

CHARACTERS = {
    "honest": Character(),
    "no_ranges": Character(ranges=False),
    "refusing": Character(refuse_offsets=True),
    "wrong_range": Character(wrong_range=True),
    "dropping": Character(drop_every_bytes=100_000),
    "dying": Character(die_after_bytes=100_000),
    "stalling": Character(stall_after_bytes=100_000),
    "busy": Character(busy_share=0.5, retry_after_s=7),
    "gone": Character(status=404),
    "liar": Character(size_lie=SIZE + 1),
    "short": Character(short_body=1000),
    "extra": Character(extra_body=10),
    "gzip": Character(gzip=True),
    "chunked": Character(chunked=True),
    "endless": Character(no_length=True),
    "moved": Character(redirect_to="honest"),
    "looping": Character(redirect_loop=True),
    "other": Character(other_content=True),
    "locked": Character(auth="user:secret"),
    "named": Character(disposition='attachment; filename="song.flac"', etag='W/"weak"'),
    "silent": Character(silent=True),
}


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    with mirrors(CHARACTERS, CONTENT) as made:
        yield made


class Reply:
    """A whole answer; `broken` when the body did not come to its announced end."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self.broken = False
        try:
            self.body = answer.read()
        except http.client.IncompleteRead as error:
            self.body, self.broken = error.partial, True
        except ConnectionError:
            self.body, self.broken = b"", True


def asked(box: Box, name: str, method: str = "GET", **headers: str) -> Reply:
    connection = http.client.HTTPConnection("127.0.0.1", box.port(name), timeout=10)
    try:
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        connection.request(method, "/content.bin", headers=named)
        return Reply(connection.getresponse())
    finally:
        connection.close()


def test_content_is_the_same_for_the_same_seed_and_differs_in_every_aligned_chunk() -> None:
    content = Content(5 << 20, seed=9)
    whole = content.whole()
    assert hashlib.sha256(whole).hexdigest() == content.sha256 == Content(5 << 20, seed=9).sha256
    assert whole != Content(5 << 20, seed=10).whole()
    chunks = {whole[start : start + 1024] for start in range(0, len(whole), 1024)}
    assert len(chunks) == len(whole) // 1024


def test_content_matches_only_the_file_that_is_equal_in_every_byte(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert not CONTENT.matches(path)
    path.write_bytes(WHOLE)
    assert CONTENT.matches(path)
    path.write_bytes(WHOLE[:-1] + bytes([WHOLE[-1] ^ 1]))
    assert not CONTENT.matches(path)
    path.write_bytes(WHOLE + b"x")
    assert not CONTENT.matches(path)


def test_an_honest_mirror_gives_the_whole_with_its_description(box: Box) -> None:
    reply = asked(box, "honest")
    assert (reply.status, reply.body) == (200, WHOLE)
    assert reply.headers["Accept-Ranges"] == "bytes"
    assert reply.headers["ETag"].startswith('"')
    assert reply.headers["Content-Length"] == str(SIZE)


@pytest.mark.parametrize(
    ("asked_range", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=5-9", 5, 10),
        ("bytes=299999-", SIZE - 1, SIZE),
        ("bytes=-10", SIZE - 10, SIZE),
        ("bytes=100-999999", 100, SIZE),
    ],
)
def test_a_range_brings_exactly_these_bytes(box: Box, asked_range: str, start: int, stop: int) -> None:
    reply = asked(box, "honest", Range=asked_range)
    assert (reply.status, reply.body) == (206, WHOLE[start:stop])
    assert reply.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{SIZE}"


@pytest.mark.parametrize("asked_range", ["bytes=300000-", "bytes=9-5", "bytes=-0"])
def test_a_range_outside_gets_a_416_that_tells_the_size(box: Box, asked_range: str) -> None:
    reply = asked(box, "honest", Range=asked_range)
    assert reply.status == 416
    assert reply.headers["Content-Range"] == f"bytes */{SIZE}"


def test_if_range_with_another_validator_brings_the_whole(box: Box) -> None:
    etag = asked(box, "honest", method="HEAD").headers["ETag"]
    assert asked(box, "honest", Range="bytes=1-", If_Range=etag).status == 206
    assert asked(box, "honest", Range="bytes=1-", If_Range='"other"').status == 200
    assert asked(box, "named", Range="bytes=1-", If_Range='W/"weak"').status == 200


def test_head_has_the_length_and_no_body(box: Box) -> None:
    reply = asked(box, "honest", method="HEAD")
    assert (reply.status, reply.body, reply.headers["Content-Length"]) == (200, b"", str(SIZE))


def test_a_connection_carries_several_requests(box: Box) -> None:
    connections = box.counts()["honest"].connections
    connection = http.client.HTTPConnection("127.0.0.1", box.port("honest"), timeout=10)
    for start in (0, 10, 20):
        connection.request("GET", "/", headers={"Range": f"bytes={start}-{start + 9}"})
        assert connection.getresponse().read() == WHOLE[start : start + 10]
    connection.close()
    assert box.counts()["honest"].connections == connections + 1


def test_mirrors_that_dislike_ranges_say_so_each_in_its_way(box: Box) -> None:
    assert asked(box, "no_ranges", Range="bytes=5-9").body == WHOLE
    assert asked(box, "refusing", Range="bytes=5-9").status == 416
    assert asked(box, "refusing", Range="bytes=0-9").body == WHOLE[:10]
    reply = asked(box, "wrong_range", Range="bytes=5-9")
    assert (reply.body, reply.headers["Content-Range"]) == (WHOLE[6:10], f"bytes 6-9/{SIZE}")


def test_a_dropping_mirror_resets_after_its_bytes_and_serves_the_next_connection(box: Box) -> None:
    for _ in range(2):
        with socket.create_connection(("127.0.0.1", box.port("dropping")), timeout=10) as peer:
            peer.sendall(b"GET / HTTP/1.1\r\nHost: box\r\n\r\n")
            got = bytearray()
            while len(got.partition(b"\r\n\r\n")[2]) < 100_000:
                got += peer.recv(65536)
            with pytest.raises(ConnectionResetError):
                peer.recv(1)
        assert got.partition(b"\r\n\r\n")[2] == WHOLE[:100_000]


def test_a_dying_mirror_refuses_connections_until_it_gets_a_new_life(box: Box) -> None:
    assert asked(box, "dying").broken
    with pytest.raises(ConnectionRefusedError):
        asked(box, "dying")
    assert box.counts()["dying"].bytes_sent == 100_000
    box.become("dying", Character())
    assert asked(box, "dying").body == WHOLE


def test_a_stalling_mirror_sends_its_share_and_then_nothing_on_any_connection(box: Box) -> None:
    for expected in (WHOLE[:100_000], b""):
        with socket.create_connection(("127.0.0.1", box.port("stalling")), timeout=10) as peer:
            peer.sendall(b"GET / HTTP/1.1\r\nHost: box\r\n\r\n")
            got = bytearray()
            while b"\r\n\r\n" not in got or len(got.partition(b"\r\n\r\n")[2]) < len(expected):
                got += peer.recv(65536)
            assert got.partition(b"\r\n\r\n")[2] == expected
            peer.settimeout(0.05)
            with pytest.raises(TimeoutError):
                peer.recv(1)


def test_a_silent_mirror_takes_the_request_and_says_nothing(box: Box) -> None:
    with socket.create_connection(("127.0.0.1", box.port("silent")), timeout=0.1) as peer:
        peer.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises(TimeoutError):
            peer.recv(1)


def test_a_busy_mirror_refuses_every_second_request_with_a_time_to_wait(box: Box) -> None:
    replies = [asked(box, "busy", Range="bytes=0-0") for _ in range(4)]
    assert [reply.status for reply in replies] == [206, 503, 206, 503]
    assert replies[1].headers["Retry-After"] == "7"
    assert box.counts()["busy"].refused == 2


def test_lengths_that_lie_are_noticed_by_a_plain_client(box: Box) -> None:
    liar = asked(box, "liar")
    assert (liar.headers["Content-Length"], liar.body, liar.broken) == (str(SIZE + 1), WHOLE, True)
    short = asked(box, "short")
    assert (short.body, short.broken) == (WHOLE[:1000], True)
    with socket.create_connection(("127.0.0.1", box.port("extra")), timeout=10) as peer:
        peer.sendall(b"GET / HTTP/1.1\r\nRange: bytes=0-4\r\n\r\n")
        got = b"".join(iter(lambda: peer.recv(65536), b""))
    assert got.endswith(WHOLE[:5] + bytes(10))


def test_bodies_without_a_length_still_end(box: Box) -> None:
    for name in ("chunked", "endless"):
        reply = asked(box, name, Range="bytes=5-")
        assert (reply.status, reply.body, reply.headers["Content-Length"]) == (200, WHOLE, None)
    squeezed = asked(box, "gzip")
    assert squeezed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(squeezed.body) == WHOLE


def test_redirects_lead_to_the_named_mirror_or_in_circles(box: Box) -> None:
    assert asked(box, "moved").headers["Location"] == box.url("honest")
    assert asked(box, "looping").headers["Location"].startswith("/")


def test_other_manners_are_as_configured(box: Box) -> None:
    assert asked(box, "gone").status == 404
    assert asked(box, "named").headers["Content-Disposition"] == 'attachment; filename="song.flac"'
    other = asked(box, "other").body
    assert len(other) == SIZE
    assert other != WHOLE
    assert asked(box, "locked").status == 401
    assert asked(box, "locked", Authorization="Basic dXNlcjpzZWNyZXQ=").body == WHOLE
    assert "user:secret@" in box.url("locked")


def test_changed_content_has_another_etag_so_ranges_of_the_old_are_not_mixed_in() -> None:
    with mirrors([Character()], CONTENT) as box:
        before = asked(box, "m0").headers["ETag"]
        box.change_content(Content(SIZE, seed=6))
        reply = asked(box, "m0", Range="bytes=5-9", If_Range=before)
        assert (reply.status, reply.body) == (200, Content(SIZE, seed=6).whole())


def test_a_file_of_ones_own_and_an_empty_one_can_be_served(tmp_path: Path) -> None:
    path = tmp_path / "mine"
    path.write_bytes(b"mine alone")
    with mirrors([Character()], path) as box:
        assert asked(box, "m0").body == b"mine alone"
    with mirrors([Character()], Content(0)) as box:
        assert (asked(box, "m0").body, asked(box, "m0", Range="bytes=0-").status) == (b"", 416)


def test_a_rate_is_kept_from_the_first_byte_on() -> None:
    with mirrors([Character(rate_bytes_s=1_000_000)], Content(400_000)) as box:
        begun_s = time.monotonic()
        assert len(asked(box, "m0").body) == 400_000
        # Only a lower bound: a busy machine may take longer, but no limiter may let it be quicker.
        assert time.monotonic() - begun_s >= 0.38


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with the openssl command")
def test_a_tls_mirror_is_trusted_through_the_boxs_own_authority_only() -> None:
    with mirrors([Character(tls=True)], CONTENT) as box:
        port = box.port("m0")
        trusting = ssl.create_default_context(cafile=str(box.ca_path))
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=trusting, timeout=10)
        connection.request("GET", "/")
        assert connection.getresponse().read() == WHOLE
        connection.close()
        with pytest.raises(ssl.SSLCertVerificationError):
            http.client.HTTPSConnection("127.0.0.1", port, timeout=10).request("GET", "/")
        folder = box.ca_path.parent if box.ca_path else None
    assert folder is not None
    assert not folder.exists()


def test_a_box_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(BoxError, match="FileNotFoundError"):
        mirrors([Character()], tmp_path / "missing")


OWNER = """
import sys
from tests.http_mirrors.box import Character, mirrors
box = mirrors([Character(silent=True)])
print(box.port("m0"), flush=True)
sys.stdin.read()
"""


def test_nothing_of_a_box_outlives_its_killed_owner() -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with owner:
        assert owner.stdout is not None
        port = int(owner.stdout.readline())
        with socket.create_connection(("127.0.0.1", port), timeout=10) as peer:
            owner.send_signal(signal.SIGKILL)
            # The peer hears it when the box's process, which holds the other end, goes; else this times out.
            with contextlib.suppress(ConnectionResetError):
                assert peer.recv(1) == b""
    assert refused_soon(port)


def refused_soon(port: int) -> bool:
    """A process that ends closes its sockets one after the other: the listener may be the last, by microseconds."""
    until_s = time.monotonic() + 10
    while time.monotonic() < until_s:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=10).close()
        except ConnectionError:
            return True
    return False
