"""The memory of peers answers what people ask: whom do we know, how often did we hang up on whom."""

import os
import queue
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from actors.peer_history import PAGE_MAX, PeerHistory
from actors.runtime.actor import stop_actors
from actors.runtime.message_bus import MessageBus
from protocol.messages import (
    ListPeers,
    ListStops,
    Message,
    PeerDelivered,
    PeerFaulted,
    PeerUploadClosed,
    PeerUploadNoted,
    PeerUploadOpened,
    PeerUploadSettled,
    RequestAnswered,
)
from protocol.messages.addresses import PEER_HISTORY
from protocol.messages.codec import decode
from protocol.model.job_views import PeerView, Row, StopCount, unpack


class Asker:
    def __init__(self, folder: Path) -> None:
        self.bus = MessageBus("store", str(folder))
        self.inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self.bus.register("desk", lambda frame: self.inbox.put(decode(frame)))
        self.memory = PeerHistory.start(self.bus, str(folder / "peers.sqlite"))

    def tell(self, *messages: Message) -> None:
        for message in messages:
            self.bus.post(PEER_HISTORY, message)

    def ask(self, question: ListPeers | ListStops, kind: type[Row]) -> tuple[int, list[Row]]:
        self.tell(question)
        rows: list[Row] = []
        while True:
            part = self.inbox.get(timeout=10.0)
            assert isinstance(part, RequestAnswered)
            assert part.request == question.request
            rows += unpack(part.body, kind)
            if part.last:
                return part.total, rows


@pytest.fixture
def asker(tmp_path: Path) -> Iterator[Asker]:
    made = Asker(tmp_path)
    yield made
    stop_actors([made.memory], timeout_s=5.0)
    made.bus.close()


def peers(offset: int = 0, limit: int = 10) -> ListPeers:
    return ListPeers(request=4, reply_to="store/desk", offset=offset, limit=limit)


def stops(peer: str = "", offset: int = 0, limit: int = 10) -> ListStops:
    return ListStops(request=5, reply_to="store/desk", peer=peer, offset=offset, limit=limit)


def failed_upload(peer: str, ticket: int) -> PeerUploadSettled:
    return PeerUploadSettled(peer=peer, ticket=ticket, failed=True)


def test_known_peers_come_fastest_first_in_pages(asker: Asker) -> None:
    assert asker.ask(peers(), PeerView) == (0, [])
    for number in range(5):
        asker.tell(PeerDelivered(peer=f"p{number}", rate_bytes_s=1000.0 * number, setup_s=0.5))
    asker.tell(PeerFaulted(peer="p1", fault=17, offset_ok=False), failed_upload("p1", 1), failed_upload("p1", 2))
    total, page = asker.ask(peers(offset=2, limit=2), PeerView)
    assert (total, [row.peer for row in page]) == (5, ["p2", "p1"])
    one = page[1]
    assert (one.rate_bytes_s, one.setup_s, one.failures, one.last_fault) == (1000.0, 0.5, 1, 17)
    assert (one.offset_ok, one.stops_today) == (False, 2)
    assert one.seen_ms > 1_600_000_000_000
    assert asker.ask(peers(offset=99), PeerView) == (5, [])


def test_the_ledger_of_stops_is_reported_of_all_or_of_one(asker: Asker) -> None:
    asker.tell(*(failed_upload(peer, ticket) for ticket, peer in enumerate(("ann", "bob", "bob"))))
    total, rows = asker.ask(stops(), StopCount)
    assert (total, [(row.peer, row.count) for row in rows]) == (2, [("bob", 2), ("ann", 1)])
    assert len(rows[0].day) == len("2026-11-25")
    assert [row.peer for row in asker.ask(stops("ann"), StopCount)[1]] == ["ann"]
    assert asker.ask(stops("eve"), StopCount) == (0, [])


def test_an_upload_is_counted_once_and_as_the_peer_counts_it(asker: Asker) -> None:
    for ticket in (1, 2, 3):
        asker.tell(PeerUploadOpened(peer="ann", ticket=ticket, pid=os.getpid()))
    asker.tell(
        PeerUploadClosed(peer="ann", ticket=1, stopped=True),
        failed_upload("ann", 1),
        failed_upload("ann", 1),
        PeerUploadClosed(peer="ann", ticket=2, stopped=True),
        PeerUploadSettled(peer="ann", ticket=2, failed=False),  # it had sent everything
        PeerUploadClosed(peer="ann", ticket=3, stopped=False),
        failed_upload("ann", 4),  # its connection was refused
    )
    assert [row.count for row in asker.ask(stops("ann"), StopCount)[1]] == [2]


def test_an_upload_whose_process_died_is_counted_at_the_next_start(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait()
    first = Asker(tmp_path)
    for ticket, pid in ((1, dead.pid), (2, os.getpid())):
        first.tell(PeerUploadOpened(peer="ann", ticket=ticket, pid=pid))
    assert first.ask(stops("ann"), StopCount)[1] == [], "the session may still say how the peer counts it"
    stop_actors([first.memory], timeout_s=5.0)
    first.bus.close()
    again = Asker(tmp_path)
    try:
        assert [row.count for row in again.ask(stops("ann"), StopCount)[1]] == [1]
    finally:
        stop_actors([again.memory], timeout_s=5.0)
        again.bus.close()


@pytest.mark.parametrize("damage", ["schema", "no database", "log"])
def test_a_damaged_file_gets_another_name_and_is_begun_again(tmp_path: Path, damage: str) -> None:
    first = Asker(tmp_path)
    first.tell(PeerDelivered(peer="ann", rate_bytes_s=1.0, setup_s=0.5))
    assert first.ask(peers(), PeerView)[0] == 1
    stop_actors([first.memory], timeout_s=5.0)
    first.bus.close()
    file = tmp_path / "peers.sqlite"
    if damage == "schema":
        file.write_bytes(file.read_bytes().replace(b" INTEGER NOT NULL", b" \xccNTEGER NOT NULL"))
    else:
        file.write_bytes(b"no database\n" * 1000)
    damaged = file.read_bytes()
    if damage == "log":
        Path(f"{file}-wal").write_bytes(b"no log")
    for peer, known in ("bob", ["bob"]), ("eva", ["bob", "eva"]):
        again = Asker(tmp_path)
        try:
            again.tell(PeerDelivered(peer=peer, rate_bytes_s=1.0, setup_s=0.5))
            assert sorted(row.peer for row in again.ask(peers(), PeerView)[1]) == known
        finally:
            stop_actors([again.memory], timeout_s=5.0)
            again.bus.close()
    assert Path(f"{file}.damaged").read_bytes() == damaged


def test_an_upload_that_is_about_to_come_is_in_the_file_before_the_answer(asker: Asker, tmp_path: Path) -> None:
    asker.tell(PeerUploadOpened(peer="ann", ticket=1, pid=os.getpid(), reply_to="store/desk"))
    assert asker.inbox.get(timeout=30) == PeerUploadNoted(peer="ann", ticket=1)
    with closing(sqlite3.connect(tmp_path / "peers.sqlite")) as file:
        assert file.execute("SELECT peer, ticket FROM uploads").fetchall() == [("ann", 1)]


def test_a_page_is_bounded_and_comes_in_several_parts(asker: Asker) -> None:
    for number in range(PAGE_MAX + 5):
        asker.tell(PeerDelivered(peer=f"{'x' * 60}{number}", rate_bytes_s=1.0, setup_s=0.0))
    total, rows = asker.ask(peers(limit=10**9), PeerView)
    assert (total, len(rows)) == (PAGE_MAX + 5, PAGE_MAX)
    assert asker.ask(peers(offset=-5, limit=-1), PeerView) == (PAGE_MAX + 5, [])
