"""Views of a fleet for people and tools: the node that was asked, and the jobs of all nodes."""

from typing import Final

from protocol.model.value import Value

JOINED: Final = "joined"
"""States of `FleetView`: it takes part, ..."""
ALONE: Final = "alone"
"""... no broker is connected, ..."""
OUT: Final = "out"
"""... or it stays out until it is started again."""


class GoneNode(Value):
    """A node that is not there any more."""

    name: str
    silent_s: float
    """Since its last sign of life that the node that answers has heard."""
    jobs: tuple[str, ...]
    """Names of the jobs that it had; others go on with them."""


class FleetView(Value):
    """The fleet as one node sees it."""

    fleet: str
    node: str
    """The node that answers."""
    state: str
    """One of the three above."""
    text: str
    """Why it is not joined, or what it said last; one line."""
    leader: str
    """The node that places jobs; empty while there is none."""
    destination: str
    limit_bytes_s: int
    """Of all nodes together; 0: none."""
    draining: tuple[str, ...]
    bus_bytes: int
    """That this node moved through the broker since it was connected."""
    gone: tuple[GoneNode, ...] = ()
    """Nodes that were there within the last day."""


class FleetJobView(Value):
    """One job of the fleet."""

    id: str
    name: str
    """Of the finished object or file."""
    state: str
    nodes: tuple[str, ...]
    size_bytes: int
    """-1 while unknown."""
    parts: int
    """Number of its parts, 0 while unknown ..."""
    parts_stored: int
    """... and how many of them the destination has, those that users' windows have sent ahead among them."""
    priority: int
    attempt: int
    reason: str
    etag: str
    sealed_by: str
    sources: int


class FleetOrdered(Value):
    """Answer to an order: the job's id; empty for an order that makes none. `known`: the fleet has it already."""

    id: str
    known: bool
