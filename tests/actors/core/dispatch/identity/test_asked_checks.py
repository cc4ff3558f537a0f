"""Checks that sources are asked for: which, of whom first, and how many."""

import pytest

from actors.core.dispatch.dispatcher import DispatchState
from actors.core.dispatch.granting import CHECKS_PER_STEP
from actors.core.dispatch.identity.checks import SPAN_BYTES, Check, Difference
from actors.core.dispatch.identity.evidence import DISPUTE_S_MAX
from actors.core.dispatch.sources import Source, SourceState
from protocol.messages import ChunkDisputed, DropChunks, LeaseGranted, Ticked
from protocol.model.chunk_ranges import RangeSet
from protocol.model.value import replace
from tests.actors.core.dispatch import boards
from tests.actors.core.dispatch.boards import add, board, said
from tests.actors.core.dispatch.drawing import CHUNK, JOB, NOW_S, board_of, lease_of, stored, tell
from tests.actors.core.dispatch.identity.test_content import untied


def test_users_look_for_who_spoiled_a_digest_only_where_no_mirror_can() -> None:
    state = untied("aaaabbbb", sources="abc", rates={"a": 1, "b": 1, "c": 1})
    tell(state, stored(state, "a", 0, 4), stored(state, "b", 4, 4))
    state.content.search.begin(8, CHUNK)
    one, other, user = state.sources.values()
    user.traits = replace(user.traits, abort_is_costly=True)

    def asked(source: Source) -> bool:
        return state.content.next_check(source, board_of(state), urgent=False, now_s=NOW_S) is not None

    assert [asked(each) for each in (one, other, user)] == [True, True, False]
    one.state = other.state = SourceState.BANNED
    assert asked(user)


@pytest.mark.parametrize(("leases", "odd", "asked"), [(0, False, False), (0, True, True), (1, False, True)])
def test_a_source_shows_that_it_belongs_to_the_job_before_it_goes_on_a_newcomer_only_where_it_was_odd_before(
    leases: int, odd: bool, asked: bool
) -> None:
    state = untied("aaaabbbb", sources="abc", rates={"a": 1, "b": 1, "c": 1})
    tell(state, stored(state, "a", 0, 3), stored(state, "b", 4, 3))
    state.content.identity.agree(0, 1, 4)
    newcomer = state.sources[2]
    newcomer.rate_bytes_s, newcomer.leases, newcomer.odd = 1e9, leases, odd
    state.content.overlaps.first.clear()

    def urgent(source: Source) -> Check | None:
        return state.content.next_check(source, board_of(state), urgent=True, now_s=NOW_S)

    assert (urgent(newcomer) is not None) is asked
    state.sources[0].rate_bytes_s, state.sources[0].leases = 1e9, 1
    assert urgent(state.sources[0]) is None, "it is tied"


@pytest.mark.parametrize(
    ("last_bytes", "span", "at"), [(SPAN_BYTES, 0, 0), (SPAN_BYTES + 5, SPAN_BYTES, 5), (99_000, SPAN_BYTES, 66_232)]
)
def test_of_a_short_last_chunk_the_end_is_compared_if_it_is_longer_than_that(
    last_bytes: int, span: int, at: int
) -> None:
    state = board("####")
    state.report.chunk_size, state.report.size_bytes = 100_000, 300_000 + last_bytes
    one, other = (add(state, letter, 1.0) for letter in "ab")
    state.report.stored(one, ((0, 4),), 300_000 + last_bytes)
    check = state.content.plan._spanned(Check(other.id, 3))
    assert (check.chunk, check.span_bytes, check.span_at) == (3, span, at)


def halves_sent() -> DispatchState:
    """A complete file of two mirrors; a third one could check it. Both sides of the middle were compared."""
    state = untied("a" * 40 + "b" * 40, sources="abc", rates={"a": 1, "b": 1, "c": 1})
    tell(state, stored(state, "a", 0, 40), stored(state, "b", 40, 40))
    state.content.identity.agree(0, 1, 39)
    state.content.identity.agree(0, 1, 40)
    return state


def test_head_and_tail_are_what_a_first_lease_may_check_and_nothing_beside_them() -> None:
    state = halves_sent()
    plan, reader = state.content.plan, state.sources[2]
    for wanted in (79, 0):
        check = plan.ends(reader, 80)
        assert check is not None
        assert check.chunk == wanted
        plan.given(check, state.report.owner_of(wanted))
    assert plan.ends(reader, 80) is None


def test_of_one_contributor_no_more_spots_are_read_than_are_allowed_and_ties_are_none() -> None:
    state = halves_sent()
    plan, reader = state.content.plan, state.sources[2]
    plan.optional_max = None
    for chunk in (0, 79):
        state.content.identity.agree(0, 1, chunk)
    for chunk in range(1, 10):
        plan.given(Check(2, chunk), 0)  # no spots
    plan.given(Check(2, 10, optional=True), 0)
    spot = plan.optional(reader, 80, last=False, spots_max=1)
    assert spot is not None
    assert state.report.owner_of(spot.chunk) == 1
    again = plan.optional(reader, 80, last=False)
    assert again is not None
    assert state.report.owner_of(again.chunk) == 0, "two of each, where it is not the end"


def test_of_a_chunk_whose_sender_is_excluded_no_other_is_dropped() -> None:
    state = untied("aaaabbbb", rates={"a": 1, "b": 1})
    tell(state, stored(state, "a", 0, 4), stored(state, "b", 4, 3))
    state.content.identity.exclude({0}, {1})
    late = ChunkDisputed(
        job=JOB,
        source=1,
        lease=lease_of(state, "b").id,
        chunk=1,
        other_source_hash=100,
        digest=b"b",
        stored_digest=b"a",
    )
    drops = said(tell(state, late), DropChunks)
    assert [(drop.firsts, drop.stops) for drop in drops] == [((1,), (2,))]


@pytest.mark.parametrize(("position", "lead"), [(2, 2), (4, 0), (10, 4)])
def test_who_cannot_begin_within_the_file_compares_all_that_it_reads_before_its_lease(position: int, lead: int) -> None:
    state = untied("aaaabbbb", rates={"a": 1, "b": 1})
    tell(state, stored(state, "a", 0, 4))
    source = state.sources[1]
    source.traits, source.position = replace(source.traits, offset_ok=False), position
    assert state.content.overlaps.lead_of(source, lease_of(state, "b"), board_of(state)) == lead


def test_an_open_dispute_is_answered_by_a_third_one_and_again_by_the_two_only_where_there_is_none() -> None:
    state = halves_sent()
    state.content.identity.dispute(0, b"1", 1, b"2", 20, now_s=NOW_S)

    def asked(number: int) -> int | None:
        check = state.content.next_check(state.sources[number], board_of(state), urgent=True, now_s=NOW_S)
        return None if check is None else check.chunk

    assert [asked(number) for number in range(3)] == [None, None, 20]
    state.sources[2].state = SourceState.BANNED
    assert [asked(number) for number in range(2)] == [20, 20]


def test_a_body_that_stands_open_where_chunks_are_missing_goes_on_untied() -> None:
    state = untied("aaaabbbb....", sources="abc", rates={"a": 1, "b": 1})
    tell(state, stored(state, "a", 0, 3), stored(state, "b", 4, 3))
    state.content.identity.agree(0, 1, 4)
    source = state.sources[2]
    source.rate_bytes_s, source.leases = 1e9, 1
    state.content.overlaps.first.clear()
    asked = []
    for stands in (True, False):
        source.stands, source.position = stands, next(iter(board_of(state).free))[0]
        asked.append(state.content.next_check(source, board_of(state), urgent=True, now_s=NOW_S) is not None)
    assert asked == [False, True]


@pytest.mark.parametrize(("confirmed", "lead"), [(True, 0), (False, 1)])
def test_the_chunk_before_a_lease_is_read_where_it_was_never_compared_there(confirmed: bool, lead: int) -> None:
    state = untied("a" * 8 + "b" * 8, rates={"a": 1, "b": 1})
    tell(state, stored(state, "a", 0, 8))
    state.content.identity.agree(0, 1, 7 if confirmed else 2)
    assert state.content.overlaps.lead_of(state.sources[1], lease_of(state, "b"), board_of(state)) == lead


def test_a_difference_of_a_span_is_dropped_with_its_chunk_and_asked_of_others_when_its_source_cannot_show_it() -> None:
    for gone, late_s, left, suspects in (
        ("", 0.0, [5], []),
        ("", DISPUTE_S_MAX + 1, [], [5]),
        ("source", 0.0, [], [5]),
        ("chunk", 0.0, [], []),
        ("excluded", 0.0, [], []),
    ):
        state = untied("aaaabbbb", sources="abc", rates={"a": 1, "b": 1, "c": 1})
        tell(state, stored(state, "a", 0, 4), stored(state, "b", 4, 3))
        plan = state.content.plan
        plan.differences[5] = Difference(source=0, owner=1, since_s=NOW_S)
        if gone == "source":
            state.sources[0].state = SourceState.BANNED
        elif gone == "chunk":
            state.content.exclusion.drop(RangeSet([(5, 6)]), board_of(state))
        elif gone == "excluded":
            state.content.identity.exclude({0}, {1})
        plan.settle_differences(now_s=NOW_S + late_s)
        assert (list(plan.differences), list(plan.suspects)) == (left, suspects), gone


def test_a_source_shows_the_chunk_of_its_own_difference_before_it_answers_for_others() -> None:
    state = untied("aaaabbbb", sources="abc", rates={"a": 1, "b": 1, "c": 1})
    tell(state, stored(state, "a", 0, 4), stored(state, "b", 4, 3))
    plan = state.content.plan
    plan.differences[5] = Difference(source=2, owner=1, since_s=NOW_S)
    plan.suspects[1] = None
    state.content.identity.agree(0, 1, 4)

    def urgent(source: int) -> Check | None:
        one = state.sources[source]
        return plan.urgent(one, board_of(state), tied=True, first=False, early=False, now_s=NOW_S)

    assert [urgent(each) for each in (2, 1)] == [Check(2, 5), Check(1, 1)]
    assert urgent(0) is None, "it sent the suspect chunk itself"


def test_chunks_of_others_that_a_transfer_still_reads_behind_its_end_are_under_way() -> None:
    state = untied("aaaabbbb", rates={"a": 1, "b": 1})
    lease = lease_of(state, "a")
    assert state.content.overlaps.under_way(board_of(state)) == set(), "nothing is stored there"
    tell(state, stored(state, "b", 4, 2))
    lease.overlap = 1
    assert state.content.overlaps.under_way(board_of(state)) == {4}
    lease.draining = True
    assert state.content.overlaps.under_way(board_of(state)) == set()
    lease.draining = False
    state.content.identity.agree(0, 1, 4)
    assert state.content.overlaps.under_way(board_of(state)) == set()


@pytest.mark.parametrize(
    ("changes", "free", "overlap"),
    [
        ({"stands": True}, True, 0),
        ({"stands": True}, False, 1),
        ({"stands": True, "answered_once": True}, False, 1),
        ({}, False, 1),
    ],
)
def test_a_transfer_that_will_go_on_reads_nothing_of_its_neighbour(
    changes: dict[str, bool], free: bool, overlap: int
) -> None:
    state = untied("aaaa...." if free else "aaaabbbb", rates={"a": 1, "b": 1})
    source, lease = state.sources[0], lease_of(state, "a")
    source.stands = source.answered_once = False
    for name, each in changes.items():
        setattr(source, name, each)
    assert state.content.overlaps.overlap_of(source, lease, board_of(state)) == overlap


def test_an_answer_that_stands_open_at_the_lease_compares_nothing_before_it() -> None:
    state = untied("aaaabbbb", rates={"a": 1, "b": 1})
    tell(state, stored(state, "a", 0, 4))
    source, lease = state.sources[1], lease_of(state, "b")
    for stands, position, lead in ((False, 4, 1), (True, 4, 0), (True, 2, 1)):
        source.stands, source.position = stands, position
        assert state.content.overlaps.lead_of(source, lease, board_of(state)) == lead


def test_a_check_of_one_idle_source_leaves_the_next_one_its_lease() -> None:
    """c reads a suspect chunk first; d, which comes after it in the same step, gets a range."""
    state = board("##aaaa......", rates={"a": 1.0})
    state.report.stored(state.sources[0], ((0, 2),), 2 * boards.CHUNK)
    state.content.plan.suspects[1] = None
    for letter, rate in (("c", 9.0), ("d", 2.0)):
        add(state, letter, rate)
    granted = {each.source: (each.first, each.stop) for each in said(boards.deliver(state, Ticked()), LeaseGranted)}
    assert granted[2] == (1, 2)
    assert 3 in granted


def test_four_checks_are_given_in_a_step_and_the_rest_in_the_next() -> None:
    state = board("######aaaa..", rates={"a": 1.0})
    state.report.stored(state.sources[0], ((0, 6),), 6 * boards.CHUNK)
    state.content.plan.suspects.update(dict.fromkeys(range(6)))
    for letter in "bcdefg":
        add(state, letter, 9.0)
    granted: list[int] = []
    for given, again in ((CHECKS_PER_STEP, True), (6 - CHECKS_PER_STEP, False)):
        posts = boards.deliver(state, Ticked())
        granted += (new := [each.source for each in said(posts, LeaseGranted) if each.stop <= 6])
        assert (len(new), bool(said(posts, Ticked))) == (given, again)
    assert sorted(granted) == [1, 2, 3, 4, 5, 6]
