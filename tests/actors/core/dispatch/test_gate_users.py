"""Users behind a shut gate, drawn: where one is placed beside those that send, who is sampled, held or let in."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from actors.core.dispatch import gate as gates
from actors.core.dispatch.chunk_tracker import Lease
from actors.core.dispatch.dispatcher import DispatchState
from actors.core.dispatch.gate import Decision, UserGate
from actors.core.dispatch.placement import Duplicate, FreeRange, Tail
from actors.core.dispatch.sources import Source, SourceState
from protocol.model.limits import LIMITER_QUOTA_S
from tests.actors.core.dispatch.boards import CHUNK, NOW_S, add, as_peer, board, lease_of

RATES = st.floats(0.02, 50.0)


def gated(picture: str, *, mode: str = "swarm", total: int = -1, **rates: float) -> tuple[DispatchState, UserGate]:
    """A board of users whose gate is shut."""
    state = board(picture, rates=rates, mode=mode, total=total)
    for letter in sorted({mark for mark in picture.lower() if mark.isalpha()}):
        as_peer(state, letter)
    assert state.leases is not None
    gate = state.leases.grants.gate
    gate.is_open = False
    gate.sized(state.size_bytes)
    return state, gate


def peer(state: DispatchState, letter: str, rate: float = 0.0, **changes: Any) -> Source:
    source = add(state, letter, rate)
    as_peer(state, letter)
    for name, value in changes.items():
        setattr(source, name, value)
    return source


def read(lease: Lease, chunks: float) -> None:
    """So much has come of a lease, of which the whole chunks are stored."""
    lease.received_bytes, lease.next = int(chunks * CHUNK), lease.first + int(chunks)


# -- places


@given(st.integers(8, 60), st.floats(0.1, 6.9), RATES, RATES, st.sampled_from([0.0, 1.0, 30.0]))
def test_a_known_user_takes_what_makes_both_finish_together_without_what_a_limiter_has_lent(
    chunks: int, came: float, held: float, comes: float, age_s: float
) -> None:
    """Within a chunk; all of it where the chunk that is being read alone would take longer."""
    state, gate = gated("a" * chunks, a=held)
    lease, source = lease_of(state, "a"), peer(state, "b", comes)
    read(lease, came)
    came, rate = lease.received_bytes / CHUNK, held
    if age_s:
        lease.flowing_s = NOW_S - age_s
        rate = min(held, came / (age_s + LIMITER_QUOTA_S)) if age_s < gates.LENT_S else held
    placed = gate.place("swarm", source, NOW_S)
    both_s = (chunks - came + comes * source.start_cost_s) / (rate + comes)
    reading = int(came) + 1
    reading_s = (reading - came) / rate
    assume(abs(reading_s - both_s - gates.DUPLICATE_S) > 1e-6)
    if reading_s > both_s + gates.DUPLICATE_S:
        assert placed == Duplicate(lease)
    elif came + rate * both_s < chunks - 1e-6:
        assert isinstance(placed, Tail)
        assert placed.victim is lease
        assert (placed.first - came) / rate <= max(both_s, reading_s) + 1e-6
        assert (placed.first + 1 - came) / rate > both_s - 1e-6


@given(st.integers(40, 60), st.floats(0.1, 3.9), st.floats(0.02, 2.0), st.sampled_from([0.0, 0.3, 1.0, 9.0]))
def test_an_unknown_user_begins_right_ahead_of_where_the_sender_will_be(
    chunks: int, came: float, held: float, times: float
) -> None:
    """The nearer the quicker its sample was, of which no one knows how quick it is."""
    state, gate = gated("a" * chunks, a=held)
    lease, source = lease_of(state, "a"), peer(state, "b", held * times, rate_guessed=times > 0)
    read(lease, came)
    came = lease.received_bytes / CHUNK
    placed = gate.place("swarm", source, NOW_S)
    quick = times >= gates.AHEAD_FASTER
    ahead_s = source.start_cost_s + (gates.AHEAD_S if not times else 0.0 if quick else gates.AHEAD_SAMPLED_S)
    assert isinstance(placed, Tail)
    assert placed.victim is lease
    assert placed.first > came + held * ahead_s - 1e-6
    assert placed.first == lease.next + 1 or placed.first - 1 <= came + held * ahead_s + 1e-6


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("other", ["user", "mirror", "duel", "draining", "done", "still"])
def test_of_those_that_send_the_last_to_finish_is_cut_if_it_may_be(other: str, known: bool) -> None:
    """A mirror is not begun ahead of: to race it costs nothing."""
    state, gate = gated("a" * 30 + "c" * 30, a=1.0, c=0.5)
    late = lease_of(state, "c")
    if other == "mirror":
        state.sources[2].traits = board("a", rates={"a": 1.0}).sources[0].traits
    elif other == "duel":
        add(state, "d")
        assert state.leases is not None
        state.leases.tracker.grant_duplicate(late, 3, now_s=NOW_S)
    elif other == "draining":
        late.draining = True
    elif other == "done":
        late.next = late.stop
    elif other == "still":
        late.rate_bytes_s = 0.0
    placed = gate.place("swarm", peer(state, "b", 1.0 if known else 0.0), NOW_S)
    assert isinstance(placed, Tail)
    cut = other == "user" or (other == "mirror" and known)
    assert placed.victim is (late if cut else lease_of(state, "a"))


def test_who_comes_while_no_one_sends_gets_the_longest_gap_and_beside_a_sender_a_part() -> None:
    state, gate = gated("..##......")
    assert gate.place("swarm", peer(state, "b", 1.0), NOW_S) == FreeRange(4, 10)
    state, gate = gated("aaaa..##......", a=1.0)
    placed = gate.place("swarm", peer(state, "b", 0.5), NOW_S)
    assert isinstance(placed, FreeRange)
    assert placed.stop - placed.first < 6
    lease_of(state, "a").draining = True
    assert gate.place("swarm", peer(state, "c", 1.0), NOW_S) == FreeRange(8, 14)


def test_a_mirror_is_placed_as_if_there_were_no_gate() -> None:
    state, gate = gated("a" * 20, a=0.02)
    mirror = add(state, "b", 0.0)
    placed = gate.place("swarm", mirror, NOW_S)
    gate.is_open = True
    assert placed == gate.place("swarm", mirror, NOW_S)


# -- samples


@given(st.integers(1, 20), st.integers(1, 1 << 34), st.sampled_from([1 << 14, 1 << 17, 1 << 20]), st.integers(0, 2))
def test_a_sample_is_the_smallest_end_of_the_file_that_says_enough(
    count: int, size: int, chunk: int, samples: int
) -> None:
    state, gate = gated("a" * 60, a=1.0)
    gate._chunk_size = chunk
    gate.sized(size)
    for number in range(count):
        state.sources[number] = Source(number, "", "", "", "")
    state.sources[0].leases = samples
    part = gates.CROWD / count if count >= gates.CROWD else 1.0
    if count >= gates.CROWD:
        wanted = part * gates.SAMPLES_SHARE * size / count
    else:
        few = max(gates.SAMPLE_LENT_BYTES, gates.SAMPLE_LARGE_SHARE * size)
        wanted = min(gates.SAMPLE_SHARE * size, few)
    wanted = min(wanted, gates.SAMPLE_BYTES_MAX) * gates.SAMPLE_AGAIN**samples
    wanted = max(wanted, part * gates.SAMPLE_BYTES_MIN, part * gates.SAMPLE_CHUNKS_MIN * chunk)
    first = gate.sample_first(state.sources[0])
    assert size - first * chunk >= wanted - 1 > size - (first + 1) * chunk - 2


LONG_QUEUE: dict[str, Any] = {"ticket": 7, "offered_s": NOW_S, "enqueued_s": NOW_S - gates.SAMPLE_QUEUE_S_MAX - 1}


@pytest.mark.parametrize(
    ("changes", "sampled"),
    [
        ({}, True),
        ({**LONG_QUEUE, "enqueued_s": NOW_S - gates.SAMPLE_QUEUE_S_MAX}, True),
        (LONG_QUEUE, False),
        ({**LONG_QUEUE, "ticket": -1}, True),
        ({"leases": 1}, False),
        ({"rate_bytes_s": 1.0}, False),
        ({"preferred": True}, False),
    ],
    ids=str,
)
@pytest.mark.parametrize("is_open", [True, False])
def test_one_of_whom_nothing_is_known_sends_a_sample_unless_its_queue_is_long(
    changes: dict[str, Any], sampled: bool, is_open: bool
) -> None:
    state, gate = gated("a" * 600, a=0.5)
    gate.is_open = is_open
    source = peer(state, "b", **changes)
    assert (gate.decide(source, NOW_S) is Decision.SAMPLE) is sampled


@pytest.mark.parametrize("board_of", [{"mode": "race"}, {"total": -2}], ids=str)
def test_in_a_race_and_of_a_file_of_unknown_size_no_one_is_sampled(board_of: dict[str, Any]) -> None:
    state, gate = gated("a" * 600, a=0.5, **board_of)
    for gate.is_open in (True, False):
        assert gate.decide(peer(state, "b"), NOW_S) is not Decision.SAMPLE


def test_of_a_file_of_a_few_chunks_no_sample_is_taken() -> None:
    for chunks, sampled in ((1, False), (2, True)):
        state, gate = gated("a" * chunks, a=0.001)
        gate.is_open = True
        assert (gate.decide(peer(state, "b"), NOW_S) is Decision.SAMPLE) is sampled


@pytest.mark.parametrize("sends", ["a", "draining", "checks"])
def test_with_an_open_gate_one_is_sampled_only_beside_another_that_sends(sends: str) -> None:
    state, gate = gated("a" * 600, a=0.5)
    gate.is_open = True
    lease_of(state, "a").draining = sends == "draining"
    lease_of(state, "a").check = sends == "checks"
    assert gate.decide(peer(state, "b"), NOW_S) is (Decision.SAMPLE if sends == "a" else Decision.JOIN)


def crowd(state: DispatchState) -> None:
    for letter in "defgh":
        add(state, letter)


Change = Callable[[DispatchState, UserGate, Source, Source], Any]


@pytest.mark.parametrize(
    ("change", "sampled"),
    [
        (lambda state, gate, b, c: None, True),
        (lambda state, gate, b, c: setattr(b, "leases", gates.SAMPLES_MAX - 1), True),
        (lambda state, gate, b, c: setattr(b, "leases", gates.SAMPLES_MAX), False),
        (lambda state, gate, b, c: setattr(b, "leases", 0), False),
        (lambda state, gate, b, c: setattr(b, "rides", 1), False),
        (lambda state, gate, b, c: setattr(b, "rate_guessed", False), False),
        (lambda state, gate, b, c: setattr(c, "rate_guessed", False), False),
        (lambda state, gate, b, c: setattr(c, "rides", 1), False),
        (lambda state, gate, b, c: setattr(c, "state", SourceState.BANNED), False),
        (lambda state, gate, b, c: setattr(gate, "is_open", True), False),
        (lambda state, gate, b, c: crowd(state), False),
        (lambda state, gate, b, c: gate.sized(700_000), False),
    ],
)
def test_of_two_whose_samples_came_at_once_each_sends_a_longer_one(change: Change, sampled: bool) -> None:
    """Where there is room for one, they are few, and neither has sent more than samples."""
    state, gate = gated("a" * 600, a=0.5)
    b, c = (peer(state, letter, 9.0, leases=1, rate_guessed=True) for letter in "bc")
    change(state, gate, b, c)
    assert (gate.decide(b, NOW_S) is Decision.SAMPLE) is sampled


# -- decisions


def test_mirrors_and_preferred_users_pass_any_gate() -> None:
    state, gate = gated("a" * 40, a=10.0)
    assert gate.decide(peer(state, "b", 1.0), NOW_S) is Decision.SHUT
    assert gate.decide(peer(state, "b", 1.0, preferred=True), NOW_S) is Decision.JOIN
    assert gate.decide(add(state, "c", 1.0), NOW_S) is Decision.JOIN


@pytest.mark.parametrize(
    ("ticket", "held_s", "decided"),
    [
        (7, gates.HOLD_S_MAX - 0.1, Decision.HOLD),
        (7, gates.HOLD_S_MAX, Decision.SHUT),
        (-1, 99.0, Decision.HOLD),
        (0, gates.HOLD_S_MAX, Decision.SHUT),
    ],
)
def test_an_offer_is_held_from_when_it_came(ticket: int, held_s: float, decided: Decision) -> None:
    """Beside a sender that is not measured yet."""
    state, gate = gated("a" * 600)
    assert gate.decide(peer(state, "b", 1.0, ticket=ticket, offered_s=NOW_S - held_s), NOW_S) is decided


@pytest.mark.parametrize("awaited", [True, False])
def test_the_gate_of_a_few_stays_shut_while_one_is_awaited_of_whom_nothing_is_known(awaited: bool) -> None:
    state, gate = gated("a" * 1000, a=1.0)
    users = [peer(state, letter, 1.0) for letter in "bcd"]
    peer(state, "e", enqueued=awaited, enqueued_s=NOW_S - 1)
    assert gate.decide(users[0], NOW_S) is (Decision.HOLD if awaited else Decision.JOIN)
    assert gate.is_open is not awaited


def test_a_user_whose_stops_are_spent_is_decided_on_by_what_is_known_of_it() -> None:
    for rate, decided in ((0.1, Decision.SHUT), (9.0, Decision.JOIN)):
        state, gate = gated("a" * 100, a=1.0)
        source = peer(state, "b", rate, leases=1, budget_spent=True, budget_spent_today=True)
        assert gate.decide(source, NOW_S) is decided
