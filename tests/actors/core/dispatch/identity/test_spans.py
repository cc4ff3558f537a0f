"""Spans: sources compare a part of a chunk; what differs there is shown by the whole chunk before anybody loses."""

import pytest

from actors.core.dispatch.dispatcher import DispatchState
from actors.core.dispatch.identity.checks import SPAN_BYTES, Check, compared_bytes, span_bytes
from actors.core.dispatch.identity.evidence import DISPUTE_S_MAX
from actors.core.dispatch.sources import SourceState
from protocol.messages import LeaseGranted, LeaseRevoked, SealFile, SourceLost, SourceNamed, SpanCompared, Ticked
from protocol.model.faults import FaultKind
from tests.actors.core.dispatch.boards import CHUNK, NOW_S, board, lease_of, said, serve
from tests.actors.core.dispatch.replies import disputed, released, repeated, stored

TOTAL = 40
JOINT = 20


def mirrors(count: int = 2) -> DispatchState:
    """Mirrors a, b and so on, untied: a has sent all but the last chunks of the first half, b of the second."""
    state = board("a" * JOINT + "b" * JOINT, rates={"a": 5, "b": 5})
    for letter in "cd"[: count - 2]:
        serve(state, letter, 5)
    state.content.identity.__init__()  # type: ignore[misc]
    for source, lease in ((0, lease_of(state, "a")), (1, lease_of(state, "b"))):
        state.handle(SourceNamed(job=1, source=source, source_hash=source + 1), now_s=NOW_S)
        state.handle(stored(source, lease.id, lease.first, lease.open_chunks - 2), now_s=NOW_S)
    return state


def span(state: DispatchState, *, agrees: bool, is_stored: bool = True) -> SpanCompared:
    """What a read of b's first chunk, behind its own end, was compared."""
    lease = lease_of(state, "a").id
    return SpanCompared(job=1, source=0, lease=lease, chunk=JOINT, stored=is_stored, agrees=agrees)


def differing(count: int = 2) -> tuple[DispatchState, LeaseGranted]:
    """The span at the joint differs, and the first mirror has ended its lease. Returns what it reads next."""
    state = mirrors(count)
    lease = lease_of(state, "a")
    posts = state.handle(span(state, agrees=False), now_s=NOW_S)
    assert [each.lease for each in said(posts, LeaseRevoked)] == [lease.id]
    assert not state.content.identity.disputes, "that says only who is to be asked"
    posts = state.handle(released(0, lease.id, lease.next, FaultKind.REVOKED), now_s=NOW_S)
    [asked] = [each for each in said(posts, LeaseGranted) if each.source == 0]
    return state, asked


@pytest.mark.parametrize("peer", ["", "ann"])
def test_a_source_reads_a_span_where_its_range_meets_anothers(peer: str) -> None:
    state = board("." * 2 * TOTAL)
    [granted] = said(serve(state, "a", 5), LeaseGranted)
    assert granted.span_bytes == SPAN_BYTES
    source = state.sources[0]
    source.peer = peer
    assert span_bytes(source, CHUNK) == compared_bytes(source, CHUNK) == SPAN_BYTES
    assert span_bytes(source, SPAN_BYTES) == 0, "a chunk that is no longer"
    assert compared_bytes(source, SPAN_BYTES) == SPAN_BYTES


def test_a_request_that_a_user_gets_only_to_compare_is_of_the_whole_chunk() -> None:
    state = mirrors()
    state.sources[0].peer = "ann"
    assert state.content.plan._spanned(Check(0, JOINT)) == Check(0, JOINT)


def test_a_span_that_agrees_ties_two_sources() -> None:
    state = mirrors()
    identity = state.content.identity
    state.handle(span(state, agrees=True), now_s=NOW_S)
    assert identity.tied(0, 1)
    assert (identity.checks_agreed, state.content.sealing.claim().checks_agreed) == (1, 1)
    assert identity.confirmed(JOINT)
    assert not identity.confirmed(JOINT, whole=True)


def test_a_span_of_a_chunk_that_is_not_stored_says_nothing() -> None:
    state = mirrors()
    state.handle(span(state, agrees=False, is_stored=False), now_s=NOW_S)
    assert not state.content.plan.differences
    assert not state.content.identity.tied(0, 1)


def test_where_a_span_differs_its_source_reads_the_whole_chunk_next_and_nothing_else() -> None:
    state, asked = differing()
    assert (asked.first, asked.stop, asked.span_bytes) == (JOINT, JOINT + 1, 0)
    state.handle(disputed(0, asked.lease, JOINT), now_s=NOW_S)
    assert list(state.content.identity.disputes) == [JOINT]
    assert not state.content.plan.differences


def test_a_source_whose_whole_chunk_is_the_stored_one_after_all_loses_its_place() -> None:
    state, asked = differing()
    state.handle(repeated(0, asked.lease, JOINT, 1), now_s=NOW_S)
    assert state.sources[0].state is SourceState.BANNED
    assert "answered differently" in state.sources[0].reason
    assert state.sources[1].usable


@pytest.mark.parametrize("gone", [True, False])
def test_a_difference_whose_source_is_silent_is_looked_at_by_others(gone: bool) -> None:
    state, _ = differing(3)
    late_s = 0.0 if gone else DISPUTE_S_MAX + 0.1
    if gone:
        state.handle(SourceLost(job=1, source=0, detail="killed"), now_s=NOW_S)
    posts = state.handle(Ticked(), now_s=NOW_S + late_s)
    assert not state.content.plan.differences
    assert JOINT in state.content.plan.suspects
    posts += state.handle(Ticked(), now_s=NOW_S + late_s + 0.1)
    assert state.content.plan.suspect(state.sources[2]) == Check(2, JOINT), "all of it, by a third one"


def test_a_file_is_not_sealed_while_a_difference_is_open() -> None:
    state, _ = differing()
    state.content.identity.agree(0, 1, 1)
    lease = lease_of(state, "b")
    posts = state.handle(stored(1, lease.id, TOTAL - 2, 2), now_s=NOW_S)
    posts += state.handle(stored(1, 0, JOINT - 2, 2), now_s=NOW_S)
    assert state.leases is not None
    assert state.leases.tracker.complete
    posts += state.handle(Ticked(), now_s=NOW_S + 0.1)
    assert not said(posts, SealFile)


def test_a_suspect_chunk_is_confirmed_by_all_of_its_bytes_only() -> None:
    state = mirrors()
    plan, identity = state.content.plan, state.content.identity
    plan.suspects[JOINT] = None
    identity.agree(0, 1, JOINT, whole=False)
    assert plan.open_suspects() == [JOINT]
    identity.agree(0, 1, JOINT)
    assert plan.open_suspects() == []


@pytest.mark.parametrize(
    ("chunk", "at"),
    [(0, 0), (TOTAL - 1, CHUNK - SPAN_BYTES), (JOINT - 1, CHUNK - SPAN_BYTES), (JOINT, 0)],
    ids=["head", "tail", "last before a joint", "first behind a joint"],
)
def test_the_span_lies_where_a_difference_would_show_first(chunk: int, at: int) -> None:
    state = mirrors()
    state.report.stored(state.sources[0], ((0, JOINT),), JOINT * CHUNK)
    state.report.stored(state.sources[1], ((JOINT, TOTAL),), JOINT * CHUNK)
    check = state.content.plan._spanned(Check(chunk < JOINT, chunk))
    assert (check.span_at, check.span_bytes) == (at, SPAN_BYTES)


def test_spans_in_the_middle_of_ranges_are_not_always_in_the_same_place() -> None:
    state = mirrors()
    state.report.stored(state.sources[0], ((0, TOTAL),), TOTAL * CHUNK)
    plan = state.content.plan
    places = {plan._spanned(Check(source, chunk)).span_at for source in (0, 1) for chunk in range(1, TOTAL - 1)}
    assert places == {0, SPAN_BYTES, 2 * SPAN_BYTES}, "all that fit into a chunk"
