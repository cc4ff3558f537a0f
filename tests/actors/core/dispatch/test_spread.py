"""Spread starts, drawn: who begins apart, where, and what is left free before them."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.dispatch import spread
from actors.core.dispatch.chunk_tracker import ChunkTracker
from actors.core.dispatch.dispatcher import DispatchState
from actors.core.dispatch.finish_time import ADVERTISED_WEIGHT, advertised_share
from actors.core.dispatch.placement_view import PlacementViewCache, claim_bytes, lease_ending_at
from actors.core.dispatch.sources import Source, SourceState, SourceTraits
from protocol.messages import AcceptUpload, Ticked
from protocol.model.value import replace
from tests.actors.core.dispatch.boards import CHUNK, NOW_S, add, as_peer, board, deliver, drawn, lease_of, said
from tests.actors.core.dispatch.queued_users import turn

FAST_TWO = "88" + "2" * 10
SPEEDS = st.lists(st.floats(0.01, 10.0), min_size=10, max_size=30)


def user(number: int, says: float, **changes: Any) -> Source:
    source = Source(number, f"user-{number}", "host", "fetch-1/worker", "f")
    source.traits, source.advertised_bytes_s = SourceTraits(abort_is_costly=True), says * CHUNK
    source.peer = source.name
    for name, value in changes.items():
        setattr(source, name, value)
    return source


@given(SPEEDS, st.sets(st.integers(0, 199), max_size=150))
def test_those_who_say_that_they_send_half_of_the_sum_part_the_free_chunks_by_their_speeds(
    speeds: list[float], stored: set[int]
) -> None:
    users = [user(number, says) for number, says in enumerate(speeds)]
    chunks = ChunkTracker(200)
    for chunk in stored:
        chunks.store(0, chunk, chunk + 1)
    free = [chunk for chunk in range(200) if chunk not in stored]
    begun = spread.begin_apart(users, chunks)
    apart = sorted((each for each in users if each.begins_at >= 0), key=lambda each: -each.advertised_bytes_s)
    assert begun == bool(apart)
    assert not begun or len(users) >= spread.APART_OF
    if not begun:
        return
    assert len(apart) >= 2
    whole, theirs = (sum(each.advertised_bytes_s for each in some) for some in (users, apart))
    assert theirs <= whole / 2 * (1 + 1e-9)
    assert all(each.advertised_bytes_s >= whole / len(users) * (1 - 1e-9) for each in apart)
    places = [free.index(each.begins_at) for each in apart] + [len(free)]
    assert places[0] == 0
    for each, place, following in zip(apart, places, places[1:], strict=False):
        assert abs(following - place - len(free) * each.advertised_bytes_s / theirs) <= 1 + 1e-6


@pytest.mark.parametrize(
    "change",
    [
        {"advertised_bytes_s": 0.0},
        {"rate_bytes_s": 1.0 * CHUNK},
        {"leases": 1},
        {"odd": True},
        {"state": SourceState.BANNED},
        {"lost_s": 1.0},
        {"traits": SourceTraits()},
        {"traits": SourceTraits(abort_is_costly=True, offset_ok=False)},
    ],
)
def test_what_is_known_costs_no_stop_or_cannot_begin_there_is_not_kept_a_place(change: dict[str, Any]) -> None:
    users = [user(number, 1.0) for number in range(13)]
    for name, value in change.items():
        setattr(users[0], name, value)
    assert spread.begin_apart(users, ChunkTracker(100))
    assert users[0].begins_at == -1
    assert sum(each.begins_at >= 0 for each in users) == 6
    setattr(users[1], *next(iter(change.items())))
    assert not spread.begin_apart(users[:12], ChunkTracker(100))


def crowd(picture: str, says: str, *, setup_s: float = 1.0) -> DispatchState:
    """Users a, b, ... who say that they send that many tenths of a chunk a second and wait; the gate is open."""
    state = board(picture)
    for number, digit in enumerate(says):
        letter = chr(ord("a") + number)
        add(state, letter)
        source = as_peer(state, letter)
        source.traits = replace(source.traits, restart_cost_s=setup_s)
        source.advertised_bytes_s = int(digit) / 10 * CHUNK
    assert state.leases is not None
    state.leases.grants.gate.sized(state.size_bytes)
    deliver(state, Ticked())
    return state


def offer(state: DispatchState, letter: str) -> None:
    source = ord(letter) - ord("a")
    posts = deliver(state, turn(state, source))
    assert [each.source for each in said(posts, AcceptUpload)] == [source]


def test_fast_users_begin_apart_unsampled_and_the_first_of_the_others_sends_a_sample_too() -> None:
    state = crowd("." * 60, FAST_TWO)
    offer(state, "l")
    assert drawn(state) == "." * 59 + "l"
    assert lease_of(state, "l").sample
    offer(state, "b")
    offer(state, "a")
    assert drawn(state) == "aaaa" + "." * 26 + "bbbb" + "." * 25 + "l"
    offer(state, "c")
    assert lease_of(state, "c").sample


def test_without_advertised_speeds_or_with_few_users_none_begins_apart() -> None:
    for says in ("0" * 12, "88222"):
        state = crowd("." * 60, says)
        offer(state, "b")
        offer(state, "a")
        assert lease_of(state, "a").sample
        assert not lease_of(state, "b").sample


def test_a_user_measured_meanwhile_leaves_a_fast_one_its_place_and_gets_the_end_of_its_part() -> None:
    state = crowd("." * 60, FAST_TWO)
    source = state.sources[11]
    source.rate_bytes_s, source.leases = 0.2 * CHUNK, 1
    assert state.leases is not None
    state.leases.changed()
    offer(state, "l")
    assert lease_of(state, "l").stop in {30, 60}
    assert 1 <= drawn(state).count("l") <= 6
    offer(state, "a")
    offer(state, "b")
    assert drawn(state)[:5] == drawn(state)[30:35].replace("b", "a") == "aaaa."


@given(st.lists(st.tuples(st.floats(0.1, 10.0), st.floats(0.1, 10.0), st.booleans()), min_size=1, max_size=8))
def test_what_users_say_is_believed_as_far_as_those_that_were_measured_keep_it(
    users: list[tuple[float, float, bool]],
) -> None:
    sources = {number: user(number, says) for number, (says, _, _) in enumerate(users)}
    for number, (_, sends, measured) in enumerate(users):
        sources[number].rate_bytes_s = sends * CHUNK if measured else 0.0
    weight = ADVERTISED_WEIGHT * sum(says for says, _, _ in users) / len(users)
    kept = weight + sum(sends for _, sends, measured in users if measured)
    promised = weight + sum(says for says, _, measured in users if measured)
    assert advertised_share(sources.values()) == pytest.approx(kept / promised)


@given(st.integers(10, 60), st.floats(0.1, 3.0), st.floats(0.1, 3.0), st.booleans())
def test_before_who_is_not_measured_more_is_left_free_than_it_says(
    free: int, says: float, other: float, measured: bool
) -> None:
    state = board("aa" + "." * free + "bb", rates={"b": other})
    for letter in "ab":
        as_peer(state, letter)
    lease_of(state, "a").granted_s = NOW_S - 0.1
    source = state.sources[0]
    source.advertised_bytes_s = says * CHUNK
    if measured:
        source.rate_bytes_s = says * CHUNK
    assert state.leases is not None
    views = PlacementViewCache(state.job, state.leases.tracker, state.sources)
    views.spread(NOW_S)
    view = views.view(NOW_S)
    estimate = lease_ending_at(view, 2)
    assert estimate is not None
    factor = 1.0 if measured else spread.UNSURE
    assert spread.kept_chunks(view, 2) == math.floor(factor * claim_bytes(view, estimate) / CHUNK)
    assert spread.kept_chunks(view, 2 + free) == 0
