"""Order in which idle sources choose their next range: sorted at each look where they are few, else kept for a moment.

Of ten thousand sources nearly all are idle at the start and at the end, and sorting them takes 20 ms: more than all
that is decided for the first of them. Sources that become idle while an order is kept are put in their places.
"""

from bisect import insort
from collections.abc import Iterator
from typing import Final

from actors.core.dispatch.sources import Source

FEW: Final = 256
"""So many idle sources are looked at and sorted every time."""
KEPT_S: Final = 0.25
"""How long a long order is kept: sources that end their rest, or whose rate has changed, wait so long at most."""

_Entry = tuple[int, float, float, int]


class IdleOrder:
    """Idle sources of one job, of which `ready` gives those that can begin now. Owned by `Leases`."""

    def __init__(self, sources: dict[int, Source]) -> None:
        self._sources = sources
        self._idle: set[int] = set()
        self._peers = False  # users among them, which are never many: what they offer changes the order at any moment
        self._order: list[_Entry] = []
        self._front = 0  # those before it are idle no more
        self._new: list[int] = []
        self._sorted_s = float("-inf")
        self._any_offset = False
        for number in sources:
            self.add(number)

    def add(self, source: int) -> None:
        if source not in self._idle:
            self._idle.add(source)
            self._new.append(source)
            self._peers = self._peers or bool(self._sources[source].peer)

    def discard(self, source: int) -> None:
        self._idle.discard(source)

    def ready(self, now_s: float, *, any_offset: bool) -> Iterator[Source]:
        """Yield the sources that could take a lease now, the first to choose first.

        An offered upload goes before all else: a slot of its peer is waiting. Then preferred ones, then fast ones; not
        `any_offset`: before these, those that can only begin at byte 0. The caller may take them from the idle ones
        meanwhile.
        """
        few = len(self._idle) <= FEW
        if few or self._peers or any_offset != self._any_offset or not 0 <= now_s - self._sorted_s < KEPT_S:
            self._sort(now_s, any_offset)
        else:
            for number in self._new:
                insort(self._order, self._entry(self._sources[number]), lo=self._front)
        self._new.clear()
        while self._front < len(self._order) and self._order[self._front][-1] not in self._idle:
            self._front += 1
        for at in range(self._front, len(self._order)):
            number = self._order[at][-1]
            if number in self._idle and self._sources[number].is_ready(now_s):
                yield self._sources[number]

    def _sort(self, now_s: float, any_offset: bool) -> None:
        self._any_offset = any_offset
        sources = self._sources
        self._order = [self._entry(sources[number]) for number in self._idle if sources[number].is_ready(now_s)]
        self._order.sort()
        self._front, self._sorted_s = 0, now_s

    def _entry(self, each: Source) -> _Entry:
        """Return its place: by what is known of its rate, else by what it says of itself."""
        rank = 4 * (each.ticket < 0) + 2 * (not each.preferred) + (each.traits.offset_ok or self._any_offset)
        return rank, -each.rate_bytes_s, -each.advertised_bytes_s, each.id
