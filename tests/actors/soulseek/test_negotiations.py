"""From the wish for a place to the connection in a worker's hands, with the box's uploaders at the other end."""

import queue
import time
from collections.abc import Iterator

import pytest

from actors.demo.content import Content
from protocol.messages import (
    AcceptUpload,
    DeclineUpload,
    DequeueFile,
    EnqueueFile,
    EnqueueRefused,
    JobClosed,
    QueuePlaceChanged,
    SearchEnded,
    StartSearch,
    UploadFailed,
    UploadOffered,
)
from protocol.model.faults import FaultKind
from tests.actors.soulseek.rig import WORKER, Rig, read_body, read_on
from tests.soulseek_network.network import Character, Network, network

SIZE = 4 << 20
CONTENT = Content(SIZE)
CHARACTERS = {
    "fast": Character(),
    "behind-a-wall": Character(firewalled=True),
    "obfuscated": Character(obfuscated=True),
    "twice": Character(duplicate_f=True),
    "slow": Character(rate_bytes_s=1 << 20),
    "careless": Character(rate_bytes_s=1 << 20, drop_queue_upload=True, tick_s=0.2),
    "late": Character(rate_bytes_s=1 << 20, late_upload_failed_s=0.9),
    "denies": Character(deny="Too many files"),
    "bans": Character(deny="Banned"),
    "grumbles": Character(deny="I do not feel like it\x1b[2J"),
    "unshared": Character(deny="File not shared."),
    "queues": Character(queue_before_us=3, queue_step_s=0.3),
    "no-offer": Character(silent="offer", answers_place=False),
    "no-connection": Character(silent="connection"),
    "no-bytes": Character(silent="bytes"),
    "no-offsets": Character(refuse_offsets=True),
}


@pytest.fixture(scope="module")
def box() -> Iterator[Network]:
    with network(CHARACTERS, CONTENT) as made:
        yield made


@pytest.fixture(scope="module")
def shared(box: Network) -> Iterator[Rig]:
    with Rig(box.server_port) as made:
        yield made.online()


@pytest.fixture
def rig(shared: Rig) -> Iterator[Rig]:
    yield shared
    shared.say(JobClosed(job=1))
    while not shared.inbox.empty():
        shared.inbox.get_nowait()


@pytest.mark.parametrize("peer", ["fast", "behind-a-wall", "obfuscated", "twice"])
def test_a_turn_ends_as_a_bare_socket_with_every_byte_from_the_offset_on(box: Network, rig: Rig, peer: str) -> None:
    rig.ask(box, peer)
    assert rig.hear(QueuePlaceChanged).place == 0
    came = rig.hear(UploadOffered)
    assert came.size_bytes == SIZE
    sock, handed = rig.take_turn(came)
    with sock:
        assert read_body(sock, 1000, SIZE - 1000) == CONTENT.whole()[1000:]
    rig.end(handed, stopped=False)


def test_after_a_stop_the_peer_is_asked_again_only_when_its_upload_failed_has_come(box: Network, rig: Rig) -> None:
    rig.ask(box, "careless")
    for _attempt in range(3):
        sock, handed = rig.take_turn()
        assert len(read_body(sock, 0, 1000)) == 1000
        sock.close()
        rig.end(handed, stopped=True)
        rig.ask(box, "careless")
    rig.take_turn()[0].close()
    counted = box.counts()["careless"]
    assert counted.lost == 0, "it loses what comes between our stop and its UploadFailed"


def test_a_place_asked_for_before_the_last_word_of_the_worker_waits_for_that_word(box: Network, rig: Rig) -> None:
    rig.ask(box, "careless")
    sock, handed = rig.take_turn()
    assert len(read_body(sock, 0, 1000)) == 1000
    sock.close()
    rig.ask(box, "careless")
    rig.end(handed, stopped=True)
    assert rig.hear(UploadOffered).ticket != handed.ticket
    assert box.counts()["careless"].lost == 0


def test_a_late_upload_failed_does_not_end_the_next_attempt(box: Network, rig: Rig) -> None:
    rig.ask(box, "late")
    sock, handed = rig.take_turn()
    assert len(read_body(sock, 0, 1000)) == 1000
    sock.close()
    before = box.counts()["late"].upload_failed
    rig.end(handed, stopped=True)
    rig.ask(box, "late")
    sock, again = rig.take_turn()
    assert again.ticket != handed.ticket
    with sock:
        assert len(read_body(sock, 1000, 2 << 20)) == 2 << 20  # takes two seconds
    assert box.counts()["late"].upload_failed > before, "it has come meanwhile"
    with pytest.raises(queue.Empty):
        rig.hear(UploadFailed, EnqueueRefused, s_max=0.05)


@pytest.mark.parametrize(
    ("peer", "fault"),
    [
        ("denies", FaultKind.BUSY),
        ("bans", FaultKind.PEER_BANNED_US),
        ("unshared", FaultKind.NOT_SHARED),
        ("grumbles", FaultKind.BUSY),
        ("nobody-of-this-name", FaultKind.OFFLINE),
        ("me", FaultKind.OFFLINE),
    ],
)
def test_a_refusal_is_reported_by_its_reason(box: Network, rig: Rig, peer: str, fault: FaultKind) -> None:
    rig.ask(box, peer, path="music\\x.flac" if peer not in CHARACTERS else None)
    refused = rig.hear(EnqueueRefused)
    assert FaultKind(refused.fault) is fault
    assert refused.detail.isprintable()


def test_a_file_that_the_peer_does_not_have_is_not_shared(box: Network, rig: Rig) -> None:
    rig.ask(box, "fast", path="music\\other.flac")
    assert rig.hear(EnqueueRefused).fault == FaultKind.NOT_SHARED


def test_our_place_in_the_queue_is_asked_for_until_the_turn_comes(box: Network, rig: Rig) -> None:
    rig.ask(box, "queues")
    places = []
    while isinstance(heard := rig.hear(QueuePlaceChanged, UploadOffered), QueuePlaceChanged):
        places.append(heard.place)
    assert places[0] == 0
    assert len(places) >= 2
    assert all(place >= 1 for place in places[1:])


def test_a_queue_upload_that_meets_silence_is_said_again(box: Network, rig: Rig) -> None:
    before = box.counts()["no-offer"].asked
    rig.ask(box, "no-offer")
    rig.hear(QueuePlaceChanged)
    deadline_s = time.monotonic() + 10
    while box.counts()["no-offer"].asked < before + 2 and time.monotonic() < deadline_s:
        pass
    assert before + 2 <= box.counts()["no-offer"].asked <= before + 3
    rig.say(DequeueFile(job=1, source=1))


def test_a_turn_whose_connection_never_comes_is_lost(box: Network, rig: Rig) -> None:
    rig.ask(box, "no-connection")
    came = rig.hear(UploadOffered)
    with pytest.raises(queue.Empty):
        rig.worker_inbox.get_nowait()
    rig.say(AcceptUpload(job=1, source=1, ticket=came.ticket))
    failed = rig.hear(UploadFailed)
    assert (failed.fault, failed.ticket) == (FaultKind.TURN_LOST, came.ticket)


def test_an_offer_that_no_one_answers_is_declined_in_time(box: Network, rig: Rig) -> None:
    rig.ask(box, "slow")
    came = rig.hear(UploadOffered)
    failed = rig.hear(UploadFailed)
    assert (failed.fault, failed.ticket) == (FaultKind.TURN_LOST, came.ticket)


def test_a_declined_turn_frees_the_peer_and_it_can_be_asked_again(box: Network, rig: Rig) -> None:
    rig.ask(box, "slow")
    came = rig.hear(UploadOffered)
    rig.say(DeclineUpload(job=1, source=1, ticket=came.ticket))
    rig.ask(box, "slow")
    sock, handed = rig.take_turn()
    sock.close()
    assert handed.ticket != came.ticket


def test_a_place_that_was_left_brings_no_turn(box: Network, rig: Rig) -> None:
    rig.ask(box, "queues")
    rig.hear(QueuePlaceChanged)
    rig.say(DequeueFile(job=1, source=1))
    with pytest.raises(queue.Empty):
        rig.hear(UploadOffered, s_max=1.5)


def test_two_files_of_one_peer_queue_there_together_and_come_one_after_the_other(box: Network, rig: Rig) -> None:
    decoy = box.remote_path("slow").replace(".flac", " (live).flac")
    rig.ask(box, "slow", source=1)
    first = rig.hear(UploadOffered)
    rig.ask(box, "slow", source=2, path=decoy)
    sock, handed = rig.take_turn(first)
    assert len(read_body(sock, 0, 100)) == 100
    while (placed := rig.hear(QueuePlaceChanged)).source != 2 or placed.place != 1:
        pass  # it has a place there while the first one flows
    sock.close()
    rig.end(handed, stopped=True)
    assert rig.hear(UploadOffered).source == 2


def test_the_offer_that_follows_a_stop_says_it_to_the_other_job_of_the_folder(box: Network, rig: Rig) -> None:
    box.join("album", Character(rate_bytes_s=1 << 20))
    decoy = box.remote_path("album").replace(".flac", " (live).flac")
    rig.ask(box, "album")
    sock, handed = rig.take_turn()
    try:
        rig.say(EnqueueFile(job=2, source=1, peer="album", path=decoy, worker=WORKER))
        assert len(read_body(sock, 0, 100)) == 100
        sock.close()
        rig.end(handed, stopped=True)
        offered = rig.hear(UploadOffered)
        assert (offered.job, offered.stops_beside) == (2, 1)
        rig.ask(box, "album")
        rig.say(DeclineUpload(job=2, source=1, ticket=offered.ticket))
        offered = rig.hear(UploadOffered)
        assert (offered.job, offered.stops_beside) == (1, 0), "its own it has counted itself"
    finally:
        rig.say(JobClosed(job=2))


def test_a_peer_that_dies_during_a_ride_is_reported_of_by_its_socket(box: Network, rig: Rig) -> None:
    box.join("mortal", Character(rate_bytes_s=1 << 20))
    rig.ask(box, "mortal")
    sock, _handed = rig.take_turn()
    assert len(read_body(sock, 0, 1000)) == 1000
    box.die("mortal")
    with sock, pytest.raises(ConnectionResetError):
        read_on(sock)


def test_a_ride_outlives_the_server_and_the_session(box: Network) -> None:
    with network({"slow": Character(rate_bytes_s=2 << 20)}, CONTENT) as own:
        rig = Rig(own.server_port)
        rig.online().ask(own, "slow")
        sock, _handed = rig.take_turn()
        assert len(read_body(sock, 0, 1000)) == 1000
        own.vanish_server()
        rig.state("offline")
        rig.close()
        with sock:
            got = bytearray()
            while len(got) < SIZE - 1000 and (piece := sock.recv(1 << 20)):
                got += piece
        assert bytes(got) == CONTENT.whole()[1000:]


def test_a_search_does_not_disturb_a_talk(box: Network, rig: Rig) -> None:
    rig.ask(box, "queues")
    rig.hear(QueuePlaceChanged)
    rig.say(StartSearch(search=1, term=box.term, wait_s=0.5, reply_to="hub/pool"))
    assert rig.hear(SearchEnded).peers >= 10
    rig.take_turn()[0].close()


def test_the_descriptor_of_a_worker_that_is_gone_is_closed_and_the_peer_is_free_again(box: Network, rig: Rig) -> None:
    path = box.remote_path("slow")
    rig.say(EnqueueFile(job=1, source=1, peer="slow", path=path, worker="fetch-1/nobody"))
    came = rig.hear(UploadOffered)
    rig.say(AcceptUpload(job=1, source=1, ticket=came.ticket))
    deadline_s = time.monotonic() + 10
    while not box.counts()["slow"].transfers or box.counts()["slow"].upload_failed == 0:
        assert time.monotonic() < deadline_s
    assert rig.waiting_fds() == 0


def test_two_f_connections_bring_one_and_the_silent_one_is_closed(box: Network, rig: Rig) -> None:
    rig.ask(box, "twice")
    sock, handed = rig.take_turn()
    with sock:
        assert len(read_body(sock, 0, SIZE)) == SIZE
    rig.end(handed, stopped=False)
    with pytest.raises(queue.Empty):
        rig.worker_inbox.get(timeout=0.2)
