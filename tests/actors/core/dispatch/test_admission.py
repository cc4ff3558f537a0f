"""From the first probe to an open target."""

from functools import partial
from typing import Any

import pytest

from actors.core.dispatch.admission import SWITCH_S_MAX
from actors.core.dispatch.chunk_tracker import CHUNK_SIZE_LEAST
from actors.core.dispatch.dispatcher import DispatchState, Phase
from actors.core.dispatch.sources import SourceState
from protocol.messages import (
    ChunksVerified,
    ClosePartFile,
    DropChunks,
    JobEnded,
    JobNoted,
    JobOpened,
    LeaseGranted,
    LeaseRevoked,
    MonitorJob,
    OpenPartFile,
    PartFileReady,
    PartFileRefused,
    ProbeSource,
    SealFile,
    SealRefused,
    SourceFailed,
    SourceLost,
    Ticked,
)
from protocol.messages.addresses import Post
from protocol.model.faults import FaultKind, PartFileFaultKind
from tests.actors.core.dispatch.boards import CHUNK, drawn, joined, probed, said, wanted
from tests.actors.core.dispatch.boards import deliver as deliver_at
from tests.actors.core.dispatch.replies import finished, measured, stored

SIZE = 8 * CHUNK
OPENED = PartFileReady(job=1, part_path="/box/f.part", message="")


deliver = partial(deliver_at, now_s=1.0)


def failed(source: int, kind: FaultKind = FaultKind.NOT_FOUND) -> SourceFailed:
    return SourceFailed(job=1, source=source, fault=int(kind), detail=kind.name, retry_after_s=0.0)


def job(sources: int, **changes: object) -> DispatchState:
    """A job of which something was there already: no source is held back."""
    state = DispatchState(wanted(**{"source_count": sources, "begun": True, **changes}), now_s=0.0)
    assert said(state.start(), MonitorJob)
    posts = deliver(state, *[joined(number) for number in range(sources)], now_s=0.0)
    assert len(said(posts, ProbeSource)) == sources
    return state


def test_the_first_size_opens_the_target() -> None:
    state = job(3)
    (target,) = said(deliver(state, probed(0, SIZE)), OpenPartFile)
    assert (target.spec.size_bytes, target.spec.name, target.spec.chunk_size) == (SIZE, "f", CHUNK)


def test_the_source_named_first_may_propose_the_name_for_a_while() -> None:
    state = job(2)
    assert not said(deliver(state, probed(1, SIZE, name="other.bin")), OpenPartFile)
    (target,) = said(deliver(state, probed(0, SIZE, name="first.bin"), now_s=1.2), OpenPartFile)
    assert target.spec.name == "first.bin"


def test_a_first_source_that_keeps_silent_does_not_hold_up_the_job() -> None:
    state = job(2)
    deliver(state, probed(1, SIZE, name="other.bin"))
    (target,) = said(deliver(state, Ticked(), now_s=2.1), OpenPartFile)
    assert target.spec.name == "other.bin"


def test_no_one_is_waited_for_when_the_name_is_what_the_first_address_ends_in() -> None:
    state = job(2)
    assert said(deliver(state, probed(1, SIZE, name="f")), OpenPartFile)


def test_a_name_that_was_asked_for_is_taken() -> None:
    (target,) = said(deliver(job(2, name="mine"), probed(1, SIZE, name="other")), OpenPartFile)
    assert target.spec.name == "mine"


def test_without_a_size_everybody_is_heard_first() -> None:
    state = job(2)
    assert not said(deliver(state, probed(0, -1)), OpenPartFile)
    (target,) = said(deliver(state, failed(1)), OpenPartFile)
    assert target.spec.size_bytes == -1


def test_of_two_sizes_said_by_one_source_each_the_one_that_was_named_first_counts() -> None:
    state = job(2)
    deliver(state, probed(0, SIZE), OPENED)
    posts = deliver(state, probed(1, SIZE + 1))
    assert state.sources[1].state.value == "banned"
    assert any("size differs: it has" in note.text for note in said(posts, JobNoted))
    assert state.phase is Phase.RIDING


def test_of_two_sizes_a_server_that_ignores_ranges_has_the_wrong_one() -> None:
    """A login page in place of the first mirror."""
    state = job(2)
    deliver(state, probed(0, 850, offset_ok=False), OPENED)
    (target,) = said(deliver(state, probed(1, SIZE)), OpenPartFile)
    assert (target.spec.size_bytes, target.start_over) == (SIZE, True)
    posts = deliver(state, OPENED)
    assert state.sources[0].state.value == "banned"
    assert [granted.source for granted in said(posts, LeaseGranted)] == [1]


def test_with_a_digest_a_file_of_another_size_is_fetched_where_that_of_the_first_answer_is_not_it() -> None:
    """Two sizes against two, and the digest is that of the files that were named later: exit 4 and no file."""
    state = job(3, checksum="sha256:" + "ab" * 32)
    deliver(state, probed(0, SIZE), OPENED, probed(1, SIZE + 1), probed(2, SIZE // 17))
    assert said(deliver(state, stored(0, 1, 0, 8), finished(0, 1, 8)), SealFile)
    posts = deliver(state, SealRefused(job=1, detail="checksum differs"))
    (target,) = said(posts, OpenPartFile)
    assert (target.spec.size_bytes, target.start_over) == (SIZE + 1, True)
    granted = said(deliver(state, OPENED, now_s=2.0), LeaseGranted)
    assert {each.source for each in granted} == {1}
    assert [each.state.value for each in state.sources.values()][::2] == ["banned"] * 2
    last = granted[-1].lease
    assert said(deliver(state, stored(1, last, 0, 9), finished(1, last, 9), now_s=3.0), SealFile)
    posts = deliver(state, SealRefused(job=1, detail="checksum differs"), now_s=4.0)
    assert not said(posts, OpenPartFile), "each is tried once, and what is far smaller is no version of it"
    assert said(posts, ClosePartFile)


def test_without_a_wanted_digest_a_file_of_another_size_is_not_begun_where_the_first_is_refused() -> None:
    state = job(2)
    deliver(state, probed(0, SIZE), OPENED, probed(1, SIZE + 1))
    assert said(deliver(state, stored(0, 1, 0, 8), finished(0, 1, 8)), SealFile)
    posts = deliver(state, SealRefused(job=1, detail="its server names another digest"))
    assert not said(posts, OpenPartFile)
    assert said(posts, ClosePartFile)


def test_the_size_of_most_sources_replaces_that_of_the_first_answer() -> None:
    state = job(4)
    deliver(state, probed(0, SIZE), OPENED)
    late = stored(0, 1, 0, 2)
    deliver(state, late)
    deliver(state, probed(1, SIZE + 1))
    assert state.sources[1].state.value == "banned"
    posts = deliver(state, probed(2, SIZE + 1))
    (target,) = said(posts, OpenPartFile)
    assert target.spec.size_bytes == SIZE + 1
    assert [revoked.source for revoked in said(posts, LeaseRevoked)] == [0]
    assert any("starting over" in note.text for note in said(posts, JobNoted))
    posts = deliver(state, OPENED)
    leases = said(posts, LeaseGranted)
    assert {granted.source for granted in leases} <= {1, 2}
    assert min(granted.lease for granted in leases) > 1, "numbers of old leases are not used again"
    (drop,) = said(deliver(state, late), DropChunks)
    assert (drop.firsts, drop.stops) == ((0,), (2,)), "bytes of the first file that came late"


def test_further_connections_to_a_server_have_no_say_in_the_size() -> None:
    """One that thinks that it has enough of them may send a page over all the others."""
    state = DispatchState(wanted(source_count=4, begun=True), now_s=0.0)
    state.start()
    names = ["http://a/f", *(f"http://a/f#connection-{number}" for number in (2, 3, 4))]
    deliver(state, *[joined(number, name=name) for number, name in enumerate(names)], now_s=0.0)
    (target,) = said(deliver(state, probed(0, SIZE)), OpenPartFile)
    posts = deliver(state, OPENED, *[probed(number, 14) for number in (1, 2, 3)])
    assert target.spec.size_bytes == SIZE
    assert not said(posts, OpenPartFile)
    assert [state.sources[number].state for number in (1, 2, 3)] == 3 * [SourceState.BANNED]
    assert state.sources[0].usable


def test_the_size_of_the_order_counts_against_any_majority() -> None:
    state = job(3, size_bytes=SIZE)
    assert not said(deliver(state, probed(0, SIZE + 1, name="f")), OpenPartFile) or state.size_bytes == SIZE + 1
    deliver(state, probed(1, SIZE + 1))
    deliver(state, OPENED)
    (target,) = said(deliver(state, probed(2, SIZE)), OpenPartFile)
    assert target.spec.size_bytes == SIZE


@pytest.mark.parametrize("checksum", ["", "sha256:" + "ab" * 32])
def test_a_file_of_another_size_than_was_ordered_is_not_fetched_unless_a_digest_can_tell(checksum: str) -> None:
    state = job(2, size_bytes=SIZE, checksum=checksum)
    posts = deliver(state, probed(0, SIZE + 1, name="f"))
    assert bool(said(posts, OpenPartFile)) is bool(checksum), "the other one may have it"
    posts += deliver(state, probed(1, SIZE + 1))
    ended = [(each.state, each.reason) for each in said(posts, JobEnded)]
    wanted_end = ("disagreed", f"sizes differ: {SIZE} bytes were ordered, the sources have {SIZE + 1}")
    assert set(ended) == (set() if checksum else {wanted_end})


def test_a_majority_that_comes_late_does_not_undo_what_was_fetched() -> None:
    state = job(3)
    deliver(state, probed(0, SIZE), OPENED)
    posts = deliver(state, probed(1, SIZE + 1), probed(2, SIZE + 1), now_s=1.0 + SWITCH_S_MAX + 0.1)
    assert not said(posts, OpenPartFile)
    assert [state.sources[number].state.value for number in (1, 2)] == ["banned", "banned"]


def test_a_source_that_says_no_size_is_not_used_where_others_do() -> None:
    state = job(2)
    deliver(state, probed(0, SIZE), OPENED)
    deliver(state, probed(1, -1))
    assert state.sources[1].state.value == "banned"


def test_no_source_can_deliver_and_every_reason_is_reported() -> None:
    state = job(2)
    deliver(state, failed(0))
    (ended,) = said(deliver(state, failed(1, FaultKind.FORBIDDEN)), JobEnded)
    assert ended.state == "starved"
    assert "NOT_FOUND" in ended.reason
    assert "FORBIDDEN" in ended.reason


def test_a_probe_that_failed_for_the_moment_is_repeated() -> None:
    state = job(1)
    assert not said(deliver(state, failed(0, FaultKind.RESET)), JobEnded)
    assert not said(deliver(state, Ticked(), now_s=1.2), ProbeSource)
    assert said(deliver(state, Ticked(), now_s=1.6), ProbeSource)


def test_a_waiting_time_binds_every_source_of_the_host() -> None:
    state = DispatchState(wanted(source_count=2), now_s=0.0)
    deliver(state, joined(0, host="h"), joined(1, host="h"), now_s=0.0)
    busy = SourceFailed(job=1, source=0, fault=int(FaultKind.BUSY), detail="503", retry_after_s=5.0)
    deliver(state, busy, now_s=1.0)
    assert state.sources[1].not_before_s == 6.0


def test_a_resumed_part_is_believed_and_only_the_rest_is_fetched() -> None:
    state = job(1)
    deliver(state, probed(0, SIZE), ChunksVerified(job=1, ranges=(0, 2, 5, 6)))
    posts = deliver(state, OPENED)
    (opened,) = said(posts, JobOpened)
    assert opened.resumed_bytes == 3 * CHUNK
    assert drawn(state).startswith("##")
    assert said(posts, LeaseGranted)


def test_a_complete_part_is_sealed_without_a_request() -> None:
    state = job(1)
    deliver(state, probed(0, SIZE), ChunksVerified(job=1, ranges=(0, 8)))
    posts = deliver(state, OPENED)
    assert said(posts, SealFile)
    assert not said(posts, LeaseGranted)


@pytest.mark.parametrize(("term", "sealed"), [("", 0), ("tide", 1)])
def test_a_named_source_that_has_not_said_the_size_is_waited_for_but_not_a_search(term: str, sealed: int) -> None:
    state = DispatchState(wanted(source_count=2, begun=True, term=term), now_s=0.0)
    state.start()
    deliver(state, joined(0), probed(0, SIZE), ChunksVerified(job=1, ranges=(0, 8)), now_s=0.1)
    assert len(said(deliver(state, OPENED, now_s=0.2), SealFile)) == sealed


def test_an_empty_file_is_sealed_at_once() -> None:
    state = job(1)
    deliver(state, probed(0, 0))
    assert said(deliver(state, OPENED), SealFile)


def test_a_target_that_cannot_be_used_ends_the_job_as_the_disk_says() -> None:
    for fault, expected in ((PartFileFaultKind.NO_SPACE, "disk"), (PartFileFaultKind.OTHER_JOB, "disagreed")):
        state = job(1)
        deliver(state, probed(0, SIZE))
        deliver(state, PartFileRefused(job=1, fault=int(fault), detail="no"))
        (ended,) = said(deliver(state, Ticked(), now_s=9.0), JobEnded)
        assert ended.state == expected


def test_a_source_whose_worker_died_is_probed_again_by_the_new_one() -> None:
    state = job(1)
    deliver(state, probed(0, SIZE), OPENED)
    deliver(state, SourceLost(job=1, source=0, detail="killed"))
    assert drawn(state) == "." * 8
    posts = deliver(state, joined(0, worker="fetch-2/worker-1-0"), now_s=2.0)
    assert [post.to for post in posts if isinstance(post.message, ProbeSource)] == ["fetch-2/worker-1-0"]
    posts = deliver(state, probed(0, SIZE), now_s=2.1)
    assert [post.to for post in posts if isinstance(post.message, LeaseGranted)] == ["fetch-2/worker-1-0"]


def test_a_worker_that_never_comes_back_ends_the_job() -> None:
    state = job(1)
    deliver(state, probed(0, SIZE), OPENED)
    deliver(state, SourceLost(job=1, source=0, detail="killed"))
    assert not said(deliver(state, Ticked(), now_s=5.0), ClosePartFile)
    assert said(deliver(state, Ticked(), now_s=12.0), ClosePartFile)


# -- what the first request is, and what is said of sources


@pytest.mark.parametrize(
    ("changes", "whole"),
    [
        ({}, True),
        ({"begun": True}, False),
        ({"attempt": 1}, False),
        ({"preallocate": True}, False),
        ({"term": "words"}, False),
        ({"source_count": 2}, True),
        ({"source_count": 5}, True),
        ({"source_count": 2, "user": "ann"}, False),
        ({"source_count": 2, "mode": "race"}, False),
    ],
)
def test_the_first_request_of_a_new_job_is_the_download(changes: dict[str, Any], whole: bool) -> None:
    state = DispatchState(wanted(**{"source_count": 1, **changes}), now_s=0.0)
    (asked,) = said(deliver(state, joined(0)), ProbeSource)
    assert (asked.begin_at == 0) is whole


def begins(posts: list[Post]) -> dict[int, int]:
    """Which chunk each source that is asked is to send from on, -1: none."""
    asked = said(posts, ProbeSource)
    return {each.source: each.begin_at // CHUNK if each.begin_at >= 0 else -1 for each in asked}


def new_job(sources: int, **changes: object) -> tuple[DispatchState, dict[int, int]]:
    state = DispatchState(wanted(source_count=sources, **changes), now_s=0.0)
    return state, begins(deliver(state, *[joined(number) for number in range(sources)], now_s=0.0))


def test_once_the_first_source_has_said_the_size_each_other_one_begins_at_its_own_place() -> None:
    state, asked = new_job(4)
    assert asked == {0: 0}
    assert begins(deliver(state, probed(0, SIZE, open_at=0), now_s=0.1)) == {1: 2, 2: 4, 3: 6}


def test_the_first_request_of_each_source_becomes_its_first_lease() -> None:
    state, _ = new_job(2)
    deliver(state, probed(0, SIZE, open_at=0), probed(1, SIZE, open_at=4 * CHUNK))
    granted = said(deliver(state, OPENED, Ticked()), LeaseGranted)
    assert {each.source: (each.first, each.lead) for each in granted} == {0: (0, 0), 1: (4, 0)}


def test_a_source_whose_answer_does_not_stand_open_there_is_placed_like_any_other() -> None:
    state, _ = new_job(2)
    deliver(state, probed(0, SIZE, open_at=0), probed(1, SIZE))
    granted = said(deliver(state, OPENED, Ticked()), LeaseGranted)
    assert {each.source: each.first for each in granted} == {0: 0, 1: 7}, "at the gap's end"


def standing() -> tuple[DispatchState, dict[int, LeaseGranted]]:
    """Two mirrors of 40 chunks whose first answers stand open at chunks 0 and 20; the first leases are granted."""
    state, _ = new_job(2)
    deliver(state, probed(0, 40 * CHUNK, open_at=0), probed(1, 40 * CHUNK, open_at=20 * CHUNK))
    granted = said(deliver(state, OPENED, Ticked()), LeaseGranted)
    return state, {each.source: each for each in granted}


def done(state: DispatchState, lease: LeaseGranted, *, now_s: float) -> list[LeaseGranted]:
    """The worker reads its lease to the end, with what it is to read behind it; what is granted then."""
    count = lease.stop - lease.first
    news = [stored(lease.source, lease.lease, lease.first, count)] * bool(count)
    over = finished(lease.source, lease.lease, lease.stop + lease.overlap, received_bytes=max(count, 1) * CHUNK)
    return said(deliver(state, *news, over, Ticked(), now_s=now_s), LeaseGranted)


def test_a_first_answer_is_read_up_to_the_next_one_before_its_source_is_asked_again() -> None:
    state, leases = standing()
    (lease,) = done(state, leases[0], now_s=1.5)
    first = leases[0].stop
    while lease.stop < 20:
        assert lease.first == first
        first = lease.stop
        (lease,) = done(state, lease, now_s=1.6)
    assert (lease.stop, lease.overlap) == (20, 1), "and a chunk of the next, which ties the two"


def many_standing() -> tuple[DispatchState, LeaseGranted, LeaseGranted]:
    """Five mirrors of 40 chunks; the first answer of one stands open at chunk 0, the others were asked for one byte."""
    state, asked = new_job(5)
    assert asked == {0: 0, 1: -1, 2: -1, 3: -1, 4: -1}, "no source waits for the first answer"
    deliver(state, probed(0, 40 * CHUNK, open_at=0), probed(1, 40 * CHUNK))
    granted = said(deliver(state, OPENED, Ticked()), LeaseGranted)
    first, other = ({each.source: each for each in granted}[number] for number in (0, 1))
    assert (first.first, other.stop) == (0, 40)
    return state, first, other


@pytest.mark.parametrize(("answers_twice", "end"), [(False, 40), (True, 39)])
def test_of_many_sources_the_open_answer_is_read_to_the_end_unless_another_source_answered_twice(
    answers_twice: bool, end: int
) -> None:
    state, lease, other = many_standing()
    if answers_twice:
        deliver(state, measured(1, other.lease, 0.5, 1e5))
    assert state.sources[0].answered_once is not answers_twice
    place, now_s, mine = 0, 1.0, [lease]
    while mine and place < 40:
        assert mine[0].first == place
        place, now_s = mine[0].stop, now_s + 0.2
        mine = [each for each in done(state, mine[0], now_s=now_s) if each.source == 0]
    assert place == end, "what another was given is its own once it sends"


def test_the_chunk_size_is_chosen_once_the_size_is_known() -> None:
    state, _ = new_job(2, chunk_size=0)
    size = 300 * CHUNK_SIZE_LEAST
    posts = deliver(state, probed(0, size, open_at=0), now_s=0.1)
    assert [asked.begin_at for asked in said(posts, ProbeSource)] == [150 * CHUNK_SIZE_LEAST]
    (target,) = said(posts, OpenPartFile)
    deliver(state, probed(1, size, open_at=150 * CHUNK_SIZE_LEAST))
    assert (target.spec.chunk_size, target.any_chunk_size) == (CHUNK_SIZE_LEAST, True)
    posts = deliver(state, OPENED.but(chunk_size=CHUNK_SIZE_LEAST), Ticked())
    assert said(posts, JobOpened)[0].chunk_size == CHUNK_SIZE_LEAST
    granted = said(posts, LeaseGranted)
    assert {each.source: (each.first, each.chunk_size) for each in granted} == {
        0: (0, CHUNK_SIZE_LEAST),
        1: (150, CHUNK_SIZE_LEAST),
    }


def test_a_part_file_that_has_chunks_of_another_size_keeps_them() -> None:
    state, _ = new_job(2, chunk_size=0)
    size, kept = 300 * CHUNK_SIZE_LEAST, 4 * CHUNK_SIZE_LEAST
    deliver(state, probed(0, size, open_at=0), now_s=0.1)
    deliver(state, probed(1, size, open_at=150 * CHUNK_SIZE_LEAST))
    found = ChunksVerified(job=1, ranges=(0, 10))
    posts = deliver(state, found, OPENED.but(chunk_size=kept), Ticked())
    (opened,) = said(posts, JobOpened)
    assert (opened.chunk_size, opened.resumed_bytes) == (kept, 10 * kept)
    granted = said(posts, LeaseGranted)
    assert {each.chunk_size for each in granted} == {kept}
    assert all(10 <= each.first < each.stop <= 75 for each in granted), "none stands where it was asked for"


def test_sources_are_held_back_for_half_a_second_only() -> None:
    state, _ = new_job(3)
    assert begins(deliver(state, Ticked(), now_s=0.4)) == {}
    assert begins(deliver(state, Ticked(), now_s=0.6)) == {1: -1, 2: -1}


def test_where_the_first_source_fails_the_next_one_is_asked_for_all_of_the_file() -> None:
    state, _ = new_job(3)
    assert begins(deliver(state, failed(0), now_s=0.1)) == {1: 0}
    assert begins(deliver(state, probed(1, SIZE, open_at=0), now_s=0.2)) == {2: 2}


def test_where_the_first_source_does_not_say_the_size_the_others_are_asked_for_it() -> None:
    state, _ = new_job(3)
    assert begins(deliver(state, probed(0, -1, open_at=0), now_s=0.1)) == {1: -1, 2: -1}


@pytest.mark.parametrize(("sources", "noted"), [(1, []), (2, ["source-0: given up: NOT_FOUND"])])
def test_a_source_that_is_given_up_is_noted_unless_the_job_ends_with_that(sources: int, noted: list[str]) -> None:
    posts = deliver(job(sources), failed(0))
    assert [each.text for each in said(posts, JobNoted)] == noted
    assert bool(said(posts, JobEnded)) is (sources == 1)


def test_a_size_that_is_not_known_is_no_other_one_than_was_ordered() -> None:
    state = job(2, size_bytes=SIZE)
    assert [bool(state.admission.refusal(each)) for each in (-1, SIZE, SIZE + 1, 1)] == [False, False, True, True]


def test_a_source_of_another_size_is_left_out_while_the_part_file_is_being_opened() -> None:
    state = job(3)
    deliver(state, probed(0, SIZE), probed(1, SIZE))
    assert state.phase is Phase.TARGET
    deliver(state, probed(2, SIZE + 1))
    assert [each.state is SourceState.BANNED for each in state.sources.values()] == [False, False, True]
