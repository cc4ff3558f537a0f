"""The negotiation with one peer, step by step and in every order of events. Times are those of `NegotiationTimes`."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.peers.negotiation import FILES_QUEUED_MAX, PeerNegotiation
from actors.core.peers.negotiation_parts import (
    Action,
    EntryState,
    ExpectConnection,
    ForgetConnection,
    HandOver,
    NegotiationTimes,
    NoteUpload,
    SendAnswer,
    SendPlaceRequest,
    SendRequest,
)
from actors.core.peers.recent_stops import RecentStops
from actors.core.peers.refusals import next_encoding, refusal_of
from protocol.messages import EnqueueRefused, Message, PeerUploadSettled, QueuePlaceChanged, UploadFailed, UploadOffered
from protocol.messages.addresses import Post
from protocol.model.faults import FaultKind

TIMES = NegotiationTimes()
WORKER = "fetch-1/worker-1-1"
CONNECTION = object()


class Talk:
    """A negotiation, a clock, and what came of the last step."""

    def __init__(self, stops: RecentStops | None = None) -> None:
        self.state = PeerNegotiation("ann", TIMES, stops=stops)
        self.now_s = 100.0
        self.actions: list[Action] = []
        self.keeps_ledger = True

    def do(self, name: str, *arguments: Any, **named: Any) -> Any:
        result = getattr(self.state, name)(*arguments, **named, now_s=self.now_s)
        self.state.tick(now_s=self.now_s)
        self.actions = self.state.take()
        for sent in self.of(SendRequest):
            self.state.request_sent(sent.path, now_s=self.now_s)
        for action in self.of(NoteUpload) if self.keeps_ledger else ():
            self.state.noted(action.ticket, now_s=self.now_s)
        self.actions += self.state.take()
        return result

    def wait(self, s: float) -> None:
        """Let time pass, step by step as the shell does."""
        until_s = self.now_s + s
        seen: list[Action] = []
        while (due_s := self.state.due_s(self.now_s)) is not None and due_s <= until_s:
            self.now_s = due_s
            self.do("tick")
            seen += self.actions
        self.now_s = until_s
        self.do("tick")
        self.actions = seen + self.actions

    def of(self, *kinds: type) -> list[Any]:
        return [action for action in self.actions if isinstance(action, kinds)]

    def posts(self, *kinds: type[Message]) -> list[Any]:
        return [post.message for post in self.of(Post) if isinstance(post.message, kinds)]

    def enqueue(self, source: int, path: str = "") -> None:
        self.do("enqueue", 1, source, path or f"m\\{source}", WORKER)

    def offer(self, source: int, ticket: int, size: int = 1000) -> bool:
        return bool(self.do("offered", f"m\\{source}", ticket, size, CONNECTION))

    def transfer(self, source: int, ticket: int) -> None:
        """Everything up to a connection in the worker's hands."""
        self.offer(source, ticket)
        self.do("answer_offer", 1, source, ticket, accepted=True)
        self.do("connected", ticket)
        assert self.of(HandOver)

    def close(self, source: int, ticket: int, *, stopped: bool) -> None:
        self.do("connection_closed", 1, source, ticket, path=f"m\\{source}", stopped=stopped)


@pytest.fixture
def talk() -> Talk:
    return Talk()


def test_files_of_one_peer_are_asked_for_together_up_to_a_limit(talk: Talk) -> None:
    sent = 0
    for source in range(FILES_QUEUED_MAX + 5):
        talk.enqueue(source)
        sent += len(talk.of(SendRequest))
        assert [post.place for post in talk.posts(QueuePlaceChanged)] == [0], "asked for or held back: no blame"
    assert sent == FILES_QUEUED_MAX
    talk.do("denied", "m\\3", "Banned")
    assert [action.path for action in talk.of(SendRequest)] == [f"m\\{FILES_QUEUED_MAX}"]


def test_a_size_of_2_to_4_gib_that_is_offered_sign_extended_is_read_as_it_was_meant(talk: Talk) -> None:
    talk.enqueue(1)
    assert talk.offer(1, 7, size=(1 << 64) - (1 << 30))
    assert [post.size_bytes for post in talk.posts(UploadOffered)] == [3 << 30]


def test_an_offer_says_how_often_other_jobs_hung_up_on_files_of_the_same_folder() -> None:
    stops = RecentStops()
    album = Talk(stops)
    for job, path in enumerate(("a\\1", "a\\2", "a\\3", "b\\1")):
        album.do("enqueue", job, 0, path, WORKER)
    said = []
    for ticket, (job, path, stopped) in enumerate(
        [(0, "a\\1", True), (1, "a\\2", False), (2, "a\\3", True), (0, "a\\1", True), (3, "b\\1", False)]
    ):
        album.do("enqueue", job, 0, path, WORKER)
        album.do("offered", path, ticket, 1000, CONNECTION)
        said += [(offer.job, offer.stops_beside) for offer in album.posts(UploadOffered)]
        album.do("answer_offer", job, 0, ticket, accepted=True)
        album.do("connected", ticket)
        album.do("connection_closed", job, 0, ticket, path=path, stopped=stopped)
        album.do("upload_failed", path)
    assert said == [(0, 0), (1, 1), (2, 1), (0, 1), (3, 0)]
    later = Talk(stops)
    later.do("enqueue", 9, 0, "a\\9", WORKER)
    later.do("offered", "a\\9", 7, 1000, CONNECTION)
    assert [offer.stops_beside for offer in later.posts(UploadOffered)] == [3], "with a negotiation that is over, too"


def test_a_connection_that_never_came_is_no_stop_of_ours(talk: Talk) -> None:
    talk.enqueue(1)
    talk.offer(1, 7)
    talk.do("answer_offer", 1, 1, 7, accepted=True)
    talk.wait(TIMES.file_s_max)
    assert talk.posts(UploadFailed)
    talk.do("enqueue", 2, 1, "m\\2", WORKER)
    talk.do("offered", "m\\2", 8, 1000, CONNECTION)
    assert [offer.stops_beside for offer in talk.posts(UploadOffered)] == [0]


def answers(talk: Talk) -> list[tuple[int, bool]]:
    return [(action.ticket, action.allowed) for action in talk.of(SendAnswer)]


def test_no_offer_is_accepted_before_the_ledger_knows_or_keeps_silent(talk: Talk) -> None:
    talk.keeps_ledger = False
    talk.enqueue(1)
    talk.offer(1, 7)
    talk.do("answer_offer", 1, 1, 7, accepted=True)
    assert [type(action) for action in talk.actions] == [NoteUpload]
    talk.offer(1, 8)  # it offers the file once more meanwhile
    assert answers(talk) == []
    talk.wait(TIMES.noted_s_max / 2)
    assert answers(talk) == []
    talk.wait(TIMES.noted_s_max / 2)
    assert answers(talk) == [(7, True), (8, True)], "a ledger that is away must not keep the peer's slot waiting"
    talk.do("noted", 7)
    assert answers(talk) == [], "late"
    talk.wait(TIMES.file_s_max - 0.1)
    talk.do("connected", 8)
    assert talk.of(HandOver)


def test_an_offer_that_is_given_up_before_the_ledger_knows_is_declined(talk: Talk) -> None:
    talk.keeps_ledger = False
    talk.enqueue(1)
    talk.offer(1, 7)
    talk.do("answer_offer", 1, 1, 7, accepted=True)
    talk.do("dequeue", 1, 1)
    assert answers(talk) == [(7, False)]
    talk.do("noted", 7)
    assert talk.actions == []
    talk.wait(TIMES.verdict_s_max)
    assert [(post.ticket, post.failed) for post in talk.posts(PeerUploadSettled)] == [(7, False)]


def test_an_offer_becomes_a_connection_in_the_workers_hands(talk: Talk) -> None:
    talk.enqueue(1)
    assert talk.offer(1, 7)
    assert [(post.source, post.ticket, post.size_bytes) for post in talk.posts(UploadOffered)] == [(1, 7, 1000)]
    talk.do("answer_offer", 1, 1, 7, accepted=True)
    assert [type(action) for action in talk.actions] == [NoteUpload, ExpectConnection, SendAnswer]
    talk.do("connected", 7)
    (handed,) = talk.of(HandOver)
    assert (handed.worker, handed.ready.source, handed.ready.ticket) == (WORKER, 1, 7)


def test_one_transfer_runs_at_a_time_and_the_next_offer_waits_for_its_end(talk: Talk) -> None:
    talk.enqueue(1)
    talk.enqueue(2)
    talk.transfer(1, 7)
    talk.offer(2, 8)
    assert not talk.actions
    talk.close(1, 7, stopped=False)
    assert [post.ticket for post in talk.posts(UploadOffered)] == [8]


def test_an_offer_that_waited_too_long_is_declined_and_asked_for_again(talk: Talk) -> None:
    talk.enqueue(1)
    talk.enqueue(2)
    talk.transfer(1, 7)
    talk.offer(2, 8)
    talk.wait(TIMES.answer_s_max)
    assert [(answer.ticket, answer.allowed) for answer in talk.of(SendAnswer)] == [(8, False)]
    assert [action.path for action in talk.of(SendRequest)] == ["m\\2"]
    assert not talk.posts(UploadFailed, EnqueueRefused), "no one is to blame"


def test_after_a_stop_the_same_file_waits_for_upload_failed_and_another_does_not(talk: Talk) -> None:
    talk.enqueue(1)
    talk.transfer(1, 7)
    talk.close(1, 7, stopped=True)
    talk.enqueue(1)
    assert not talk.of(SendRequest)
    talk.enqueue(2)
    assert [action.path for action in talk.of(SendRequest)] == ["m\\2"]
    talk.do("upload_failed", "m\\1")
    assert [action.path for action in talk.of(SendRequest)] == ["m\\1"]


def test_a_late_upload_failed_does_not_end_the_next_attempt(talk: Talk) -> None:
    talk.enqueue(1)
    talk.transfer(1, 7)
    talk.close(1, 7, stopped=True)
    talk.enqueue(1)
    talk.wait(TIMES.upload_failed_s_max)
    assert talk.of(SendRequest)
    talk.transfer(1, 8)
    talk.do("upload_failed", "m\\1")
    assert not talk.posts(UploadFailed)
    talk.do("upload_failed", "m\\1")
    assert [post.ticket for post in talk.posts(UploadFailed)] == [8]


@pytest.mark.parametrize(
    ("stopped", "failed", "counted"), [(True, True, True), (True, False, False), (False, False, False)]
)
def test_a_transfer_is_settled_as_the_peer_counts_it(talk: Talk, stopped: bool, failed: bool, counted: bool) -> None:
    talk.enqueue(1)
    talk.transfer(1, 7)
    talk.close(1, 7, stopped=stopped)
    settled = talk.posts(PeerUploadSettled)
    if failed:
        talk.do("upload_failed", "m\\1")
        settled += talk.posts(PeerUploadSettled)
    talk.wait(60.0)
    settled += talk.posts(PeerUploadSettled)
    assert [(post.ticket, post.failed) for post in settled] == [(7, counted)]
    assert talk.state.idle


def test_a_transfer_cut_by_the_death_of_our_worker_is_settled_by_upload_failed(talk: Talk) -> None:
    talk.enqueue(1)
    talk.transfer(1, 7)
    talk.do("upload_failed", "m\\1")
    assert [post.failed for post in talk.posts(PeerUploadSettled)] == [True]
    assert [post.ticket for post in talk.posts(UploadFailed)] == [7]
    talk.wait(TIMES.failed_s_max + TIMES.owed_s_max)
    assert talk.state.idle


def test_a_connection_refused_after_its_offer_was_accepted_is_settled_too(talk: Talk) -> None:
    talk.enqueue(1)
    talk.offer(1, 7)
    talk.do("answer_offer", 1, 1, 7, accepted=True)
    talk.do("dequeue", 1, 1)
    assert [action.ticket for action in talk.of(ForgetConnection)] == [7]
    talk.do("upload_failed", "m\\1")
    assert [(post.ticket, post.failed) for post in talk.posts(PeerUploadSettled)] == [(7, True)]


def test_a_transfer_of_an_earlier_session_is_settled_when_its_worker_closes_it(talk: Talk) -> None:
    talk.close(1, 7, stopped=True)
    talk.do("upload_failed", "m\\1")
    assert [(post.ticket, post.failed) for post in talk.posts(PeerUploadSettled)] == [(7, True)]


def test_an_upload_failed_that_never_came_does_not_shift_those_of_later_transfers(talk: Talk) -> None:
    settled: list[PeerUploadSettled] = []
    for ticket, heard in ((7, False), (8, True), (9, True)):
        talk.enqueue(1)
        talk.wait(TIMES.upload_failed_s_max)
        talk.transfer(1, ticket)
        talk.close(1, ticket, stopped=True)
        if heard:
            talk.do("upload_failed", "m\\1")
            settled += talk.posts(PeerUploadSettled)
    assert [(post.ticket, post.failed) for post in settled] == [(8, True), (9, True)]


def test_an_enqueue_before_the_workers_report_waits_for_it_boundedly(talk: Talk) -> None:
    talk.enqueue(1)
    talk.transfer(1, 7)
    talk.enqueue(1)
    assert not talk.of(SendRequest)
    talk.wait(TIMES.closing_s_max)
    assert not talk.of(SendRequest), "presumed stopped: its UploadFailed is awaited"
    talk.wait(TIMES.upload_failed_s_max)
    assert talk.of(SendRequest)


def test_a_name_is_asked_for_in_the_old_code_page_when_it_is_not_shared_in_utf8(talk: Talk) -> None:
    path = "m\\Für Elise.mp3"
    talk.enqueue(1, path)
    assert [action.encoding for action in talk.of(SendRequest)] == ["utf-8"]
    talk.do("denied", path, "File not shared.")
    assert [action.encoding for action in talk.of(SendRequest)] == ["cp1252"]
    talk.do("place_reported", path, 3)
    talk.enqueue(2, "m\\Träumerei.mp3")
    assert [action.encoding for action in talk.of(SendRequest)] == ["cp1252"], "remembered of this user"
    talk.do("denied", "m\\Träumerei.mp3", "File not shared.")
    assert [action.encoding for action in talk.of(SendRequest)] == ["utf-8"]
    talk.do("denied", "m\\Träumerei.mp3", "File not shared.")
    assert [post.fault for post in talk.posts(EnqueueRefused)] == [FaultKind.NOT_SHARED]


@pytest.mark.parametrize("path", ["m\\plain.mp3", "m\\音楽.mp3"])
def test_a_name_without_another_spelling_is_refused_at_once(talk: Talk, path: str) -> None:
    talk.enqueue(1, path)
    talk.do("denied", path, "File not shared.")
    assert [post.fault for post in talk.posts(EnqueueRefused)] == [FaultKind.NOT_SHARED]
    assert next_encoding(path, ("utf-8",)) is None


@pytest.mark.parametrize(
    ("reason", "kind", "pause_s"),
    [
        ("Too many files", FaultKind.BUSY, 90),
        ("Too many megabytes", FaultKind.BUSY, 90),
        ("Too many failed transfers today", FaultKind.TOO_MANY_FILES, 0),
        ("Cancelled", FaultKind.BUSY, 30),
        ("Complete", FaultKind.BUSY, 30),
        ("Pending shutdown.", FaultKind.BUSY, 60),
        ("File read error.", FaultKind.BUSY, 120),
        ("Local file error", FaultKind.BUSY, 120),
        ("Connection timeout", FaultKind.BUSY, 15),
        ("Connection closed by peer", FaultKind.BUSY, 15),
        ("User logged off", FaultKind.BUSY, 15),
        ("Disallowed extension", FaultKind.NOT_SHARED, 0),
        ("File not shared.", FaultKind.NOT_SHARED, 0),
        ("Banned (rude)", FaultKind.PEER_BANNED_US, 0),
        ("I do not feel like it", FaultKind.BUSY, 0),
    ],
)
def test_each_refusal_has_its_own_patience(reason: str, kind: FaultKind, pause_s: int) -> None:
    refusal = refusal_of(reason)
    assert refusal is not None
    assert refusal.kind is kind
    assert refusal.retry_after_s == pause_s


def test_queued_is_no_refusal(talk: Talk) -> None:
    assert refusal_of("Queued") is None
    talk.enqueue(1)
    talk.do("denied", "m\\1", "Queued")
    assert not talk.posts(EnqueueRefused)


def test_a_worker_that_asks_again_hears_its_place_as_far_as_it_is_known(talk: Talk) -> None:
    talk.enqueue(1)
    talk.enqueue(1)
    assert [report.place for report in talk.posts(QueuePlaceChanged)] == [0], "unknown"


def test_a_request_that_meets_silence_is_repeated_until_past_the_peers_own_offer_time_out(talk: Talk) -> None:
    talk.enqueue(1)
    talk.wait(70.0)
    assert len(talk.of(SendRequest)) == sum(repeat_s <= 70 for repeat_s in TIMES.repeat_s)
    assert max(TIMES.repeat_s[n + 1] - TIMES.repeat_s[n] for n in range(6)) <= 10, "45 s after a lost offer it is heard"


def timeline(talk: Talk, seconds: float) -> list[tuple[float, str]]:
    """What is sent to the peer while it says nothing, and when."""
    begun_s, sent = talk.now_s, []
    while (due_s := talk.state.due_s(talk.now_s)) is not None and due_s <= begun_s + seconds:
        talk.now_s = due_s
        talk.do("tick")
        sent += [(due_s - begun_s, type(action).__name__) for action in talk.of(SendRequest, SendPlaceRequest)]
    return sent


def test_a_silent_peer_is_asked_often_at_first_and_then_every_three_minutes(talk: Talk) -> None:
    talk.enqueue(1)
    sent = timeline(talk, 700.0)
    requests = [at_s for at_s, kind in sent if kind == "SendRequest"]
    assert requests == [4, 12, 22, 32, 42, 52, 62, 90, 130, 310, 490, 670]
    assert [at_s for at_s, kind in sent if kind == "SendPlaceRequest"] == [2 + 30 * count for count in range(24)]


def test_a_peer_that_sent_our_place_once_and_then_no_more_is_asked_again_after_ten_seconds(talk: Talk) -> None:
    talk.enqueue(1)
    talk.do("place_reported", "m\\1", 4)
    asked, again = "SendPlaceRequest", "SendRequest"
    assert timeline(talk, 30.0) == [(2, asked), (12, again), (14, asked), (16, again), (24, again)]


def test_an_answer_to_another_offer_or_to_one_that_was_answered_changes_nothing(talk: Talk) -> None:
    talk.enqueue(1)
    talk.offer(1, 7)
    talk.do("answer_offer", 1, 1, 8, accepted=True)
    assert not talk.actions
    talk.do("answer_offer", 1, 1, 7, accepted=True)
    assert talk.of(SendAnswer)
    talk.do("answer_offer", 1, 1, 7, accepted=True)
    assert not talk.actions


def test_a_peer_may_offer_again_while_its_connection_is_on_the_way(talk: Talk) -> None:
    talk.enqueue(1)
    talk.offer(1, 7)
    talk.do("answer_offer", 1, 1, 7, accepted=True)
    accepted = []
    for ticket in (8, 8, 9, 10, 11):
        assert talk.offer(1, ticket)
        accepted += [action.ticket for action in talk.of(ExpectConnection)]
    assert accepted == [8, 9, 10], "each once, four in all"
    talk.do("connected", 9)
    (handed,) = talk.of(HandOver)
    assert (handed.ticket, handed.ready.ticket) == (9, 7), "our side knows the first"
    assert {action.ticket for action in talk.of(ForgetConnection)} == {7, 8, 9, 10}
    talk.close(1, 7, stopped=False)
    assert [post.ticket for post in talk.posts(PeerUploadSettled)] == [7]


def test_an_acceptance_that_does_not_get_through_ends_that_offer_alone(talk: Talk) -> None:
    talk.enqueue(1)
    talk.enqueue(2)
    assert not talk.state.idle
    talk.offer(1, 7)
    talk.do("answer_offer", 1, 1, 7, accepted=True)
    talk.offer(2, 8)
    talk.do("send_failed", SendAnswer(7, CONNECTION, True), FaultKind.OFFLINE, "gone")
    assert [(post.source, post.fault) for post in talk.posts(UploadFailed)] == [(1, FaultKind.TURN_LOST)]
    assert [post.ticket for post in talk.posts(UploadOffered)] == [8], "the other's turn"


def test_a_peer_that_stops_telling_our_place_is_asked_again(talk: Talk) -> None:
    talk.enqueue(1)
    talk.wait(TIMES.place_first_s)
    assert talk.of(SendPlaceRequest)
    talk.do("place_reported", "m\\1", 4)
    talk.wait(TIMES.place_every_s)
    assert talk.of(SendPlaceRequest)
    assert not talk.of(SendRequest)
    talk.wait(TIMES.place_answer_s_max)
    assert talk.of(SendRequest), "it may have been restarted"


def test_an_absurd_size_is_refused_and_a_missing_one_passed_on(talk: Talk) -> None:
    talk.enqueue(1)
    assert talk.offer(1, 7, size=1 << 60), "it is answered here"
    assert [answer.allowed for answer in talk.of(SendAnswer)] == [False]
    assert [post.fault for post in talk.posts(EnqueueRefused)] == [FaultKind.BAD_ANSWER]
    talk.enqueue(1)
    talk.offer(1, 8, size=-1)
    assert [post.size_bytes for post in talk.posts(UploadOffered)] == [-1]


@pytest.mark.parametrize("path", ["a\\1", "z\\1"])
def test_another_path_for_the_same_source_takes_the_place_of_the_first(talk: Talk, path: str) -> None:
    talk.enqueue(1, "m\\1")
    talk.enqueue(1, path)
    assert [sent.path for sent in talk.of(SendRequest)] == [path]
    assert (talk.state.wants("m\\1"), talk.offer(1, 7)) == (False, False)


def test_an_offer_that_our_side_does_not_answer_is_declined_in_time(talk: Talk) -> None:
    talk.enqueue(1)
    talk.offer(1, 7)
    talk.wait(TIMES.answer_s_max)
    assert [answer.allowed for answer in talk.of(SendAnswer)] == [False]
    assert [post.fault for post in talk.posts(UploadFailed)] == [FaultKind.TURN_LOST]
    assert talk.state.idle


def test_what_is_not_wanted_is_declined_by_the_caller(talk: Talk) -> None:
    assert not talk.offer(1, 7)
    talk.enqueue(1)
    talk.do("dequeue", 1, 1)
    assert not talk.offer(1, 7)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "enqueue", "dequeue", "accept", "decline", "end", "stop", "offer", "deny", "queued", "not shared",
                "failed", "place", "connect", "login", "wait", "wait long", "away", "close job",
            ]
        ),
        st.integers(1, 3),
        st.integers(1, 3),
    ),
    max_size=60,
)  # fmt: skip


@given(STEPS)
def test_every_order_of_events_keeps_the_invariant_and_ends_idle(steps: list[tuple[str, int, int]]) -> None:
    talk = Talk()
    expected: set[int] = set()
    for name, source, ticket in steps:
        _take_step(talk, name, source, ticket)
        for action in talk.actions:
            if isinstance(action, ExpectConnection):
                expected.add(action.ticket)
            elif isinstance(action, ForgetConnection):
                expected.discard(action.ticket)
        _check(talk)
    talk.do("close_job", 1)
    for action in talk.of(ForgetConnection):
        expected.discard(action.ticket)
    assert not expected, "no connection is waited for any more"
    talk.wait(120.0)
    assert talk.state.idle


def _take_step(talk: Talk, name: str, source: int, ticket: int) -> None:
    path = f"m\\{source}"
    match name:
        case "enqueue":
            talk.enqueue(source)
        case "dequeue":
            talk.do("dequeue", 1, source)
        case "accept" | "decline":
            talk.do("answer_offer", 1, source, ticket, accepted=name == "accept")
        case "end" | "stop":
            talk.close(source, ticket, stopped=name == "stop")
        case "offer":
            talk.offer(source, ticket)
        case "deny" | "queued" | "not shared":
            talk.do("denied", path, {"deny": "Too many files", "queued": "Queued"}.get(name, "File not shared"))
        case "failed":
            talk.do("upload_failed", path)
        case "place":
            talk.do("place_reported", path, ticket)
        case "connect":
            talk.do("connected", ticket)
        case "login":
            talk.do("logged_in")
        case "wait" | "wait long":
            talk.wait(0.6 if name == "wait" else 45.0)
        case "away":
            talk.do("send_failed", SendRequest(path, "utf-8"), FaultKind.OFFLINE, "away")
        case "close job":
            talk.do("close_job", 1)


def test_a_request_that_waited_for_the_login_is_sent_once_and_one_that_a_peer_knew_again() -> None:
    talk = Talk()
    talk.state.enqueue(1, 1, "m\\1", WORKER, now_s=talk.now_s)
    waiting = [action for action in talk.state.take() if isinstance(action, SendRequest)]
    talk.state.logged_in(now_s=talk.now_s)
    assert [*waiting, *talk.state.take()].count(SendRequest("m\\1", "utf-8")) == 1
    talk.state.request_sent("m\\1", now_s=talk.now_s)
    talk.do("logged_in")
    assert talk.of(SendRequest) == [SendRequest("m\\1", "utf-8")]


def _check(talk: Talk) -> None:
    entries = list(talk.state._entries.values())
    running = [entry for entry in entries if entry.state in (EntryState.ACCEPTED, EntryState.TRANSFERRING)]
    flowing = [entry for entry in running if not talk.state._has_failed(entry)]
    assert len(flowing) <= 1, "one transfer at a time"
    for entry in running:
        transfer = talk.state._transfer(entry.job, entry.source, entry.ticket)
        assert transfer is not None
        assert transfer.closed_s is None
    paths = [entry.path for entry in entries if entry.state is not EntryState.HELD]
    assert len(paths) == len(set(paths))
