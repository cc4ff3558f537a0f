"""Exclusion to the letter: what is dropped and said, who may take the place; differences and answers that decide it."""

import pytest

from actors.core.dispatch.dispatcher import DispatchState
from actors.core.dispatch.identity.checks import Check, Difference
from actors.core.dispatch.identity.evidence import Resolution
from actors.core.dispatch.sources import SourceState
from protocol.messages import (
    ChunkDisputed,
    ChunksRepeated,
    ClaimChanged,
    DropChunks,
    JobNoted,
    SourcesJudged,
    SpanCompared,
)
from protocol.model.chunk_ranges import RangeSet
from tests.actors.core.dispatch.boards import said
from tests.actors.core.dispatch.drawing import CHUNK, JOB, NOW_S, board_of, drawn, ready, stored, tell
from tests.actors.core.dispatch.identity.test_content import untied


def three(picture: str = "aaaabbbbcccc") -> DispatchState:
    """Sources a, b and c, each with the first three chunks of its range stored; nothing ties them."""
    state = untied(picture, rates={"a": 1, "b": 1, "c": 1})
    for number, letter in enumerate("abc"):
        tell(state, stored(state, letter, 4 * number, 3))
    state._out.take()
    return state


def apply(state: DispatchState, *losers: int, winners: tuple[int, ...] = (0,), chunk: int = 5) -> list[int]:
    resolution = Resolution(chunk, frozenset(losers), frozenset(winners), "2 against 1")
    return [each.id for each in state.content.exclusion.apply(resolution, board_of(state))]


@pytest.mark.parametrize(("chunk", "where"), [(-1, ""), (0, " at chunk 0"), (5, " at chunk 5")])
def test_a_source_that_loses_has_its_winners_and_the_place_in_its_reason(chunk: int, where: str) -> None:
    state = three()
    assert apply(state, 1, winners=(2, 0), chunk=chunk) == [1]
    assert state.sources[1].state is SourceState.BANNED
    assert f"other content than source a and source c{where} (2 against 1)" in state.sources[1].reason
    state = three()
    apply(state, 1, winners=(), chunk=chunk)
    assert f"its content changed{where} (2 against 1)" in state.sources[1].reason


def test_what_the_losers_sent_is_dropped_noted_and_recorded() -> None:
    state = three()
    state.content.search.active = True
    assert apply(state, 2, 1, winners=(0,)) == [1, 2]
    posts = state._out.take()
    assert [(each.firsts, each.stops, each.source_hashes) for each in said(posts, DropChunks)] == [
        ((4, 8), (7, 11), (101, 102))
    ]
    assert [each.text for each in said(posts, JobNoted)][-1:] == [
        "6 chunks from source b and source c are fetched again"
    ]
    assert [(each.excluded, each.readmitted) for each in said(posts, SourcesJudged)] == [((101, 102), ())]
    assert drawn(state)[:4] == "###a"
    assert list(state.content.exclusion.dropped) == list(state.content.sealing.freed) == [(4, 7), (8, 11)]
    assert not state.content.search.active
    assert {1, 2} <= set(state.content.identity.excluded)


def test_a_loser_of_which_nothing_is_stored_is_noted_without_chunks() -> None:
    state = untied("aaaabbbb", rates={"a": 1, "b": 1})
    tell(state, stored(state, "a", 0, 2))
    state._out.take()
    apply(state, 1)
    posts = state._out.take()
    assert said(posts, DropChunks) == []
    assert not any("fetched again" in each.text for each in said(posts, JobNoted))


def test_chunks_that_a_piece_hash_proves_stay() -> None:
    state = three()
    state.content.identity.proven_chunks.add(5, 6)
    apply(state, 1)
    drops = said(state._out.take(), DropChunks)
    assert [(each.firsts, each.stops) for each in drops] == [((4, 6), (5, 7))]


def test_a_source_comes_back_when_those_that_it_differed_from_are_out_unless_it_was_rejected() -> None:
    for rejected, comes_back in ((False, True), (True, False)):
        state = three()
        if rejected:
            assert state.content.exclusion.reject({1}, "another digest", board_of(state))[0]
        apply(state, 1, winners=(0,))
        apply(state, 0, winners=(2,))
        assert state.sources[1].usable is comes_back


def test_chunks_that_are_dropped_in_their_thousands_go_in_parts_with_a_given_sender() -> None:
    state = three("a" * 4 + "b" * 4 + "c" * 5000)
    chunks = RangeSet([(2 * at, 2 * at + 1) for at in range(2001)])
    state.content.exclusion.drop(chunks, board_of(state), sent_by=77)
    first, second = said(state._out.take(), DropChunks)
    assert (len(first.firsts), second.firsts, second.stops) == (2000, (4000,), (4001,))
    assert set(first.source_hashes) | set(second.source_hashes) == {77}
    assert first.stops[0] == 1


def test_another_digest_takes_the_place_only_where_another_source_could_send_it() -> None:
    state = three()
    for each in (1, 2):
        state.sources[each].state = SourceState.BANNED
    assert state.content.exclusion.reject({0}, "another digest", board_of(state)) == (False, [])
    assert not state.content.identity.excluded
    state.sources[1].state = SourceState.ACTIVE
    replaced, lost = state.content.exclusion.reject({0}, "another digest", board_of(state))
    assert (replaced, [each.id for each in lost]) == (True, [0])
    assert "other content than source b (another digest)" in state.sources[0].reason
    assert state.content.exclusion.reject({1}, "another digest", board_of(state)) == (False, []), "a was rejected"


def test_a_group_that_was_left_out_goes_on_where_no_source_of_the_other_is_left() -> None:
    state = three()
    apply(state, 1, winners=(0,))
    assert [each.id for each in state.content.exclusion.other_group(board_of(state))] == [0, 2]
    assert state.sources[1].usable
    assert "no source of its file is left" in state.sources[0].reason
    assert state.content.exclusion.other_group(board_of(state)) == [], "those were tried"
    state = three()
    assert state.content.exclusion.other_group(board_of(state)) == [], "none was left out"
    apply(state, 1, winners=(0,))
    state.content.identity.anchor = 0
    assert state.content.exclusion.other_group(board_of(state)) == [], "the order names the source"


def test_what_nothing_ties_is_dropped_if_it_can_be_fetched_again() -> None:
    state = three()
    state.content.identity.agree(0, 2, 1)
    assert state.content.exclusion.free_untied(board_of(state)) == ""
    posts = state._out.take()
    assert [(each.firsts, each.stops) for each in said(posts, DropChunks)] == [((4,), (7,))]
    assert [each.text for each in said(posts, JobNoted)] == [
        "nothing shows that source b has the same file: 3 chunks are fetched again"
    ]
    assert not state.content.identity.excluded, "it may have it"
    state = three()
    for each in state.sources.values():
        each.probed = False
    assert state.content.exclusion.free_untied(board_of(state)) == (
        "nothing shows that source b and source c has the same file as the others: equal size is not enough"
    )
    assert drawn(state) == drawn(three())


@pytest.mark.parametrize(
    ("usable", "leases", "tied", "able"),
    [(0, 1, False, True), (1, 1, False, False), (1, 0, False, True), (1, 1, True, True)],
)
def test_who_may_finish_a_file_is_tied_to_it_or_has_sent_nothing(
    usable: int, leases: int, tied: bool, able: bool
) -> None:
    state = three()
    for each in state.sources.values():
        each.probed, each.leases = each.id == usable, leases
    state.content.identity.anchor = 0
    if tied:
        state.content.identity.agree(0, 1, 4)
    assert (state.content.exclusion.free_untied(board_of(state)) == "") is able


def test_a_source_whose_file_has_changed_sends_again_what_it_sent() -> None:
    state = three()
    state.content.identity.agree(0, 1, 5)
    state.content.exclusion.changed(state.sources[1], board_of(state), "it has changed")
    posts = state._out.take()
    assert [each.text for each in said(posts, JobNoted)] == [
        "it has changed: 3 chunks that it had sent are fetched again"
    ]
    assert [(each.firsts, each.stops) for each in said(posts, DropChunks)] == [((4,), (7,))]
    assert not state.content.identity.tied(0, 1)
    state.content.exclusion.changed(state.sources[1], board_of(state), "and again")
    assert [each.text for each in said(state._out.take(), JobNoted)] == ["and again"]
    state.content.exclusion.changed(state.sources[1], None, "before there is a file")
    assert state._out.take() == []


# -- answers


def repeated(state: DispatchState, source: int, first: int, count: int) -> list[int]:
    message = ChunksRepeated(job=JOB, source=source, lease=999, first=first, count=count, length_bytes=count * CHUNK)
    return [each.id for each in state.content.repeated(message, board_of(state))]


def test_a_source_whose_span_differed_and_whose_whole_chunk_is_the_stored_one_is_out() -> None:
    state = three()
    plan, disagreed = state.content.plan, state.content.identity.checks_disagreed
    plan.differences[5] = Difference(source=2, owner=1, since_s=NOW_S)
    plan.differences[6] = Difference(source=0, owner=1, since_s=NOW_S)
    assert repeated(state, 2, 4, 3) == [2]
    assert list(plan.differences) == [6], "that of another source stays"
    assert state.content.identity.checks_disagreed == disagreed + 1
    assert "other content than source b at chunk 5" in state.sources[2].reason
    assert "answered differently when asked again" in state.sources[2].reason


@pytest.mark.parametrize("owner", [0, 2])
def test_a_difference_from_bytes_that_another_one_sent_by_now_says_nothing(owner: int) -> None:
    state = three()
    state.content.plan.differences[5] = Difference(source=2, owner=owner, since_s=NOW_S)
    assert repeated(state, 2, 4, 3) == []
    assert not state.content.plan.differences


def test_of_a_long_repeated_range_four_chunks_of_each_contributor_count() -> None:
    state = untied("a" * 6 + "b" * 6 + "cccc", rates={"a": 1, "b": 1, "c": 1})
    tell(state, stored(state, "a", 0, 6), stored(state, "b", 6, 6))
    repeated(state, 2, 0, 12)
    identity = state.content.identity
    assert [identity.checks_of(each) for each in (0, 1, 2)] == [4, 4, 8]
    assert identity.confirmed_chunks() == [0, 1, 2, 3, 6, 7, 8, 9]


@pytest.mark.parametrize(
    ("source", "chunk", "has_stored", "tied", "differs"),
    [(2, 5, True, True, True), (1, 5, True, False, False), (2, 7, True, False, False), (2, 5, False, False, False)],
)
def test_a_span_says_something_of_stored_bytes_that_another_one_sent(
    source: int, chunk: int, has_stored: bool, tied: bool, differs: bool
) -> None:
    for agrees in (True, False):
        state = three()
        message = SpanCompared(job=JOB, source=source, lease=999, chunk=chunk, agrees=agrees, stored=has_stored)
        state.content.compared(message, now_s=NOW_S)
        identity = state.content.identity
        assert identity.tied(source, 1) is ((tied and agrees) or source == 1)
        assert bool(state.content.plan.differences) is (differs and not agrees)
        assert not identity.confirmed(chunk, whole=True)


@pytest.mark.parametrize("odd", [1, 2])
def test_a_span_of_or_by_an_excluded_source_says_nothing(odd: int) -> None:
    state = three()
    state.content.identity.exclude([odd], [0])
    for agrees in (True, False):
        message = SpanCompared(job=JOB, source=2, lease=999, chunk=5, agrees=agrees, stored=True)
        state.content.compared(message, now_s=NOW_S)
    assert not state.content.plan.differences
    assert state.content.identity.checks_agreed == 0


@pytest.mark.parametrize(("source", "left"), [(2, []), (0, [5])])
def test_a_whole_chunk_that_differs_ends_the_difference_of_its_source_only(source: int, left: list[int]) -> None:
    state = three()
    state.content.plan.differences[5] = Difference(source=2, owner=1, since_s=NOW_S)
    message = ChunkDisputed(
        job=JOB, source=source, lease=999, chunk=5, other_source_hash=101, digest=b"b", stored_digest=b"a"
    )
    assert not state.content.disputed(message, board_of(state), now_s=NOW_S)
    assert list(state.content.plan.differences) == left
    assert state.content.identity.disputes[5].answers == {1: b"a", source: b"b"}


def test_a_check_ends_with_the_last_of_its_chunks() -> None:
    state = three()
    plan = state.content.plan
    plan.checking[999] = Check(2, 4, count=3)
    for chunk, left in ((4, True), (5, True), (6, False)):
        repeated(state, 2, chunk, 1)
        assert (999 in plan.checking) is left


# -- who is believed


@pytest.mark.parametrize(
    ("rates", "preferred", "banned", "loser"),
    [
        ({2: 5.0, 3: 9.0}, (), (), 2),
        ({2: 9.0, 3: 5.0}, (), (), 3),
        ({2: 9.0, 3: 5.0}, (3,), (), 2),
        ({2: 9.0, 3: 5.0}, (), (2,), 2),
    ],
)
def test_of_two_that_a_search_found_the_preferred_or_the_faster_one_is_believed(
    rates: dict[int, float], preferred: tuple[int, ...], banned: tuple[int, ...], loser: int
) -> None:
    state = untied("aaaabbbb", rates={"a": 1, "b": 1})
    for letter in "cd":
        ready(state, letter)
    state.content.identity.__init__()  # type: ignore[misc]
    for number, rate in rates.items():
        state.sources[number].rate_bytes_s = rate
        state.sources[number].preferred = number in preferred
        if number in banned:
            state.sources[number].state = SourceState.BANNED
    assert _loser_of(state, 2, 3) == loser


def _loser_of(state: DispatchState, one: int, other: int) -> int:
    state.content.identity.dispute(one, b"a", other, b"b", 5, now_s=NOW_S)
    state.content.resolve(board_of(state), now_s=NOW_S + 12)
    (loser,) = state.content.identity.excluded
    return loser


@pytest.mark.parametrize(("one", "other", "loser"), [(0, 1, 1), (1, 0, 1), (1, 2, 2), (0, -5, -5), (2, -5, -5)])
def test_the_order_of_the_user_decides_between_equals_and_those_that_it_does_not_name_come_last(
    one: int, other: int, loser: int
) -> None:
    state = untied("aaaabbbb", rates={"a": 1, "b": 1})
    ready(state, "c")
    state.content.identity.__init__()  # type: ignore[misc]
    state.sources[2].rate_bytes_s = 1e9
    assert _loser_of(state, one, other) == loser


# -- frames, and the claim


def test_frames_that_meet_tie_two_contributors_and_nothing_at_a_hole() -> None:
    state = untied("aaaabbbb", rates={"a": 1, "b": 1})
    tell(state, stored(state, "a", 0, 4), stored(state, "b", 4, 2))
    for chunk in (0, 6, 7):
        state.content.boundary_proven(chunk)
        state.content.boundary_broken(chunk)
    assert (state.content.identity.checks_agreed, list(state.content.plan.suspects)) == (0, [])
    state.content.boundary_broken(2)
    assert list(state.content.plan.suspects) == [], "within what one sent a damage is its own"
    state.content.boundary_broken(4)
    assert (list(state.content.plan.suspects), state.content.identity.checks_disagreed) == ([3, 4], 1)
    state.content.boundary_proven(4)
    assert state.content.identity.tied(0, 1)
    assert state.content.identity.weakest([0, 1]) == "frames"


def test_the_claim_is_reported_at_most_once_a_second_and_where_it_has_changed() -> None:
    state = three()
    state.content.report_claim(now_s=NOW_S + 10)
    state._out.take()
    for now_s, chunk, reported in ((10.9, 5, 0), (11.0, 5, 1), (12.0, 5, 0), (13.0, 6, 1)):
        state.content.identity.agree(0, 1, chunk)
        state.content.report_claim(now_s=NOW_S + now_s)
        assert len(said(state._out.take(), ClaimChanged)) == reported, now_s
    assert state.content.sealing.claim().agreed_chunks == (5, 6)


def test_no_search_is_begun_in_a_file_of_unknown_length() -> None:
    state = untied("........", sources="ab", sized=False)
    assert state.content.repair("damaged", board_of(state)) == (False, [])
    assert not state.content.search.active
