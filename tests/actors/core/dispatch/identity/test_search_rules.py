"""The search for who spoiled a file, digests that are named, piece hashes, ties and resumption: each bound of them."""

import pytest

from actors.core.dispatch.dispatcher import DispatchState
from actors.core.dispatch.identity.checks import Check
from actors.core.dispatch.identity.evidence import Identity
from actors.core.dispatch.identity.pieces import PieceSenders
from actors.core.dispatch.identity.repair import NamedDigests, Repair
from actors.core.dispatch.identity.resumption import ResumeChecks
from actors.core.dispatch.identity.ties import Holdings, Ties
from actors.core.dispatch.sources import SourceState
from protocol.messages import ComparePieces, SourceDescribed
from protocol.model.job_spec import PieceHashes
from tests.actors.core.dispatch.boards import said
from tests.actors.core.dispatch.drawing import JOB, board_of, stored, tell
from tests.actors.core.dispatch.identity.test_content import untied
from tests.actors.core.dispatch.identity.test_repair import begun, source

A, B, C = range(3)
ONE, TWO = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"
WEAK = f"md5:{'1' * 32}"


def resumed(*rows: tuple[int, int, int], complete: bool = False) -> ResumeChecks:
    checks = ResumeChecks()
    checks.opened(rows, complete=complete)
    return checks


# -- the search


def test_a_search_has_eight_rounds_of_which_the_first_sets_its_bounds() -> None:
    repair = Repair()
    for number in range(1, 10):
        assert repair.begin(300 + number, 1 << 20) is (number <= 8)
        assert repair.active is (number <= 8)
    assert (repair.total, repair.budget, list(repair.unread)) == (301, 75, [(0, 301)])


def test_within_a_damage_only_its_chunks_are_read_again_its_middle_first() -> None:
    repair = begun(100)
    assert repair.check(source(2), ((0, 60, 0), (60, 100, 1))) == Check(2, 99)
    repair.search_within((40, 50))
    assert repair.check(source(2), ((0, 60, 0), (60, 100, 1))) == Check(2, 44)


def test_what_is_left_of_the_budget_is_read_and_no_more() -> None:
    owned = ((0, 1024, 0), (1024, 2048, 1))
    repair = begun(2048)
    for lease in range(2):  # head and tail: a first look at each
        check = repair.check(source(2), owned)
        assert check is not None
        assert check.count == 1
        repair.granted(check, lease, check.chunk // 1024, costly=False)
    check = repair.check(source(2), owned)
    assert check is not None
    assert check.count == 4, "a file of many chunks is read in some hundred requests"
    repair.spent = repair.budget - 3
    check = repair.check(source(2), owned)
    assert check is not None
    assert check.count == 3
    repair.spent = repair.budget
    assert repair.check(source(2), owned) is None


def test_a_stretch_ends_where_what_is_unread_ends() -> None:
    owned = ((0, 2048, 0),)
    repair = begun(2048)
    repair.unread.discard(0, 2045)
    repair.unread.discard(2047, 2048)
    repair._reads[0] = 9
    assert repair.check(source(2), owned) == Check(2, 2045, 2)


def test_a_users_looks_at_one_contributor_grow_up_to_256_times() -> None:
    repair, user = begun(1 << 17), source(2, abort_is_costly=True)
    repair.budget = 1 << 30
    owned = ((0, 1 << 16, 0), (1 << 16, 1 << 17, 1))
    repair.unread.discard(0, 1)
    repair.unread.discard((1 << 16) - 1, (1 << 16) + 1)
    repair.unread.discard((1 << 17) - 1, 1 << 17)
    repair._looks[0] = 7
    repair.granted(Check(2, 5), 1, 0, costly=True)
    repair.granted(Check(2, 6), 2, 0, costly=True)
    assert repair._looks == {0: 8}
    repair.granted(Check(2, 9), 3, 1, costly=False)
    assert 1 not in repair._looks
    check = repair.check(user, owned)
    assert check is not None
    assert check.count == 1024, "a first look at the one that was read least"


def test_what_an_answer_brings_is_not_unread_again_when_its_transfer_ends() -> None:
    repair = begun(100)
    repair.granted(Check(2, 10, count=5), 7, 0, costly=False)
    assert (repair.spent, repair.unread.count) == (5, 95)
    repair.answered(7, 10, 12)
    repair.over(7)
    assert (repair.spent, repair.unread.count, list(repair.unread)) == (2, 98, [(0, 10), (12, 100)])
    repair.over(7)
    assert repair.spent == 2


# -- digests that are named


def described(number: int, *checksums: str, document: bool = False) -> SourceDescribed:
    return SourceDescribed(job=JOB, source=number, checksums=checksums, document=document)


@pytest.mark.parametrize(("one", "other"), [(A, C), (C, A)])
def test_two_that_name_the_same_strong_digest_are_tied_and_the_odd_one_is_named(one: int, other: int) -> None:
    made, identity = NamedDigests(), Identity()
    sources = {number: source(number) for number in range(3)}

    def settle(message: SourceDescribed) -> object:
        return made.settle(message, sources, identity, "", lambda member: member)

    assert settle(described(one, WEAK, ONE)) is None
    assert settle(described(B, WEAK)) is None
    assert not identity.tied(one, B), "a weak digest ties none"
    assert settle(described(other, ONE)) is None
    assert identity.tied(one, other)
    found = made.settle(described(B, TWO), sources, identity, "", lambda member: member)
    assert found is not None
    assert (found.chunk, found.losers, found.winners, found.why) == (
        -1,
        frozenset({B}),
        frozenset({one, other}),
        "its sha256 is another one",
    )
    identity.exclude([B], [A])
    assert settle(described(B, TWO)) is None, "it is out already"


def test_what_a_document_names_stands_whatever_becomes_of_it() -> None:
    made = NamedDigests()
    made.take(A, [ONE])
    made.take(B, [ONE], document=True)
    for each in (A, B):
        made.forget(each)
    made.compare(())
    assert (made.compared, made.namer) == (ONE, B)


# -- pieces


def test_a_piece_is_fetched_again_three_times() -> None:
    senders = PieceSenders()
    assert [senders.refetch(4) for _ in range(4)] == [True, True, True, False]
    assert senders.refetch(5)


@pytest.mark.parametrize(("good", "odd"), [(5, True), (6, False)])
def test_of_two_bad_pieces_each_takes_three_good_ones(good: int, odd: bool) -> None:
    senders = PieceSenders()
    for _ in range(good):
        senders.good({A})
    senders.good({A, B})
    assert not senders.bad(A, 0)
    assert senders.bad(A, 8) is odd


def halves() -> DispatchState:
    state = untied("aaaaaaaabbbbbbbb", rates={"a": 1, "b": 1})
    tell(state, stored(state, "a", 0, 7), stored(state, "b", 8, 7))
    state._out.take()
    return state


HASHES = PieceHashes(piece_algorithm="sha1", piece_bytes=1, piece_file="/f")


@pytest.mark.parametrize("opened", [False, True])
def test_the_first_documents_hashes_are_adopted_and_compared_once_the_part_file_is_open(opened: bool) -> None:
    state = halves()
    pieces = state.content.pieces
    pieces.adopt(PieceHashes(), opened=opened)
    assert not pieces.awaited
    pieces.adopt(HASHES, opened=opened)
    pieces.adopt(HASHES.but(piece_bytes=2), opened=opened)
    assert (pieces.awaited, pieces.adopted) == (True, HASHES)
    assert said(state._out.take(), ComparePieces) == [ComparePieces(job=JOB, pieces=HASHES)] * opened
    pieces.give_up()
    pieces.compare()
    assert not state._out.take()


def test_a_good_piece_clears_its_chunks_of_suspicion_where_all_of_it_is_stored() -> None:
    state = halves()
    plan, pieces = state.content.plan, state.content.pieces
    plan.suspects |= dict.fromkeys(range(4, 9))
    pieces.bad.add(0, 12)
    pieces.good(6, 9)
    assert list(pieces.bad) == [(0, 12)], "chunk 7 is missing"
    pieces.good(4, 6)
    assert list(plan.suspects) == [6, 7, 8]
    assert list(pieces.bad) == [(0, 4), (6, 12)]
    assert list(state.content.identity.proven_chunks) == [(4, 6)]
    assert state.content.identity.proven(0)
    assert not pieces.all_proven(16)


def test_four_chunks_of_a_bad_piece_are_read_again_four_times() -> None:
    state = halves()
    plan, pieces = state.content.plan, state.content.pieces
    pieces.bad.add(1, 7)
    for _ in range(4):
        plan.suspects.clear()
        assert pieces.question()
        assert list(plan.suspects) == [1, 2, 3, 4]
    assert not pieces.question()
    pieces = halves().content.pieces
    pieces.bad.add(1, 3)
    for chunk in (1, 2):
        pieces._identity.agree(A, B, chunk, whole=chunk == 1)
    assert pieces.question(), "a span is not all of a chunk"
    pieces._identity.agree(A, B, 2)
    assert not pieces.question()


def test_a_bad_piece_of_one_contributor_is_said_and_of_two_is_looked_at_by_others() -> None:
    state = halves()
    pieces, plan = state.content.pieces, state.content.plan
    found = pieces.found_bad(0, 3)
    assert found is not None
    assert (found.owner, found.repeats, found.words) == (0, False, "chunks 0 to 2 have another piece hash")
    assert list(plan.suspects) == []
    assert pieces.found_bad(6, 9) is None
    assert list(plan.suspects) == [6, 7, 8]
    assert list(pieces.bad) == [(0, 3), (6, 9)]
    assert state.content.identity.checks_disagreed == 2
    assert pieces.agreed_on() == ((0, 3), frozenset({0}))
    again = pieces.found_bad(0, 3)
    assert again is not None
    assert again.repeats
    pieces.again()
    assert (list(pieces.bad), list(state.content.identity.proven_chunks)) == ([], [])


# -- ties


def test_the_group_with_most_chunks_goes_on_and_of_equals_the_first() -> None:
    sources = {number: source(number) for number in range(4)}
    rows = ((0, 5, 3), (5, 8, 1), (8, 12, 2), (12, 13, 1))
    assert Ties(Holdings(rows), Identity(), sources).main() == 3
    identity = Identity()
    identity.agree(1, 2, 5)
    assert Ties(Holdings(rows), identity, sources).main() == 1
    level = ((0, 4, 3), (4, 8, 1))
    ties = Ties(Holdings(level), Identity(), sources)
    assert ties.main() == 1
    assert ties.holdings.counts == {3: 4, 1: 4}
    assert ties.holdings.first == (0, 4, 3)
    assert Ties(Holdings(level), Identity(anchor=2), sources).main() == 2
    assert Ties(Holdings(()), Identity(), sources).main() is None


def test_ties_are_missing_until_all_are_of_the_group_that_goes_on() -> None:
    sources = {number: source(number) for number in range(3)}
    rows = ((0, 5, 0), (5, 8, 1))
    identity = Identity()
    assert Ties(Holdings(rows), identity, sources).missing()
    assert Ties(Holdings(rows), identity, sources).any_open()
    identity.agree(0, 1, 5)
    assert not Ties(Holdings(rows), identity, sources).missing()
    assert Ties(Holdings(rows), Identity(anchor=2), sources).missing(), "the order's own source sent nothing of it"
    assert not Ties(Holdings(rows[:1]), Identity(), sources).missing()
    assert not Ties(Holdings(()), Identity(), sources).missing()
    assert not Ties(Holdings(()), Identity(), sources).any_open()


# -- resumption


def test_only_sources_of_an_incomplete_file_that_are_known_are_compared() -> None:
    rows = ((0, 4, 0), (4, 8, -7), (8, 9, -1), (9, 12, 2))
    assert resumed(*rows).open == {0, 2}
    assert resumed(*rows, complete=True).open == set()


def test_of_several_ranges_the_last_chunk_of_the_longest_is_read_again() -> None:
    rows = ((0, 2, 0), (4, 9, 0), (9, 20, 1), (20, 23, 0))
    assert resumed(*rows).check(source(0), rows) == Check(0, 8)
    assert resumed(*rows).check(source(0), rows[2:3]) is None


@pytest.mark.parametrize("change", ["banned", "unprobed", "front", "user", "validator", "none"])
def test_who_cannot_be_asked_or_need_not_be_reads_nothing_of_its_own_again(change: str) -> None:
    one = source(0, offset_ok=change != "front", abort_is_costly=change == "user")
    if change == "banned":
        one.state = SourceState.BANNED
    one.probed = change != "unprobed"
    one.validator = '"v1"' if change == "validator" else ""
    assert (resumed((0, 4, 0)).check(one, ((0, 4, 0),)) is None) is (change != "none")


def test_a_doubted_source_is_settled_by_the_last_of_what_was_wanted_of_it() -> None:
    for rows, wanted in ((((3, 4, 0), (4, 8, 1)), 1), (((0, 4, 0), (4, 8, 1)), 2), (((0, 1, 0), (5, 6, 0)), 2)):
        resume, one = ResumeChecks(), source(0)
        resume.doubt(one, rows)
        assert (one.doubted, resume.open) == (True, {0})
        for at in range(wanted):
            assert not resume.settled(one)
            assert one.doubted
            assert resume.answered(0, 0), at
        assert resume.settled(one)
        assert not one.doubted
        assert not resume.settled(one)
        assert not resume.answered(0, 0), "nothing is open any more"


def test_a_source_that_sent_nothing_is_not_doubted_and_answers_of_others_do_not_count() -> None:
    resume, one = ResumeChecks(), source(0)
    resume.doubt(one, ((0, 4, 1),))
    assert (one.doubted, resume.open) == (False, set())
    resume = resumed((0, 4, 0))
    assert not resume.answered(1, 0)
    assert not resume.answered(0, 1)
    assert resume.open == {0}


def test_a_resumed_source_is_awaited_while_it_may_be_asked_or_was() -> None:
    state = untied("aaaabbbb", rates={"a": 1, "b": 1})
    tell(state, stored(state, "a", 0, 2), stored(state, "b", 4, 2))
    resume, plan = state.content.resume, state.content.plan
    assert not resume.is_awaited(state.sources, plan)
    resume.open.add(0)
    assert resume.is_awaited(state.sources, plan)
    resume.granted(Check(0, 1), 1)
    assert resume.is_awaited(state.sources, plan), "that was a chunk of another one"
    resume.granted(Check(0, 1), 0)
    assert not resume.is_awaited(state.sources, plan), "it was asked, and no check is on its way"
    plan.checking[9] = Check(1, 1)
    assert not resume.is_awaited(state.sources, plan), "that of another one is"
    plan.checking[10] = Check(0, 1)
    assert resume.is_awaited(state.sources, plan)
    plan.checking.clear()
    resume.open.clear()
    resume.open.add(7)
    assert not resume.is_awaited(state.sources, plan), "one that is no source any more"
    assert board_of(state).total == 8


def test_the_only_source_of_a_complete_file_confirms_it_twice_at_most() -> None:
    resume, one = ResumeChecks(), source(0)
    one.validator = '"v1"'
    for number in range(3):
        resume.confirm(one)
        assert resume.confirming is (number < 2)
        assert resume.check(one, ((3, 9, 0), (1, 2, 0))) == (Check(0, 1) if number < 2 else None)
        resume.granted(Check(0, 1), 0)
        resume.confirm(one)
        assert resume.check(one, ((1, 9, 0),)) is None, "it was asked"
        resume.incomplete()
        assert not resume.confirming
