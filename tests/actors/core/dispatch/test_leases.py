"""What happens to leases and sources while a job rides, and how it ends."""

import pytest

from actors.core.dispatch.dispatcher import CLOSING_S_MAX, DispatcherInbox, Phase
from actors.core.dispatch.granting import BEGUN_S_MAX
from actors.core.dispatch.leases import LEASE_S_MAX
from actors.core.dispatch.sources import SourceState
from protocol.messages import (
    ChunksRepeated,
    ClosePartFile,
    DiskFailed,
    FileSealed,
    JobClosed,
    JobEnded,
    JobNoted,
    LeaseGranted,
    LeaseRevoked,
    LeaseTrimmed,
    PartFileClosed,
    SealFile,
    SealRefused,
    SizeLearned,
    SlotSpoiled,
    SourceLost,
    StopJob,
    Ticked,
)
from protocol.messages.addresses import ASSEMBLER, POOL, WATCHDOG
from protocol.model.faults import FaultKind
from protocol.model.value import replace
from tests.actors.core.dispatch.boards import CHUNK, NOW_S, add, board, deliver, drawn, lease_of, said, serve
from tests.actors.core.dispatch.replies import finished, measured, released, slowed, stalled, stored


def test_stored_chunks_are_drawn_as_they_come() -> None:
    state = board("aaaa", rates={"a": 1.0})
    deliver(state, stored(0, 1, 0, 2))
    assert drawn(state) == "##aa"


@pytest.mark.parametrize("stored_first", [True, False])
def test_the_end_of_a_ride_and_its_last_chunks_may_come_in_either_order(stored_first: bool) -> None:
    state = board("aaaa", rates={"a": 1.0})
    words = [stored(0, 1, 0, 4), finished(0, 1, 4)]
    deliver(state, *(words if stored_first else reversed(words)))
    assert drawn(state) == "####"
    assert state.phase is Phase.SEALING


def test_chunks_on_their_way_to_the_store_are_not_given_to_others() -> None:
    state = board("aaaa", rates={"a": 1.0})
    add(state, "b", 1.0)
    deliver(state, released(0, 1, 3, FaultKind.NOT_FOUND))
    assert drawn(state) == "aaab"


def test_a_ride_that_broke_gives_back_what_it_did_not_hand_over() -> None:
    state = board("aaaaaa", rates={"a": 1.0})
    deliver(state, stored(0, 1, 0, 2), released(0, 1, 3, FaultKind.DISPUTED))
    assert drawn(state) == "##a..."
    assert state.sources[0].state is SourceState.BANNED


def test_a_word_about_a_lease_long_over_changes_nothing() -> None:
    state = board("aaaa", rates={"a": 1.0})
    deliver(state, finished(0, 99, 4), released(0, 98, 0, FaultKind.NOT_FOUND), slowed(0, 97), stalled(0, 96))
    assert drawn(state) == "aaaa"
    assert state.sources[0].state is SourceState.ACTIVE


def test_the_same_end_reported_twice_counts_once() -> None:
    state = board("aaaa", rates={"a": 1.0})
    end = finished(0, 1, 2, stopped=True)
    deliver(state, end, end)
    assert state.sources[0].stops == 1


def test_a_late_chunk_of_a_lease_given_to_another_cuts_that_lease_short() -> None:
    state = board("aaaa", rates={"a": 1.0})
    deliver(state, stalled(0, 1))
    serve(state, "b", 1.0)
    assert drawn(state) == "bbbb"
    deliver(state, stored(0, 1, 0, 2))
    assert drawn(state) == "##bb"


def test_a_slow_source_loses_its_lease_and_cools_when_there_is_a_better_one() -> None:
    state = board("aaaa", rates={"a": 0.01})
    add(state, "b", 10.0)
    posts = deliver(state, slowed(0, 1))
    assert said(posts, LeaseRevoked)
    assert state.sources[0].state is SourceState.COOLING
    assert drawn(state) == "bbbb"


def test_the_only_source_may_be_as_slow_as_it_likes() -> None:
    state = board("aaaa", rates={"a": 0.01})
    assert not deliver(state, slowed(0, 1))
    assert drawn(state) == "aaaa"


def test_a_stalled_ride_is_hung_up_and_its_source_waits() -> None:
    state = board("aaaa", rates={"a": 1.0})
    posts = deliver(state, stalled(0, 1))
    assert said(posts, LeaseRevoked)
    assert drawn(state) == "...."
    deliver(state, released(0, 1, 0, FaultKind.REVOKED))
    assert not state.sources[0].is_ready(NOW_S)


def test_a_worker_that_was_ordered_to_stop_is_busy_until_it_answers() -> None:
    state = board("aaaa", rates={"a": 1.0})
    deliver(state, slowed(0, 1), stalled(0, 1))
    posts = deliver(state, Ticked(), now_s=NOW_S + 5)
    assert not said(posts, LeaseGranted)
    posts = deliver(state, released(0, 1, 0, FaultKind.REVOKED), now_s=NOW_S + 6)
    assert said(posts, LeaseGranted)


def test_a_lease_of_which_nothing_is_heard_expires() -> None:
    state = board("aaaa", rates={"a": 1.0})
    add(state, "b", 1.0).not_before_s = NOW_S + 1000
    posts = deliver(state, Ticked(), now_s=NOW_S + LEASE_S_MAX + 2)
    assert said(posts, LeaseRevoked)
    assert drawn(state) == "...."


def test_a_ride_that_speaks_does_not_expire() -> None:
    state = board("aaaa", rates={"a": 1.0})
    deliver(state, measured(0, 1, 1.0, 0.01), now_s=NOW_S + LEASE_S_MAX - 1)
    deliver(state, Ticked(), now_s=NOW_S + LEASE_S_MAX + 2)
    assert drawn(state) == "aaaa"


def test_bytes_claimed_but_never_stored_do_not_hide_a_lost_ride_from_others() -> None:
    state = board("aa", rates={"a": 1.0})
    deliver(state, measured(0, 1, 2.0, 1.0))
    posts = deliver(state, measured(0, 1, 2.0, 0.0), now_s=NOW_S + 4)
    add(state, "b", 10.0)
    posts = deliver(state, Ticked(), now_s=NOW_S + 4)
    assert said(posts, LeaseGranted)


def test_three_failures_cool_a_source_and_a_round_begins_with_proven_ones() -> None:
    state = board("##aaaa", rates={"a": 1.0})
    now_s, lease, posts = NOW_S, 1, []
    for _ in range(3):
        posts = deliver(state, released(0, lease, 2, FaultKind.RESET), now_s=now_s)
        now_s += 5
        granted = said(deliver(state, Ticked(), now_s=now_s), LeaseGranted)
        lease = granted[0].lease if granted else lease
    assert [note for note in said(posts, JobNoted) if "round 1" in note.text]
    assert state.rounds.count == 1


def test_a_round_without_progress_is_the_last() -> None:
    state = board("##aaaa", rates={"a": 1.0})
    now_s, lease = NOW_S, 1
    for _ in range(40):
        if state.phase is not Phase.RIDING:
            break
        deliver(state, released(0, lease, 2, FaultKind.RESET), now_s=now_s)
        now_s += 2
        granted = said(deliver(state, Ticked(), now_s=now_s), LeaseGranted)
        lease = granted[0].lease if granted else lease
    assert state.phase is Phase.CLOSING
    assert state.rounds.count == 1
    (ended,) = said(deliver(state, PartFileClosed(job=1), now_s=now_s), JobEnded)
    assert ended.state == "starved"
    assert "reset" in ended.reason


def test_an_unproven_source_gets_no_round() -> None:
    state = board("##aaaa", rates={})
    add(state, "a").busy = 1
    deliver(state, released(0, 1, 2, FaultKind.NOT_FOUND))
    assert state.phase is Phase.CLOSING


def test_a_waiting_time_named_during_a_ride_binds_the_host() -> None:
    state = board("aaaa", rates={"a": 1.0})
    add(state, "b", 1.0).host = "host-a"
    deliver(state, released(0, 1, 0, FaultKind.BUSY, retry_after_s=9.0))
    assert state.sources[1].not_before_s == NOW_S + 9.0
    assert drawn(state) == "...."


def test_a_size_learned_at_the_end_of_a_body_completes_the_job() -> None:
    state = board("", total=-2)
    posts = serve(state, "a")
    (granted,) = said(posts, LeaseGranted)
    deliver(state, stored(0, granted.lease, 0, 3))
    posts = deliver(state, finished(0, granted.lease, 3, size_bytes=3 * CHUNK - 5))
    assert said(posts, SizeLearned)
    assert said(posts, SealFile)


def test_sealed_is_the_last_word_and_everybody_may_forget_the_job() -> None:
    state = board("##a", rates={"a": 1.0})
    deliver(state, stored(0, 1, 2, 1))
    posts = deliver(state, FileSealed(job=1, path="/box/f", digest_hex="ab"))
    (ended,) = said(posts, JobEnded)
    assert (ended.state, ended.path, ended.digest_hex) == ("sealed", "/box/f", "ab")
    assert {post.to for post in posts if isinstance(post.message, JobClosed)} == {POOL, WATCHDOG, ASSEMBLER}
    assert deliver(state, Ticked(), stored(0, 1, 0, 1)) == []


def test_no_one_can_seal_what_is_not_complete() -> None:
    state = board("##a", rates={"a": 1.0})
    assert not said(deliver(state, FileSealed(job=1, path="/box/f", digest_hex="ab")), JobEnded)
    assert state.phase is Phase.RIDING


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (DiskFailed(job=1, fault=3, detail="it belongs to another download"), "disk"),
        (SlotSpoiled(job=1, source=0, lease=1, first=0, count=1), "failed"),
        (SealRefused(job=1, detail="checksum differs"), "disagreed"),
        (StopJob(job=1), "interrupted"),
    ],
)
def test_everything_that_stops_a_job_hangs_up_closes_and_says_why(message: DispatcherInbox, expected: str) -> None:
    state = board("##aa", rates={"a": 1.0})
    posts = deliver(state, message)
    assert said(posts, LeaseRevoked)
    assert said(posts, ClosePartFile)
    (ended,) = said(deliver(state, PartFileClosed(job=1)), JobEnded)
    assert ended.state == expected
    assert ended.reason


def test_a_store_that_never_answers_does_not_hold_up_the_end() -> None:
    state = board("##aa", rates={"a": 1.0})
    deliver(state, StopJob(job=1))
    (ended,) = said(deliver(state, Ticked(), now_s=NOW_S + CLOSING_S_MAX + 0.1), JobEnded)
    assert ended.state == "interrupted"


def test_the_first_reason_stays() -> None:
    state = board("##aa", rates={"a": 1.0})
    deliver(state, DiskFailed(job=1, fault=3, detail="it belongs to another download"), StopJob(job=1))
    (ended,) = said(deliver(state, PartFileClosed(job=1)), JobEnded)
    assert ended.state == "disk"


def test_a_chunk_that_came_twice_counts_as_fetched_twice_but_not_as_progress() -> None:
    state = board("##aa", rates={"a": 1.0})
    deliver(state, ChunksRepeated(job=1, source=0, lease=1, first=2, count=1, length_bytes=CHUNK))
    assert state.sources[0].chunks == 0
    assert drawn(state) == "###a"


def test_a_lost_worker_gives_everything_back_that_was_not_handed_over() -> None:
    state = board("##aaaa", rates={"a": 1.0})
    add(state, "b", 1.0)
    deliver(state, SourceLost(job=1, source=0, detail="killed"))
    assert drawn(state) == "##bbbb"


def test_queue_mode_gives_one_chunk_a_lease() -> None:
    state = board("......", mode="queue")
    serve(state, "a")
    serve(state, "b")
    assert drawn(state) == "ab...."


def test_failover_mode_uses_one_source_and_the_next_goes_on_from_the_same_chunk() -> None:
    state = board("......", mode="failover")
    posts = serve(state, "a")
    serve(state, "b")
    assert drawn(state) == "aaaaaa"
    (granted,) = said(posts, LeaseGranted)
    deliver(state, stored(0, granted.lease, 0, 2), released(0, granted.lease, 2, FaultKind.NOT_FOUND))
    assert drawn(state) == "##bbbb"


def test_race_mode_lets_everybody_fetch_everything() -> None:
    state = board("......", mode="race")
    starts = [said(serve(state, letter), LeaseGranted)[0] for letter in "abc"]
    assert [(granted.first, granted.stop) for granted in starts] == [(0, 6)] * 3
    deliver(state, stored(0, starts[0].lease, 0, 6))
    assert state.phase is Phase.SEALING


def test_a_step_serves_a_few_sources_and_posts_itself_the_rest() -> None:
    state = board("." * 64)
    for letter in "abcdefghij":
        add(state, letter)
    posts = deliver(state, Ticked())
    assert said(posts, Ticked)
    for _ in range(5):
        posts = deliver(state, *said(posts, Ticked))
    assert all(source.busy is not None for source in state.sources.values())


def test_a_lease_over_from_an_unknown_source_is_ignored() -> None:
    state = board("aaaa", rates={"a": 1.0})
    deliver(state, finished(7, 1, 4), SourceLost(job=1, source=9, detail=""))
    assert drawn(state) == "aaaa"


def test_the_lease_of_a_source_is_the_one_it_is_busy_with() -> None:
    state = board("aabb", rates={"a": 1.0, "b": 2.0})
    assert lease_of(state, "b").source == 1


@pytest.mark.parametrize(("mine", "others", "waits"), [(True, True, True), (True, False, False), (False, False, True)])
def test_a_chunk_is_begun_by_another_for_a_moment_and_until_its_first_byte(
    mine: bool, others: bool, waits: bool
) -> None:
    """Not by one that can begin nowhere else, where this one can: `mine` and `others` tell who takes offsets."""
    state = board("....aaaa", rates={"a": 1.0})
    assert state.leases is not None
    grants, lease = state.leases.grants, lease_of(state, "a")
    lease.granted_s, lease.received_bytes = NOW_S, 0
    state.sources[0].traits = replace(state.sources[0].traits, offset_ok=others)
    source = add(state, "b", offset_ok=mine)

    def begun(chunk: int, now_s: float) -> bool:
        source.position = chunk
        return grants._begun_by_another(source, now_s)

    assert [chunk for chunk in range(8) if begun(chunk, NOW_S)] == ([4, 5, 6, 7] if waits else [])
    assert not begun(4, NOW_S + BEGUN_S_MAX)
    lease.received_bytes = 1
    assert not begun(4, NOW_S)


@pytest.mark.parametrize(("whole", "position", "kept"), [(True, 0, True), (True, 2, False), (False, 2, True)])
def test_only_a_transfer_that_came_to_its_end_elsewhere_shows_that_a_link_answers_again(
    whole: bool, position: int, kept: bool
) -> None:
    state = board("aaaa", rates={"a": 1.0})
    source, lease = state.sources[0], lease_of(state, "a")
    source.stands, source.answered_once, source.position = True, True, position
    end = finished(0, lease.id, 4, received_bytes=9) if whole else released(0, lease.id, 0, FaultKind.RESET)
    deliver(state, end.but(received_bytes=9))
    assert source.answered_once is kept


def test_a_worker_whose_chunks_another_one_stored_hears_where_its_lease_ends_now() -> None:
    state = board("aabbbbbb", rates={"a": 1.0, "b": 1.0})
    lease = lease_of(state, "b")
    posts = deliver(state, stored(0, lease_of(state, "a").id, 4, 2))
    assert drawn(state)[:6] == "aabb##"
    (trimmed,) = [each for each in said(posts, LeaseTrimmed) if each.lease == lease.id]
    assert (trimmed.source, trimmed.stop) == (1, 4)


def test_sources_whose_stops_are_spent_bind_only_while_the_job_goes_on_without_them() -> None:
    state = board("....", rates={})
    assert state.leases is not None
    views = state.leases._views
    spent = add(state, "a", 1.0)
    spent.budget_spent = True
    assert not views._others_can_go_on()
    able = add(state, "b", 1.0)
    assert views._others_can_go_on()
    able.state = SourceState.BANNED
    assert not views._others_can_go_on()
    lease = state.leases.tracker.grant(0, 0, 2, now_s=NOW_S)
    assert views._others_can_go_on(), "one of them sends, and is not stopped"
    lease.draining = True
    assert not views._others_can_go_on()


@pytest.mark.parametrize(("picture", "overlap"), [("###abb", 1), ("###a", 0)])
def test_a_duplicate_reads_on_into_what_another_sent_behind_it(picture: str, overlap: int) -> None:
    """Where it wins, its rival does not come to that place: a chunk within the file would be tied to nothing."""
    state = board(picture, rates={"a": 0.01, "b": 1.0})
    if "b" in picture:
        lease = lease_of(state, "b")
        deliver(state, stored(lease.source, lease.id, 4, 2), finished(lease.source, lease.id, 6))
    else:
        serve(state, "b", 1.0)
    duplicate = lease_of(state, "b")
    assert (duplicate.first, duplicate.stop, duplicate.overlap) == (3, 4, 0), "what is behind it is its own"
    deliver(state, released(duplicate.source, duplicate.id, 3, FaultKind.NOT_FOUND))
    serve(state, "c", 1.0)
    duplicate = lease_of(state, "c")
    assert (duplicate.first, duplicate.stop, duplicate.overlap) == (3, 4, overlap)


def test_only_a_worker_without_its_lease_is_waited_for_no_longer_after_a_while() -> None:
    """Neither one that reads on, nor a user whose offer is held."""
    state = board("aaaabbbb....", rates={"a": 1.0, "b": 1.0})
    add(state, "c")
    assert state.leases is not None
    reads, stopped, holds = (state.sources[number] for number in range(3))
    long_ago_s = NOW_S - 3 * LEASE_S_MAX
    reads.busy_since_s = stopped.busy_since_s = holds.busy_since_s = long_ago_s
    state.leases.tracker.end(state.leases.tracker.leases[stopped.busy or 0])
    holds.busy, holds.ticket = None, 7
    before = reads.busy
    state.leases.expire(NOW_S)
    assert (reads.busy, stopped.busy, holds.ticket) == (before, None, 7)


def test_a_rate_that_was_measured_is_no_guess_any_more() -> None:
    state = board("aaaa....", rates={"a": 1.0})
    state.sources[0].rate_guessed = True
    deliver(state, measured(0, lease_of(state, "a").id, 1.0, 0.0))
    assert state.sources[0].rate_guessed
    deliver(state, measured(0, lease_of(state, "a").id, 1.0, 2.0))
    assert (state.sources[0].rate_guessed, state.sources[0].rate_bytes_s) == (False, 2.0 * CHUNK)
