"""A worker whose connections come by mail: it waits for its turn, rides it, and tells the session how it ended."""

import itertools
import queue
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import TypeVar

import pytest

from actors.peer_worker import PeerWorker
from actors.progress_reports import ProgressReports
from actors.runtime.actor import stop_actors
from actors.runtime.message_bus import MessageBus
from actors.slot_returns import SlotReturns
from actors.sources import open_reader
from protocol.messages import (
    ConnectionClosed,
    ConnectionReady,
    LeaseFinished,
    LeaseGranted,
    LeaseReleased,
    LeaseRevoked,
    LeaseTrimmed,
    Message,
    SlotFilled,
    SlotFreed,
    StartWorker,
    TransferProgressed,
)
from protocol.messages.codec import decode
from protocol.messages.leases import NO_LEASE
from protocol.model.faults import FaultKind
from storage.shared_memory import Arena
from tests.actors.soulseek.tcp import pair

CHUNK = 4096
SIZE = 10 * CHUNK + 100
BODY = bytes(index * 7 % 251 for index in range(SIZE))
URL = "slsk://u/music%5Cx.bin"
WORKER = "fetch-1/worker-1-1"
S_MAX = 10.0

M = TypeVar("M")


class World:
    """Everybody around one worker. What it says to anybody is in one inbox."""

    def __init__(self, run_dir: str) -> None:
        self.inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self.got = bytearray(SIZE)
        self.arena = Arena.create(4)
        self._stored = threading.Condition()
        self._tokens = itertools.count(1)
        self.rooms = {name: MessageBus(name, run_dir) for name in ("fetch-1", "hub", "store", "soulseek")}
        for process, box in (("hub", "pool"), ("hub", "dispatcher-1"), ("hub", "watchdog"), ("soulseek", "session")):
            self.rooms[process].register(box, lambda frame: self.inbox.put(decode(frame)))
        self.rooms["store"].register("assembler", self._store)
        self.handing = SlotReturns(self.rooms["fetch-1"], range(4))
        self.shelf = self.handing.shelf
        for room in self.rooms.values():
            room.start()
        wanted = StartWorker(job=1, source=1, url=URL)
        self.worker = PeerWorker.start(
            self.rooms["fetch-1"],
            wanted,
            reader=open_reader(URL),
            arena=self.arena,
            slot_returns=self.handing,
            reports=ProgressReports(self.rooms["fetch-1"]),
        )

    def _store(self, frame: bytes) -> None:
        filled = decode(frame)
        assert isinstance(filled, SlotFilled)
        start = filled.first * CHUNK
        with self._stored:
            self.got[start : start + filled.length_bytes] = self.arena.view(filled.slot)[: filled.length_bytes]
            self._stored.notify()
        self.rooms["store"].post(filled.shelf, SlotFreed(slot=filled.slot))

    def has_stored(self, start: int) -> bool:
        """Whether everything from this byte on comes to the store."""
        with self._stored:
            return self._stored.wait_for(lambda: bytes(self.got[start:]) == BODY[start:], timeout=S_MAX)

    def say(self, message: Message) -> None:
        self.rooms["hub"].post(WORKER, message)

    def grant(self, first: int, stop: int, *, lease: int = 1, from_start: bool = False) -> None:
        granted = LeaseGranted(
            job=1,
            source=1,
            lease=lease,
            first=first,
            stop=stop,
            size_bytes=SIZE,
            chunk_size=CHUNK,
            from_start=from_start,
        )
        self.say(granted)

    def hand(self, *, ticket: int = 5) -> socket.socket:
        """The uploader's end of the connection the worker gets."""
        ours, theirs = pair()
        token = next(self._tokens)
        handed = ConnectionReady(job=1, source=1, ticket=ticket, fd_token=token)
        self.rooms["soulseek"].post_with_fd(WORKER, handed, ours.detach())
        return theirs

    def hear(self, kind: type[M]) -> M:
        until_s = time.monotonic() + S_MAX
        while True:
            message = self.inbox.get(timeout=max(0.001, until_s - time.monotonic()))
            if isinstance(message, kind):
                return message

    def hear_end(self) -> tuple[ConnectionClosed, LeaseFinished]:
        """Both last words of a ride; they travel different ways, so either may come first."""
        ends: dict[type, Message] = {}
        while len(ends) < 2:
            message = self.inbox.get(timeout=S_MAX)
            if isinstance(message, ConnectionClosed | LeaseFinished):
                ends[type(message)] = message
        ended, finished = ends[ConnectionClosed], ends[LeaseFinished]
        assert isinstance(ended, ConnectionClosed)
        assert isinstance(finished, LeaseFinished)
        return ended, finished

    def hear_hang_up(self, ticket: int) -> None:
        """Both the session and the job get a report of an upload that was broken off without a lease."""
        reported: set[type] = set()
        while reported != {ConnectionClosed, LeaseReleased}:
            message = self.inbox.get(timeout=S_MAX)
            assert not isinstance(message, ConnectionClosed) or message == closed(ticket, stopped=True)
            assert not isinstance(message, LeaseReleased) or (message.lease, message.stopped) == (NO_LEASE, True)
            reported |= {type(message)} & {ConnectionClosed, LeaseReleased}

    def close(self) -> None:
        stop_actors([self.worker], timeout_s=5)
        for room in self.rooms.values():
            room.close()
        self.arena.close()


@pytest.fixture
def world() -> Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="shoal-") as run_dir:
        made = World(run_dir)
        yield made
        made.close()


def offset_said(peer: socket.socket) -> int:
    (offset,) = struct.unpack("<Q", peer.recv(8, socket.MSG_WAITALL))
    return int(offset)


def closed(ticket: int, *, stopped: bool) -> ConnectionClosed:
    return ConnectionClosed(job=1, source=1, ticket=ticket, stopped=stopped, peer="u", path="music\\x.bin")


def test_a_lease_waits_for_its_connection_and_shows_that_it_lives(world: World) -> None:
    world.grant(2, 11)
    for _ in range(3):
        assert world.hear(TransferProgressed).received_bytes == 0
    assert len([slot for slot in range(4) if world.shelf.take() is not None]) == 4, "it holds no slot while it waits"
    for slot in range(4):
        world.shelf.put(slot)
    with world.hand() as peer:
        assert offset_said(peer) == 2 * CHUNK
        peer.sendall(BODY[2 * CHUNK :])
        finished = world.hear(LeaseFinished)
        assert (finished.handed_stop, finished.stopped) == (11, False)
    assert world.has_stored(2 * CHUNK)


def test_the_session_hears_how_the_connection_ended(world: World) -> None:
    world.grant(0, 11)
    with world.hand(ticket=7) as peer:
        peer.sendall(BODY)
        assert world.hear_end()[0] == closed(7, stopped=False)
    world.grant(0, 4, lease=2)
    with world.hand(ticket=8) as peer:
        peer.sendall(BODY[: 6 * CHUNK])
        ended, finished = world.hear_end()
        assert ended == closed(8, stopped=True)
        assert finished.stopped


def test_a_trimmed_ride_hangs_up_at_its_new_end(world: World) -> None:
    world.grant(0, 11)
    with world.hand() as peer:
        assert offset_said(peer) == 0
        peer.sendall(BODY[: 2 * CHUNK])
        while world.hear(TransferProgressed).received_bytes < 2 * CHUNK:
            pass
        world.say(LeaseTrimmed(job=1, source=1, lease=1, stop=3))
        for _ in range(2):  # whatever it says twice from now on, it says after it has read that
            world.hear(TransferProgressed)
        peer.sendall(BODY[2 * CHUNK : 5 * CHUNK])
        finished = world.hear(LeaseFinished)
        assert (finished.handed_stop, finished.stopped) == (3, True)


def test_a_connection_that_comes_after_its_lease_was_revoked_is_closed_at_once(world: World) -> None:
    world.grant(0, 11)
    world.hear(TransferProgressed)
    world.say(LeaseRevoked(job=1, source=1, lease=1))
    released = world.hear(LeaseReleased)
    assert (released.fault, released.stopped) == (FaultKind.REVOKED, False)
    with world.hand(ticket=9) as peer:
        assert peer.recv(1) == b""
    world.hear_hang_up(9)


def test_a_turn_lost_before_does_not_spoil_the_next_one(world: World) -> None:
    world.grant(0, 11)
    world.say(LeaseRevoked(job=1, source=1, lease=1))
    world.hear(LeaseReleased)
    world.grant(0, 11, lease=2)
    with world.hand() as peer:
        peer.sendall(BODY)
        assert world.hear(LeaseFinished).lease == 2


def test_a_connection_that_overtakes_its_lease_is_kept_for_it(world: World) -> None:
    with world.hand() as peer:
        peer.settimeout(0.2)
        with pytest.raises(TimeoutError):
            peer.recv(8)
        world.grant(1, 11)
        assert offset_said(peer) == CHUNK
        peer.sendall(BODY[CHUNK:])
        world.hear(LeaseFinished)


def test_a_connection_for_which_no_lease_comes_is_closed(world: World) -> None:
    with world.hand(ticket=3) as peer:
        assert peer.recv(1) == b""
    world.hear_hang_up(3)


def test_a_second_connection_during_a_ride_is_refused_and_the_ride_goes_on(world: World) -> None:
    world.grant(0, 11)
    with world.hand(ticket=1) as peer:
        assert offset_said(peer) == 0
        peer.sendall(BODY[:100])
        with world.hand(ticket=2) as other:
            assert other.recv(1) == b""
        world.hear_hang_up(2)
        peer.sendall(BODY[100:])
        assert world.hear(LeaseFinished).handed_stop == 11
    assert world.has_stored(0)


def test_a_peer_that_hangs_up_ends_the_lease_with_its_fault(world: World) -> None:
    world.grant(0, 11)
    with world.hand(ticket=4) as peer:
        offset_said(peer)
        peer.sendall(BODY[: CHUNK + 10])
        peer.shutdown(socket.SHUT_WR)
        released = world.hear(LeaseReleased)
        assert (released.fault, released.handed_stop, released.stopped) == (FaultKind.SHORT_BODY, 1, False)


def test_a_peer_that_refuses_offsets_is_read_from_the_beginning_next_time(world: World) -> None:
    world.grant(5, 11)
    with world.hand() as peer:
        assert offset_said(peer) == 5 * CHUNK
        peer.close()
    assert world.hear(LeaseReleased).fault == FaultKind.RANGE_REFUSED
    world.grant(5, 11, lease=2, from_start=True)
    with world.hand() as peer:
        assert offset_said(peer) == 0
        peer.sendall(BODY)
        assert world.hear(LeaseFinished).handed_stop == 11
    assert world.has_stored(5 * CHUNK)
