"""Resume checks: one chunk of what a source sent to an earlier attempt, compared with what it has now.

A server may change a file and say nothing that tells the versions apart. So each source whose chunks were found at the
start reads one of them again: the chunk before its first lease where that is its own, else the last of its longest range
once it has nothing else to do, and a complete file waits for that. If the bytes differ, all that it sent before is of
another file. Users, whose aborts are counted, do only the first. Pure; owned by `ContentChecks`.
"""

from collections.abc import Iterable

from actors.core.dispatch.checks import Check, Owned
from actors.core.dispatch.sources import Source


class ResumeChecks:
    """`open`: sources of resumed chunks that were not compared with their file of today yet."""

    def __init__(self) -> None:
        self.open: set[int] = set()
        self._asked: set[int] = set()

    def opened(self, owned: Iterable[Owned]) -> None:
        """These chunks were found when the job began or its hub was replaced."""
        self.open.clear()
        self.open.update(owner for _, _, owner in owned if owner >= 0)
        self._asked.clear()

    def check(self, source: Source, owned: Iterable[Owned]) -> Check | None:
        """Return the chunk that this source is to read again; None: nothing, or it was asked already."""
        able = source.usable and source.probed and source.traits.offset_ok and not source.traits.abort_is_costly
        if source.id not in self.open or source.id in self._asked or not able:
            return None
        own = [(stop - first, stop - 1) for first, stop, owner in owned if owner == source.id]
        return Check(source.id, max(own)[1]) if own else None

    def granted(self, check: Check, owner: int) -> None:
        """This check became a lease."""
        if check.source == owner:
            self._asked.add(owner)

    def is_awaited(self, sources: Iterable[Source], checking: Iterable[Check], owned: Iterable[Owned]) -> bool:
        """Whether a source is still to say of its own earlier chunks that they are those of its file."""
        if not self.open:
            return False
        under_way = any(check.source in self.open & self._asked for check in checking)
        rows = list(owned)
        return under_way or any(self.check(source, rows) is not None for source in sources)

    def answered(self, source: int, owner: int) -> bool:
        """A chunk of `owner` came again from `source`. Returns whether that says something of an earlier attempt."""
        said = source == owner and source in self.open
        if said:
            self.open.discard(source)
        return said
