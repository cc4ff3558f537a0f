"""What the gate sees of a job, on drawn surveys: who sends and how fast, who waits, what is left, the stops to come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.dispatch import gate as gates
from actors.core.dispatch.chunk_tracker import ChunkTracker, Lease
from actors.core.dispatch.gate import Outlook, User, UserGate
from actors.core.dispatch.placement_view import PlacementViewCache, bound_to_end
from actors.core.dispatch.sources import Source
from protocol.model.limits import LIMITER_QUOTA_S
from tests.actors.core.dispatch.surveys import CHUNK, NOW_S, plain_estimate, surveys
from tests.specs import start_job


@st.composite
def sampled(draw: st.DrawFn) -> tuple[ChunkTracker, dict[int, Source]]:
    """A survey in which some of those that have no lease send a sample, or have sent one."""
    tracker, found = draw(surveys())
    busy = {lease.source for lease in tracker.leases.values()}
    for number, source in found.items():
        if number not in busy and draw(st.booleans()):
            source.leases, source.rate_guessed = draw(st.integers(0, 2)), draw(st.booleans())
            source.not_before_s = draw(st.sampled_from([0.0, NOW_S + 1]))
            if draw(st.booleans()):
                tracker.grant_sample(number, tracker.total - 2, now_s=NOW_S - draw(st.floats(0.0, 4.0)))
    for lease in tracker.leases.values():
        lease.draining = lease.rival is None and draw(st.integers(0, 4)) == 0
    return tracker, found


def awaited(source: Source, sample: Lease | None) -> bool:
    if sample is not None:
        return NOW_S - sample.granted_s < gates.SAMPLED_S
    asked_again = source.leases > 0 and source.rides == 0 and source.is_ready(NOW_S)
    return asked_again or (source.enqueued and NOW_S - source.enqueued_s < gates.AWAITED_S)


def plain_outlook(tracker: ChunkTracker, found: dict[int, Source], views: PlacementViewCache, *, lent: bool) -> Outlook:
    view = views.view(NOW_S)
    under_way = [lease for lease in tracker.leases.values() if not lease.draining]
    samples = {lease.source: lease for lease in under_way if lease.check}
    rates, finishes, lefts, users = {}, {}, {}, {}
    for lease in under_way:
        if lease.check:
            continue
        source = found[lease.source]
        seen = plain_estimate(lease, source, view.rates.guess_bytes_s)
        rate, finish_s, age_s = seen["rate_bytes_s"], seen["finish_s"], NOW_S - lease.flowing_s
        costly = source.traits.abort_is_costly
        if not lent and costly and lease.flowing_s and age_s < gates.LENT_S and not lease.prior_rate_bytes_s:
            rate = min(rate, lease.received_bytes / (age_s + LIMITER_QUOTA_S))
            finish_s = NOW_S + seen["left_bytes"] / max(rate, 1.0)
        rates[source.id], finishes[source.id] = rate, finish_s
        lefts[source.id] = seen["left_bytes"] if lease.rival is None or lease.id < lease.rival else 0.0
        if costly:
            users[source.id] = User(
                min(source.rate_bytes_s, rate),
                sends=True,
                measured=lease.rate_bytes_s > 0,
                advertised_bytes_s=source.advertised_bytes_s,
                seems_bytes_s=seen["rate_bytes_s"] if age_s < gates.SURE_S else 0.0,
            )
    for source in found.values():
        sample = samples.get(source.id)
        if source.id in rates or not source.traits.abort_is_costly or not source.usable or bound_to_end(view, source):
            continue
        rate = 0.0 if sample is not None and source.rate_guessed else source.rate_bytes_s
        users[source.id] = User(
            rate,
            sends=False,
            advertised_bytes_s=source.advertised_bytes_s,
            awaited=awaited(source, sample),
            sampled=sample is not None and not rate and awaited(source, sample),
            guessed=source.rate_guessed,
        )
    left = tracker.free.count * CHUNK + sum(lefts.values())
    alone_s = -1.0
    if rates:  # each with its own lease, or the fastest with everything; never sooner than all together
        last_s, total, best = max(finishes.values()) - NOW_S, sum(rates.values()), max(rates.values())
        alone_s = max(left / max(total, 1.0), min(last_s, left / max(best, 1.0)))
    cut = [lease for lease in under_way if lease.stop < tracker.total]
    stops = sum(found[lease.source].traits.abort_is_costly for lease in cut)
    return Outlook(
        left,
        users,
        free_bytes_s=sum(rate for number, rate in rates.items() if not found[number].traits.abort_is_costly),
        alone_s=alone_s,
        stops=stops + sum(source.stops for source in found.values()),
    )


@given(sampled(), st.booleans())
def test_the_outlook_is_of_the_users_that_send_or_wait_beside_the_mirrors(
    drawn: tuple[ChunkTracker, dict[int, Source]], lent: bool
) -> None:
    """Without what a limiter may have lent, users that send are as fast as what has come since then says."""
    tracker, found = drawn
    job = start_job(folder="/box", chunk_size=CHUNK)
    views = PlacementViewCache(job, tracker, found)
    outlook = UserGate(job, tracker, found, views)._outlook(NOW_S, lent=lent)
    plain = plain_outlook(tracker, found, views, lent=lent)
    assert set(outlook.users) == set(plain.users)
    for number, user in plain.users.items():
        for name in User.__struct_fields__:
            assert getattr(outlook.users[number], name) == pytest.approx(getattr(user, name)), name
    for name in ("left_bytes", "free_bytes_s", "alone_s", "stops"):
        assert getattr(outlook, name) == pytest.approx(getattr(plain, name)), name
