"""RangeSet against the plainest model there is: Python's set of ints."""

from hypothesis import given
from hypothesis import strategies as st

from protocol.model.chunk_ranges import RangeSet

runs = st.tuples(st.integers(0, 40), st.integers(0, 12)).map(lambda pair: (pair[0], pair[0] + pair[1]))
steps = st.lists(st.tuples(st.sampled_from(["add", "discard"]), runs), max_size=30)


def chunks(of: RangeSet) -> set[int]:
    return {chunk for first, stop in of for chunk in range(first, stop)}


@given(steps)
def test_it_agrees_with_a_set_of_ints_after_every_step(script: list[tuple[str, tuple[int, int]]]) -> None:
    subject, model = RangeSet(), set[int]()
    for verb, (first, stop) in script:
        before = len(model)
        if verb == "add":
            model |= set(range(first, stop))
            assert subject.add(first, stop) == len(model) - before
        else:
            model -= set(range(first, stop))
            assert subject.discard(first, stop) == before - len(model)
        assert chunks(subject) == model
        assert subject.count == len(model)
        flat = [edge for run in subject for edge in run]
        assert flat == sorted(set(flat)), "runs are disjoint, in order and never touch"


@given(st.lists(runs), runs)
def test_overlap_and_gaps_split_any_run_exactly(added: list[tuple[int, int]], asked: tuple[int, int]) -> None:
    subject = RangeSet(added)
    inside = {c for first, stop in subject.overlap(*asked) for c in range(first, stop)}
    outside = {c for first, stop in subject.gaps(*asked) for c in range(first, stop)}
    assert inside == chunks(subject) & set(range(*asked))
    assert outside == set(range(*asked)) - chunks(subject)
    assert subject.covers(*asked) == (not outside)


@given(st.lists(runs), st.randoms())
def test_order_of_adding_does_not_matter(added: list[tuple[int, int]], random) -> None:  # type: ignore[no-untyped-def]
    shuffled = list(added)
    random.shuffle(shuffled)
    assert RangeSet(added) == RangeSet(shuffled)


@given(st.lists(runs), st.integers(0, 60))
def test_membership_and_run_at_say_the_same(added: list[tuple[int, int]], chunk: int) -> None:
    subject = RangeSet(added)
    run = subject.range_at(chunk)
    assert (run is not None) == (chunk in subject) == (chunk in chunks(subject))
    if run is not None:
        assert run[0] <= chunk < run[1]
