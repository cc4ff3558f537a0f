"""Open edges of unchanged ranges are those that a new look at all of them finds."""

import random

import pytest

from actors.core.dispatch.identity.open_edges import OpenEdges

ROWS = ((0, 4, 1), (4, 5, 2), (5, 9, 1), (12, 20, 3), (20, 21, 1), (21, 30, 2))
"""``1111 2 1111 ... 33333333 1 222222222``"""


def chunks(edges: OpenEdges, confirmed: dict[int, set[int]]) -> list[tuple[int, int]]:
    return [(chunk, owner) for _, _, chunk, owner, _ in edges.of(ROWS, confirmed)]


def test_where_two_ranges_meet_both_sides_are_open_longer_ranges_first() -> None:
    assert chunks(OpenEdges(), {}) == [(21, 2), (19, 3), (3, 1), (5, 1), (4, 2), (4, 2), (20, 1), (20, 1)]


def test_contributors_of_which_less_is_known_come_first() -> None:
    confirmed = {2: {28}, 3: {13, 14}}
    assert chunks(OpenEdges(), confirmed) == [(3, 1), (5, 1), (20, 1), (20, 1), (21, 2), (4, 2), (4, 2), (19, 3)]


@pytest.mark.parametrize("beside", [19, 20])
def test_a_side_is_settled_by_its_contributor_on_either_side_of_the_edge(beside: int) -> None:
    assert (19, 3) not in chunks(OpenEdges(), {3: {beside}})
    assert (19, 3) in chunks(OpenEdges(), {1: {beside}})


def test_what_is_known_later_is_as_if_all_were_looked_at_again() -> None:
    rng = random.Random(7)
    for _ in range(200):
        edges, confirmed = OpenEdges(), dict[int, set[int]]()
        for _ in range(6):
            if rng.random() < 0.2:
                confirmed.pop(rng.choice((1, 2, 3)), None)  # excluded: nothing of it counts any more
            confirmed.setdefault(rng.choice((1, 2, 3)), set()).update(rng.sample(range(30), rng.choice((0, 1, 3))))
            assert edges.of(ROWS, confirmed) == OpenEdges().of(ROWS, confirmed)


def test_other_ranges_are_looked_at_again() -> None:
    edges = OpenEdges()
    edges.of(ROWS, {})
    assert edges.of(ROWS[:2], {}) == OpenEdges().of(ROWS[:2], {}) != []
    assert edges.of((), {}) == []
