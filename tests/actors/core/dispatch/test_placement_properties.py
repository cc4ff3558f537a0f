"""Placements compared with what trying every possibility finds, on boards of two sources whose rates are known."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from actors.core.dispatch.placement import GAIN_MIN_S, GAIN_MIN_SETUPS, GAIN_MIN_SHARE
from tests.actors.core.dispatch.boards import SETUP_S, board, drawn, serve

RATES = st.floats(0.02, 50.0)
ENOUGH_S = GAIN_MIN_S + GAIN_MIN_SETUPS * SETUP_S


@given(st.integers(2, 60), RATES, RATES)
@example(5, 32.0, 43.0)
def test_a_tail_is_cut_within_a_chunk_of_the_best_place(chunks: int, held: float, comes: float) -> None:
    """Holder and newcomer share so that the later of the two is done as early as can be; else nothing is cut."""
    state = board("a" * chunks, rates={"a": held})
    serve(state, "b", comes)
    picture = drawn(state)
    alone_s = chunks / held

    def both_s(moved: int) -> float:
        return max((chunks - moved) / held, SETUP_S + moved / comes)

    best_s = min(both_s(moved) for moved in range(1, chunks))
    if "b" in picture:
        moved = picture.count("b")
        assert picture == "a" * (chunks - moved) + "b" * moved
        assert both_s(moved) <= best_s + 1 / held + 1e-6
        assert alone_s - both_s(moved) >= ENOUGH_S - 1e-6
    elif picture.islower():
        chunk_s = 1 / min(held, comes)  # the cut falls between chunks, on either side of the best place
        assert both_s(max(1, int(chunks * comes / (held + comes)))) > alone_s - ENOUGH_S - chunk_s - 1e-6


@given(RATES, RATES)
def test_the_last_chunk_is_fetched_twice_exactly_where_that_is_clearly_sooner(held: float, comes: float) -> None:
    state = board("###a", rates={"a": held})
    serve(state, "b", comes)
    left_s, mine_s = 1 / held, SETUP_S + 1 / comes
    margin_s = left_s - (mine_s + ENOUGH_S + GAIN_MIN_SHARE * left_s)
    if abs(margin_s) > 1e-6:
        assert (drawn(state) == "###A" or drawn(state) == "###B") is (margin_s > 0 and left_s > GAIN_MIN_S)


@given(st.integers(4, 60), RATES, RATES)
def test_what_is_free_is_shared_so_that_both_are_done_together(chunks: int, held: float, comes: float) -> None:
    """a touches the gap and can go on into it: b gets what it can send until the common finish time, at the end."""
    state = board("a" + "." * chunks, rates={"a": held})
    serve(state, "b", comes)
    picture = drawn(state)
    left = chunks + 1
    common_s = (left + comes * SETUP_S) / (held + comes)
    could = comes * (common_s - SETUP_S)
    assert picture.count("b") == pytest.approx(min(max(could, 0), chunks), abs=1.001)
    assert picture.rstrip("b") + "b" * picture.count("b") == picture
