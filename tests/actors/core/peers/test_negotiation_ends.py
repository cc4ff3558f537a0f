"""The negotiation with one peer where something comes to nothing, is taken back or is asked for twice."""

import pytest

from actors.core.peers import negotiation
from actors.core.peers.negotiation import PeerNegotiation
from actors.core.peers.negotiation_parts import (
    ExpectConnection,
    ForgetConnection,
    HandOver,
    NegotiationTimes,
    SendAnswer,
    SendPlaceRequest,
    SendRequest,
)
from protocol.messages import EnqueueRefused, QueuePlaceChanged, UploadFailed, UploadOffered
from protocol.model.faults import FaultKind
from tests.actors.core.peers.test_negotiation import CONNECTION, TIMES, WORKER, Talk, answers


@pytest.fixture
def talk() -> Talk:
    return Talk()


def test_more_files_of_a_peer_than_are_kept_are_refused_for_a_while(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 4
    monkeypatch.setattr(negotiation, "ENTRIES_MAX", most)
    for source in range(most):
        talk.enqueue(source)
        assert not talk.posts(EnqueueRefused)
    talk.enqueue(most)
    assert [(post.source, post.fault) for post in talk.posts(EnqueueRefused)] == [(most, FaultKind.BUSY)]
    assert talk.posts(EnqueueRefused)[0].retry_after_s > 0
    talk.enqueue(0)
    assert not talk.posts(EnqueueRefused), "it is kept already"
    talk.do("dequeue", 1, 0)
    talk.enqueue(most)
    assert not talk.posts(EnqueueRefused)


def test_our_side_that_asks_again_hears_of_the_offer_again(talk: Talk) -> None:
    talk.enqueue(1)
    talk.offer(1, 7)
    talk.wait(TIMES.answer_s_max / 2)
    talk.enqueue(1)
    assert [post.ticket for post in talk.posts(UploadOffered)] == [7]
    talk.wait(TIMES.answer_s_max * 0.9)
    assert answers(talk) == [], "the time to answer begins again"


def test_our_side_that_asks_again_after_its_acceptance_gives_that_offer_up(talk: Talk) -> None:
    talk.enqueue(1)
    talk.offer(1, 7)
    talk.do("answer_offer", 1, 1, 7, accepted=True)
    talk.enqueue(1)
    assert [action.ticket for action in talk.of(ForgetConnection)] == [7]
    assert not talk.of(SendRequest), "the peer still has to say that the upload failed"
    talk.wait(TIMES.upload_failed_s_max)
    assert len(talk.of(SendRequest)) == 1


def test_an_offer_that_our_side_declines_is_over_and_the_next_one_comes(talk: Talk) -> None:
    talk.enqueue(1)
    talk.enqueue(2)
    talk.offer(1, 7)
    talk.offer(2, 8)
    assert not talk.posts(UploadOffered)
    talk.do("answer_offer", 1, 1, 7, accepted=False)
    assert answers(talk) == [(7, False)]
    assert [(post.source, post.ticket) for post in talk.posts(UploadOffered)] == [(2, 8)]
    assert not talk.offer(1, 9), "nothing waits for it"


def test_without_a_ledger_an_offer_is_accepted_at_once() -> None:
    state = PeerNegotiation("ann", NegotiationTimes(noted_s_max=0.0))
    state.enqueue(1, 1, "m\\1", WORKER, now_s=0.0)
    state.offered("m\\1", 7, 1000, CONNECTION, now_s=0.0)
    state.take()
    state.answer_offer(1, 1, 7, accepted=True, now_s=0.0)
    assert [type(action) for action in state.take()] == [ExpectConnection, SendAnswer]


def test_a_request_that_cannot_be_sent_is_refused_and_one_that_was_answered_is_not(talk: Talk) -> None:
    talk.enqueue(1)
    talk.do("send_failed", SendRequest("m\\1", "utf-8"), FaultKind.OFFLINE, "no connection")
    assert [(post.fault, post.detail) for post in talk.posts(EnqueueRefused)] == [(FaultKind.OFFLINE, "no connection")]
    talk.enqueue(1)
    talk.offer(1, 7)
    talk.do("send_failed", SendPlaceRequest("m\\1", "utf-8"), FaultKind.OFFLINE, "no connection")
    assert not talk.posts(EnqueueRefused)


def test_after_another_login_what_was_asked_for_is_asked_for_again(talk: Talk) -> None:
    for source in (1, 2):
        talk.enqueue(source)
    talk.offer(1, 7)
    talk.do("logged_in")
    assert [action.path for action in talk.of(SendRequest)] == ["m\\2"]
    assert (talk.state.wants("m\\2"), talk.state.wants("m\\1")) == (True, False), "which was answered"
    assert (talk.state.asks_for("m\\1"), talk.state.asks_for("m\\3")) == (True, False)


def test_an_offer_of_a_file_that_flows_is_declined(talk: Talk) -> None:
    talk.enqueue(1)
    talk.transfer(1, 7)
    assert talk.offer(1, 8)
    assert answers(talk) == [(8, False)]
    assert not talk.of(ForgetConnection)


@pytest.mark.parametrize("by", ["denied", "upload_failed"])
@pytest.mark.parametrize("accepted", [False, True])
def test_an_offer_that_the_peer_takes_back_is_said_to_have_failed(talk: Talk, by: str, accepted: bool) -> None:
    talk.enqueue(1)
    talk.offer(1, 7)
    if accepted:
        talk.do("answer_offer", 1, 1, 7, accepted=True)
    talk.do(by, "m\\1", *(["Banned"] if by == "denied" else []))
    assert [(post.ticket, post.fault) for post in talk.posts(UploadFailed)] == [(7, FaultKind.UPLOAD_FAILED)]
    assert [action.ticket for action in talk.of(ForgetConnection)] == [7] * accepted
    assert not talk.state.asks_for("m\\1")


def test_an_offer_of_which_our_side_does_not_know_yet_is_taken_back_in_silence_and_asked_for_again(talk: Talk) -> None:
    talk.enqueue(1)
    talk.enqueue(2)
    talk.transfer(1, 7)
    talk.offer(2, 8)
    talk.do("denied", "m\\2", "Banned")
    assert not talk.posts(UploadFailed, EnqueueRefused)
    assert [action.path for action in talk.of(SendRequest)] == ["m\\2"]
    assert [(post.source, post.place) for post in talk.posts(QueuePlaceChanged)] == [(2, 0)], "its place is not known"


def test_an_upload_that_fails_before_it_was_offered_refuses_the_request(talk: Talk) -> None:
    talk.enqueue(1)
    talk.do("upload_failed", "m\\1")
    assert [post.fault for post in talk.posts(EnqueueRefused)] == [FaultKind.UPLOAD_FAILED]
    talk.do("upload_failed", "m\\1")
    assert not talk.actions, "of a file that is not wanted"


def test_an_accepted_offer_whose_connection_does_not_come_is_over_in_time(talk: Talk) -> None:
    talk.enqueue(1)
    talk.offer(1, 7)
    talk.do("answer_offer", 1, 1, 7, accepted=True)
    talk.wait(TIMES.file_s_max - 0.1)
    assert not talk.posts(UploadFailed)
    talk.do("connected", 8)
    assert not talk.of(HandOver), "which was not offered"
    talk.wait(0.1)
    assert [(post.ticket, post.fault) for post in talk.posts(UploadFailed)] == [(7, FaultKind.TURN_LOST)]
    assert [action.ticket for action in talk.of(ForgetConnection)] == [7]


def test_a_file_that_two_jobs_want_is_asked_for_once_at_a_time(talk: Talk) -> None:
    talk.do("enqueue", 1, 1, "m\\1", WORKER)
    talk.do("enqueue", 2, 1, "m\\1", "fetch-1/worker-2-1")
    assert not talk.of(SendRequest)
    talk.do("close_job", 1)
    assert [action.path for action in talk.of(SendRequest)] == ["m\\1"]
    talk.do("close_job", 2)
    assert talk.state.idle


def test_an_acceptance_that_cannot_be_sent_ends_that_offer_and_no_other(talk: Talk) -> None:
    for source in (1, 2, 3):
        talk.enqueue(source)
        talk.offer(source, 6 + source)
    talk.do("answer_offer", 1, 1, 7, accepted=True)
    for ticket in (6, 8, 9, 10):
        talk.do("send_failed", SendAnswer(ticket, CONNECTION, True), FaultKind.OFFLINE, "no connection")
        assert not talk.posts(UploadFailed, UploadOffered)
    talk.do("send_failed", SendAnswer(7, CONNECTION, False), FaultKind.OFFLINE, "no connection")
    assert not talk.posts(UploadFailed), "a refusal that is lost changes nothing"
    talk.do("send_failed", SendAnswer(7, CONNECTION, True), FaultKind.OFFLINE, "no connection")
    (failed,) = talk.posts(UploadFailed)
    assert (failed.source, failed.fault, failed.detail) == (1, FaultKind.TURN_LOST, "ann went away before its turn")


def test_an_offer_that_is_repeated_is_said_once_and_one_with_another_ticket_again(talk: Talk) -> None:
    talk.enqueue(1)
    talk.offer(1, 7)
    assert [post.ticket for post in talk.posts(UploadOffered)] == [7]
    talk.wait(TIMES.answer_s_max / 2)
    assert talk.offer(1, 7)
    assert not talk.posts(UploadOffered)
    assert talk.offer(1, 8, size=2000)
    assert [(post.ticket, post.size_bytes) for post in talk.posts(UploadOffered)] == [(8, 2000)]
    talk.wait(TIMES.answer_s_max * 0.75)
    assert answers(talk) == [], "the time to answer is that of the second"


def test_a_name_that_was_understood_in_the_old_code_page_is_said_in_it_from_then_on(talk: Talk) -> None:
    path = "m\\Für Elise.mp3"
    talk.enqueue(1, path)
    talk.do("denied", path, "File not shared.")
    talk.wait(3600.0)
    assert {action.encoding for action in talk.of(SendRequest)} == {"cp1252"}
    assert {action.encoding for action in talk.of(SendPlaceRequest)} == {"cp1252"}
    talk.do("offered", path, 7, 1000, CONNECTION)
    talk.enqueue(2, "m\\Träumerei.mp3")
    assert [action.encoding for action in talk.of(SendRequest)] == ["cp1252"], "an offer shows that it was understood"


@pytest.mark.parametrize(("stopped", "after_s"), [(False, 0.2), (True, 1.5)])
def test_a_file_is_asked_for_again_once_the_peer_has_counted_its_transfer(
    talk: Talk, after_s: float, *, stopped: bool
) -> None:
    talk.enqueue(1)
    talk.transfer(1, 7)
    talk.close(1, 7, stopped=stopped)
    talk.enqueue(1)
    talk.wait(after_s - 0.01)
    assert not talk.of(SendRequest)
    talk.wait(0.02)
    assert [action.path for action in talk.of(SendRequest)] == ["m\\1"]


def test_a_file_whose_accepted_offer_was_taken_back_is_asked_for_again_after_the_wait_for_the_failure(
    talk: Talk,
) -> None:
    talk.enqueue(1)
    talk.offer(1, 7)
    talk.do("answer_offer", 1, 1, 7, accepted=True)
    talk.do("denied", "m\\1", "Cancelled")
    talk.enqueue(1)
    talk.wait(1.49)
    assert not talk.of(SendRequest)
    talk.wait(0.02)
    assert [action.path for action in talk.of(SendRequest)] == ["m\\1"]


def test_an_offer_that_our_side_does_not_answer_is_declined_after_ten_seconds(talk: Talk) -> None:
    talk.enqueue(1)
    talk.offer(1, 7)
    talk.wait(9.99)
    assert answers(talk) == []
    talk.wait(0.02)
    assert answers(talk) == [(7, False)]


def test_after_another_login_what_was_offered_is_not_asked_for_again_also_where_its_place_was_known(talk: Talk) -> None:
    talk.enqueue(1)
    talk.do("place_reported", "m\\1", 3)
    talk.offer(1, 7)
    talk.do("logged_in")
    assert not talk.of(SendRequest)


@pytest.mark.parametrize("reason", ["Banned", "Too many files", "Cancelled", "File read error.", "Queued"])
def test_only_a_name_that_is_not_shared_is_asked_for_in_the_old_code_page(talk: Talk, reason: str) -> None:
    path = "m\\Für Elise.mp3"
    talk.enqueue(1, path)
    talk.do("denied", path, reason)
    assert not talk.of(SendRequest)
