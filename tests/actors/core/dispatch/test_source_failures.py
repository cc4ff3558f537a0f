"""How a job goes on when sources fail: waiting, cooling and coming back, new workers, the lease that expires."""

import pytest

from actors.core.dispatch.dispatcher import DispatchState
from actors.core.dispatch.leases import LEASE_S_MAX
from actors.core.dispatch.recovery import RENEWALS_MAX
from actors.core.dispatch.sources import COOL_S, ROUNDS_MAX, SourceState
from protocol.messages import (
    DropChunks,
    JobEnded,
    JobNoted,
    LeaseGranted,
    LeaseRevoked,
    OpenPartFile,
    PartFileClosed,
    ProbeSource,
    SourceLost,
    Ticked,
)
from protocol.messages.addresses import Post
from protocol.model.faults import FaultKind
from protocol.model.job_spec import FAILURES_MAX
from tests.actors.core.dispatch.boards import said
from tests.actors.core.dispatch.drawing import (
    CHUNK,
    JOB,
    NOW_S,
    board,
    board_of,
    busy_with,
    drawn,
    finished,
    joined,
    measured,
    number,
    probed,
    ready,
    refused,
    released,
    said_to,
    slowed,
    stalled,
    stored,
    tell,
    wanted,
)


def pass_time(state: DispatchState, source: str, from_s: float, until_s: float) -> list[Post]:
    """A number of seconds after `NOW_S` pass while one source rides on slowly."""
    out: list[Post] = []
    for step in range(int(10 * from_s), int(10 * until_s) + 1):
        out += tell(state, measured(state, source, received=0.1, rate=0.01), Ticked(), at_s=NOW_S + step / 10)
    return out


def granted(posts: list[Post], source: str) -> list[LeaseGranted]:
    return [message for message in said_to(posts, source) if isinstance(message, LeaseGranted)]


# -- waiting


def test_a_retry_after_named_by_a_probe_binds_every_source_of_its_host_and_no_other() -> None:
    state = DispatchState(wanted(expected=3), now_s=NOW_S)
    tell(state, joined("a", host="same"), joined("b", host="same"), joined("c", host="other"))
    tell(state, refused("b", FaultKind.BUSY, retry_after_s=9.0))
    assert [state.sources[each].not_before_s for each in range(3)] == [NOW_S + 9.0, NOW_S + 9.0, 0.0]


def test_nothing_is_asked_of_a_source_before_its_time() -> None:
    state = board("aaaa", rates={"a": 1})
    tell(state, released(state, "a", FaultKind.BUSY, retry_after_s=5.0))
    assert said(tell(state, Ticked(), at_s=NOW_S + 4.9), LeaseGranted) == []
    assert said(tell(state, Ticked(), at_s=NOW_S + 5.1), LeaseGranted) != []


def test_an_old_word_said_again_does_not_make_anybody_wait() -> None:
    state = board("aaaabbbb", rates={"a": 1, "b": 1})
    word = released(state, "b", FaultKind.BUSY, handed_stop=4, retry_after_s=5.0)
    tell(state, word)
    tell(state, word, at_s=NOW_S + 4)
    assert state.sources[1].not_before_s == NOW_S + 5.0


# -- cooling is not for ever


def test_a_cooled_source_is_used_again_when_its_time_has_come() -> None:
    state = board("aaaabbbb", rates={"a": 1, "b": 1})
    tell(state, slowed(state, "b"))
    tell(state, released(state, "b", FaultKind.REVOKED))
    assert granted(pass_time(state, "a", 1, COOL_S - 1), "b") == []
    assert granted(pass_time(state, "a", COOL_S, COOL_S + 2), "b") != []


def test_a_cooled_source_comes_back_with_one_try() -> None:
    state = board("aaaabbbb", rates={"a": 1, "b": 1})
    tell(state, slowed(state, "b"))
    tell(state, released(state, "b", FaultKind.REVOKED))
    pass_time(state, "a", COOL_S, COOL_S + 2)
    tell(state, released(state, "b", FaultKind.RESET), at_s=NOW_S + COOL_S + 2)
    assert state.sources[1].state is SourceState.COOLING


# -- slow, stalled


def test_a_slow_source_loses_its_lease_to_a_better_one_and_cools() -> None:
    state = board("aaaabbbb", slow="a", rates={"b": 1})
    lease = busy_with(state, "a")
    posts = tell(state, slowed(state, "a"))
    assert [message.lease for message in said(posts, LeaseRevoked)] == [lease]
    assert (state.sources[0].state, drawn(state)) == (SourceState.COOLING, "....bbbb")
    assert any("slow" in note.text for note in said(posts, JobNoted))


@pytest.mark.parametrize("other", [FaultKind.NOT_FOUND, FaultKind.SLOW])
def test_a_source_that_cannot_be_used_is_no_one_better(other: FaultKind) -> None:
    state = board("aaaabbbb", slow="a")
    tell(state, released(state, "b", other))
    assert said(tell(state, slowed(state, "a")), LeaseRevoked) == []


def test_a_stalled_source_loses_its_lease_even_when_it_is_the_only_one() -> None:
    state = board("aaaa", slow="a")
    tell(state, measured(state, "a", received=0.5, rate=1))
    assert len(said(tell(state, stalled(state, "a")), LeaseRevoked)) == 1
    assert (drawn(state), state.sources[0].failures) == ("....", 1)


def test_the_only_source_may_be_slow_with_its_first_byte() -> None:
    state = board("aaaa", slow="a")
    assert said(tell(state, stalled(state, "a")), LeaseRevoked) == []
    assert (drawn(state), state.sources[0].failures) == ("aaaa", 0)


def test_a_source_that_is_slow_with_its_first_byte_makes_way_for_another() -> None:
    state = board("aaaabbbb", slow="a", rates={"b": 1})
    assert len(said(tell(state, stalled(state, "a")), LeaseRevoked)) == 1


def test_a_source_ordered_to_hang_up_gets_nothing_before_it_answers() -> None:
    state = board("aaaabbbb", slow="b", rates={"a": 1})
    lease = busy_with(state, "b")
    tell(state, stalled(state, "b"))
    assert said_to(tell(state, Ticked(), at_s=NOW_S + 3), "b") == []
    assert busy_with(state, "b") == lease
    answer = released(state, "b", FaultKind.REVOKED, handed_stop=5)
    assert len(granted(tell(state, answer, at_s=NOW_S + 4), "b")) == 1


# -- lost workers and silent ones


def test_the_chunks_of_a_lost_worker_are_free_at_once_and_others_take_them() -> None:
    state = board("aaaabbbb", rates={"a": 1, "b": 1})
    posts = tell(state, SourceLost(job=JOB, source=0, detail="killed"))
    assert (drawn(state), said_to(posts, "a")) == ("....bbbb", [])
    tell(state, stored(state, "b", 4, 4), finished(state, "b"))
    assert drawn(state) == "bbbb####"


def test_a_lost_worker_gets_no_lease_until_the_source_has_a_new_one_that_was_probed() -> None:
    state = board("aaaabbbb", rates={"a": 1, "b": 1})
    posts = tell(state, SourceLost(job=JOB, source=0, detail="killed")) + pass_time(state, "b", 0, 8)
    assert said_to(posts, "a") == []
    posts = tell(state, joined("a"), at_s=NOW_S + 8)
    assert said_to(posts, "a") == [ProbeSource(job=JOB, source=0)]
    posts = tell(state, probed("a", state.size_bytes), at_s=NOW_S + 8)
    assert len(granted(posts, "a")) == 1


def test_a_source_whose_worker_never_came_back_does_not_hold_the_job_up() -> None:
    for state in (board("aaaa"), DispatchState(wanted(expected=1), now_s=NOW_S)):
        if not state.sources:
            tell(state, joined("a"))
        posts, at_s = tell(state, SourceLost(job=JOB, source=0, detail="killed")), NOW_S
        while at_s < NOW_S + 60 and not said(posts, JobEnded):
            at_s += 0.5
            posts += tell(state, Ticked(), at_s=at_s)
        assert [(ended.state, "killed" in ended.reason) for ended in said(posts, JobEnded)] == [("starved", True)]


def test_a_lease_of_which_nothing_is_heard_expires() -> None:
    state = board("aaaabbbb", rates={"a": 1, "b": 1})
    lease = busy_with(state, "a")
    posts = pass_time(state, "b", 0, LEASE_S_MAX - 1)
    assert lease not in [message.lease for message in said(posts, LeaseRevoked)]
    posts = pass_time(state, "b", LEASE_S_MAX, LEASE_S_MAX + 3)
    assert lease in [message.lease for message in said(posts, LeaseRevoked)]
    assert state.sources[0].failures == 1


@pytest.mark.parametrize("gap_s", [0.3, 1.0, 5.0])
def test_a_lease_expires_however_seldom_the_clock_ticks(gap_s: float) -> None:
    state, at_s = board("aaaa", rates={"a": 1}), NOW_S
    while at_s < NOW_S + LEASE_S_MAX + 10:
        at_s += gap_s
        if said(tell(state, Ticked(), at_s=at_s), LeaseRevoked):
            return
    raise AssertionError("it never expires")


def test_chunks_that_were_handed_over_but_never_stored_are_missing_again() -> None:
    state = board("aaaabbbb", rates={"a": 1, "b": 1})
    lease = busy_with(state, "a")
    tell(state, finished(state, "a"))
    assert drawn(state)[:4] == "aaaa", "they are on their way"
    pass_time(state, "b", 0, LEASE_S_MAX + 3)
    assert lease not in board_of(state).leases
    board_of(state).check()


def test_a_ride_that_ends_in_good_order_without_a_chunk_is_a_failure() -> None:
    state = board("aaaabbbb", rates={"a": 1, "b": 1})
    tell(state, finished(state, "a", 0))
    assert state.sources[0].failures == 1


def test_a_source_that_drops_after_every_chunk_is_used_to_the_end() -> None:
    state = board("aaaaaaaa", rates={"a": 1})
    for chunk in range(7):
        posts = tell(state, stored(state, "a", chunk))
        posts = tell(state, released(state, "a", FaultKind.RESET, handed_stop=chunk + 1))
        assert len(granted(posts, "a")) == 1, "at once, and on from where it stood"
        assert drawn(state) == "#" * (chunk + 1) + "a" * (7 - chunk)


# -- rounds


def fail(state: DispatchState, source: str, at_s: float, *, stored_chunk: int | None = None) -> list[Post]:
    """Its worker fails until it cools: then the job gives it another round or ends."""
    out: list[Post] = []
    if stored_chunk is not None:
        out += tell(state, stored(state, source, stored_chunk), at_s=at_s)
    for _ in range(FAILURES_MAX):
        out += tell(state, released(state, source, FaultKind.RESET), at_s=at_s)
        if rounds(out):
            break
        at_s += 1.5
        out += tell(state, Ticked(), at_s=at_s)
    return out


def rounds(posts: list[Post]) -> list[str]:
    return [note.text for note in said(posts, JobNoted) if note.text.startswith("round")]


def ending(state: DispatchState) -> str:
    """The Assembler has closed the file: how did the job end?"""
    [ended] = said(tell(state, PartFileClosed(job=JOB)), JobEnded)
    return ended.state


def test_when_no_one_is_left_the_proven_ones_get_up_to_three_rounds_each_needing_progress() -> None:
    state, at_s = board("aaaaaaaa", rates={"a": 1}), NOW_S
    notes: list[str] = []
    for chunk in range(ROUNDS_MAX):
        notes += rounds(fail(state, "a", at_s, stored_chunk=chunk))
        at_s += 20.0
        assert granted(tell(state, Ticked(), at_s=at_s), "a"), "the round begins"
    assert notes == [f"round {number} with 1 proven sources" for number in range(1, ROUNDS_MAX + 1)]
    tell(state, stored(state, "a", ROUNDS_MAX), at_s=at_s)
    for _ in range(FAILURES_MAX):
        tell(state, released(state, "a", FaultKind.RESET), at_s=at_s)
        at_s += 1.2
        tell(state, Ticked(), at_s=at_s)
        if state.sources[0].busy is None:
            break
    assert ending(state) == "starved"


def test_a_round_begins_with_proven_sources_only() -> None:
    state = board("aaaabbbb", rates={"a": 1, "b": 1})
    tell(state, stored(state, "a", 0))
    state.sources[1].failures = FAILURES_MAX - 1
    tell(state, released(state, "b", FaultKind.RESET))
    assert state.sources[1].state is SourceState.COOLING
    fail(state, "a", NOW_S)
    assert (state.sources[0].usable, state.sources[1].usable) == (True, False)


# -- probes


def test_a_probe_that_fails_is_tried_again_and_at_last_given_up_with_every_reason() -> None:
    state = DispatchState(wanted(expected=2), now_s=NOW_S)
    tell(state, joined("a"), joined("b"))
    tell(state, refused("a", FaultKind.NOT_FOUND))
    posts, at_s = tell(state, refused("b", FaultKind.REFUSED)), NOW_S
    while not said(posts, JobEnded) and at_s < NOW_S + 60:
        at_s += 0.5
        asked = tell(state, Ticked(), at_s=at_s)
        posts += asked
        if said(asked, ProbeSource):
            posts += tell(state, refused("b", FaultKind.REFUSED), at_s=at_s)
    assert len(said(posts, ProbeSource)) == FAILURES_MAX - 1
    [ended] = said(posts, JobEnded)
    assert (ended.state, ended.reason) == ("starved", "source a: NOT_FOUND; source b: REFUSED")


def test_late_words_of_an_answered_probe_change_nothing() -> None:
    state = board("aaaabbbb", rates={"a": 1, "b": 1})
    assert tell(state, refused("a", FaultKind.NOT_FOUND), probed("b", 5)) == []
    assert all(each.usable for each in state.sources.values())


def test_a_late_source_is_served_at_once() -> None:
    state = board("aaaaaaaa", slow="a")
    assert [type(word) for word in said_to(ready(state, "b", rate=1), "b")] == [ProbeSource, LeaseGranted]


@pytest.mark.parametrize("kind", [FaultKind.OFF_TLS, FaultKind.PRIVATE_ADDRESS])
def test_what_the_user_has_forbidden_is_final_at_once_also_after_bytes(kind: FaultKind) -> None:
    state = board("##aabb", rates={"a": 1, "b": 1})
    tell(state, stored(state, "a", 1), released(state, "a", kind))
    assert state.sources[number("a")].state is SourceState.BANNED
    assert state.sources[number("a")].reason == kind.name


# -- another version of the file


def test_where_all_sources_have_another_version_the_file_is_fetched_again() -> None:
    state = board("##aaaa")
    posts = tell(state, released(state, "a", FaultKind.CHANGED))
    assert [(drop.firsts, drop.stops) for drop in said(posts, DropChunks)] == [((0,), (2,))]
    assert [type(message) for message in said_to(posts, "a")] == [ProbeSource]
    assert any("starting over" in note.text for note in said(posts, JobNoted))
    posts = tell(state, probed("a", 6 * CHUNK))
    assert [(lease.first, lease.stop) for lease in granted(posts, "a")] == [(0, 6)]


def test_another_versions_size_counts_from_then_on() -> None:
    state = board("##aaaa")
    tell(state, released(state, "a", FaultKind.CHANGED))
    (target,) = said(tell(state, probed("a", 9 * CHUNK)), OpenPartFile)
    assert (target.spec.size_bytes, target.start_over) == (9 * CHUNK, True)


def test_a_source_that_still_has_the_former_version_goes_on_with_it() -> None:
    state = board("##aabb")
    posts = tell(state, released(state, "a", FaultKind.CHANGED))
    assert not said(posts, DropChunks)
    assert state.sources[number("a")].state is SourceState.BANNED
    assert drawn(state)[:2] == "##"


def test_a_file_that_changes_all_the_time_ends_the_job() -> None:
    state = board("##aaaa")
    for _ in range(RENEWALS_MAX):
        tell(state, released(state, "a", FaultKind.CHANGED))
        tell(state, probed("a", 6 * CHUNK))
    tell(state, stored(state, "a", 0))
    for at_s in (NOW_S, NOW_S + 10, NOW_S + 20):
        posts = tell(state, released(state, "a", FaultKind.CHANGED), Ticked(), at_s=at_s)
        posts += tell(state, Ticked(), at_s=at_s + 9)
    posts += tell(state, PartFileClosed(job=JOB), at_s=NOW_S + 40)
    (ended,) = said(posts, JobEnded)
    assert (ended.state, ended.reason[-20:]) == ("starved", ", for the third time")
    assert not board_of(state).stored, "nothing is promised to go on from"
