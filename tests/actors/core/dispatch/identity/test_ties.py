"""Missing ties among many contributors: derived once, each asked of other sources, the fewest needed."""

import pytest

from actors.core.dispatch.identity.evidence import Identity
from actors.core.dispatch.identity.ties import ASKED_MAX, Holdings, Ties
from actors.core.dispatch.sources import Source, SourceState, SourceTraits

COUNT = 300
ROWS = tuple((8 * number, 8 * number + 8, number) for number in range(COUNT))


def source(number: int) -> Source:
    made = Source(number, f"s{number}", f"host-{number}", f"fetch-1/worker-1-{number}", "f")
    made.probed, made.traits = True, SourceTraits(restart_cost_s=0.1)
    return made


def named(sources: list[Source]) -> dict[int, Source]:
    return {each.id: each for each in sources}


@pytest.fixture
def sources() -> list[Source]:
    return [source(number) for number in range(COUNT)]


def test_sources_of_the_group_that_goes_on_are_asked_for_different_ties(sources: list[Source]) -> None:
    identity = Identity()
    for number in range(1, 100):
        identity.agree(number, number - 1, 8 * number)
    ties = Ties(Holdings(ROWS), identity, named(sources))
    assert ties.main() == 0
    asked = []
    for each in sources[:100]:
        first, _, owner = next(ties.rows_for(each))
        ties.given(each.id, owner)
        asked.append(first)
    assert len(set(asked)) == 100 // ASKED_MAX
    assert all(first >= 800 for first in asked), "only of those that are not tied"


def test_nothing_is_open_once_every_group_has_its_checks_on_the_way(sources: list[Source]) -> None:
    ties = Ties(Holdings(ROWS[:2]), Identity(), named(sources[:2]))
    assert ties.missing()
    for _ in range(ASKED_MAX):
        assert [owner for _, _, owner in ties.rows_for(sources[0])] == [1]
        ties.given(0, 1)
    assert not list(ties.rows_for(sources[0]))
    assert not list(ties.rows_for(sources[1]))


def test_a_group_without_a_source_left_does_not_go_on(sources: list[Source]) -> None:
    rows = ((0, 9, 0), (9, 12, 1))
    ties = Ties(Holdings(rows), Identity(), named(sources[:2]))
    assert ties.main() == 0
    sources[0].state = SourceState.BANNED
    assert ties.main() == 1
    assert [owner for _, _, owner in ties.rows_for(sources[1])] == [0]


def test_sources_of_which_nothing_is_stored_help_a_few_at_a_time(sources: list[Source]) -> None:
    ties = Ties(Holdings(ROWS[:2]), Identity(), named(sources))
    helpers = 0
    for each in sources[2:]:
        for _, _, owner in ties.rows_for(each):
            helpers += 1
            ties.given(each.id, owner)
            break
    assert helpers == ASKED_MAX


def test_of_each_contributor_the_longest_range_counts_and_the_longest_come_first() -> None:
    rows = ((0, 2, 0), (2, 9, 1), (9, 20, 0), (20, 23, 1), (23, 28, 2))
    ties = Ties(Holdings(rows), Identity(), named([source(number) for number in range(3)]))
    assert ties.holdings.longest == ((9, 20, 0), (2, 9, 1), (23, 28, 2))


@pytest.mark.parametrize("tied", [False, True])
def test_a_source_without_offsets_ties_by_the_beginning_of_the_file_or_not_at_all(tied: bool) -> None:
    sources = [source(number) for number in range(3)]
    sources[2].traits = SourceTraits(restart_cost_s=0.1, offset_ok=False)
    identity = Identity()
    if tied:
        identity.agree(2, 0, 3)
    ties = Ties(Holdings(((0, 8, 0), (8, 12, 1))), identity, named(sources))
    assert list(ties.rows_for(sources[2])) == ([] if tied else [(0, 8, 0)])
    assert list(Ties(Holdings(()), identity, named(sources)).rows_for(sources[2])) == []
