"""The board alone: what every operation does to a picture, and that no chunk is ever lost or held twice."""

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors.core.dispatch.chunk_tracker import (
    CHUNK_SIZE_LEAST,
    CHUNKS_AIM,
    CHUNKS_MOST,
    UNBOUNDED,
    ChunkTracker,
    Lease,
    chunk_size_of,
)
from protocol.model.chunk_ranges import RangeSet
from protocol.model.job_spec import JobSpec, PieceHashes
from protocol.model.limits import CHUNK_SIZE_MAX, CHUNK_SIZE_MIN
from tests.actors.core.dispatch.drawing import picture_of, stretches

A, B, C = 0, 1, 2


def laid(picture: str) -> tuple[ChunkTracker, dict[str, Lease]]:
    """A board like the picture, and its leases by letter."""
    runs = stretches(picture)
    board = ChunkTracker(len(picture), RangeSet([(first, stop) for sign, first, stop in runs if sign == "#"]))
    leases = {
        sign: board.grant(ord(sign) - ord("a"), first, stop, now_s=1.0)
        for sign, first, stop in runs
        if sign not in "#."
    }
    assert picture_of(board) == picture
    return board, leases


def shown(board: ChunkTracker) -> str:
    """What is left of it; a board in a test is always whole."""
    board.check()
    return picture_of(board)


def test_chunks_of_a_lease_are_stored_from_its_front() -> None:
    board, leases = laid("..aaaa..")
    change = board.store(leases["a"].id, 2, 4)
    assert (shown(board), change.new, change.lost, change.trimmed) == ("..##aa..", ((2, 4),), (), ())


def test_a_chunk_stored_twice_is_new_once() -> None:
    board, leases = laid("aaaa")
    board.store(leases["a"].id, 0, 2)
    assert board.store(leases["a"].id, 0, 3).new == ((2, 3),)
    assert shown(board) == "###a"


def test_a_board_is_complete_when_everything_is_stored() -> None:
    board, leases = laid("##aa")
    assert not board.complete
    board.store(leases["a"].id, 2, 4)
    assert (board.complete, board.missing) == (True, 0)


def test_an_empty_file_is_complete_from_the_start() -> None:
    assert ChunkTracker(0).complete


def test_only_free_chunks_are_granted() -> None:
    board, _ = laid("..aa##..")
    for first, stop in ((1, 3), (3, 4), (4, 5), (5, 7)):
        with pytest.raises(AssertionError, match="not free"):
            board.grant(B, first, stop, now_s=1.0)
    with pytest.raises(AssertionError, match="empty"):
        board.grant(B, 0, 0, now_s=1.0)
    assert shown(board) == "..aa##.."


def test_a_tail_moves_to_another_source() -> None:
    board, leases = laid("aaaaaa")
    board.grant_tail(leases["a"], B, 4, now_s=1.0)
    assert shown(board) == "aaaabb"


def test_a_victim_keeps_at_least_the_next_chunk() -> None:
    board, leases = laid("aaaa")
    board.store(leases["a"].id, 0, 1)
    for first in (0, 1, 4):
        with pytest.raises(AssertionError, match="keeps"):
            board.grant_tail(leases["a"], B, first, now_s=1.0)


def test_a_ride_goes_on_into_the_free_chunks_behind_it() -> None:
    board, leases = laid("aa....b")
    board.extend(leases["a"], 5)
    assert shown(board) == "aaaaa.b"


@pytest.mark.parametrize("stop", [1, 2, 7])
def test_a_ride_cannot_be_extended_over_others_or_backwards(stop: int) -> None:
    board, leases = laid("aa....b")
    with pytest.raises(AssertionError):
        board.extend(leases["a"], stop)


# -- the end of a lease


def test_an_ended_lease_leaves_what_is_not_stored() -> None:
    board, leases = laid("aaaabb")
    board.store(leases["a"].id, 0, 1)
    board.end(leases["a"])
    assert shown(board) == "#...bb"


def test_a_draining_lease_holds_what_was_handed_over_until_it_is_stored() -> None:
    board, leases = laid("aaaaaa")
    board.drain(leases["a"], 3)
    assert shown(board) == "aaa..."
    board.store(leases["a"].id, 0, 2)
    assert leases["a"].id in board.leases
    board.store(leases["a"].id, 2, 3)
    assert (shown(board), board.leases) == ("###...", {})


@pytest.mark.parametrize(("handed_stop", "left"), [(-5, "#..."), (0, "#..."), (1, "#..."), (99, "#aaa")])
def test_what_a_worker_claims_to_have_handed_over_stays_within_its_lease(handed_stop: int, left: str) -> None:
    board, leases = laid("aaaa")
    board.store(leases["a"].id, 0, 1)
    board.drain(leases["a"], handed_stop)
    assert shown(board) == left


def test_the_last_words_of_a_lease_that_ended_long_ago_count() -> None:
    board, leases = laid("aaaa")
    board.end(leases["a"])
    assert board.store(leases["a"].id, 1, 3).new == ((1, 3),)
    assert shown(board) == ".##."


# -- words that come too late, into what belongs to others by now


def test_a_late_front_moves_the_front_of_the_lease_it_falls_into() -> None:
    board, leases = laid("aabbbb")
    change = board.store(leases["a"].id, 0, 4)
    assert (shown(board), change.trimmed, change.lost) == ("####bb", (leases["b"],), ())


def test_a_late_middle_cuts_the_lease_it_falls_into_and_frees_its_rest() -> None:
    board, leases = laid("aabbbbbb")
    change = board.store(77, 4, 6)
    assert (shown(board), change.trimmed) == ("aabb##..", (leases["b"],))


def test_a_late_end_cuts_the_lease_it_falls_into() -> None:
    board, _ = laid("aabbbbbb")
    board.store(77, 6, 8)
    assert shown(board) == "aabbbb##"


def test_a_late_run_over_a_whole_lease_ends_it() -> None:
    board, leases = laid("aabbbb")
    change = board.store(77, 1, 6)
    assert (shown(board), change.lost) == ("a#####", (leases["b"],))
    assert leases["b"].id not in board.leases


def test_late_chunks_of_free_places_are_welcome() -> None:
    board, leases = laid("aa....")
    assert board.store(leases["a"].id, 0, 5).new == ((0, 5),)
    assert shown(board) == "#####."


# -- duels


def duel() -> tuple[ChunkTracker, Lease, Lease]:
    board, leases = laid("#aaaa.")
    rival = board.grant_duplicate(leases["a"], B, now_s=1.0)
    assert shown(board) == "#2222."
    return board, leases["a"], rival


@pytest.mark.parametrize("first_in", [0, 1])
def test_in_a_duel_the_first_chunk_in_decides(first_in: int) -> None:
    board, *both = duel()
    winner, loser = both[first_in], both[1 - first_in]
    change = board.store(winner.id, 1, 2)
    assert (shown(board), change.lost) == ("##" + "ab"[first_in] * 3 + ".", (loser,))


def test_a_duellist_that_ends_leaves_the_whole_run_to_its_rival() -> None:
    for end in (ChunkTracker.end, lambda board, lease: board.drain(lease, 3)):
        board, first, _ = duel()
        end(board, first)
        assert shown(board) == "#bbbb."


def test_words_of_a_third_source_move_both_duellists() -> None:
    board, first, second = duel()
    change = board.store(77, 1, 3)
    assert (shown(board), set(map(id, change.trimmed))) == ("###22.", {id(first), id(second)})
    board, first, second = duel()
    board.store(77, 3, 4)
    assert shown(board) == "#22#.."


def test_a_duel_is_between_two_and_is_not_cut() -> None:
    board, first, _ = duel()
    with pytest.raises(AssertionError):
        board.grant_duplicate(first, C, now_s=1.0)
    with pytest.raises(AssertionError):
        board.grant_tail(first, C, 3, now_s=1.0)


# -- a race


def test_leases_of_a_race_hold_nothing_and_all_may_store() -> None:
    board = ChunkTracker(4)
    first = board.grant(A, 0, 4, now_s=1.0, shared=True)
    second = board.grant(B, 0, 4, now_s=1.0, shared=True)
    assert board.store(first.id, 0, 2).new == ((0, 2),)
    assert board.store(second.id, 0, 1).new == ()
    assert shown(board) == "##.."
    board.end(first)
    assert shown(board) == "##.."


# -- files of unknown size


def test_a_lease_on_a_file_of_unknown_size_ends_nowhere_until_the_size_is_learned() -> None:
    board = ChunkTracker(UNBOUNDED)
    lease = board.grant(A, 0, UNBOUNDED, now_s=1.0)
    board.store(lease.id, 0, 3)
    board.drain(lease, 5)
    board.check()
    board.learn_total(5)
    assert (shown(board), board.missing) == ("###aa", 2)
    board.store(lease.id, 3, 5)
    assert board.complete


def test_a_size_learned_while_others_ride_cuts_what_lies_behind_it() -> None:
    board = ChunkTracker(UNBOUNDED)
    lease = board.grant(A, 0, UNBOUNDED, now_s=1.0)
    board.store(lease.id, 0, 2)
    board.learn_total(4)
    assert (shown(board), lease.stop) == ("##aa", 4)


def test_a_size_is_learned_once() -> None:
    board = ChunkTracker(4)
    with pytest.raises(AssertionError):
        board.learn_total(3)


def test_chunks_behind_the_end_are_not_chunks() -> None:
    board, leases = laid("aaaa")
    assert board.store(leases["a"].id, 2, 9).new == ((2, 4),)


# -- any operations in any order


TOTAL = 24
PHASES = [phase for phase in Phase if phase is not Phase.explain]
"""Explaining a failure takes longer than a test may."""


class Operations(RuleBasedStateMachine):
    """Leases get their chunks in order, as one link keeps it; others' chunks come anywhere."""

    @initialize(
        runs=st.lists(st.tuples(st.integers(0, TOTAL), st.integers(0, TOTAL)), max_size=3),
        sized=st.booleans(),
        race=st.booleans(),
    )
    def begin(self, runs: list[tuple[int, int]], sized: bool, race: bool) -> None:
        self.board = ChunkTracker(TOTAL if sized else UNBOUNDED, RangeSet(runs))
        self.stored = RangeSet(self.board.stored)
        self.race = race

    def lease(self, which: int) -> Lease:
        leases = list(self.board.leases.values())
        return leases[which % len(leases)]

    @precondition(lambda self: bool(self.board.free))
    @rule(gap=st.integers(0, 9), offset=st.integers(0, TOTAL), count=st.integers(1, 8))
    def grant(self, gap: int, offset: int, count: int) -> None:
        gaps = list(self.board.free)
        first, stop = gaps[gap % len(gaps)]
        first += offset % min(stop - first, TOTAL)
        self.board.grant(A, first, min(first + count, stop), now_s=1.0, shared=self.race)

    @precondition(lambda self: bool(self.board.leases))
    @rule(which=st.integers(0, 9), at=st.integers(1, TOTAL))
    def cut(self, which: int, at: int) -> None:
        victim = self.lease(which)
        if victim.rival is None and not victim.draining and not victim.shared and victim.open_chunks > 1:
            self.board.grant_tail(victim, B, victim.next + 1 + at % (victim.open_chunks - 1), now_s=1.0)

    @precondition(lambda self: bool(self.board.leases))
    @rule(which=st.integers(0, 9))
    def fight(self, which: int) -> None:
        victim = self.lease(which)
        if victim.rival is None and not victim.draining and not victim.shared and victim.open_chunks > 0:
            self.board.grant_duplicate(victim, C, now_s=1.0)

    @precondition(lambda self: bool(self.board.leases))
    @rule(which=st.integers(0, 9), more=st.integers(1, 8))
    def extend(self, which: int, more: int) -> None:
        lease = self.lease(which)
        gap = self.board.free.range_at(lease.stop)
        if gap is not None and lease.rival is None and not lease.shared and not lease.draining:
            self.board.extend(lease, min(gap[1], lease.stop + more))

    @precondition(lambda self: bool(self.board.leases))
    @rule(which=st.integers(0, 9), handed=st.integers(-2, 12))
    def drain(self, which: int, handed: int) -> None:
        lease = self.lease(which)
        if not lease.draining:
            self.board.drain(lease, lease.next + handed)

    @precondition(lambda self: bool(self.board.leases))
    @rule(which=st.integers(0, 9))
    def end(self, which: int) -> None:
        self.board.end(self.lease(which))

    @precondition(lambda self: bool(self.board.leases))
    @rule(which=st.integers(0, 9), count=st.integers(1, 6))
    def store_next(self, which: int, count: int) -> None:
        """Perhaps more than is still its: it had that in hand when its end moved."""
        lease = self.lease(which)
        self.store(lease.id, lease.next, lease.next + count)

    @rule(lease=st.integers(1000, 1003), first=st.integers(0, TOTAL - 1), count=st.integers(1, 6))
    def store_anywhere(self, lease: int, first: int, count: int) -> None:
        self.store(lease, first, first + count)

    def store(self, lease: int, first: int, stop: int) -> None:
        free = RangeSet(self.stored.gaps(first, min(stop, self.board.total)))
        change = self.board.store(lease, first, stop)
        assert RangeSet(change.new) == free, "new is what was not stored before"
        for lost in change.lost:
            assert lost.id not in self.board.leases
        for trimmed in change.trimmed:
            assert trimmed.open_chunks > 0

    @precondition(lambda self: self.board.total == UNBOUNDED)
    @rule(more=st.integers(0, 6))
    def learn_total(self, more: int) -> None:
        """Never less than what is there: that would be another file."""
        last = self.board.stored.last_range()
        known = [lease.next for lease in self.board.leases.values()] + [last[1] if last is not None else 0]
        self.board.learn_total(max(known) + more)

    @invariant()
    def holds(self) -> None:
        self.board.check()
        for first, stop in self.stored:
            assert self.board.stored.covers(first, stop), "a chunk went back"
        self.stored = RangeSet(self.board.stored)


TestOperations = Operations.TestCase
TestOperations.settings = settings(max_examples=80, stateful_step_count=30, deadline=None, phases=PHASES)


@given(words=st.permutations([(0, 2), (2, 3), (3, 6), (1, 4), (6, 9)]))
def test_the_order_of_late_words_does_not_matter(words: list[tuple[int, int]]) -> None:
    board, _ = laid("aaabbbccc.")
    for first, stop in words:
        board.store(77, first, stop)
    assert shown(board) == "#########."


def test_a_stored_chunk_that_is_lost_below_a_lease_stays_with_that_lease() -> None:
    """A sample had the end of the file first; the lease in front of it was not cut short."""
    tracker = ChunkTracker(10)
    lease = tracker.grant(1, 0, 10, now_s=0.0)
    sample = tracker.grant_sample(2, 8, now_s=0.0)
    tracker.store(sample.id, 8, 10)
    assert lease.stop == 10
    tracker.end(sample)
    tracker.lose(9, 10)
    tracker.check()
    assert not tracker.free
    tracker.store(lease.id, 0, 9)
    tracker.drain(lease, 9)
    assert list(tracker.free) == [(9, 10)]
    tracker.check()


@pytest.mark.parametrize(
    ("size_bytes", "chunk_size"),
    [
        (-1, 128 << 10),
        (0, 8 << 10),
        (3_000_000, 8 << 10),
        ((4 << 20) + 1, 16 << 10),
        (64 << 20, 128 << 10),
        (256 << 30, 128 << 10),
        ((256 << 30) + 1, 256 << 10),
        (1 << 40, 512 << 10),
        (1 << 50, 1 << 20),
    ],
)
def test_a_small_file_has_small_chunks_and_a_huge_one_large_ones(size_bytes: int, chunk_size: int) -> None:
    assert chunk_size_of(JobSpec(folder="/box"), size_bytes) == chunk_size


@given(st.integers(0, 1 << 45))
def test_the_number_of_chunks_is_bounded_and_their_size_one_that_can_be_ordered(size_bytes: int) -> None:
    size = chunk_size_of(JobSpec(folder="/box"), size_bytes)
    assert CHUNK_SIZE_MIN <= size <= CHUNK_SIZE_MAX
    assert size_bytes <= size * CHUNKS_MOST or size == CHUNK_SIZE_MAX
    assert size in (CHUNK_SIZE_LEAST, 2 * CHUNK_SIZE_LEAST) or size_bytes > CHUNKS_AIM * size // 2


def test_a_chunk_size_that_was_ordered_stays() -> None:
    assert chunk_size_of(JobSpec(folder="/box", chunk_size=4096), 1 << 40) == 4096


@pytest.mark.parametrize(
    ("piece_bytes", "chunk_size"), [(1 << 20, 128 << 10), (96 << 10, 32 << 10), (99_999, 128 << 10)]
)
def test_chunks_end_where_pieces_do_if_they_can(piece_bytes: int, chunk_size: int) -> None:
    pieces = PieceHashes(piece_algorithm="sha1", piece_bytes=piece_bytes, piece_file="/p")
    assert chunk_size_of(JobSpec(folder="/box", pieces=pieces), 1 << 30) == chunk_size


@pytest.mark.parametrize(
    ("first", "stop", "after"),
    [
        (2, 3, "...aaa.."),
        (3, 4, "....aa.."),
        (2, 9, "........"),
        (5, 6, "........"),
        (1, 3, "..aaaa.."),
        (6, 7, "..aaaa.."),
    ],
)
def test_chunks_that_a_transfer_has_passed_without_keeping_any_are_free(first: int, stop: int, after: str) -> None:
    board, leases = laid("..aaaa..")
    board.skip(leases["a"].id, first, stop)
    assert shown(board) == after
    board.skip(99, first, stop)
    assert shown(board) == after


@pytest.mark.parametrize("draining", [False, True])
def test_a_transfer_that_has_ended_is_forgotten_once_its_last_chunk_is_passed(draining: bool) -> None:
    board, leases = laid("aaaa")
    leases["a"].draining = draining
    board.skip(leases["a"].id, 0, 3)
    assert len(board.leases) == 1
    board.skip(leases["a"].id, 3, 4)
    assert (shown(board), len(board.leases)) == ("....", 0 if draining else 1)
