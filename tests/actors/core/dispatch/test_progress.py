"""What a watcher is shown: the row of a source, the map of chunks, descriptions that sources give of the file."""

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.dispatch.chunk_tracker import ChunkTracker, Contributors
from actors.core.dispatch.dispatcher import Phase
from actors.core.dispatch.progress import CELLS_MAX, QUIET_S, chunk_map, row
from actors.core.dispatch.sources import Source, SourceState
from protocol.messages import LeaseRevoked, MirrorsNamed, SourceDescribed
from tests.actors.core.dispatch.boards import CHUNK, NOW_S, add, board, deliver, drawn, lease_of, said

RESUMED = -2
"""An owner that is not known."""
MIRROR = "http://mirror.example/f"


def source_of(**changes: object) -> Source:
    source = Source(0, "a", "host-a", "fetch-1/worker-1-0", "f")
    for name, value in changes.items():
        setattr(source, name, value)
    return source


@given(
    st.integers(1, 3 * CELLS_MAX),
    st.lists(st.tuples(st.integers(0, 800), st.integers(1, 300), st.booleans()), max_size=4),
)
def test_a_cell_is_leased_exactly_where_the_lease_of_a_chunk_touches_it(
    total: int, drawn: list[tuple[int, int, bool]]
) -> None:
    """The middle of a cell says whose it is; chunk c of `total` covers cells ``[c, c + 1) * count / total``."""
    tracker, owners = ChunkTracker(total), Contributors()
    for number, (first, length, is_stored) in enumerate(drawn):
        first, stop = first % total, min(first % total + length, total)
        if not tracker.free.covers(first, stop):
            continue
        if is_stored:
            tracker.store(0, first, stop)
            owners.put(first, stop, number or RESUMED)
        else:
            tracker.grant(number, first, stop, now_s=NOW_S)
    count = min(CELLS_MAX, total)
    cells = array("H", chunk_map(1, tracker, owners).cells)
    assert len(cells) == count
    for cell, value in enumerate(cells):
        middle = (2 * cell + 1) * total // (2 * count)
        touching = {
            lease.source
            for lease in tracker.leases.values()
            if lease.next * count < (cell + 1) * total and lease.stop * count > cell * total
        }
        if tracker.stored.covers(middle, middle + 1):
            assert value == (1 if owners[middle] == RESUMED else 2 + owners[middle])
        elif touching:
            assert value & 0x8000
            assert (value & 0x7FFF) - 2 in touching
        else:
            assert value == 0


@pytest.mark.parametrize(
    ("changes", "phase"),
    [
        ({}, ""),
        ({"enqueued": True}, "connecting"),
        ({"enqueued": True, "queue_place": 0}, "queued"),
        ({"enqueued": True, "queue_place": 3, "asked": True}, "queued"),
        ({"asked": True}, "probing"),
        ({"state": SourceState.COOLING}, "resting"),
        ({"state": SourceState.COOLING, "asked": True}, "probing"),
    ],
)
def test_a_source_without_a_lease_says_what_it_waits_for(changes: dict[str, object], phase: str) -> None:
    shown = row(1, source_of(**changes), None)
    assert shown.phase == phase
    assert (shown.lease_first, shown.lease_stop, shown.rate_bytes_s) == (-1, -1, 0.0)
    assert shown.queue_place == (changes.get("queue_place", -1) if "enqueued" in changes else -1)


@pytest.mark.parametrize(
    ("received", "quiet_s", "rate", "phase", "shown_rate"),
    [
        (0, 9.0, -1.0, "granted", 0.0),
        (1, QUIET_S, 2.0, "flowing", 2.0),
        (1, QUIET_S + 0.1, 2.0, "stalled", 2.0),
        (5, 0.0, -1.0, "flowing", 0.0),
    ],
)
def test_a_source_with_a_lease_says_whether_bytes_come(
    received: int, quiet_s: float, rate: float, phase: str, shown_rate: float
) -> None:
    state = board("##aaaa..", rates={"a": 1.0})
    lease = lease_of(state, "a")
    lease.received_bytes, lease.grown_s, lease.rate_bytes_s = received, lease.measured_s - quiet_s, rate
    assert state.leases is not None
    shown = row(1, state.sources[0], state.leases.tracker)
    assert (shown.phase, shown.rate_bytes_s) == (phase, shown_rate)
    assert (shown.lease_first, shown.lease_stop) == (2, 6)


def test_at_the_end_a_source_shows_the_mean_of_what_was_stored_and_no_lease() -> None:
    state = board("aaaa", rates={"a": 9.0})
    state.sources[0].bytes_stored = 3 * CHUNK
    assert state.leases is not None
    shown = row(1, state.sources[0], state.leases.tracker, seconds=2.0)
    assert (shown.rate_bytes_s, shown.lease_first, shown.bytes_stored) == (1.5 * CHUNK, -1, 3 * CHUNK)


# What sources say of the whole file.


@pytest.mark.parametrize("phase", [Phase.OPENING, Phase.TARGET, Phase.RIDING])
def test_mirrors_that_a_source_names_are_offered_to_the_pool_and_awaited(phase: Phase) -> None:
    state = board("aaaa....", rates={"a": 1.0})
    state.phase, expected = phase, state.admission.expected
    posts = deliver(state, SourceDescribed(job=1, source=0, mirrors=(MIRROR, f"{MIRROR}2")))
    [named] = said(posts, MirrorsNamed)
    assert (named.source, named.urls) == (0, (MIRROR, f"{MIRROR}2"))
    assert state.admission.expected == expected + 2


@pytest.mark.parametrize("phase", [Phase.SEALING, Phase.CLOSING, Phase.ENDED])
def test_what_is_named_once_the_bytes_are_there_is_not_heard(phase: Phase) -> None:
    state = board("####", rates={})
    add(state, "a")
    state.phase = phase
    assert not deliver(state, SourceDescribed(job=1, source=0, mirrors=(MIRROR,), notes=("odd",)))


def test_what_an_unknown_source_names_is_not_heard() -> None:
    state = board("aaaa....", rates={"a": 1.0})
    before = state.content.to_compare()
    assert not deliver(state, SourceDescribed(job=1, source=7, checksums=("md5:" + "0" * 32,), mirrors=(MIRROR,)))
    assert state.content.to_compare() == before


@pytest.mark.parametrize(
    ("ordered", "document", "taken"), [(-1, True, 500), (800, True, 800), (-1, False, -1), (0, True, 0)]
)
def test_a_document_says_the_size_unless_the_order_does(ordered: int, document: bool, taken: int) -> None:
    state = board("aaaa....", rates={"a": 1.0})
    state.admission.ordered_bytes = ordered
    deliver(state, SourceDescribed(job=1, source=0, document=document, name="g", size_bytes=500))
    assert state.admission.ordered_bytes == taken
    assert state.sources[0].proposed_name == "g"


def test_who_names_another_digest_than_two_others_loses_its_lease_at_once() -> None:
    state = board("aaaabbbbcccc", rates=dict.fromkeys("abc", 1.0))
    digests = ["sha256:" + mark * 64 for mark in "001"]
    posts = [deliver(state, SourceDescribed(job=1, source=n, checksums=(digests[n],))) for n in range(3)]
    assert [revoked.source for revoked in said([post for part in posts for post in part], LeaseRevoked)] == [2]
    assert "c" not in drawn(state)
