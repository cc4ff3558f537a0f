"""The network in the box is what other tests measure with, so its manners and its faults are tested themselves."""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
import time
from collections.abc import Iterator

import pytest

from actors.demo.soulseek.shares import Blocks, Shared
from actors.demo.soulseek.uploader import Queue
from actors.demo.soulseek.wire import messages as m
from tests.real_peers.raw_downloader import RawDownloader, exactly
from tests.soulseek_network.network import Character, Content, Network, network

SIZE = 3_000_000
CONTENT = Content(SIZE, seed=7)
WHOLE = CONTENT.whole()
MANY_BYTES = 100_000

CHARACTERS = {
    "honest": Character(rate_bytes_s=5_000_000),
    "again": Character(rate_bytes_s=5_000_000, tick_s=0.1),
    "firewalled": Character(firewalled=True),
    "veiled": Character(obfuscated=True),
    "refusing": Character(refuse_offsets=True),
    "queue": Character(queue_before_us=3, queue_step_s=0.3, tells_place=True),
    "dying": Character(dies_after_bytes=MANY_BYTES),
    "stalling": Character(stall_after_bytes=MANY_BYTES),
    "no_offer": Character(silent="offer"),
    "no_f": Character(silent="connection"),
    "no_bytes": Character(silent="bytes"),
    "losing": Character(rate_bytes_s=5_000_000, drop_queue_upload=True, tick_s=0.2),
    "other": Character(other_content=True),
    "liar": Character(size_lie=SIZE + 1),
    "banning": Character(deny="Banned", deny_count=1),
    "late": Character(rate_bytes_s=5_000_000, late_upload_failed_s=0.5),
    "double": Character(duplicate_f=True),
    "narrow": Character(slots=1, rate_bytes_s=2_000_000),
    "hasty": Character(idle_s_max=0.5, line_s_max=0.2),
    "deaf": Character(no_search_reply=True),
}
USERS = (f"me{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def box() -> Iterator[Network]:
    with network(CHARACTERS, CONTENT) as made:
        yield made
        assert made.said() == ""


@pytest.fixture
def me(box: Network) -> Iterator[RawDownloader]:
    with RawDownloader(box.server_port, next(USERS)) as made:
        yield made


def asked(me: RawDownloader, box: Network, name: str) -> str:
    """Queue the file and give its path."""
    me.say(name, m.PeerTransferQueue.Request(box.remote_path(name)))
    return box.remote_path(name)


def ended(sock: socket.socket) -> bool:
    """Whether the other side hangs up within a few seconds, sending no more."""
    sock.settimeout(5)
    with contextlib.suppress(ConnectionResetError):
        return sock.recv(1) == b""
    return True


def is_silent(sock: socket.socket) -> bool:
    sock.settimeout(0.15)
    with pytest.raises(TimeoutError):
        sock.recv(1)
    return True


def test_a_search_finds_the_file_and_its_decoys_at_everybody_who_answers(me: RawDownloader, box: Network) -> None:
    found = me.search(box.term, len(CHARACTERS) - 1)
    assert set(found) == set(CHARACTERS) - {"deaf"}
    sizes = {result.filename: result.filesize for result in found["honest"].results}
    assert sizes.pop(box.remote_path("honest")) == SIZE
    assert SIZE not in sizes.values()
    assert len(sizes) == 4
    assert (found["honest"].has_slots_free, found["honest"].queue_size) == (True, 0)
    assert (found["queue"].has_slots_free, found["queue"].queue_size) == (False, 3)
    assert found["honest"].results[0].get_attribute_map()
    lie = [result.filesize for result in found["liar"].results if result.filename == box.remote_path("liar")]
    assert lie == [SIZE + 1]
    assert box.searches()[-1] == (me.name, box.term)


def test_a_search_that_excludes_a_word_or_names_an_unknown_one_finds_nothing(me: RawDownloader, box: Network) -> None:
    me.tell(m.FileSearch.Request(1, f"{box.term} -tide"))
    me.tell(m.UserSearch.Request("honest", 2, f"{box.term} unheardof"))
    me.tell(m.UserSearch.Request("again", 3, f"{box.term} *ide"))
    assert me.hear("again", m.PeerSearchReply.Request).ticket == 3
    assert [ticket for ticket in (getattr(message, "ticket", 0) for _, message in me.heard) if ticket in (1, 2)] == []


def test_a_ride_from_an_offset_stopped_early_is_followed_by_upload_failed_and_can_be_asked_for_again(
    me: RawDownloader, box: Network
) -> None:
    path = box.remote_path("honest")
    for offset in (0, 1, 1_234_567):
        sock, got = me.ride("honest", path, offset, MANY_BYTES)
        assert got == WHOLE[offset : offset + MANY_BYTES]
        sock.close()
        assert me.hear("honest", m.PeerUploadFailed.Request).filename == path
    count = box.counts()["honest"]
    assert (count.asked, count.stops, count.failed, count.upload_failed, count.finished) == (3, 3, 3, 3, 0)
    assert [sent.offset for sent in count.transfers] == [0, 1, 1_234_567]
    assert all(MANY_BYTES <= sent.bytes_sent <= SIZE - sent.offset for sent in count.transfers)


def test_the_uploader_leaves_f_open_at_the_end_of_the_file_and_counts_our_close_as_finished(box: Network) -> None:
    with RawDownloader(box.server_port, "finisher") as me:
        sock, got = me.ride("again", box.remote_path("again"), SIZE - 1000, 1000)
        assert got == WHOLE[-1000:]
        assert is_silent(sock)
        sock.close()
        # The slot is free when the same file is offered again.
        _, offer = me.negotiate("again", box.remote_path("again"))
        assert offer.filesize == SIZE
    assert next(sent.outcome for sent in box.counts()["again"].transfers if sent.user == "finisher") == "finished"


def test_an_offset_at_the_end_or_beyond_brings_nothing_and_an_absurd_one_ends_f(
    me: RawDownloader, box: Network
) -> None:
    for offset in (SIZE, SIZE + 1):
        sock, _ = me.ride("other", box.remote_path("other"), offset, 0)
        assert is_silent(sock)
        sock.close()
    sock, _ = me.ride("other", box.remote_path("other"), (1 << 64) - 1, 0)
    assert ended(sock)
    me.hear("other", m.PeerUploadFailed.Request)


def test_a_queue_upload_sent_together_with_the_close_is_heard_by_some_and_lost_by_others(
    me: RawDownloader, box: Network
) -> None:
    for name in ("again", "losing"):
        sock, _ = me.ride(name, box.remote_path(name), 0, 1000)
        asked(me, box, name)
        sock.close()
        me.hear(name, m.PeerUploadFailed.Request)
    me.hear("again", m.PeerTransferRequest.Request)
    with pytest.raises(TimeoutError):
        me.hear("losing", m.PeerTransferRequest.Request, s_max=0.3)
    asked(me, box, "losing")
    me.hear("losing", m.PeerTransferRequest.Request)
    assert box.counts()["losing"].lost == 1


def test_a_firewalled_uploader_refuses_calls_and_calls_back_through_the_server(me: RawDownloader, box: Network) -> None:
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", box.port("firewalled")), 5)
    sock, got = me.ride("firewalled", box.remote_path("firewalled"), 5, 1000)
    assert got == WHOLE[5:1005]
    sock.close()


def test_a_downloader_that_cannot_be_called_gets_f_through_the_server(box: Network) -> None:
    with RawDownloader(box.server_port, "unreachable", reachable=False) as me:
        sock, got = me.ride("honest", box.remote_path("honest"), 5, 1000)
        assert got == WHOLE[5:1005]
        assert [request.typ for request in me.requests] == ["F"]
        sock.close()


def test_the_server_tells_an_obfuscated_port_and_passes_on_that_no_one_can_be_connected(
    me: RawDownloader, box: Network
) -> None:
    me.tell(m.GetPeerAddress.Request("veiled"))
    address = me.answer(m.GetPeerAddress.Response)
    assert (address.ip, address.port, address.obfuscated_port) == ("127.0.0.1", 0, box.port("veiled"))
    me.tell(m.GetPeerAddress.Request("nobody"))
    assert me.answer(m.GetPeerAddress.Response).ip == "0.0.0.0"
    me.tell(m.ConnectToPeer.Request(77, "nobody", "P"))
    assert me.answer(m.CannotConnect.Response).ticket == 77


def test_refusals_come_with_their_text(me: RawDownloader, box: Network) -> None:
    asked(me, box, "banning")
    assert me.hear("banning", m.PeerTransferQueueFailed.Request).reason == "Banned"
    asked(me, box, "banning")
    me.hear("banning", m.PeerTransferRequest.Request)
    me.say("honest", m.PeerTransferQueue.Request("@@no\\such.flac"))
    assert me.hear("honest", m.PeerTransferQueueFailed.Request).reason == "File not shared."
    me.say("honest", m.PeerTransferRequest.Request(0, 9, box.remote_path("honest"), 0))
    assert me.hear("honest", m.PeerTransferReply.Request).reason == "Queued"
    me.hear("honest", m.PeerTransferRequest.Request)


def test_an_offer_that_is_denied_frees_the_slot_at_once(me: RawDownloader, box: Network) -> None:
    for _ in range(2):
        asked(me, box, "other")
        offer = me.hear("other", m.PeerTransferRequest.Request)
        me.say("other", m.PeerTransferReply.Request(offer.ticket, False, reason="Cancelled"))
    mine = [sent.outcome for sent in box.counts()["other"].transfers if sent.user == me.name]
    assert mine[0] == "refused"


def test_places_in_the_queue_are_reported_until_it_is_our_turn(me: RawDownloader, box: Network) -> None:
    path = asked(me, box, "queue")
    assert me.hear("queue", m.PeerPlaceInQueueReply.Request).place == 4
    me.say("queue", m.PeerPlaceInQueueRequest.Request(path))
    assert me.hear("queue", m.PeerPlaceInQueueReply.Request).place in (3, 4)
    me.hear("queue", m.PeerTransferRequest.Request)
    assert box.counts()["queue"].places_asked == 1


def test_places_fall_as_strangers_are_served_and_users_behind_wait_for_those_ahead() -> None:
    queue, shared = Queue(others=2, step_s=1.0), Shared("a", Blocks.of(CONTENT))
    queue.take("one", shared, now_s=0.0)
    queue.take("two", shared, now_s=0.5)
    assert [queue.number("one", "a", now_s) for now_s in (0.0, 0.9, 1.1, 2.0)] == [3, 3, 2, 1]
    assert (queue.number("two", "a", 2.0), queue.number("two", "b", 2.0)) == (3, None)
    assert queue.next((), now_s=1.9) is None
    assert queue.next_turn_s(1.9) == 2.0
    place = queue.next((), now_s=2.0)
    assert place is not None
    assert (place.user, queue.next({"two"}, now_s=9.0), len(queue)) == ("one", None, 1)


def test_one_slot_serves_one_user_after_the_other(me: RawDownloader, box: Network) -> None:
    path = box.remote_path("narrow")
    sock, _ = me.ride("narrow", path, 0, 1000)
    with RawDownloader(box.server_port, "second") as second:
        asked(second, box, "narrow")
        second.say("narrow", m.PeerPlaceInQueueRequest.Request(path))
        assert second.hear("narrow", m.PeerPlaceInQueueReply.Request).place == 1
        assert not second.heard
        sock.close()
        second.hear("narrow", m.PeerTransferRequest.Request)


def test_refused_offsets_end_f_with_upload_failed(me: RawDownloader, box: Network) -> None:
    sock, _ = me.ride("refusing", box.remote_path("refusing"), 1, 0)
    assert ended(sock)
    me.hear("refusing", m.PeerUploadFailed.Request)
    sock, got = me.ride("refusing", box.remote_path("refusing"), 0, 1000)
    assert got == WHOLE[:1000]
    assert box.counts()["refusing"].failed == 1


def test_silent_ones_go_exactly_as_far_as_they_say(me: RawDownloader, box: Network) -> None:
    asked(me, box, "no_offer")
    with pytest.raises(TimeoutError):
        me.hear("no_offer", m.PeerTransferRequest.Request, s_max=0.2)
    with pytest.raises(TimeoutError):
        me.negotiate("no_f", box.remote_path("no_f"), s_max=0.3)
    sock, _ = me.ride("no_bytes", box.remote_path("no_bytes"), 0, 0)
    assert is_silent(sock)
    sock, got = me.ride("stalling", box.remote_path("stalling"), 10, MANY_BYTES)
    assert got == WHOLE[10 : 10 + MANY_BYTES]
    assert is_silent(sock)


def test_a_dying_one_resets_after_its_bytes_and_is_gone_until_it_gets_a_new_life(box: Network) -> None:
    with RawDownloader(box.server_port, "mourner") as me:
        sock, got = me.ride("dying", box.remote_path("dying"), 0, MANY_BYTES)
        assert got == WHOLE[:MANY_BYTES]
        assert ended(sock)
        box.wait_for("dying", online=False)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", box.port("dying")), 5)
    box.become("dying", Character())
    with RawDownloader(box.server_port, "mourner") as me:
        assert me.ride("dying", box.remote_path("dying"), 0, SIZE)[1] == WHOLE
    assert box.counts()["dying"].transfers[0].outcome == "ended"


def test_upload_failed_of_the_last_attempt_may_come_into_the_next(me: RawDownloader, box: Network) -> None:
    path = box.remote_path("late")
    me.ride("late", path, 0, 1000)[0].close()
    sock, _ = me.ride("late", path, 2000, 1000)
    assert [kind for kind in me.heard if isinstance(kind[1], m.PeerUploadFailed.Request)] == []
    me.hear("late", m.PeerUploadFailed.Request)
    assert exactly(sock, 1000) == WHOLE[3000:4000]


def test_a_second_f_connection_may_stay_open_and_say_nothing(me: RawDownloader, box: Network) -> None:
    sock, got = me.ride("double", box.remote_path("double"), 0, 1000)
    assert got == WHOLE[:1000]
    with pytest.raises(TimeoutError):
        me.take_f(0, s_max=0.1)
    others = [other for _, other in me.f_connections]
    assert len(others) == 1
    assert is_silent(others[0])
    sock.close()
    assert ended(others[0])


def test_other_content_has_the_same_size_and_other_bytes(me: RawDownloader, box: Network) -> None:
    sock, offer = me.negotiate("other", box.remote_path("other"))
    sock.sendall(struct.pack("<Q", 0))
    assert offer.filesize == SIZE
    assert exactly(sock, 4096) != WHOLE[:4096]


def test_who_takes_nothing_for_too_long_is_dropped_and_reported_on_a_new_line(me: RawDownloader, box: Network) -> None:
    sock, _ = me.negotiate("hasty", box.remote_path("hasty"))
    assert ended(sock)
    me.hear("hasty", m.PeerUploadFailed.Request)
    assert "hasty" in me.callers
    assert box.counts()["hasty"].transfers[-1].outcome == "idle"


def test_a_rate_is_kept_and_bursts_come_at_once() -> None:
    characters = {"even": Character(rate_bytes_s=1e6), "burst": Character(rate_bytes_s=1e6, burst_s=0.3)}
    with network(characters, CONTENT) as box, RawDownloader(box.server_port, "me") as me:
        begun_s = time.monotonic()
        me.ride("even", box.remote_path("even"), 0, 400_000)[0].close()
        # Only lower bounds: a busy machine may take longer, but no limiter may let it be quicker.
        assert time.monotonic() - begun_s >= 0.38
        sock, _ = me.ride("burst", box.remote_path("burst"), 0, 300_000)
        assert is_silent(sock)
