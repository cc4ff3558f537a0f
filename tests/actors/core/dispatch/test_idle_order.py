"""Order of idle sources: the same whether few are sorted each time or many are kept for a moment."""

from actors.core.dispatch.sources import FEW, KEPT_S, IdleOrder, Source

MANY = 2 * FEW


def board(count: int) -> dict[int, Source]:
    return {
        number: Source(
            number, f"http://h{number}/f", f"h{number}", "w", "f", probed=True, rate_bytes_s=1000 + 7.0 * number % 13
        )
        for number in range(count)
    }


def first_of(order: IdleOrder, now_s: float) -> int:
    return next(iter(order.ready(now_s, any_offset=True))).id


def test_many_are_given_in_the_order_of_their_rates() -> None:
    sources = board(MANY)
    ready = [each.rate_bytes_s for each in IdleOrder(sources).ready(0.0, any_offset=True)]
    assert len(ready) == MANY
    assert ready == sorted(ready, reverse=True)


def test_one_that_becomes_idle_takes_its_place_in_a_kept_order() -> None:
    sources = board(MANY)
    sources[5].rate_bytes_s = 9e6
    order = IdleOrder(sources)
    order.discard(5)
    assert first_of(order, 0.0) != 5
    order.add(5)
    assert first_of(order, KEPT_S / 2) == 5


def test_one_that_is_busy_or_rests_is_passed_over_in_a_kept_order() -> None:
    order = IdleOrder(sources := board(MANY))
    best = first_of(order, 0.0)
    order.discard(best)
    second = first_of(order, KEPT_S / 2)
    sources[second].not_before_s = 60.0
    assert first_of(order, KEPT_S / 2) not in (best, second)


def test_the_end_of_a_rest_is_noticed_when_the_order_has_been_kept_long_enough() -> None:
    sources = board(MANY)
    sources[9].rate_bytes_s, sources[9].not_before_s = 9e6, KEPT_S / 4
    order = IdleOrder(sources)
    assert first_of(order, 0.0) != 9
    assert first_of(order, KEPT_S) == 9


def test_an_offered_upload_goes_first_at_once_however_many_there_are() -> None:
    sources = board(MANY)
    sources[7].peer = "ann"
    order = IdleOrder(sources)
    first_of(order, 0.0)
    sources[7].ticket, sources[7].rate_bytes_s = 3, 1.0
    assert first_of(order, KEPT_S / 2) == 7
