"""What it means that a user prefers a source: it is served first, past the gate, shortened last and believed first."""

from actors.core.dispatch.dispatcher import DispatchState
from actors.core.dispatch.gate import Decision
from protocol.messages import LeaseGranted, LeaseRevoked, LeaseTrimmed, SourcePreferred, Ticked
from tests.actors.core.dispatch.boards import NOW_S, add, as_peer, board, deliver, drawn, joined, lease_of, said, serve


def prefer(state: DispatchState, source: int, *, preferred: bool = True) -> None:
    deliver(state, SourcePreferred(job=1, source=source, preferred=preferred))
    assert state.leases is not None
    state.leases._views.recount()


def test_the_preferred_source_is_given_work_before_a_faster_one() -> None:
    order = []
    for preferred in (False, True):
        state = board("....", mode="failover")
        add(state, "a", 9.0)
        add(state, "b", 1.0).preferred = preferred
        granted = said(deliver(state, Ticked()), LeaseGranted)
        order.append([grant.source for grant in granted])
    assert order == [[0], [1]]


def test_a_preferred_source_that_cannot_be_used_holds_no_other_back() -> None:
    state = board("aaaa", rates={"a": 0.2})
    add(state, "b", 0.001)
    add(state, "c", 9.0)
    prefer(state, 1)
    deliver(state, Ticked())
    assert "c" in drawn(state).lower()


def test_a_preferred_user_passes_the_gate() -> None:
    state = board("a" * 60, rates={"a": 10.0})
    as_peer(state, "a")
    add(state, "b")
    source = as_peer(state, "b")
    assert state.leases is not None
    gate = state.leases.grants.gate
    gate.is_open = False
    assert gate.decide(source, NOW_S) is not Decision.JOIN
    prefer(state, 1)
    assert gate.decide(source, NOW_S) is Decision.JOIN
    prefer(state, 1, preferred=False)
    assert gate.decide(source, NOW_S) is not Decision.JOIN


def test_of_two_leases_that_of_the_preferred_source_is_shortened_last() -> None:
    for preferred, victim in ((False, 1), (True, 0)):
        state = board("aaaaaaaabbbbbbbbbb", rates={"a": 1, "b": 1})
        if preferred:
            prefer(state, 1)
        posts = serve(state, "c", 1.0)
        assert [trim.source for trim in said(posts, LeaseTrimmed)] == [victim]


def test_a_preferred_source_is_one_also_when_it_joins_later() -> None:
    state = board("....")
    prefer(state, 3)
    deliver(state, joined(3))
    assert state.sources[3].preferred
    prefer(state, 3, preferred=False)
    assert not state.sources[3].preferred


def test_where_two_differ_the_preferred_one_is_believed() -> None:
    for preferred, out in ((0, 1), (1, 0)):
        state = board("aa..bb", rates={"a": 1, "b": 1})
        prefer(state, preferred)
        ranks = [state.content._named_rank(source) for source in range(2)]
        assert ranks[preferred] < ranks[out]


def test_what_a_preferred_source_has_goes_on() -> None:
    """No lease is taken from others because one is preferred."""
    state = board("aaaabbbb", rates={"a": 1, "b": 1})
    before = (lease_of(state, "a").id, drawn(state))
    posts = deliver(state, SourcePreferred(job=1, source=1, preferred=True))
    assert said(posts, LeaseRevoked) == []
    assert (lease_of(state, "a").id, drawn(state)) == before
