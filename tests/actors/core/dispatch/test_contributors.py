"""Who sent which chunks, against a plain list of them."""

from hypothesis import given
from hypothesis import strategies as st

from actors.core.dispatch.chunk_tracker import MISSING, RUNS_PER_MESSAGE, UNNAMED, Contributors, recorded
from protocol.messages.codec import FRAME_BYTES_MAX, encode

RUNS = st.tuples(st.integers(0, 30), st.integers(0, 30), st.sampled_from([MISSING, UNNAMED, 0, 1, 2]))


@given(st.lists(RUNS, max_size=30))
def test_it_holds_what_a_plain_list_would_hold(puts: list[tuple[int, int, int]]) -> None:
    owners, plain = Contributors(), [MISSING] * 40
    for first, stop, owner in puts:
        owners.put(first, stop, owner)
        plain[first:stop] = [owner] * max(stop - first, 0)
        assert [owners[chunk] for chunk in range(40)] == plain
    shown = [MISSING] * 40
    last = (0, MISSING)
    for first, stop, owner in owners.runs():
        assert last != (first, owner), "neighbours of one owner are one run"
        assert owner != MISSING
        shown[first:stop] = [owner] * (stop - first)
        last = (stop, owner)
    assert shown == plain


def test_what_records_name_is_reported_as_the_source_that_has_the_name_now() -> None:
    owners = Contributors()
    owners.put(0, 4, recorded(77))
    owners.put(4, 6, 1)
    owners.put(6, 8, recorded(99))
    owners.put(8, 9, recorded(0))
    (part,) = owners.messages(1, 5, {77: 1})
    assert (part.firsts, part.stops, part.owners) == ((0, 6), (6, 9), (1, -1)), "neighbours differ"
    assert (part.request, part.last) == (5, True)


def test_many_runs_are_reported_in_parts_that_fit_a_frame() -> None:
    owners, count = Contributors(), 2 * RUNS_PER_MESSAGE + 3
    for at in range(count):
        owners.put(2**40 + 2 * at, 2**40 + 2 * at + 1, at % 2)
    parts = owners.messages(1, 0, {})
    assert [part.last for part in parts] == [False, False, True]
    assert sum(len(part.firsts) for part in parts) == count
    assert max(len(encode(part)) for part in parts) < FRAME_BYTES_MAX


def test_nothing_is_reported_in_one_empty_part() -> None:
    (part,) = Contributors().messages(1, 3, {})
    assert (part.firsts, part.last) == ((), True)
