"""Nodes of a fleet that are gone: since when, and the jobs that they had, for people. Nothing is decided by it."""

from typing import Final

from protocol.model.fleet.names import TTL_S
from protocol.model.fleet.rows import ENDED, FleetJobRow
from protocol.model.fleet.views import GoneNode

KEPT_S: Final = 86_400.0
"""A node that has not come back for so long is forgotten."""
NODES_MAX: Final = 100
JOBS_MAX: Final = 20
"""Names of jobs that are kept of one node."""


class GoneNodes:
    """Signs of life of nodes and the jobs that were taken from those that fell silent. The clock is passed in."""

    def __init__(self) -> None:
        self._heard: dict[str, float] = {}
        self._placed: dict[str, FleetJobRow] = {}
        """Jobs that have not ended."""
        self._taken: dict[str, dict[str, str]] = {}
        """Names of jobs that were taken from silent nodes, by their ids."""

    def heard(self, node: str, now: float) -> None:
        """Take note that a node lives."""
        self._heard[node] = now
        self._taken.pop(node, None)

    def changed(self, job: str, row: FleetJobRow | None, now: float) -> None:
        """Take note of a job's row, and of which silent nodes it is taken from."""
        before = self._placed.pop(job, None)
        if before is not None:
            for node in {*before.nodes}.difference(row.nodes if row is not None else ()):
                if now - self._heard.get(node, now) > TTL_S / 2:
                    taken = self._taken.setdefault(node, {})
                    taken[job] = before.destination
                    while len(taken) > JOBS_MAX:
                        taken.pop(next(iter(taken)))
        if row is not None and row.state not in ENDED:
            self._placed[job] = row

    def listed(self, now: float) -> tuple[GoneNode, ...]:
        """Return the nodes that are silent for longer than the others wait for them, the latest first."""
        for node in [each for each, at in self._heard.items() if now - at > KEPT_S]:
            del self._heard[node]
            self._taken.pop(node, None)
        gone = {node: now - at for node, at in self._heard.items() if now - at > TTL_S}
        had = {node: {*self._taken.get(node, {}).values()} for node in gone}
        for row in self._placed.values() if gone else ():
            for node in had.keys() & row.nodes:
                had[node].add(row.destination)
        latest = sorted(gone, key=gone.__getitem__)[:NODES_MAX]
        return tuple(
            GoneNode(name=node, silent_s=gone[node], jobs=tuple(sorted(had[node]))[:JOBS_MAX]) for node in latest
        )
