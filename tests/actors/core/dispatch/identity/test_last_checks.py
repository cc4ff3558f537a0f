"""Checks of a complete file of mirrors without a digest: head, tail and edges, by the quickest, before it is sealed."""

import pytest
from msgspec.structs import replace

from actors.core.dispatch.dispatcher import DispatchState
from actors.core.dispatch.identity.checks import PLACES_ROWS_MAX, PLACES_USED_SHARE, Check
from actors.core.dispatch.identity.seal_gate import LAST_ROUNDS, LastChecks
from protocol.messages import ChunkDisputed, ChunksRepeated, LeaseFinished, LeaseGranted, SealFile, Ticked
from protocol.messages.base import Message
from protocol.model.chunk_ranges import RangeSet
from tests.actors.core.dispatch.boards import said
from tests.actors.core.dispatch.drawing import (
    CHUNK,
    JOB,
    NOW_S,
    board,
    board_of,
    finished,
    lease_of,
    stored,
    tell,
)


def complete(rates: dict[str, float]) -> tuple[DispatchState, list[LeaseGranted], bool]:
    """A file of a and b that is all there now, what is read again before it is sealed, and whether it is sealed now."""
    state = board("aaaaaaaabbbbbbbb", rates=rates, setup_s=0.01)
    state.content.plan.optional_max = None
    ends = finished(state, "a"), finished(state, "b")
    news = tell(state, stored(state, "a", 0, 8), stored(state, "b", 8, 8), *ends)
    news += tell(state, Ticked(), at_s=NOW_S + 0.001)
    return state, said(news, LeaseGranted), bool(said(news, SealFile))


def answered(granted: list[LeaseGranted]) -> list[Message]:
    news = list[Message]()
    for check in granted:
        who: dict[str, int] = {"job": JOB, "source": check.source, "lease": check.lease}
        count = check.stop - check.first
        news.append(ChunksRepeated(**who, first=check.first, count=count, length_bytes=CHUNK))
        news.append(LeaseFinished(**who, handed_stop=check.stop, received_bytes=0, size_bytes=-1, stopped=False))
    return news


def test_head_and_tail_are_read_by_the_other_source_before_the_file_is_sealed() -> None:
    state, granted, sealed = complete(rates={"a": 100, "b": 100})
    assert not sealed
    assert {(check.source, check.first, check.stop) for check in granted} == {(1, 0, 1), (0, 15, 16)}
    asked = [(check.first, check.source) for check in granted]
    for round_ in range(1, 5):
        posts = tell(state, *answered(granted), Ticked(), at_s=NOW_S + 0.01 * round_)
        if said(posts, SealFile):
            break
        granted = said(posts, LeaseGranted)
        asked += [(check.first, check.source) for check in granted]
    assert said(posts, SealFile)
    assert {first for first, _ in asked[:3]} == {0, 15, 8}, "head, tail, and the edge that was not compared"
    assert len(asked) <= 5, "and a spot in each range"
    assert len(set(asked)) == len(asked)


def places(state: DispatchState) -> list[int]:
    """Chunks that may be read again now that the file is complete, in the order of their worth."""
    return [chunk for chunk, _, _ in state.content.plan._open_places(12, last=True)]


def test_what_a_third_source_confirms_of_one_side_of_an_edge_says_nothing_of_the_other() -> None:
    state = board("aaaaaaaabbbb", sources="abc", rates={"a": 1000, "b": 100, "c": 100}, setup_s=0.01)
    tell(state, stored(state, "a", 0, 8), stored(state, "b", 8, 4))
    assert {7, 8} < set(places(state))
    state.content.identity.agree(1, 2, 8)
    assert (7 in places(state), 8 in places(state)) == (True, False)
    state.content.identity.agree(0, 1, 7)
    assert 7 not in places(state)


def test_a_third_source_reads_the_side_of_an_edge_of_which_less_is_known_first() -> None:
    state = board("aaaaaaaabbbb", sources="abc", rates={"a": 1000, "b": 100, "c": 100}, setup_s=0.01)
    tell(state, stored(state, "a", 0, 8), stored(state, "b", 8, 4))
    for chunk in (9, 10):
        state.content.identity.agree(1, 2, chunk)
    assert places(state)[:4] == [0, 11, 7, 8], "head and tail, the last chunk of a, the first of b"
    state.content.plan.given(Check(1, 7), 0)
    assert 8 not in places(state), "b reads at its own edge: that compares both sides"


@pytest.mark.parametrize("differs", [False, True])
def test_a_check_that_was_read_is_compared_before_the_file_is_sealed(differs: bool) -> None:
    state, granted, _ = complete(rates={"a": 100, "b": 100})
    *answers, _, over = answered(granted)  # of the last one the end of its transfer comes first
    tell(state, *answers, over, at_s=NOW_S + 0.01)
    more = [each for each in state.content.plan.checking if each != granted[-1].lease]
    assert not said(tell(state, Ticked(), at_s=NOW_S + 0.4), SealFile), "however long that takes"
    for lease in more:
        state.content.check_lost(lease)
    late = granted[-1]
    who: dict[str, int] = {"job": JOB, "source": late.source, "lease": late.lease}
    other = ChunkDisputed(**who, chunk=late.first, other_source_hash=1, digest=b"b", stored_digest=b"a")
    same = ChunksRepeated(**who, first=late.first, count=1, length_bytes=CHUNK)
    posts = tell(state, other if differs else same, at_s=NOW_S + 0.4)
    assert bool(said(posts, SealFile)) is not differs


def test_sources_that_need_long_for_a_chunk_are_not_waited_for() -> None:
    assert complete(rates={"a": 0.5, "b": 0.5})[1:] == ([], True)


def test_an_answer_that_never_comes_is_not_waited_for_either() -> None:
    state, granted, _ = complete(rates={"a": 100, "b": 100})
    assert granted
    posts = [post for at in range(1, 40) for post in tell(state, Ticked(), at_s=NOW_S + 0.1 * at)]
    assert said(posts, SealFile)


def test_each_of_the_quickest_is_asked_a_few_times_and_no_slow_one() -> None:
    state = board("aabb", rates={"a": 10, "b": 1})
    quick, slow = state.sources[0], state.sources[1]
    checks = LastChecks(state.sources, state.report)
    assert not checks.may_ask(quick, NOW_S), "something is missing still, and it takes longer than checks may"
    checks.begin(NOW_S)
    assert checks.waited_s(NOW_S) == 0.0
    assert checks.may_ask(quick, NOW_S)
    assert not checks.may_ask(slow, NOW_S)
    for _ in range(2 * LAST_ROUNDS):  # of fewer than `LAST_MANY`
        checks.granted(Check(0, 1, last=True))
    assert not checks.may_ask(quick, NOW_S)
    checks.begin(NOW_S + 1.0)
    assert checks.waited_s(NOW_S + 1.0) == 1.0


def test_an_answer_that_overtakes_the_end_of_its_transfer_is_not_awaited() -> None:
    state = board("aaaaaaaabbbbbbbb", rates={"a": 1, "b": 1})
    overlaps, lease = state.content.overlaps, lease_of(state, "a")
    overlaps.lease_over(lease, 9, now_s=NOW_S)
    assert overlaps.awaited(now_s=NOW_S)
    overlaps.answered(lease.id, 8, 9)
    assert not overlaps.awaited(now_s=NOW_S)
    overlaps.answered(lease.id, 8, 9)
    overlaps.lease_over(lease, 9, now_s=NOW_S)
    assert not overlaps.awaited(now_s=NOW_S), "the answer came first"


def test_samples_of_the_end_spare_no_user_the_chunk_behind_its_range() -> None:
    state = board("aaaaaaaabbbbbbbb", rates={"a": 0.1, "b": 0.1})
    overlaps, tracker, user = state.content.overlaps, board_of(state), state.sources[0]
    user.traits = replace(user.traits, abort_is_costly=True)
    sample = tracker.grant_sample(0, 14, now_s=NOW_S)
    assert overlaps.overlap_of(user, sample, tracker) == 0
    state.content.identity.agree(0, 1, 15)
    assert overlaps.overlap_of(user, lease_of(state, "a"), tracker) == 1
    state.content.identity.agree(0, 1, 8)
    assert overlaps.overlap_of(user, lease_of(state, "a"), tracker) == 0, "compared elsewhere, and a chunk takes long"


def test_the_first_lease_of_a_mirror_reads_a_chunk_of_its_neighbours_instead_of_a_tie_by_request() -> None:
    state = board("aaaaaaaabbbbbbbb", rates={"a": 1, "b": 1})
    first = lease_of(state, "a")
    assert (first.overlap, lease_of(state, "b").overlap) == (1, 0), "behind the end of the file there is nothing"
    posts = tell(state, stored(state, "a", 0, 8), finished(state, "a"))
    assert not [each for each in said(posts, LeaseGranted) if each.first in range(8) or each.stop - each.first == 1]


def test_a_file_of_one_contributor_has_no_place_that_may_be_checked() -> None:
    state = board("aaaaaaaaaaaa", sources="ab", rates={"a": 1000, "b": 100}, setup_s=0.01)
    tell(state, stored(state, "a", 0, 12))
    state.content.plan.optional_max = None
    assert places(state) == []
    assert not state.content.plan.any_optional(12)


def test_places_are_open_until_they_are_confirmed_and_while_more_than_the_needed_may_be_checked() -> None:
    state = board("aaaaaaaabbbb", sources="abc", rates={"a": 1000, "b": 100, "c": 100}, setup_s=0.01)
    tell(state, stored(state, "a", 0, 8), stored(state, "b", 8, 4))
    plan = state.content.plan
    assert not plan.any_optional(12), "no more than must be, on a board"
    plan.optional_max = None
    assert plan.any_optional(12)
    while left := places(state):
        for chunk in left:
            state.content.identity.agree(2, state.report.owner_of(chunk), chunk)
    assert not plan.any_optional(12)


def test_ranges_that_do_not_touch_have_no_edge_between_them() -> None:
    state = board("aaaa..bbbbbb", sources="abc", rates={"a": 1000, "b": 100, "c": 100}, setup_s=0.01)
    tell(state, stored(state, "a", 0, 4), stored(state, "b", 6, 6))
    rows = state.report.owned()
    edges = [chunk for chunk, _, spot in state.content.plan._every_place(rows, rows, 12, last=True) if not spot]
    assert edges == [0, 11]


def of_many_ranges(count: int) -> DispatchState:
    """An incomplete file of which a and b sent single chunks in turn; c may check."""
    state = board("." * (count + 4), sources="abc", rates={"a": 1000, "b": 1000, "c": 1000}, setup_s=0.01)
    state.content.plan.optional_max = None
    for chunk in range(count):
        state.report.stored(state.sources[chunk % 2], ((chunk, chunk + 1),), CHUNK)
    return state


@pytest.mark.parametrize("count", [8, 8 * PLACES_USED_SHARE])
def test_what_is_settled_since_places_were_looked_for_is_not_asked_for(count: int) -> None:
    """Among many ranges places are not looked for each time; what was confirmed, asked or lost is passed over."""
    state = of_many_ranges(count)
    plan, identity = state.content.plan, state.content.identity

    def next_place() -> int:
        check = plan.optional(state.sources[2], count + 4, last=False)
        assert check is not None
        return check.chunk

    confirmed = next_place()
    identity.agree(confirmed % 2, 2, confirmed)
    asked = next_place()
    assert asked != confirmed
    plan.given(Check(2, asked), asked % 2)
    lost = next_place()
    assert lost not in (confirmed, asked)
    state.report.lost(RangeSet([(lost, lost + 1)]), -1, state.sources)
    assert next_place() not in (confirmed, asked, lost)


def test_of_few_ranges_a_new_place_is_found_at_once_and_of_many_in_a_while() -> None:
    """Derived again when a share of the ranges has been used, and whenever the file is complete."""
    few, many = of_many_ranges(8), of_many_ranges(4 * PLACES_USED_SHARE)
    for state, count, used in ((few, 8, 1), (many, 4 * PLACES_USED_SHARE, 5)):
        plan = state.content.plan
        total = count + 4
        plan.optional(state.sources[2], total, last=False)
        state.report.stored(state.sources[0], ((count, count + 1),), CHUNK)
        found = [count in {chunk for chunk, _, _ in plan._open_places(total, last=False)} for _ in range(used)]
        assert found == [False] * (used - 1) + [True]
        state.report.stored(state.sources[1], ((count + 1, count + 2),), CHUNK)
        assert count + 1 in {chunk for chunk, _, _ in plan._open_places(total, last=True)}, "complete: as it is"


@pytest.mark.parametrize(("total", "most"), [(63, 4), (64, 2), (99, 2), (100, 3), (600, 8)])
def test_how_many_planned_checks_a_file_gets_by_its_size(total: int, most: int) -> None:
    """Four below 64 MiB; of a larger file two and one in a hundred chunks."""
    state = board("." * total, sources="abcdefghij", rates=dict.fromkeys("abcdefghij", 1000.0), setup_s=0.01)
    plan, state.report.chunk_size = state.content.plan, 1 << 20
    plan.optional_max = None
    for chunk in range(1, total - 1):
        state.report.stored(state.sources[chunk % 9], ((chunk, chunk + 1),), CHUNK)
    planned = 0
    while (check := plan.optional(state.sources[9], total, last=False)) is not None:
        plan.given(check, state.report.owner_of(check.chunk))
        planned += check.optional
    assert planned == most


def test_each_difference_is_one_check_that_disagreed() -> None:
    identity = board("aabb").content.identity
    for chunk, count in ((1, 1), (1, 2), (3, 3)):
        identity.dispute(0, b"a", 1, b"b", chunk, now_s=NOW_S)
        assert identity.checks_disagreed == count


def test_among_very_many_ranges_places_are_looked_for_in_one_part_after_another_until_all_were_seen() -> None:
    """Every edge that the complete file would be checked at comes within a round; head and tail each time."""
    count = 3 * PLACES_ROWS_MAX + 7
    state = of_many_ranges(count)
    plan, rows = state.content.plan, state.report.owned()
    seen: list[set[int]] = []
    for number in range(4):
        places = {chunk for chunk, _, _ in plan._derived_places(count, last=False)}
        assert {0, count - 1} <= places
        assert len(places) <= PLACES_ROWS_MAX + 3
        seen.append(places)
        state.content.identity.agree(0, 2, count + number)  # evidence elsewhere: derived again
    assert len(rows) == count
    assert set.union(*seen) == {chunk for chunk, _, _ in plan._every_place(rows, rows, count, last=True)}
    assert {chunk for chunk, _, _ in plan._derived_places(count, last=False)} == seen[0], "and again from the start"
