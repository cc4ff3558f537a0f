"""The store dies in the middle of a job, a new one opens the target again: what is on disk counts, no one is blamed."""

from hypothesis import given
from hypothesis import strategies as st

from actors.core.dispatch import admission
from actors.core.dispatch.dispatcher import DispatcherInbox, DispatchState, Phase
from actors.core.dispatch.leases import LEASE_S_MAX
from actors.core.dispatch.progress import Ending
from actors.core.dispatch.recovery import HANDED_AGAIN_S
from actors.core.dispatch.sources import SourceState
from protocol.messages import (
    ChunksVerified,
    ClosePartFile,
    EnqueueFile,
    FileSealed,
    JobClosed,
    JobEnded,
    LeaseGranted,
    OpenPartFile,
    PartFileClosed,
    PartFileReady,
    PartFileReopened,
    ProcessReady,
    SealFile,
    SourceProgressed,
    Ticked,
)
from protocol.messages.addresses import ASSEMBLER, Post
from protocol.model.chunk_ranges import RangeSet
from protocol.model.identity import Claim
from protocol.model.source_url import Window, windowed
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
from tests.actors.core.dispatch.queued_users import place
from tests.actors.core.dispatch.replies import finished, stalled, stored

STORE_BACK = ProcessReady(process="store", pid=2)


def riding(picture: str, rates: dict[str, float] | None = None) -> DispatchState:
    state = board(picture, rates=rates)
    state._store_recovery.ask(admission.open_request(state.job, state.size_bytes, "f"))
    state._out.take()
    return state


def found(picture: str) -> list[DispatcherInbox]:
    """What a new store says of a disk that looks like this."""
    runs = RangeSet((chunk, chunk + 1) for chunk, mark in enumerate(picture) if mark == "#")
    flat = tuple(edge for run in runs for edge in run)
    opened = PartFileReady(job=1, part_path="/box/f.part", message="", store=1)
    return [ChunksVerified(job=1, ranges=flat), opened]


def reopened(state: DispatchState, picture: str, now_s: float = NOW_S) -> list[Post]:
    asked = deliver(state, STORE_BACK, now_s=now_s)
    assert len(said(asked, OpenPartFile)) == 1
    return deliver(state, *found(picture), now_s=now_s)


def test_rides_go_on_and_what_was_handed_over_is_handed_over_again() -> None:
    state = riding("##aaaa", {"a": 1.0})
    posts = reopened(state, "##....")
    assert drawn(state) == "##aaaa"
    assert [(post.to, post.message) for post in posts if isinstance(post.message, PartFileReopened)] == [
        ("fetch-1/shelf", PartFileReopened(job=1, store=1))
    ]


def test_chunks_that_were_written_but_not_reported_are_stored() -> None:
    state = riding("##aaaabb", {"a": 1.0, "b": 1.0})
    reopened(state, "####..#.")
    assert drawn(state) == "####aa#b"


def test_chunks_that_are_not_there_any_more_are_fetched_again() -> None:
    state = riding("####aa", {"a": 1.0})
    reopened(state, "#.##..")
    assert drawn(state) == "#.##aa"
    assert state.leases is not None
    assert not state.leases.tracker.complete


def test_the_last_word_of_a_store_that_has_died_since_is_not_taken_for_its_successor_s() -> None:
    state = riding("##aa..", {"a": 1.0})
    deliver(state, STORE_BACK)
    deliver(state, STORE_BACK)  # it died again; what it had said comes now
    deliver(state, *found("##...."))
    verified, _ = found("####..")
    posts = deliver(state, verified, PartFileReady(job=1, part_path="/box/f.part", message="", store=2))
    assert said(posts, PartFileReopened) == [PartFileReopened(job=1, store=2)]
    assert drawn(state)[:4] == "####"


def test_a_new_lease_names_the_new_store() -> None:
    state = riding("##a...", {"a": 1.0})
    add(state, "b", 1.0)
    (granted,) = said(reopened(state, "##...."), LeaseGranted)
    assert granted.store == 1


def test_no_one_is_blamed_for_silence_while_no_one_stores() -> None:
    state = riding("##aa", {"a": 1.0})
    add(state, "b", 1.0)
    lease = lease_of(state, "a")
    deliver(state, STORE_BACK)
    deliver(state, stalled(0, lease.id))
    deliver(state, Ticked(), now_s=NOW_S + 2 * LEASE_S_MAX)
    assert state.sources[0].state is SourceState.ACTIVE
    assert drawn(state)[2:] in ("aa", "ab")


def test_what_was_handed_over_and_lost_is_fetched_again_soon() -> None:
    state = riding("##aa", {"a": 1.0})
    deliver(state, finished(0, lease_of(state, "a").id, 4))
    assert drawn(state) == "##aa", "on its way to a store that is dead"
    reopened(state, "##..")
    deliver(state, Ticked(), now_s=NOW_S + HANDED_AGAIN_S - 0.5)
    assert state.leases is not None
    assert state.leases.draining()
    deliver(state, Ticked(), now_s=NOW_S + HANDED_AGAIN_S + 1.5)
    assert not state.leases.draining()


def test_a_job_that_was_being_sealed_is_sealed_by_the_new_store() -> None:
    state = riding("##a", {"a": 1.0})
    assert said(deliver(state, stored(0, lease_of(state, "a").id, 2, 1)), SealFile)
    deliver(state, STORE_BACK)
    assert said(deliver(state, *found("###")), SealFile)
    assert state.phase is Phase.SEALING


def test_a_file_of_which_no_one_had_announced_the_size_is_asked_for_by_what_was_learned() -> None:
    state = riding("##aa", {"a": 1.0})
    state._store_recovery.ask(admission.open_request(state.job, -1, "f"))
    state._out.take()
    (asked,) = said(deliver(state, STORE_BACK), OpenPartFile)
    assert asked.spec.size_bytes == 4 * CHUNK


def test_a_job_that_is_closing_hears_that_its_file_was_sealed_before_and_ends_so() -> None:
    state = riding("##a", {"a": 1.0})
    state._close("interrupted", "interrupted", NOW_S)
    posts = deliver(state, FileSealed(job=1, path="/box/f", digest_hex=""))
    (ended,) = said(posts, JobEnded)
    assert (ended.state, ended.path) == ("sealed", "/box/f")
    assert JobClosed(job=1) in [post.message for post in posts if post.to == ASSEMBLER], "only now its records go"


def test_a_job_that_was_closing_closes() -> None:
    state = riding("##a", {"a": 1.0})
    state._close("interrupted", "", NOW_S)
    assert said(deliver(state, STORE_BACK), ClosePartFile)
    assert said(deliver(state, PartFileClosed(job=1)), JobEnded)


def test_a_job_whose_target_was_being_opened_asks_again_and_begins() -> None:
    state = DispatchState(wanted(name="f"), now_s=NOW_S)
    deliver(state, joined(0), probed(0, 3 * CHUNK))
    deliver(state, STORE_BACK)
    deliver(state, *found("#.."))
    assert state.phase is Phase.RIDING
    assert state.leases is not None
    assert state.leases.tracker.stored.count == 1


@given(st.lists(st.sampled_from("#.ab"), min_size=1, max_size=24), st.data())
def test_whatever_is_found_the_board_agrees_with_the_disk(marks: list[str], data: st.DataObject) -> None:
    picture = "".join(sorted(marks, key="#a.b".index))
    state = riding(picture, {"a": 1.0, "b": 2.0})
    disk = data.draw(st.text("#.", min_size=len(picture), max_size=len(picture)))
    reopened(state, disk)
    assert state.leases is not None
    board_ = state.leases.tracker
    assert [mark == "#" for mark in disk] == [board_.stored.covers(at, at + 1) for at in range(len(picture))]


def test_leases_of_another_hub_have_other_numbers_and_its_bytes_are_the_jobs_own() -> None:
    state = DispatchState(wanted(name="f", attempt=1, elapsed_s=5.0, resumed_bytes=CHUNK), now_s=NOW_S)
    deliver(state, joined(0), probed(0, 4 * CHUNK))
    posts = deliver(state, *found("###."))
    (granted,) = said(posts, LeaseGranted)
    assert granted.lease > 1_000_000
    deliver(state, stored(0, granted.lease, 3, 1))
    sealed = Ending("sealed", decided_s=NOW_S + 2)
    (ended,) = said(state.report.ended(sealed, state.sources, None, claim=Claim()), JobEnded)
    assert (ended.bytes_resumed, ended.bytes_received, ended.bytes_refetched) == (CHUNK, 3 * CHUNK, 0)
    assert ended.seconds == 7.0


def test_what_sources_gave_before_the_hub_died_counts_as_theirs() -> None:
    state = DispatchState(wanted(name="f", attempt=1, resumed_bytes=0, stops_per_job=3, stops_per_day=8), now_s=NOW_S)
    counts = {"bytes_stored": 2 * CHUNK, "chunks": 2, "leases": 3, "stops": 3}
    deliver(state, joined(0, peer="ann", path="f", size_bytes=4 * CHUNK, stops_today=7, **counts))
    deliver(state, *found("##.."))
    source = state.sources[0]
    assert source.proven
    assert source.budget_spent, "three stops a job, whichever hub made them"
    assert not source.budget_spent_today, "seven, not ten: those of this job are among them"
    row = next(each for each in said(deliver(state, Ticked(), now_s=NOW_S + 9), SourceProgressed) if each.source == 0)
    assert (row.bytes_stored, row.chunks, row.stops) == (2 * CHUNK, 2, 3)
    assert row.leases >= 3


def test_places_in_queues_are_asked_for_again_in_a_new_session() -> None:
    state = board("##aa....", rates={"a": 1.0})
    add(state, "b", 1.0)
    as_peer(state, "b")
    as_peer(state, "a")
    deliver(state, Ticked(), now_s=NOW_S + 1)
    deliver(state, place(1, 3))
    assert state.sources[1].enqueued
    posts = deliver(state, ProcessReady(process="soulseek", pid=2))
    assert [asked.source for asked in said(posts, EnqueueFile)] == [1]
    assert drawn(state)[2:4] == "aa", "who has bytes rides on"


def test_of_a_user_whose_stops_of_the_day_are_spent_only_a_window_that_would_end_with_a_stop_is_left_out() -> None:
    state = DispatchState(wanted(name="f", stops_per_day=8), now_s=NOW_S)
    size, whole = 4 * CHUNK, "slsk://ann/f"
    names = [whole, windowed(whole, Window(0, CHUNK, size)), windowed(whole, Window(CHUNK, size, size))]
    for number, name in enumerate(names):
        deliver(state, joined(number, name=name, peer=f"user-{number}", path="f", size_bytes=size, stops_today=8))
    assert [source.state is SourceState.BANNED for source in state.sources.values()] == [False, True, False]
