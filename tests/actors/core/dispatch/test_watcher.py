"""What the watcher of a running job may ask of its dispatcher, at any moment of the job."""

from itertools import pairwise

import pytest

from actors.core.dispatch.dispatcher import DispatchState, Phase
from actors.core.dispatch.progress import ROWS_PER_REPORT, Reporter
from actors.core.dispatch.sources import Source, SourceState
from actors.core.dispatch.watcher import CALM_TICK_S, QUIET_TICK_S, TICK_S
from protocol.messages import (
    CapRate,
    ChunkArrived,
    ChunkMapDrawn,
    ChunksVerified,
    ContributorsListed,
    DeclineUpload,
    DequeueFile,
    DiskFailed,
    JobEnded,
    JobOpened,
    JobProgressed,
    LeaseGranted,
    LeaseRevoked,
    LimitJob,
    ListContributors,
    MonitorJob,
    PartFileClosed,
    PartFileReady,
    ProbeSource,
    ResendState,
    SourceDisabled,
    SourceNamed,
    SourceProgressed,
    SourcesExpected,
    StopJob,
    Ticked,
)
from protocol.messages.addresses import POOL
from protocol.model.value import replace
from tests.actors.core.dispatch.boards import (
    CHUNK,
    NOW_S,
    add,
    as_peer,
    board,
    deliver,
    drawn,
    joined,
    lease_of,
    probed,
    said,
    wanted,
)
from tests.actors.core.dispatch.replies import stored

ASKER = "api/gateway"


def left(source: int, *, banned: bool = False) -> SourceDisabled:
    return SourceDisabled(job=1, source=source, banned=banned, detail="dropped by hand")


def named(source: int, name_hash: int) -> SourceNamed:
    return SourceNamed(job=1, source=source, source_hash=name_hash)


def runs_of(state: DispatchState, *, at_s: float = NOW_S) -> list[tuple[int, int, int]]:
    posts = deliver(state, ListContributors(job=1, request=7, reply_to=ASKER), now_s=at_s)
    parts = [post.message for post in posts if post.to == ASKER and isinstance(post.message, ContributorsListed)]
    assert [part.last for part in parts] == [False] * (len(parts) - 1) + [True]
    assert {part.request for part in parts} == {7}
    return [run for part in parts for run in zip(part.firsts, part.stops, part.owners, strict=True)]


# -- dropped and banned sources


def test_a_source_that_is_dropped_hangs_up_and_its_chunks_go_to_others() -> None:
    state = board("##aaaabb", rates={"a": 1, "b": 1})
    lease = lease_of(state, "a")
    posts = deliver(state, left(0))
    assert said(posts, LeaseRevoked) == [LeaseRevoked(job=1, source=0, lease=lease.id)]
    assert state.sources[0].busy is None
    assert "a" not in drawn(state)
    deliver(state, stored(1, lease_of(state, "b").id, 6, 2), *[Ticked()] * 2, now_s=NOW_S + 1)
    deliver(state, Ticked(), now_s=NOW_S + 2)
    assert state.phase is Phase.RIDING
    assert state.sources[0].reason == "dropped by hand"


def test_a_source_that_is_dropped_is_never_used_again() -> None:
    state = board("##aa....", rates={"a": 1})
    add(state, "b", 1.0)
    deliver(state, left(0, banned=True))
    posts = deliver(state, joined(0), probed(0, 8 * CHUNK), *[Ticked()] * 3, now_s=NOW_S + 1)
    posts += deliver(state, Ticked(), now_s=NOW_S + 700)
    assert not [each for each in said(posts, LeaseGranted) if each.source == 0]
    assert not [each for each in said(posts, ProbeSource) if each.source == 0]


def test_a_source_that_is_restored_is_used_again_once_it_has_a_worker() -> None:
    state = board("##aa....", rates={"a": 1})
    add(state, "b", 1.0)
    deliver(state, left(0, banned=True))
    back = left(0).but(restored=True)
    posts = deliver(state, back, *[Ticked()] * 3, now_s=NOW_S + 1)
    assert not [each for each in said(posts, ProbeSource) if each.source == 0], "it has no worker"
    posts = deliver(state, joined(0), probed(0, 8 * CHUNK), *[Ticked()] * 3, now_s=NOW_S + 2)
    assert [each.source for each in said(posts, LeaseGranted)] == [0]
    assert state.sources[0].chunks == state.sources[0].bytes_stored == 0
    assert deliver(state, back, now_s=NOW_S + 3) == [], "twice is no more than once"
    assert state.sources[0].lost_s is None


def test_the_last_source_that_is_dropped_ends_the_job_with_the_reason() -> None:
    state = board("##aa", rates={"a": 1})
    posts = deliver(state, left(0), PartFileClosed(job=1), now_s=NOW_S + 1)
    (ended,) = said(posts, JobEnded)
    assert ended.state == "starved"
    assert "dropped by hand" in ended.reason


@pytest.mark.parametrize("turn", [False, True], ids=["a place", "a turn"])
def test_a_user_that_is_dropped_gets_its_place_back(turn: bool) -> None:
    state = board("##aa....", rates={"a": 1})
    add(state, "b")
    source = as_peer(state, "b")
    state.remote_queue.enqueue(source, NOW_S)
    source.ticket = 4 if turn else -1
    posts = deliver(state, left(1))
    assert said(posts, DequeueFile) == [DequeueFile(job=1, source=1)]
    assert said(posts, DeclineUpload) == []


def test_no_one_waits_for_a_source_that_was_dropped_before_it_joined() -> None:
    state = DispatchState(wanted(source_count=2), now_s=NOW_S)
    deliver(state, left(1), joined(0))
    posts = deliver(state, probed(0, 5 * CHUNK, name="f"))
    assert state.phase is Phase.TARGET
    assert posts
    deliver(state, joined(1))
    assert list(state.sources) == [0], "its worker was on the way"


def test_a_job_waits_for_those_who_are_searched_for_and_for_no_one_once_it_heard_that_there_are_none() -> None:
    state = DispatchState(wanted(source_count=2), now_s=NOW_S)
    deliver(state, joined(0), left(0), Ticked())
    waited = state.phase
    deliver(state, SourcesExpected(job=1, count=1))
    assert (waited, state.phase) == (Phase.OPENING, Phase.ENDED)


def test_dropping_what_no_one_knows_changes_nothing() -> None:
    state = board("##aa", rates={"a": 1})
    deliver(state, left(9))
    assert drawn(state) == "##aa"


# -- sources that come


@pytest.mark.parametrize("disk", [False, True], ids=["riding", "paused by its disk"])
def test_a_source_may_come_while_the_job_is(disk: bool) -> None:
    state = board("##aa....", rates={"a": 1})
    if disk:
        deliver(state, DiskFailed(job=1, fault=4, detail="full"))
        assert state.phase is Phase.PAUSED
    (asked,) = said(deliver(state, joined(1)), ProbeSource)
    assert asked.source == 1
    posts = deliver(state, probed(1, 8 * CHUNK))
    if disk:
        opened = PartFileReady(job=1, part_path="/box/f.part", message="")
        posts = deliver(state, ChunksVerified(job=1, ranges=(0, 2)), opened, *[Ticked()] * 3, now_s=NOW_S + 2)
    assert 1 in {granted.source for granted in said(posts, LeaseGranted)}


def test_a_source_that_comes_while_the_others_rest_ends_the_waiting() -> None:
    state = board("##aa", rates={"a": 1})
    add(state, "b", 1.0).not_before_s = NOW_S + 1000
    deliver(state, left(0))
    posts = deliver(state, joined(2), probed(2, 4 * CHUNK))
    assert [granted.source for granted in said(posts, LeaseGranted)] == [2]


# -- reported again


def test_everything_is_reported_again_to_a_watcher_that_forgot() -> None:
    state = board("##aa....", rates={"a": 1})
    deliver(state, Ticked())
    assert said(deliver(state, Ticked(), now_s=NOW_S + 1), JobOpened) == []
    posts = deliver(state, ResendState(job=1), Ticked(), now_s=NOW_S + 2)
    assert [len(said(posts, kind)) for kind in (JobOpened, JobProgressed, ChunkMapDrawn, SourceProgressed)] == [1] * 4


def test_nothing_is_reported_while_nothing_changes() -> None:
    state = board("##aa....", rates={"a": 1})
    state.sources[0].not_before_s = NOW_S + 1000
    deliver(state, DiskFailed(job=1, fault=4, detail="full"), Ticked())
    deliver(state, Ticked(), now_s=NOW_S + 1)
    quiet = (JobProgressed, ChunkMapDrawn, SourceProgressed)
    posts = [post for at in range(2, 60) for post in deliver(state, Ticked(), now_s=NOW_S + at)]
    assert not [post for post in posts if isinstance(post.message, quiet)]


def test_bytes_that_come_after_a_silence_are_reported_at_once_and_then_now_and_then() -> None:
    state = board("aaaaaaaaaa", rates={"a": 1})
    deliver(state, Ticked())
    lease = lease_of(state, "a").id
    times = []
    for step in range(100):
        at_s = NOW_S + 5 + step / 100
        news = [stored(0, lease, step // 10, 1)] if step % 10 == 0 else []
        if said(deliver(state, *news, Ticked(), now_s=at_s), JobProgressed):
            times.append(step)
    assert times[0] == 0
    gaps = [late - early for early, late in pairwise(times)]
    assert 20 <= min(gaps) <= max(gaps) <= 25, "a fifth of a second, a tick later at most"


# -- limits


def test_a_limit_goes_to_the_watchdog_and_to_new_rides() -> None:
    state = board("aa......", rates={"a": 1})
    (watched,) = said(deliver(state, LimitJob(job=1, limit_bytes_s=5000)), MonitorJob)
    assert watched.limit_bytes_s == 5000
    assert said(deliver(state, joined(1), probed(1, 8 * CHUNK)), CapRate)
    lifted = said(deliver(state, LimitJob(job=1, limit_bytes_s=0)), CapRate)
    assert {(each.source, each.rate_bytes_s) for each in lifted} == {(0, 0.0), (1, 0.0)}


# -- who sent what


def test_who_sent_which_chunks_is_reported_exactly() -> None:
    state = board("aaaabbbb", rates={"a": 1, "b": 1})
    deliver(state, stored(0, lease_of(state, "a").id, 0, 3), stored(1, lease_of(state, "b").id, 4, 2))
    assert runs_of(state) == [(0, 3, 0), (4, 6, 1)]


def test_what_was_there_already_is_reported_as_its_sender_s_once_the_sender_is_known_again() -> None:
    state = DispatchState(wanted(source_count=1), now_s=NOW_S)
    assert runs_of(state) == []
    deliver(state, named(0, 77), joined(0), probed(0, 9 * CHUNK))
    verified = ChunksVerified(job=1, ranges=(0, 2, 2, 4, 4, 5, 6, 7), sources=(77, 88, 0, 99))
    deliver(state, verified, PartFileReady(job=1, part_path="/box/f.part", message=""))
    assert runs_of(state) == [(0, 2, 0), (2, 5, -1), (6, 7, -1)]
    deliver(state, named(1, 88), left(1), named(2, 99))
    assert runs_of(state) == [(0, 2, 0), (2, 4, 1), (4, 5, -1), (6, 7, 2)], "also of those that are not used"


def test_the_runs_come_just_before_the_last_word_and_can_still_be_asked_for() -> None:
    state = board("##aa", rates={"a": 1})
    deliver(state, stored(0, lease_of(state, "a").id, 2, 1))
    posts = deliver(state, StopJob(job=1), PartFileClosed(job=1), now_s=NOW_S + 1)
    words = [post.message for post in posts if post.to == "front/front"][-2:]
    assert isinstance(words[0], ContributorsListed)
    assert (words[0].request, words[0].firsts[-1], words[0].owners[-1], words[0].last) == (0, 2, 0, True)
    assert isinstance(words[1], JobEnded)
    assert [post.message for post in posts if post.to == POOL][:2] == words, "the pool keeps the same"
    assert runs_of(state, at_s=NOW_S + 2)[-1] == (2, 3, 0)


def test_ticks_are_rare_while_every_source_sends_and_often_near_the_end_or_where_one_waits() -> None:
    calm = board("aaaaaaaabbbbbbbb", rates={"a": 1.0, "b": 1.0})
    assert calm.tick_s(NOW_S) == CALM_TICK_S
    assert board("######aabb", rates={"a": 1.0, "b": 1.0}).tick_s(NOW_S) == TICK_S, "two seconds are left"
    add(calm, "c")
    assert calm.tick_s(NOW_S) == TICK_S, "it waits for a place"
    calm.sources[2].state = SourceState.BANNED
    assert calm.tick_s(NOW_S) == CALM_TICK_S
    calm.content.identity.dispute(0, b"x", 1, b"y", 3, now_s=NOW_S)
    assert calm.tick_s(NOW_S) == TICK_S


def test_the_next_tick_is_wanted_late_where_nothing_comes_by_itself() -> None:
    state = board("aaaa", rates={"a": 1.0})
    assert state.tick_s(NOW_S) == CALM_TICK_S, "a second at least is left"
    for phase, tick_s in ((Phase.PAUSED, QUIET_TICK_S), (Phase.WAITING, QUIET_TICK_S), (Phase.SEALING, TICK_S)):
        state.phase = phase
        assert state.tick_s(NOW_S) == tick_s
    idle = board("....")
    assert idle.tick_s(NOW_S) == QUIET_TICK_S, "no source is there"
    source = add(idle, "a", 1.0)
    assert idle.tick_s(NOW_S) == TICK_S
    source.enqueued = True
    assert idle.tick_s(NOW_S) == QUIET_TICK_S, "a word of its user ends that"


def test_of_many_sources_some_rows_are_reported_at_a_time_and_each_in_its_turn() -> None:
    count = 2 * ROWS_PER_REPORT + 5
    reporter = Reporter(wanted(watcher="front"), now_s=0.0)
    sources = {number: Source(number, f"s{number}", "host", "w", "f") for number in range(count)}
    seen = list[int]()
    for now_s in (1.0, 2.0, 3.0):
        rows = said(reporter.progress("riding", sources, None, 0.0, now_s=now_s), SourceProgressed)
        assert len(rows) <= ROWS_PER_REPORT
        seen += [row.source for row in rows]
    assert sorted(seen) == list(range(count)), "a row that has not changed is not said again"


@pytest.mark.parametrize("rate", [0.0, 3.0])
def test_a_watcher_that_wants_every_chunk_gets_one_line_each_with_a_rising_count(rate: float) -> None:
    state = board("##aaaa", rates={"a": 2.0})
    lease = lease_of(state, "a")
    lease.rate_bytes_s = rate * CHUNK
    state.leases.report.job = state.leases.job = replace(state.job, verbose=True)  # type: ignore[union-attr]
    posts = deliver(state, stored(0, lease.id, 2, 3))
    arrived = said(posts, ChunkArrived)
    assert [(each.name, each.chunk, each.stored_chunks, each.chunk_count) for each in arrived] == [
        ("a", 2 + at, 3 + at, 6) for at in range(3)
    ]
    assert {each.rate_bytes_s for each in arrived} == {(rate or 2.0) * CHUNK}
