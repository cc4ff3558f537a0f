"""Small decisions on drawn sources against their rules in words: sizes, offers, transfers that end by themselves."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.dispatch.admission import OTHER_SIZE, preferred_size
from actors.core.dispatch.leases import RIDE_OUT_S
from actors.core.dispatch.sources import Source, SourceState
from protocol.messages import AcceptUpload, DeclineUpload, UploadOffered
from protocol.model.source_url import for_connections
from protocol.model.value import replace
from tests.actors.core.dispatch.boards import NOW_S, add, as_peer, board, deliver, lease_of, said

URL = "http://a.example/f"
SIZES = st.sampled_from([-1, 0, 5, 7, 9])


@st.composite
def sized(draw: st.DrawFn, number: int) -> Source:
    first, further = for_connections([URL], 2)
    source = Source(number, further if draw(st.integers(0, 4)) == 0 else first, "a.example", "", "f")
    source.probed, source.size_bytes = draw(st.integers(0, 4)) > 0, draw(SIZES)
    source.peer = "user" if draw(st.integers(0, 2)) == 0 else ""
    source.traits = replace(source.traits, offset_ok=draw(st.booleans()))
    if draw(st.integers(0, 2)) == 0:
        source.state = SourceState.BANNED
        source.reason = f"{OTHER_SIZE} it has" if draw(st.booleans()) else "no such file"
    return source


@given(st.integers(0, 6).flatmap(lambda count: st.tuples(*map(sized, range(count)))), SIZES)
def test_the_size_is_what_most_addresses_say_unless_a_source_has_that_of_the_order(
    drawn: tuple[Source, ...], ordered: int
) -> None:
    """Users, and further connections to one server, have a say where no one else has one; who is out for that too."""
    voters = [each for each in drawn if each.probed and each.size_bytes >= 0]
    voters = [each for each in voters if each.state is not SourceState.BANNED or each.reason.startswith(OTHER_SIZE)]
    found = preferred_size({each.id: each for each in reversed(drawn)}, ordered)
    if ordered in {each.size_bytes for each in voters}:
        assert found == ordered
        return
    voters = [each for each in voters if not each.peer] or voters
    voters = [each for each in voters if each.name == URL] or voters
    sizes = [each.size_bytes for each in voters]
    with_parts = {each.size_bytes for each in voters if each.traits.offset_ok}
    best = max(((sizes.count(size), size in with_parts) for size in sizes), default=None)
    first = next((size for size in sizes if (sizes.count(size), size in with_parts) == best), -1)
    assert found == first


@given(SIZES, SIZES, SIZES)
def test_an_offer_is_taken_where_it_is_the_file_or_does_not_say(of_job: int, of_source: int, offers: int) -> None:
    """Some clients offer files as empty that are not."""
    state = board("....", total=-2 if of_job < 0 else -1)
    source = add(state, "a")
    as_peer(state, "a")
    source.size_bytes, source.enqueued, source.ticket = of_source, True, -1
    known = of_job if of_job >= 0 else of_source
    not_said = offers < 0 or (offers == 0 and known > 0)
    message = UploadOffered(job=1, source=0, ticket=7, size_bytes=offers)
    taken = state.remote_queue.offered(message, size_bytes=of_job, now_s=NOW_S)
    declined = said(state._out.take(), DeclineUpload)
    if (known < 0 and not_said) or (known >= 0 and not not_said and offers != known):
        assert taken is None
        assert declined
        assert (source.state is SourceState.BANNED) is (known >= 0)
        assert (source.ticket, source.enqueued) == (-1, False)
    else:
        assert taken is source
        assert not declined
        assert (source.size_bytes, source.ticket, source.probed) == (known if not_said else offers, 7, True)


RIDES: list[tuple[str, dict[str, Any], bool]] = [
    ("lease", {}, True),
    ("lease", {"draining": True}, False),
    ("lease", {"received_bytes": 0}, False),
    ("lease", {"stop": 3}, False),
    ("lease", {"rate_bytes_s": 1.0}, False),
    ("source", {"traits": None}, False),
    ("source", {"budget_spent_today": True}, True),
]


@pytest.mark.parametrize(("of", "changes", "rides"), RIDES, ids=str)
@pytest.mark.parametrize("mode", ["swarm", "race"])
def test_a_complete_file_waits_for_a_user_that_is_about_to_end_by_itself(
    of: str, changes: dict[str, Any], rides: bool, mode: str
) -> None:
    state = board("aaaa", rates={"a": 9.0}, mode=mode)
    assert state.leases is not None
    mirror, source, lease = state.sources[0].traits, as_peer(state, "a"), lease_of(state, "a")
    lease.received_bytes = 1
    for name, value in changes.items():
        setattr(source if of == "source" else lease, name, mirror if name == "traits" else value)
    assert state.leases.riding_out(NOW_S) is (rides and mode == "swarm")
    late = rides and mode == "swarm" and source.budget_spent_today
    assert state.leases.riding_out(NOW_S + RIDE_OUT_S) is late
    lease.rate_bytes_s, lease.shared = 1.0, True
    assert not state.leases.riding_out(NOW_S)


def test_a_user_whose_offer_is_taken_gets_a_lease_for_it() -> None:
    state = board("....")
    source = add(state, "a")
    as_peer(state, "a")
    source.enqueued = True
    posts = deliver(state, UploadOffered(job=1, source=0, ticket=7, size_bytes=state.size_bytes))
    assert [each.ticket for each in said(posts, AcceptUpload)] == [7]
    assert not source.enqueued


@pytest.mark.parametrize(
    ("of_job", "of_source", "reason"),
    [
        (-1, 9, "came after the file had been begun without knowing its size"),
        (-1, 0, "came after the file had been begun without knowing its size"),
        (0, -1, "does not say how large the file is"),
        (9, 7, "it has 7 bytes, the file has 9"),
        (9, 9, ""),
        (0, 0, ""),
        (-1, -1, ""),
    ],
)
def test_a_source_that_cannot_have_the_file_is_left_out_with_the_reason(
    of_job: int, of_source: int, reason: str
) -> None:
    state = board("....")
    source = add(state, "a")
    source.size_bytes = of_source
    assert state.admission.admit(source, of_job) is not bool(reason)
    assert source.reason.endswith(reason)
    assert (source.state is SourceState.BANNED) is bool(reason)
