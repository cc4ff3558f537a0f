"""Soulseek users: places in their queues, turns, budgets of stops. Boards are drawn as in `boards`."""

import pytest

from actors.core.dispatch.dispatcher import DispatchState, Phase
from actors.core.dispatch.remote_queue import CONNECTING_S_MAX, DECLINED_REST_S, LOGIN_LOST_S_MAX, QUEUED_S_MAX
from actors.core.dispatch.sources import SourceState
from protocol.messages import (
    AcceptUpload,
    DeclineUpload,
    DequeueFile,
    EnqueueFile,
    JobEnded,
    LeaseGranted,
    LeaseRevoked,
    OpenPartFile,
    PartFileReady,
    PeerDelivered,
    PeerFaulted,
    PeerFileDiffers,
    SourceLost,
    SourceProgressed,
    Ticked,
    UploadFailed,
    UploadOffered,
)
from protocol.messages.addresses import PEER_HISTORY, SESSION
from protocol.model.faults import FaultKind
from protocol.model.source_url import Window
from tests.actors.core.dispatch.boards import CHUNK, NOW_S, add, as_peer, board, deliver, drawn, joined, probed, wanted
from tests.actors.core.dispatch.queued_users import board_of, of, place, refused, session, turn, user
from tests.actors.core.dispatch.replies import finished, released, stalled, stored

# -- asking


def test_a_user_is_asked_for_a_place_and_nothing_is_reserved_for_it() -> None:
    state = user("........")
    (asked,) = of(deliver(state, Ticked()), EnqueueFile)
    assert (asked.peer, asked.path, asked.worker) == ("user-b", "music\\b.flac", "fetch-1/worker-1-1")
    assert drawn(state) == "........"
    assert state.sources[1].state is SourceState.QUEUED


def test_all_candidates_are_asked_at_once_and_no_one_twice() -> None:
    state = board("........")
    for letter in "abc":
        add(state, letter)
        as_peer(state, letter)
    assert {asked.source for asked in of(deliver(state, Ticked()), EnqueueFile)} == {0, 1, 2}
    assert not of(deliver(state, Ticked(), place(0, 3), Ticked()), EnqueueFile)


def test_the_first_that_grants_streams_and_the_others_stay_in_their_queues() -> None:
    state = board("................")
    for letter in "abc":
        add(state, letter)
        as_peer(state, letter)
    deliver(state, Ticked(), place(0, 3), place(2, 1))
    posts = deliver(state, turn(state, 1))
    assert of(posts, AcceptUpload)[0].ticket == 7
    assert of(posts, LeaseGranted)[0].source == 1
    assert not of(posts, DequeueFile)
    assert state.sources[0].state is state.sources[2].state is SourceState.QUEUED
    deliver(state, turn(state, 0, ticket=9))
    assert "a" in drawn(state)


def test_no_one_is_asked_when_there_is_nothing_to_gain() -> None:
    state = user("aa", rates={"a": 1.0}, rate=1.0)  # done in 2 s, a turn comes in 1
    assert not of(deliver(state, Ticked()), EnqueueFile)


# -- turns


def test_a_turn_no_one_waits_for_is_declined() -> None:
    state = user("aaaaaaaa", rates={"a": 1.0}, rate=1.0)
    (declined,) = of(deliver(state, turn(state, 1)), DeclineUpload)
    assert declined.ticket == 7
    assert drawn(state) == "aaaaaaaa"


def test_a_turn_without_use_is_declined_and_the_user_is_left_alone_for_a_while() -> None:
    state = user("aaaaaaaaaaaaaaaaaaaa", rates={"a": 1.0}, rate=1.0)
    assert of(deliver(state, Ticked()), EnqueueFile)
    deliver(state, stored(0, 1, 0, 19))
    assert of(deliver(state, turn(state, 1), now_s=NOW_S + 1), DeclineUpload)
    source = state.sources[1]
    assert source.not_before_s == NOW_S + 1 + DECLINED_REST_S
    assert (source.enqueued, source.ticket, source.state) == (False, -1, SourceState.CANDIDATE)


def test_a_file_of_another_size_is_declined_and_the_user_is_out() -> None:
    state = user("........")
    deliver(state, Ticked())
    posts = deliver(state, turn(state, 1, size_bytes=state.size_bytes + 1))
    assert of(posts, DeclineUpload)
    assert state.sources[1].state is SourceState.BANNED
    assert "size differs" in state.sources[1].reason
    assert of(posts, PeerFaulted)[0].fault == FaultKind.SIZE_DIFFERS


def test_a_file_of_which_no_one_says_the_size_is_not_taken_for_an_empty_one() -> None:
    state = user("........")
    deliver(state, Ticked())
    source = state.sources[1]
    source.size_bytes = -1
    offer = UploadOffered(job=1, source=1, ticket=7, size_bytes=-1)
    assert state.remote_queue.offered(offer, size_bytes=-1, now_s=NOW_S) is None
    assert "does not list how large" in source.reason
    assert source.usable, "others may tell the size"


def test_of_a_window_the_user_offers_the_whole_file() -> None:
    state = user("........")
    state.sources[1].window = Window(1000, 1000 + state.size_bytes, 1 << 30)
    deliver(state, Ticked())
    posts = deliver(state, turn(state, 1, size_bytes=1 << 30))
    assert of(posts, AcceptUpload)
    assert "b" in drawn(state)
    other = user("........")
    other.sources[1].window = Window(1000, 1000 + other.size_bytes, 1 << 30)
    deliver(other, Ticked())
    assert of(deliver(other, turn(other, 1)), DeclineUpload)
    assert other.sources[1].state is SourceState.BANNED


def test_a_turn_that_comes_to_nothing_gives_its_lease_back() -> None:
    state = user("........")
    deliver(state, Ticked(), turn(state, 1))
    assert "b" in drawn(state)
    lost = UploadFailed(job=1, source=1, ticket=7, fault=FaultKind.TURN_LOST, detail="no connection")
    assert of(deliver(state, lost), LeaseRevoked)
    assert drawn(state) == "........"
    assert state.sources[1].failures == 1


def test_an_old_failure_does_not_touch_the_ride_of_a_later_turn() -> None:
    state = user("........")
    deliver(state, Ticked(), turn(state, 1, ticket=8))
    late = UploadFailed(job=1, source=1, ticket=7, fault=FaultKind.UPLOAD_FAILED, detail="late")
    assert not deliver(state, late)
    assert "b" in drawn(state)


def test_a_user_that_accepts_and_stays_silent_cools_after_one_try() -> None:
    state = user("........")
    deliver(state, Ticked(), turn(state, 1))
    lease = state.sources[1].busy
    assert lease is not None
    deliver(state, stalled(1, lease))
    assert state.sources[1].state is SourceState.COOLING
    assert "silent" in state.sources[1].reason


def test_after_its_ride_a_user_is_asked_again_while_there_is_work() -> None:
    state = user("aaaa........................", rates={"a": 0.1})
    deliver(state, Ticked(), turn(state, 1))
    lease = state.sources[1].busy
    assert lease is not None
    stop = board_of(state).leases[lease].stop
    first = board_of(state).leases[lease].first
    posts = deliver(
        state, stored(1, lease, first, stop - first), finished(1, lease, stop, received_bytes=CHUNK, stopped=True)
    )
    assert of(posts, EnqueueFile)
    assert state.sources[1].stops == 1


def test_what_a_ride_showed_is_remembered() -> None:
    state = user("........")
    deliver(state, Ticked(), turn(state, 1))
    lease = state.sources[1].busy
    assert lease is not None
    first = board_of(state).leases[lease].first
    posts = deliver(state, finished(1, lease, first + 1, received_bytes=CHUNK), now_s=NOW_S + 2)
    (rode,) = [post for post in posts if isinstance(post.message, PeerDelivered)]
    assert rode.to == PEER_HISTORY
    assert isinstance(rode.message, PeerDelivered)
    assert rode.message.rate_bytes_s > 0


# -- sizes known from a search, or only by the first turn


def test_a_size_known_from_a_search_opens_the_target_before_any_turn() -> None:
    state = DispatchState(wanted(source_count=1), now_s=NOW_S)
    posts = deliver(state, joined(0, peer="ann", path="a.flac", size_bytes=5 * CHUNK))
    assert of(posts, OpenPartFile)[0].spec.size_bytes == 5 * CHUNK
    assert not of(posts, EnqueueFile)


def test_without_a_size_the_first_turn_tells_it_and_is_used() -> None:
    state = DispatchState(wanted(source_count=1), now_s=NOW_S)
    assert of(deliver(state, joined(0, peer="ann", path="a.flac")), EnqueueFile)
    posts = deliver(state, turn(state, 0, size_bytes=5 * CHUNK), now_s=NOW_S + 2)
    assert of(posts, OpenPartFile)[0].spec.size_bytes == 5 * CHUNK
    posts = deliver(state, PartFileReady(job=1, part_path="p", message=""), now_s=NOW_S + 2)
    assert of(posts, AcceptUpload)
    assert drawn(state) == "aaaaa"


def test_users_and_mirrors_ride_in_one_job() -> None:
    state = DispatchState(wanted(source_count=2), now_s=NOW_S)
    deliver(state, joined(0), joined(1, peer="ann", path="a.flac", size_bytes=60 * CHUNK), probed(0, 60 * CHUNK))
    posts = deliver(state, PartFileReady(job=1, part_path="p", message=""))
    assert of(posts, EnqueueFile)
    assert of(posts, LeaseGranted)
    deliver(state, turn(state, 1))
    assert {"a", "b"} <= set(drawn(state))


def test_a_user_of_another_size_than_the_mirrors_is_out_and_the_job_goes_on() -> None:
    state = board("aaaa....", rates={"a": 1.0})
    deliver(state, joined(1, peer="ann", path="a.flac", size_bytes=state.size_bytes + 1))
    assert state.sources[1].state is SourceState.BANNED
    assert state.phase is Phase.RIDING


# -- what peers refuse


@pytest.mark.parametrize(
    ("fault", "standing"),
    [
        (FaultKind.OFFLINE, SourceState.COOLING),
        (FaultKind.NOT_SHARED, SourceState.BANNED),
        (FaultKind.TOO_MANY_FILES, SourceState.COOLING),
        (FaultKind.PEER_BANNED_US, SourceState.BANNED),
        (FaultKind.PEER_UNREACHABLE, SourceState.COOLING),
        (FaultKind.UPLOAD_FAILED, SourceState.CANDIDATE),
    ],
)
def test_each_refusal_has_its_policy_and_is_remembered(fault: FaultKind, standing: SourceState) -> None:
    state = user("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", rates={"a": 1.0}, rate=1.0)
    deliver(state, Ticked())
    posts = deliver(state, refused(1, fault))
    assert state.sources[1].state is standing
    assert (of(posts, PeerFaulted)[0].peer, of(posts, PeerFaulted)[0].fault) == ("user-b", fault)
    assert state.sources[1].reason


def test_a_user_that_refuses_offsets_is_used_from_the_start_only() -> None:
    state = user("aaaaaaaaaaaa........", rates={"a": 1.0})
    deliver(state, Ticked(), turn(state, 1))
    lease = state.sources[1].busy
    assert lease is not None
    deliver(state, released(1, lease, 0, FaultKind.RANGE_REFUSED, stopped=False))
    assert not state.sources[1].traits.offset_ok
    assert state.sources[1].traits.abort_is_costly


# -- phases and their limits


def test_no_sign_of_a_user_ends_its_connecting() -> None:
    state = user("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", rates={"a": 0.01}, rate=1.0)
    deliver(state, Ticked())
    posts = deliver(state, Ticked(), now_s=NOW_S + CONNECTING_S_MAX + 1)
    assert of(posts, DequeueFile)
    assert "no sign of it" in state.sources[1].reason


def test_a_queue_is_waited_in_for_hours_but_not_for_ever() -> None:
    state = user("........")
    deliver(state, Ticked(), place(1, 40))
    deliver(state, Ticked(), now_s=NOW_S + QUEUED_S_MAX - 10)
    user_b = state.sources[1]
    assert user_b.queue_place == 40
    deliver(state, Ticked(), now_s=NOW_S + QUEUED_S_MAX + 10)
    assert not user_b.enqueued
    assert "still queued" in state.sources[1].reason


def test_people_see_phase_and_place() -> None:
    state = user("........")
    rows = of(deliver(state, Ticked()), SourceProgressed)
    assert [(row.phase, row.queue_place, row.peer) for row in rows] == [("connecting", -1, "user-b")]
    assert of(deliver(state, Ticked(), now_s=NOW_S + 1), SourceProgressed) == [], "only what changed is reported"
    rows = of(deliver(state, place(1, 4), Ticked(), now_s=NOW_S + 2), SourceProgressed)
    assert [(row.phase, row.queue_place) for row in rows] == [("queued", 4)]
    rows = of(deliver(state, turn(state, 1), Ticked(), now_s=NOW_S + 3), SourceProgressed)
    assert [(row.phase, row.standing) for row in rows] == [("granted", "active")]


def test_a_lost_worker_gives_its_place_up_and_its_successor_asks_again() -> None:
    state = user("........")
    deliver(state, Ticked())
    assert of(deliver(state, SourceLost(job=1, source=1, detail="its process died")), DequeueFile)
    again = joined(1, peer="user-b", path="music\\b.flac", size_bytes=state.size_bytes, worker="fetch-2/worker-1-1")
    (asked,) = of(deliver(state, again), EnqueueFile)
    assert asked.worker == "fetch-2/worker-1-1"


def test_a_place_asked_for_a_worker_that_was_replaced_is_left() -> None:
    state = user("........")
    deliver(state, Ticked())
    again = joined(1, peer="user-b", path="music\\b.flac", size_bytes=state.size_bytes, worker="fetch-2/worker-1-1")
    posts = deliver(state, again)
    assert [type(post.message) for post in posts if post.to == SESSION] == [DequeueFile, EnqueueFile]


# -- the login


def test_without_a_login_no_one_waits_and_the_job_says_why() -> None:
    state = user("........")
    deliver(state, Ticked())
    deliver(state, session("offline"))
    assert state.sources[1].state is SourceState.COOLING
    assert state.sources[1].reason == "session offline"


def test_a_login_that_will_not_come_bans_all_users() -> None:
    state = user("........")
    deliver(state, Ticked(), session("refused", final=True))
    assert state.sources[1].state is SourceState.BANNED
    assert state.phase is not Phase.RIDING


def test_a_user_that_joins_while_no_login_will_ever_come_is_given_up_at_once() -> None:
    state = DispatchState(wanted(source_count=1), now_s=NOW_S)
    deliver(state, session("offline", final=True))
    deliver(state, joined(0, peer="user-b", path="music\\b.flac", size_bytes=8))
    deliver(state, Ticked())
    assert (state.sources[0].state, state.sources[0].reason) == (SourceState.BANNED, "session offline")
    assert state.phase not in (Phase.OPENING, Phase.RIDING)


def test_a_login_lost_on_the_way_is_waited_for_a_while() -> None:
    state = user("........")
    deliver(state, Ticked(), place(1, 2), session("online"), session("offline"))
    assert state.sources[1].enqueued
    deliver(state, session("online"))
    deliver(state, Ticked(), now_s=NOW_S + LOGIN_LOST_S_MAX + 1)
    assert state.sources[1].enqueued
    deliver(state, session("offline"), now_s=NOW_S + 100)
    deliver(state, Ticked(), now_s=NOW_S + 101 + LOGIN_LOST_S_MAX)
    assert not state.sources[1].enqueued


def test_a_ride_does_not_need_the_login() -> None:
    state = board("aaaa....", rates={"a": 1.0})
    as_peer(state, "a")
    deliver(state, session("kicked", final=True))
    assert drawn(state) == "aaaa...."
    assert state.sources[0].state is SourceState.ACTIVE


# -- the end


def test_places_that_are_not_needed_any_more_are_given_up() -> None:
    state = board("aaaa", rates={"a": 1.0})
    for letter in "bc":
        add(state, letter)
        as_peer(state, letter)
        state.remote_queue.enqueue(state.sources[ord(letter) - ord("a")], NOW_S)
    posts = deliver(state, stored(0, 1, 0, 4), Ticked(), now_s=NOW_S + 2)
    assert {left.source for left in of(posts, DequeueFile)} == {1, 2}


def test_a_job_whose_users_are_all_gone_ends_with_their_reasons() -> None:
    state = user("........")
    deliver(state, Ticked())
    posts = deliver(state, refused(1, FaultKind.NOT_SHARED), Ticked(), now_s=NOW_S + 1)
    posts += deliver(state, Ticked(), now_s=NOW_S + 10)
    ended = of(posts, JobEnded)[0]
    assert ended.state == "starved"
    assert "not_shared" in ended.reason


# Users whose file had other content in an earlier job.


def test_a_user_with_an_odd_file_is_asked_last_for_that_file() -> None:
    state = board("........")
    for letter in "abc":
        add(state, letter)
        as_peer(state, letter)
    state.sources[1].odd = True
    state.sources[1].rate_bytes_s = 1e9
    assert 1 not in {each.source for each in of(deliver(state, Ticked()), EnqueueFile)}
    state.sources[0].state = state.sources[2].state = SourceState.BANNED
    assert [each.source for each in of(deliver(state, Ticked(), now_s=NOW_S + 1), EnqueueFile)] == [1]


def test_a_dispute_is_remembered_of_that_file_alone_and_taken_back_where_it_was_wrong() -> None:
    state = user("........")
    source = state.sources[1]
    source.path, source.size_bytes = "music\\Tide.flac", 100
    state._failures.ban(source, FaultKind.DISPUTED, "other content")
    news = state._out.take()
    assert not of(news, PeerFaulted), "one odd file makes no bad user"
    assert of(news, PeerFileDiffers) == [
        PeerFileDiffers(peer=source.peer, name="Tide.flac", size_bytes=100, differs=True)
    ]
    state._failures.reinstate(source)
    assert [each.differs for each in of(state._out.take(), PeerFileDiffers)] == [False]
    assert source.state is SourceState.CANDIDATE
