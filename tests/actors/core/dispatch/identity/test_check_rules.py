"""Rules of the planned checks to the letter: who is asked in what order, how quick it must be, what leads a lease."""

import pytest

from actors.core.dispatch.dispatcher import DispatchState
from actors.core.dispatch.identity.checks import Check, check_s, compared_bytes, span_bytes
from actors.core.dispatch.identity.seal_gate import Gate
from actors.core.dispatch.sources import SourceState
from protocol.model.value import replace
from tests.actors.core.dispatch.drawing import CHUNK, NOW_S, board, board_of, lease_of, stored, tell
from tests.actors.core.dispatch.identity.test_content import untied
from tests.actors.core.dispatch.identity.test_repair import source

QUICK = 1e12


def two(picture: str = "aaaaaaaabbbbbbbb", **more: object) -> DispatchState:
    """A complete file of a and b, which nothing ties; c has sent nothing."""
    state = untied(picture, sources="abc", rates={"a": 1, "b": 1, "c": 1}, **more)
    half = len(picture) // 2
    tell(state, stored(state, "a", 0, half), stored(state, "b", half, half))
    for each in state.sources.values():
        each.rate_bytes_s = QUICK
    state.content.overlaps.first.clear()
    state.content.plan.checking.clear()
    state.content.plan.restart()
    return state


def urgent(state: DispatchState, number: int, *, tied: bool = True, first: bool = False, early: bool = False) -> int:
    """The chunk that this source is to check before anything else; -1: none."""
    plan = state.content.plan
    check = plan.urgent(state.sources[number], board_of(state), tied=tied, first=first, early=early, now_s=NOW_S)
    return -1 if check is None else check.chunk


# -- how much, and how long


@pytest.mark.parametrize(
    ("chunk_size", "offset_ok", "span"), [(32768, True, 0), (32769, True, 32768), (99999, False, 0)]
)
def test_a_span_of_32_kib_is_compared_of_a_longer_chunk(chunk_size: int, offset_ok: bool, span: int) -> None:
    one = source(0, offset_ok=offset_ok)
    assert span_bytes(one, chunk_size) == span
    assert compared_bytes(one, chunk_size) == (span or chunk_size)


def test_a_check_takes_its_set_up_and_the_bytes_at_its_rate() -> None:
    one = source(0)
    assert check_s(one, 20_000) == float("inf")
    one.rate_bytes_s = 10_000.0
    assert check_s(one, 20_000) == 2.1
    one.rate_bytes_s = -1.0
    assert check_s(one, 20_000) == float("inf")


# -- urgent checks


def test_a_source_that_is_tied_or_slow_or_still_checks_is_asked_for_nothing_urgent() -> None:
    state = two()
    assert urgent(state, 0, tied=False) in range(8, 16)
    assert urgent(state, 0, tied=True) == -1
    state.sources[0].rate_bytes_s = CHUNK / 0.6
    assert urgent(state, 0, tied=False) == -1
    state = two()
    state.content.plan.checking[9] = Check(1, 3)
    assert urgent(state, 0, tied=False) >= 0
    state.content.plan.checking[10] = Check(0, 12)
    assert urgent(state, 0, tied=False) == -1


@pytest.mark.parametrize(
    ("total", "stored_chunks", "rides", "early", "asked"),
    [
        (128, 63, 1, True, True),
        (128, 64, 1, True, False),
        (128, 63, 1, False, False),
        (126, 20, 1, True, False),
        (128, 63, 2, True, False),
    ],
)
def test_head_and_tail_are_checked_early_of_a_file_of_which_more_than_half_of_128_chunks_is_missing(
    total: int, stored_chunks: int, rides: int, early: bool, asked: bool
) -> None:
    state = untied("a" * (total - 1) + "b", sources="abc", rates={"a": 1, "b": 1, "c": 1})
    tell(state, stored(state, "a", 0, stored_chunks))
    state.content.plan.restart()
    reader = state.sources[2]
    reader.rate_bytes_s, reader.rides = QUICK, rides
    assert (urgent(state, 2, tied=True, first=True, early=early) == 0) is asked


def test_answers_to_disputes_go_before_suspects_and_those_before_ties() -> None:
    state = two()
    plan, identity = state.content.plan, state.content.identity
    plan.suspects[3] = None
    identity.dispute(0, b"1", 1, b"2", 5, now_s=NOW_S)
    identity.dispute(0, b"1", 2, b"2", 6, now_s=NOW_S)
    assert urgent(state, 2, tied=False) == 5, "it answered the other one"
    identity.disputes[5].asked.add(2)
    assert urgent(state, 2, tied=False) == 3
    assert urgent(state, 1, tied=False) == 5, "there is no third one: it answers once more"
    plan.suspects.clear()
    identity.disputes.clear()
    assert urgent(state, 2, tied=False) in range(16)


def test_a_user_answers_a_dispute_where_it_is_invited_and_no_mirror_can_and_nothing_else() -> None:
    state = two()
    user, identity = state.sources[2], state.content.identity
    user.traits = replace(user.traits, abort_is_costly=True)
    state.content.plan.suspects[3] = None
    assert urgent(state, 2, tied=False) == -1
    dispute = identity.dispute(0, b"1", 1, b"2", 5, now_s=NOW_S)
    assert urgent(state, 2, tied=False) == 5
    dispute.invited |= {8}
    assert urgent(state, 2, tied=False) == -1
    dispute.invited.clear()
    del dispute.answers[1]
    assert urgent(state, 2, tied=False) == -1, "a mirror can"
    dispute.answers[2] = b"1"
    state.sources[1].state = SourceState.BANNED
    assert urgent(state, 2, tied=False) == -1, "it is not asked twice"


@pytest.mark.parametrize("change", ["banned", "unprobed", "excluded", "front", "asked", "span", "none"])
def test_who_may_not_check_is_asked_for_no_suspect_chunk(change: str) -> None:
    state = two()
    plan, reader = state.content.plan, state.sources[2]
    plan.suspects[3] = None
    match change:
        case "banned":
            reader.state = SourceState.BANNED
        case "unprobed":
            reader.probed = False
        case "excluded":
            state.content.identity.exclude([2], [0])
        case "front":
            reader.traits = replace(reader.traits, offset_ok=False)
        case "asked":
            plan.given(Check(2, 3), 0)
        case "span":
            plan.given(Check(2, 3, span_bytes=7), 0)
    assert (plan.suspect(reader) is None) is (change not in ("none", "span"))
    assert plan.suspect(state.sources[0]) is None, "it sent that chunk"


def test_a_suspect_chunk_is_asked_of_two_sources_at_a_time_in_the_order_of_suspicion() -> None:
    state = two()
    plan, reader = state.content.plan, state.sources[2]
    plan.suspects |= dict.fromkeys((12, 3, 20))
    assert plan.suspect(reader) == Check(2, 12)
    plan.checking[1] = Check(0, 12)
    assert plan.suspect(reader) == Check(2, 12)
    plan.checking[2] = Check(1, 12)
    assert plan.suspect(reader) == Check(2, 3)
    assert list(plan.suspects) == [12, 3], "what is not stored is not suspect"
    state.content.identity.dispute(0, b"1", 1, b"2", 3, now_s=NOW_S)
    assert plan.suspect(reader) is None
    state.content.identity.agree(0, 1, 12)
    assert plan.open_suspects() == []
    assert list(plan.suspects) == [3]


# -- forced checks of the complete file


def forced(state: DispatchState) -> list[int]:
    """Sources that are asked for what the complete file lacks."""
    return [each.id for each in state.sources.values() if state.content.plan.forced(each, now_s=NOW_S) is not None]


@pytest.mark.parametrize(
    ("times_s", "asked"),
    [
        ((0.2, 0.4, 0.6), [0, 1]),
        ((0.6, 1.1, 1.3), [0, 1]),
        ((0.51, 1.01, 1.03), [0, 1]),
        ((9.0, 17.0, 19.0), [0, 1]),
    ],
)
def test_of_those_that_could_tie_the_quick_ones_are_asked(times_s: tuple[float, ...], asked: list[int]) -> None:
    state = two()
    for each, seconds in zip(state.sources.values(), times_s, strict=True):
        each.rate_bytes_s = CHUNK / (seconds - each.traits.restart_cost_s)
    assert forced(state) == asked


def test_users_are_asked_one_at_a_time_and_those_without_a_stop_left_last() -> None:
    state = two()
    for each in state.sources.values():
        each.peer, each.traits = f"user {each.id}", replace(each.traits, abort_is_costly=True)
    assert forced(state) == [0, 1, 2]
    state.sources[0].budget_spent = True
    state.content.plan._quick = (0.0, 0.0, False)
    assert forced(state) == [1, 2]
    for each in state.sources.values():
        each.budget_spent = True
    state.content.plan._quick = (0.0, 0.0, False)
    assert forced(state) == [0, 1, 2], "there is no other"
    state.content.plan.checking[9] = Check(1, 3)
    assert forced(state) == []


def test_who_is_not_used_or_not_known_does_not_say_how_quick_others_must_be() -> None:
    state = two()
    a, b, c = state.sources.values()
    for each, seconds in ((a, 0.1), (b, 0.1), (c, 9.0)):
        each.rate_bytes_s = CHUNK / (seconds - each.traits.restart_cost_s)
    a.state = SourceState.BANNED
    b.probed = False
    assert forced(state) == [2]


# -- what a lease reads besides


@pytest.mark.parametrize(("open_chunks", "lead"), [(7, 0), (8, 1)])
def test_a_short_lease_of_a_tied_source_reads_nothing_before_it(open_chunks: int, lead: int) -> None:
    state = untied("a" * 8 + "b" * open_chunks, rates={"a": 1, "b": 1})
    tell(state, stored(state, "a", 0, 8))
    overlaps, reader = state.content.overlaps, state.sources[1]
    assert overlaps.lead_of(reader, lease_of(state, "b"), board_of(state)) == 1
    state.content.identity.agree(0, 1, 2)
    assert overlaps.lead_of(reader, lease_of(state, "b"), board_of(state)) == lead


def test_nothing_is_read_before_a_lease_where_there_is_nothing_of_another_one() -> None:
    state = untied("a" * 8 + "b" * 8, rates={"a": 1, "b": 1})
    overlaps, tracker = state.content.overlaps, board_of(state)
    assert overlaps.lead_of(state.sources[0], lease_of(state, "a"), tracker) == 0
    assert overlaps.lead_of(state.sources[1], lease_of(state, "b"), tracker) == 0, "it is not stored"
    tell(state, stored(state, "a", 0, 8))
    lease = lease_of(state, "b")
    assert overlaps.lead_of(state.sources[0], lease, tracker) == 0, "it is its own"
    lease.shared = True
    assert overlaps.lead_of(state.sources[1], lease, tracker) == 0


@pytest.mark.parametrize(
    ("changes", "overlap"),
    [
        ({"rides": 1}, 1),
        ({"rides": 2}, 0),
        ({"rides": 2, "rate_bytes_s": QUICK}, 1),
        ({"rides": 2, "rate_bytes_s": 0.0}, 0),
        ({"rides": 2, "rate_bytes_s": 0.0, "stands": True}, 1),
    ],
)
def test_a_short_lease_reads_its_neighbours_chunk_if_it_is_the_first_or_a_quick_one(
    changes: dict[str, float], overlap: int
) -> None:
    state = untied("a" * 8 + "b" * 8, rates={"a": 1, "b": 1})
    one = state.sources[0]
    one.rate_bytes_s, one.stands, one.answered_once = CHUNK / 0.6, False, False
    for name, each in changes.items():
        setattr(one, name, each)
    state.content.overlaps.first.clear()
    lease, tracker = lease_of(state, "a"), board_of(state)
    assert state.content.overlaps.overlap_of(one, lease, tracker) == overlap
    assert (0 in state.content.overlaps.first) is (changes["rides"] == 1)
    state.content.identity.agree(0, 1, 2)
    assert state.content.overlaps.overlap_of(one, lease, tracker) == (changes["rides"] == 1), "a tied one needs not"


@pytest.mark.parametrize(("chunks", "first"), [(3, False), (4, True)])
def test_a_first_lease_of_four_chunks_reads_one_more(chunks: int, first: bool) -> None:
    state = untied("a" * chunks + "b" * 8, rates={"a": 1, "b": 1})
    one = state.sources[0]
    one.rides, one.stands, one.rate_bytes_s = 1, False, CHUNK / 0.6
    state.content.overlaps.first.clear()
    assert state.content.overlaps.overlap_of(one, lease_of(state, "a"), board_of(state)) == first
    assert (0 in state.content.overlaps.first) is first


@pytest.mark.parametrize(("chunks", "overlap"), [(15, 0), (16, 1)])
def test_a_lease_of_sixteen_chunks_reads_one_of_its_neighbours_though_it_is_tied(chunks: int, overlap: int) -> None:
    state = untied("a" * chunks + "b" * 8, rates={"a": 1, "b": 1})
    one = state.sources[0]
    one.rides, one.stands = 2, False
    state.content.identity.agree(0, 1, 2)
    assert state.content.overlaps.overlap_of(one, lease_of(state, "a"), board_of(state)) == overlap


@pytest.mark.parametrize(("mode", "overlap"), [("swarm", 1), ("race", 0)])
def test_only_a_swarm_reads_twice(mode: str, overlap: int) -> None:
    state = board("a" * 20 + "b" * 8, rates={"a": 1, "b": 1}, mode=mode)
    assert state.content.overlaps.overlap_of(state.sources[0], lease_of(state, "a"), board_of(state)) == overlap


def test_what_is_read_behind_a_lease_is_awaited_for_a_second() -> None:
    state = untied("a" * 8 + "b" * 8, rates={"a": 1, "b": 1})
    overlaps, lease = state.content.overlaps, lease_of(state, "a")
    overlaps.lease_over(lease, 8, now_s=NOW_S)
    assert not overlaps.awaited(now_s=NOW_S), "nothing was read behind it"
    overlaps.lease_over(lease, 9, now_s=NOW_S)
    overlaps.answered(lease.id, 0, 8)
    assert overlaps.awaited(now_s=NOW_S + 0.99)
    assert not overlaps.awaited(now_s=NOW_S + 1.0)
    overlaps.lease_over(lease, 9, now_s=NOW_S)
    overlaps.answered(lease.id, 8, 9)
    assert not overlaps.awaited(now_s=NOW_S)


# -- ties, ends, heads


def test_ties_are_derived_again_when_evidence_or_ownership_is_another_and_when_a_check_is_over() -> None:
    state = two()
    plan = state.content.plan
    known = plan.ties
    assert plan.ties is known
    plan.over(99)
    assert plan.ties is known, "there was no such check"
    plan.checking[9] = Check(2, 3)
    plan.over(9)
    again = plan.ties
    assert again is not known
    assert again.holdings is known.holdings, "the same file"
    state.content.identity.agree(0, 1, 3)
    assert plan.ties is not again
    assert not plan.ties.missing()


@pytest.mark.parametrize(("offset_ok", "chunk"), [(True, 12), (False, None)])
def test_a_tie_is_the_middle_of_a_long_range_of_the_other_group(offset_ok: bool, chunk: int | None) -> None:
    state = two()
    reader = state.sources[0]
    reader.traits = replace(reader.traits, offset_ok=offset_ok)
    check = state.content.plan.tie(reader, state.content.plan.ties)
    assert (check.chunk if check is not None else None) == chunk
    if check is not None:
        state.content.plan.given(check, 1)
        assert state.content.plan.tie(reader, state.content.plan.ties) is None, "that pair was asked"


def test_the_first_chunk_is_asked_of_contributors_that_were_not_compared_there() -> None:
    state = two()
    plan = state.content.plan
    assert plan.head(state.sources[0]) is None, "its own"
    assert plan.head(state.sources[2]) is None, "nothing of it is stored"
    assert plan.head(state.sources[1]) == Check(1, 0)
    state.content.identity.agree(0, 2, 0)
    assert plan.head(state.sources[1]) == Check(1, 0)
    state.content.identity.agree(0, 1, 0)
    assert plan.head(state.sources[1]) is None


@pytest.mark.parametrize(("waited_s", "busy", "checking", "gate"), [
    (0.9, False, False, Gate.CHECKING),
    (1.1, False, False, Gate.CHECKING),
    (29.9, False, False, Gate.CHECKING),
    (30.0, False, False, Gate.LACKING),
    (99.0, True, False, Gate.CHECKING),
    (99.0, False, True, Gate.CHECKING),
])  # fmt: skip
def test_a_file_that_lacks_a_tie_waits_for_who_could_give_it(
    waited_s: float, busy: bool, checking: bool, gate: Gate
) -> None:
    state = two()
    state.content.sealing.last.restart()
    state.content.sealing.last.begin(NOW_S)
    for each in state.sources.values():
        each.busy = 1 if busy else None
    if checking:
        state.content.plan.checking[9] = Check(2, 3)
    assert state.content.sealing.decide(board_of(state), now_s=NOW_S + waited_s) is gate


@pytest.mark.parametrize(("waited_s", "gate"), [(0.9, Gate.CHECKING), (1.0, Gate.LACKING)])
def test_a_tie_that_none_can_give_is_lacking_after_a_second(waited_s: float, gate: Gate) -> None:
    state = two()
    state.content.sealing.last.restart()
    state.content.sealing.last.begin(NOW_S)
    for each in state.sources.values():
        each.busy, each.state = None, SourceState.BANNED
    assert state.content.sealing.decide(board_of(state), now_s=NOW_S + waited_s) is gate


def test_a_check_at_the_edge_of_ones_own_range_compares_both_sides_of_it() -> None:
    for reader, chunk, other in ((0, 8, 7), (1, 7, 8)):
        state = two()
        plan = state.content.plan
        plan.optional_max = None
        plan.given(Check(2, chunk), 1 - reader)
        places = [each for each, _, _ in plan._open_places(16, last=True)]
        assert (chunk in places, other in places) == (False, True), "a third one reads one side only"
        plan.restart()
        plan.given(Check(reader, chunk), 1 - reader)
        places = [each for each, _, _ in plan._open_places(16, last=True)]
        assert (chunk in places, other in places) == (False, False)


def test_an_end_of_the_file_is_asked_of_the_same_source_once_by_a_span() -> None:
    state = two()
    plan, reader = state.content.plan, state.sources[2]
    assert plan.ends(reader, 16) == Check(2, 15)
    plan._asked_spans.add((2, 15))
    assert plan.ends(reader, 16) == Check(2, 0)
    plan._asked.add((2, 0))
    assert plan.ends(reader, 16) is None
    assert plan.ends(state.sources[1], 16) == Check(1, 0), "its own end is the other one"
    state.content.identity.agree(0, 2, 0)
    assert plan.ends(state.sources[1], 16) is None


def test_spots_are_the_middles_of_long_ranges_and_ends_and_edges_come_first() -> None:
    state = two("a" * 32 + "b" * 32)
    rows = state.report.owned()
    places = list(state.content.plan._every_place(rows, rows, 64, last=True))
    assert places == [(0, 0, False), (63, 1, False), (31, 0, False), (32, 1, False), (16, 0, True), (48, 1, True)]
    assert [spot for _, _, spot in state.content.plan._every_place(rows, rows, 64, last=False)][2:4] == [True, True]
    state = two("a" * 15 + "b" * 15)
    rows = state.report.owned()
    assert len(list(state.content.plan._every_place(rows, rows, 30, last=True))) == 4, "of 15 chunks, edges say it"


def test_spots_are_derived_while_more_may_be_asked_for_and_of_a_contributor_while_it_has_fewer_than_two() -> None:
    for given, chunks in (([], [16, 48]), ([(1, 0), (2, 0)], [48]), ([(1, 0), (2, 0), (40, 1), (41, 1)], [])):
        state = two("a" * 32 + "b" * 32)
        plan = state.content.plan
        for chunk, owner in given:
            plan.given(Check(2, chunk, optional=True), owner)
        found = plan._derived_places(64, last=True)
        assert [chunk for chunk, _, spot in found if spot] == chunks
        assert [chunk for chunk, _, spot in found if not spot] == [0, 63, 31, 32]
