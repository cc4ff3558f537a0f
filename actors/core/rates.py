"""What a ride teaches about its source: how fast it sends and what a start costs."""

from dataclasses import replace
from typing import Final

from actors.core.board import Lease
from actors.core.speed import QUOTA_S
from actors.core.standing import Source

YOUNG_S: Final = 2.0
"""The rate of a ride younger than this is mixed with what its source showed before: limiters begin with a burst."""
MEASURE_AGE_S: Final = 0.05
"""What the watchdog says is on average so old when it is heard."""
FIRST_HEARD_AGE_S: Final = 0.15
"""A first byte is heard of with the next report, on average so late."""


def note_received(lease: Lease, received_bytes: int, now_s: float) -> None:
    """The watchdog said how much of a ride has come."""
    if received_bytes > lease.received_bytes:
        lease.flowing_s = lease.flowing_s or now_s - FIRST_HEARD_AGE_S
        lease.received_bytes, lease.grown_s = received_bytes, now_s
    lease.measured_s = now_s - MEASURE_AGE_S


def learn_setup(source: Source, lease: Lease, setup_s: float) -> None:
    """What a start costs, the newest half weighing most. With a peer it begins at the request for its turn."""
    traits = source.traits
    if traits.dear_stops:
        traits = replace(traits, turn_cost_s=(traits.turn_cost_s + setup_s) / 2)
        setup_s += lease.granted_s - source.waiting_s
    source.traits = replace(traits, restart_cost_s=(traits.restart_cost_s + setup_s) / 2)


def learn_rate(source: Source, lease: Lease, now_s: float) -> None:
    """A ride that ended before the watchdog could judge it is judged by itself, when nothing better is known."""
    kept = lease.received_bytes - lease.lead_in_bytes
    if source.rate_bytes_s <= 0 and kept > 0:
        setup_s = source.traits.turn_cost_s if source.peer else source.traits.restart_cost_s
        begun_s = lease.flowing_s if source.peer and lease.flowing_s else lease.granted_s + setup_s
        took_s = max(now_s - begun_s, 0.01)
        source.rate_bytes_s = lease.received_bytes / (max(took_s, QUOTA_S) if source.peer else took_s)


def tempered(lease: Lease, rate_bytes_s: float, setup_s: float, now_s: float) -> float:
    """The measured rate, mixed with the source's earlier one while the ride is young."""
    if lease.prior_rate_bytes_s <= 0:
        return rate_bytes_s
    trust = min(max((now_s - lease.granted_s - setup_s) / YOUNG_S, 0.0), 1.0)
    return trust * rate_bytes_s + (1 - trust) * lease.prior_rate_bytes_s
