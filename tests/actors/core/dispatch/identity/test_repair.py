"""Search for the contributor that spoiled the digest: what is read again, by whom, and how much of it."""

import pytest

from actors.core.dispatch.identity.repair import Repair
from actors.core.dispatch.sources import Source, SourceState, SourceTraits

CHUNK = 1 << 20
OWNED = ((0, 60, 0), (60, 100, 1))
"""Sources 0 and 1 sent a file of 100 chunks."""
TWO_HALVES = ((0, 256, 0), (256, 512, 1))


def source(number: int, **traits: bool) -> Source:
    made = Source(number, f"s{number}", f"host-{number}", f"fetch-1/worker-1-{number}", "f")
    made.probed, made.traits = True, SourceTraits(restart_cost_s=0.1, **traits)
    return made


def begun(chunks: int) -> Repair:
    """The search in a file of this number of chunks."""
    repair = Repair()
    assert repair.begin(chunks, CHUNK)
    return repair


def asked(repair: Repair, reader: Source, lease: int) -> tuple[int, int, int]:
    """The next check of this source, granted: its first chunk, its length, and who had sent that chunk."""
    check = repair.check(reader, OWNED)
    assert check is not None
    owner = next(owner for first, stop, owner in OWNED if first <= check.chunk < stop)
    repair.granted(check, lease, owner, costly=reader.traits.abort_is_costly)
    return check.chunk, check.count, owner


def test_each_contributors_share_is_sampled_in_its_middle_by_another_the_least_read_first() -> None:
    repair = begun(100)
    ends = [(99, 1, 1), (0, 1, 0)]
    assert [asked(repair, source(2), lease) for lease in range(2)] == ends, "tags live there"
    assert [asked(repair, source(2), lease) for lease in range(4)] == [(30, 1, 0), (79, 1, 1), (15, 1, 0), (69, 1, 1)]
    assert asked(repair, source(0), 4)[2] == 1, "no one reads its own again"
    assert repair.spent == 7


def test_who_cannot_be_asked_for_a_part_of_the_file_checks_nothing() -> None:
    unprobed, whole, banned = source(2), source(2, offset_ok=False), source(2)
    unprobed.probed, banned.state = False, SourceState.BANNED
    assert [begun(100).check(each, OWNED) for each in (unprobed, whole, banned)] == [None] * 3


def test_what_was_compared_is_not_read_again_and_what_did_not_come_is() -> None:
    repair = begun(100)
    asked(repair, source(2), 1)
    asked(repair, source(2), 2)
    repair.answered(1, 99, 100)
    repair.answered(7, 0, 100)
    assert list(repair.asked) == [2]
    repair.over(1)
    repair.over(2)
    assert (repair.spent, repair.unread.count) == (1, 99)
    assert asked(repair, source(2), 3)[0] == 0, "nothing came of it"


@pytest.mark.parametrize(("chunks", "budget"), [(256, 256), (257, 64)])
def test_a_large_file_is_read_again_by_a_quarter_and_a_small_one_whole(chunks: int, budget: int) -> None:
    repair = begun(chunks)
    reader, count = source(1), 0
    while (check := repair.check(reader, ((0, chunks, 0),))) is not None:
        repair.granted(check, count, 0, costly=False)
        count += 1
    assert repair.spent == budget


@pytest.mark.parametrize(
    ("reader", "edges"), [(2, [(0, 1), (255, 2), (511, 1)]), (0, [(256, 1), (511, 1)]), (1, [(0, 1), (255, 1)])]
)
def test_a_user_reads_what_others_sent_where_ranges_meet_and_end_before_anything_else(
    reader: int, edges: list[tuple[int, int]]
) -> None:
    """A single odd chunk at the edge of a long range was found by chance only: up to .64 of a file was read again."""
    repair, user = begun(512), source(reader, abort_is_costly=True)
    for lease, edge in enumerate(edges):
        check = repair.check(user, TWO_HALVES)
        assert check is not None
        assert (check.chunk, check.count) == edge
        repair.granted(check, lease, check.chunk // 256, costly=True)
    check = repair.check(user, TWO_HALVES)
    assert check is not None
    assert check.count == 4, "a stretch of the middle of a share"


def test_a_user_reads_a_short_stretch_of_a_contributor_and_twice_as_much_each_further_time() -> None:
    repair = begun(512)
    user, owned = source(2, abort_is_costly=True), TWO_HALVES
    for lease in range(3):
        check = repair.check(user, owned)
        assert check is not None
        repair.granted(check, lease, check.chunk // 256, costly=True)
    counts: dict[int, list[int]] = {0: [], 1: []}
    for lease in range(6):
        check = repair.check(user, owned)
        assert check is not None
        owner = check.chunk // 256
        repair.granted(check, lease, owner, costly=True)
        counts[owner].append(check.count)
    assert counts == {0: [4, 8, 16], 1: [4, 8, 16]}


def test_of_many_contributors_each_is_looked_at_once_before_any_is_read_at_length() -> None:
    owned = [(32 * number, 32 * number + 32, number) for number in range(300)]
    repair = begun(32 * 300)
    owners = []
    for lease in range(300):
        check = repair.check(source(299 - lease), owned)
        assert check is not None
        assert check.count == 1
        owner = check.chunk // 32
        repair.granted(check, lease, owner, costly=False)
        owners.append(owner)
    assert sorted(owners) == list(range(300))
    check = repair.check(source(0), owned)
    assert check is not None
    assert check.count > 1


def test_a_search_that_is_forgotten_begins_in_another_file_as_the_first_one() -> None:
    repair = begun(100)
    for lease in range(4):
        asked(repair, source(2), lease)
    repair.answered(0, 99, 100)
    repair.forget()
    assert not repair.active
    assert repair.begin(60, CHUNK)
    assert repair == begun(60)
