"""Requests to the fleet's node of this daemon. See `protocol.model.fleet`."""

from protocol.messages.base import Request


class GetFleet(Request, tag=164):
    """Get the fleet as this node sees it. Answered by one `FleetView`."""


class ListFleetNodes(Request, tag=165):
    """List the nodes that are there. Answered by `NodeRow` rows."""


class ListFleetJobs(Request, tag=166):
    """List jobs of the fleet, at most `limit` from `offset` on, the newest first. Answered by `FleetJobView` rows."""

    states: tuple[str, ...]
    """Empty: all."""
    offset: int
    limit: int


class ExplainFleetJob(Request, tag=167):
    """Find out what holds a job of the fleet back. Answered by `Bottleneck` rows."""

    id: str


class OrderFleet(Request, tag=168):
    """Order something of the fleet: a `FleetOrder` as a row. Answered by one `FleetOrdered`, once it is stored.

    Refused as ``unavailable`` while no broker is connected: the same order with the same key is safe to repeat.
    """

    order: bytes
