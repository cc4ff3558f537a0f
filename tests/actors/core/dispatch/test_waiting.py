"""A job that may wait does so when no one can deliver, says why, and goes on when there is someone to hope for."""

from typing import Any

import pytest

from actors.core.dispatch.chunk_tracker import recorded
from actors.core.dispatch.dispatcher import DispatchState, Phase
from actors.core.dispatch.recovery import PAUSE_S_MAX, PAUSE_S_MIN
from actors.core.dispatch.sources import COOL_S
from actors.core.pool.pool import PoolState
from actors.core.pool.source_search import RESEARCH_FIRST_S, RESEARCH_S_MAX
from protocol.messages import (
    ChunksVerified,
    ClosePartFile,
    DiskFailed,
    EnqueueFile,
    JobEnded,
    JobNoted,
    JobProgressed,
    LeaseGranted,
    OpenPartFile,
    PartFileClosed,
    PartFileReady,
    ProbeSource,
    SealFile,
    SearchEnded,
    SearchHit,
    SourceDisabled,
    SourceFailed,
    SourceLost,
    StartDispatcher,
    StartSearch,
    StopJob,
    Ticked,
)
from protocol.messages.addresses import Post
from protocol.model.faults import FaultKind, PartFileFaultKind
from tests.actors.core.dispatch.boards import CHUNK, NOW_S, deliver, joined, probed, said, wanted
from tests.actors.core.dispatch.queued_users import session
from tests.actors.core.dispatch.replies import released, stored
from tests.actors.core.pool import test_pool as pools
from tests.specs import changed


def job(*, term: str = "tide", **changes: Any) -> DispatchState:
    """A job of a daemon; `term`: words that it searches for users by."""
    return DispatchState(wanted(name="f", waits=True, term=term, **changes), now_s=NOW_S)


def riding(found: tuple[int, ...] = (), term: str = "tide") -> DispatchState:
    """Four chunks, of which source 0 rides those that were not `found`."""
    state = job(term=term)
    deliver(state, joined(0), probed(0, 4 * CHUNK))
    deliver(state, ChunksVerified(job=1, ranges=found), PartFileReady(job=1, part_path="/box/f.part", message=""))
    assert state.phase is Phase.RIDING
    return state


def gone(state: DispatchState, number: int = 0, *, now_s: float = NOW_S) -> list[Post]:
    """Its host does not exist any more: banned."""
    busy = state.sources[number].busy
    assert busy is not None
    return deliver(state, released(number, busy, 0, FaultKind.NOT_FOUND), now_s=now_s)


def reason(state: DispatchState, now_s: float) -> str:
    progressed = said(deliver(state, Ticked(), now_s=now_s), JobProgressed)[-1]
    assert progressed.state == state.phase.value
    assert isinstance(progressed.reason, str)
    return progressed.reason


def test_it_waits_with_the_reason_and_holds_no_lease() -> None:
    state = riding()
    posts = gone(state)
    assert state.phase is Phase.WAITING
    assert not said(posts, JobEnded)
    assert [note.text for note in said(posts, JobNoted)][-1] == "waits: source-0: not_found"
    assert state.leases is not None
    assert not state.leases.tracker.leases
    assert reason(state, NOW_S + 1) == "source-0: not_found"
    assert not said(deliver(state, Ticked(), now_s=NOW_S + 1e6), JobEnded), "for as long as it takes"


def test_a_job_whose_sources_have_all_failed_finally_ends_where_no_search_may_bring_others() -> None:
    state = job(term="", source_count=2)
    deliver(state, joined(0), joined(1))
    deliver(state, SourceFailed(job=1, source=0, fault=int(FaultKind.NOT_FOUND), detail="404", retry_after_s=0.0))
    assert state.phase is Phase.OPENING
    refused = SourceFailed(job=1, source=1, fault=int(FaultKind.FORBIDDEN), detail="401", retry_after_s=0.0)
    (ended,) = said(deliver(state, refused), JobEnded)
    assert (ended.state, ended.reason) == ("starved", "source-0: 404; source-1: 401")


def test_it_waits_while_one_source_may_come_back_and_ends_when_that_is_dropped() -> None:
    state = job(term="", source_count=2)
    deliver(state, joined(0), joined(1))
    failed(state, NOW_S)
    deliver(state, SourceFailed(job=1, source=1, fault=int(FaultKind.NOT_FOUND), detail="404", retry_after_s=0.0))
    assert state.phase is Phase.WAITING
    assert said(deliver(state, SourceDisabled(job=1, source=0, banned=False, detail="dropped")), JobEnded)


def test_a_job_whose_sources_were_all_dropped_waits_for_others() -> None:
    state = job(term="")
    deliver(state, joined(0), SourceDisabled(job=1, source=0, banned=False, detail="dropped"))
    assert not said(deliver(state, Ticked(), now_s=NOW_S + 1e5), JobEnded)
    assert state.phase is Phase.WAITING


def test_a_source_that_has_delivered_and_lost_the_file_is_tried_again_a_bounded_number_of_times() -> None:
    state, now_s, waits, ended = riding(term=""), NOW_S, 0, list[JobEnded]()
    lease = state.sources[0].busy
    assert lease is not None
    deliver(state, stored(0, lease, 0, 1))
    while not ended and waits < 20:
        for _ in range(1000):
            now_s += 1.0
            ended += said(deliver(state, Ticked(), now_s=now_s), JobEnded)
            if ended or state.phase is Phase.WAITING:
                waits += 1
                break
            if state.sources[0].busy is not None:
                ended += said(gone(state, now_s=now_s), JobEnded)
                ended += said(deliver(state, PartFileClosed(job=1), now_s=now_s), JobEnded)
        while not ended and state.phase is Phase.WAITING:
            now_s += 10.0
            ended += said(deliver(state, Ticked(), now_s=now_s), JobEnded)
            ended += said(deliver(state, PartFileClosed(job=1), now_s=now_s), JobEnded)
    assert ended[0].state == "starved"
    assert ended[0].reason == "source-0: not_found"
    assert 2 <= waits <= 6


def test_one_that_may_not_wait_ends_starved_as_ever() -> None:
    state = riding()
    state.job = wanted(name="f")
    gone(state)
    assert state.phase is Phase.CLOSING


def test_a_source_that_is_offered_lets_it_go_on() -> None:
    state = riding()
    gone(state)
    assert said(deliver(state, joined(1), now_s=NOW_S + 5000), ProbeSource)
    assert state.phase is Phase.RIDING
    (granted,) = said(deliver(state, probed(1, 4 * CHUNK), now_s=NOW_S + 5001), LeaseGranted)
    assert (granted.source, granted.first) == (1, 0)


def test_a_job_that_never_knew_its_size_opens_when_someone_tells_it() -> None:
    state = job()
    deliver(state, joined(0))
    deliver(state, SourceFailed(job=1, source=0, fault=int(FaultKind.NOT_FOUND), detail="404", retry_after_s=0.0))
    assert state.phase is Phase.WAITING
    deliver(state, joined(1), now_s=NOW_S + 100)
    assert said(deliver(state, probed(1, 4 * CHUNK), now_s=NOW_S + 101), OpenPartFile)


def test_a_worker_that_is_back_lets_it_go_on() -> None:
    state = riding()
    deliver(state, SourceLost(job=1, source=0, detail="fetch-1 died"))
    deliver(state, Ticked(), now_s=NOW_S + 60)
    assert state.phase is Phase.WAITING
    assert said(deliver(state, joined(0), now_s=NOW_S + 500), ProbeSource)


def failed(state: DispatchState, now_s: float) -> None:
    """Its probe comes to nothing in a way that time may mend."""
    fault = int(FaultKind.OFFLINE)
    deliver(state, SourceFailed(job=1, source=0, fault=fault, detail="away", retry_after_s=0.0), now_s=now_s)


def next_probe_s(state: DispatchState, now_s: float) -> float:
    """When the source is asked again, to a second."""
    for later_s in range(int(2 * PAUSE_S_MAX)):
        if said(deliver(state, Ticked(), now_s=now_s + later_s), ProbeSource):
            return float(later_s)
    raise AssertionError("never")


def test_those_that_failed_are_tried_again_after_growing_pauses_up_to_an_hour() -> None:
    state, now_s, pauses_s = job(), NOW_S, list[float]()
    deliver(state, joined(0))
    for _ in range(8):
        failed(state, now_s)
        assert state.phase is Phase.WAITING
        assert reason(state, now_s + 0.3).startswith("source-0: away; tries again in ")
        pauses_s.append(next_probe_s(state, now_s + 1) + 1)
        now_s += pauses_s[-1] + 1
    assert pauses_s == pytest.approx([60, 120, 240, 480, 960, 1920, 3600, 3600], abs=2)
    assert pauses_s[0] >= PAUSE_S_MIN > COOL_S


def test_after_something_was_stored_the_pause_is_short_again() -> None:
    state = riding()
    waiting = state.source_wait
    for _ in range(4):
        waiting.begin(state.sources, 0, now_s=NOW_S)
    assert waiting._pause_s > PAUSE_S_MIN
    waiting.begin(state.sources, 1, now_s=NOW_S)
    assert waiting._pause_s == PAUSE_S_MIN


@pytest.mark.parametrize("final", [True, False])
def test_a_new_login_lets_it_ask_its_users_again(final: bool) -> None:
    state = job(source_count=1)
    deliver(state, session("online"), joined(0, peer="ann", path="f", size_bytes=4 * CHUNK))
    deliver(state, PartFileReady(job=1, part_path="/box/f.part", message=""))
    lost_s = NOW_S if final else NOW_S + 61  # one that is over for good is not hoped for first
    deliver(state, session("offline", final=final))
    deliver(state, Ticked(), now_s=lost_s)
    assert state.phase is Phase.WAITING
    posts = deliver(state, session("online"), now_s=lost_s + 1)
    assert [asked.peer for asked in said(posts, EnqueueFile)] == ["ann"]


def test_a_user_who_is_offered_while_it_waits_is_asked_at_once() -> None:
    state = riding((0, 2))
    gone(state)
    posts = deliver(state, joined(1, peer="bob", path="f", size_bytes=4 * CHUNK))
    assert [asked.peer for asked in said(posts, EnqueueFile)] == ["bob"]


def test_a_job_without_any_source_waits_for_the_first() -> None:
    state = job()
    deliver(state, Ticked(), now_s=NOW_S + 1)
    assert state.phase is Phase.WAITING
    posts = deliver(state, joined(0, peer="ann", path="f", size_bytes=4 * CHUNK), now_s=NOW_S + 2)
    assert said(posts, OpenPartFile)


def test_a_stop_while_it_waits_closes_what_is_open_and_keeps_it() -> None:
    state = riding()
    gone(state)
    assert said(deliver(state, StopJob(job=1)), ClosePartFile)


def test_a_disk_that_fails_while_it_waits_pauses_it_and_then_it_waits_on() -> None:
    state = riding((0, 2))
    gone(state)
    failed_disk = DiskFailed(job=1, fault=int(PartFileFaultKind.GONE), detail="gone")
    found = (ChunksVerified(job=1, ranges=(0, 2)), PartFileReady(job=1, part_path="/box/f.part", message=""))
    phases = [(deliver(state, *messages), state.phase)[1] for messages in ((failed_disk,), found)]
    assert phases == [Phase.PAUSED, Phase.WAITING]


def test_a_store_that_dies_while_it_waits_is_asked_again_and_then_it_waits_on() -> None:
    from protocol.messages import ProcessReady

    state = riding((0, 2))
    gone(state)
    assert said(deliver(state, ProcessReady(process="store", pid=2)), OpenPartFile)
    deliver(
        state, ChunksVerified(job=1, ranges=(0, 2)), PartFileReady(job=1, part_path="/box/f.part", message="", store=1)
    )
    assert state.phase is Phase.WAITING
    deliver(state, joined(1), probed(1, 4 * CHUNK))
    assert state.sources[1].busy is not None


def test_what_was_on_its_way_when_everybody_left_may_be_all_that_lacked() -> None:
    state = riding((0, 3))
    lease = state.sources[0].busy
    assert lease is not None
    gone(state)
    state.content.identity.agree(0, recorded(0), 2)  # an overlap check before it left
    deliver(state, stored(0, lease, 3, 1), now_s=NOW_S + 2)
    assert said(deliver(state, Ticked(), now_s=NOW_S + 3), SealFile)


# -- before a file was found


def hunting() -> PoolState:
    pool = PoolState(("fetch-1",))
    asked = pools.asked(sources=0)
    pools.posted(pool, changed(asked, term="tide", waits=True))
    return pool


def nothing(pool: PoolState, search: int, now_s: float) -> list[Post]:
    return pools.posted(pool, SearchEnded(search=search, peers=0, refused=""), now_s=now_s)


def test_a_file_that_no_one_has_is_searched_for_again_more_and_more_seldom() -> None:
    pool, now_s, pauses_s = hunting(), 0.0, list[float]()
    for search in range(1, 10):
        (post,) = nothing(pool, search, now_s)
        assert isinstance(post.message, JobProgressed)
        assert (post.message.state, post.message.reason) == ("waiting", "no user offers 'tide'")
        pause_s = 1.0
        while not said(pools.posted(pool, Ticked(), now_s=now_s + pause_s), StartSearch):
            pause_s += 1.0
        pauses_s.append(pause_s)
        now_s += pause_s
    assert pauses_s == [min(RESEARCH_FIRST_S * 2**count, RESEARCH_S_MAX) for count in range(9)]


def test_a_search_that_brings_someone_at_last_begins_the_job() -> None:
    pool = hunting()
    nothing(pool, 1, 0.0)
    pools.posted(pool, Ticked(), now_s=100.0)
    hit = SearchHit(
        search=2, peer="ann", path="a\\tide.flac", size_bytes=9, slots_free=True, speed_bytes_s=0, queue_length=0,
        locked=False,
    )  # fmt: skip
    pools.posted(pool, hit, now_s=101.0)
    (begun,) = said(nothing(pool, 2, 105.0), StartDispatcher)
    assert begun.start.waits


def test_without_a_login_it_is_searched_for_as_soon_as_there_is_one() -> None:
    pool = hunting()
    assert pools.posted(pool, session("refused", final=True)) == []
    assert pools.posted(pool, session("online"), now_s=1.0) == [], "a search is under way"
    nothing(pool, 1, 2.0)
    assert said(pools.posted(pool, session("online"), now_s=5.0), StartSearch)


# -- while what connections are bound to is gone


@pytest.mark.parametrize("waits", [True, False])
def test_without_its_interface_a_job_waits_with_words_and_goes_on_by_itself(waits: bool) -> None:
    state = DispatchState(wanted(name="f", waits=waits, source_count=1), now_s=NOW_S)
    deliver(state, joined(0))
    gone_words, now_s, notes = "interface wg0 is gone", NOW_S, 0
    for _ in range(50):
        failure = SourceFailed(
            job=1, source=0, fault=int(FaultKind.INTERFACE_GONE), detail=gone_words, retry_after_s=0.0
        )
        notes += len(said(deliver(state, failure, now_s=now_s), JobNoted))
        assert reason(state, now_s + 1) == gone_words
        now_s += 2
        assert said(deliver(state, Ticked(), now_s=now_s), ProbeSource), "every two seconds"
    assert notes == 1
    assert said(deliver(state, probed(0, 4 * CHUNK), now_s=now_s), OpenPartFile)
