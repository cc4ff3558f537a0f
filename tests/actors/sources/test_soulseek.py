"""A handed connection read from an offset on, with the uploader's end of the socket in the test's hands."""

import socket
import struct
from collections.abc import Iterator

import pytest

from actors.sources import open_reader
from actors.sources.soulseek import SlskReader
from protocol.model.faults import FaultKind, SourceFault
from tests.actors.soulseek.tcp import pair
from tests.actors.sources.reading import read_on

URL = "slsk://u/music%5Cx.bin"
SIZE = 100_000
BODY = bytes(range(256)) * 400


@pytest.fixture
def reader() -> Iterator[SlskReader]:
    made = open_reader(URL)
    assert isinstance(made, SlskReader)
    yield made
    made.close()


@pytest.fixture
def peer(reader: SlskReader) -> Iterator[socket.socket]:
    """The uploader's end of the connection the reader was given."""
    ours, theirs = pair()
    reader.connect(ours.detach())
    with theirs:
        yield theirs


def test_the_offset_is_said_first_and_the_body_ends_at_the_size_of_the_file(
    reader: SlskReader, peer: socket.socket
) -> None:
    reader.open(1000, 2000, size_bytes=SIZE)
    assert struct.unpack("<Q", peer.recv(8)) == (1000,)
    peer.sendall(BODY[1000:SIZE] + b"more than was promised")
    assert read_on(reader) == BODY[1000:SIZE]
    assert reader.position == SIZE
    assert not reader.hang_up(), "everything was read: the peer counts this as finished"
    assert not reader.connected


def test_a_window_is_read_like_a_file_and_its_end_is_a_stop_unless_the_file_ends_there() -> None:
    for stop, stopped in ((60_000, True), (SIZE, False)):
        reader = open_reader(f"{URL}#bytes=40000-{stop - 1}/{SIZE}")
        assert isinstance(reader, SlskReader)
        ours, theirs = pair()
        reader.connect(ours.detach())
        with theirs:
            reader.open(1000, None, size_bytes=stop - 40_000)
            assert struct.unpack("<Q", theirs.recv(8)) == (41_000,)
            theirs.sendall(BODY[41_000:SIZE])
            body = memoryview(bytearray(stop - 41_000))
            while reader.position < stop - 40_000:
                reader.read_into(body[reader.position - 1000 :])
            assert body == BODY[41_000:stop]
            assert reader.read_into(memoryview(bytearray(10))) == 0
            assert reader.hang_up() is stopped


def test_a_later_window_cannot_be_had_from_a_user_who_begins_at_byte_0(peer: socket.socket) -> None:
    reader = open_reader(f"{URL}#bytes=10-19/{SIZE}")
    assert isinstance(reader, SlskReader)
    ours, theirs = pair()
    reader.connect(ours.detach())
    with theirs, pytest.raises(SourceFault) as caught:
        reader.open(0, None, size_bytes=10, from_start=True)
    assert caught.value.kind is FaultKind.RANGE_REFUSED


def test_hanging_up_before_the_end_is_a_stop(reader: SlskReader, peer: socket.socket) -> None:
    reader.open(0, None, size_bytes=SIZE)
    peer.sendall(BODY[:5000])
    assert reader.read_into(memoryview(bytearray(5000))) == 5000
    assert reader.hang_up()
    assert not reader.hang_up()
    peer.recv(8)
    assert peer.recv(1) == b""


def test_hanging_up_before_the_offset_is_a_stop_too(reader: SlskReader, peer: socket.socket) -> None:
    assert reader.connected
    assert reader.hang_up()
    assert peer.recv(1) == b""


def test_a_silent_peer_costs_a_slice_and_no_fault(reader: SlskReader, peer: socket.socket) -> None:
    reader.open(0, None, size_bytes=SIZE)
    assert reader.read_into(memoryview(bytearray(100))) == 0
    peer.sendall(b"abc")
    view = bytearray(100)
    assert reader.read_into(memoryview(view)) == 3
    assert view[:3] == b"abc"


@pytest.mark.parametrize(
    ("start", "sent", "reset", "fault"),
    [
        pytest.param(500, 0, False, FaultKind.RANGE_REFUSED, id="closed at an offset"),
        pytest.param(500, 0, True, FaultKind.RANGE_REFUSED, id="reset at an offset"),
        pytest.param(0, 0, False, FaultKind.UPLOAD_FAILED, id="closed without a byte"),
        pytest.param(0, 10, False, FaultKind.SHORT_BODY, id="closed early"),
        pytest.param(500, 10, False, FaultKind.SHORT_BODY, id="closed early after an offset"),
        pytest.param(0, 10, True, FaultKind.RESET, id="reset"),
    ],
)
def test_a_peer_that_ends_early_is_at_fault(
    reader: SlskReader, peer: socket.socket, start: int, sent: int, reset: bool, fault: FaultKind
) -> None:
    reader.open(start, None, size_bytes=SIZE)
    peer.recv(8)
    peer.sendall(BODY[:sent])
    view = memoryview(bytearray(100))
    if sent:
        assert reader.read_into(view[:sent]) == sent
    if reset:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    with pytest.raises(SourceFault) as caught:
        reader.read_into(view)
    assert caught.value.kind is fault
    assert not reader.connected
    assert not reader.hang_up(), "it was the peer who hung up"


def test_a_body_without_connection_is_a_lost_turn(reader: SlskReader) -> None:
    with pytest.raises(SourceFault) as caught:
        reader.open(0, None, size_bytes=SIZE)
    assert caught.value.kind is FaultKind.TURN_LOST


def test_one_connection_carries_one_body(reader: SlskReader, peer: socket.socket) -> None:
    reader.open(0, None, size_bytes=SIZE)
    with pytest.raises(SourceFault):
        reader.open(10, None, size_bytes=SIZE)
    peer.recv(8)
    assert peer.recv(1) == b""


def test_a_new_connection_closes_the_one_before(reader: SlskReader, peer: socket.socket) -> None:
    ours, theirs = pair()
    with theirs:
        reader.connect(ours.detach())
        assert peer.recv(1) == b""
        assert reader.connected


def test_the_probe_tells_the_name_and_sends_nothing(reader: SlskReader) -> None:
    probed = reader.probe()
    assert (probed.size_bytes, probed.name, probed.offset_ok) == (-1, "x.bin", True)
