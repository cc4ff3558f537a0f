"""Resumption of an earlier attempt: what its sources have now is compared with what they sent; its evidence is kept.

A server may change a file and say nothing that tells the versions apart. So each source without a validator whose
chunks were found at the start reads one of them again: the chunk before its first lease where that is its own,
else the last of its longest range once it has nothing else to do, and a complete file waits for that. If the
bytes differ, all that it sent before is of another file. Users, whose aborts are counted, do only the first.
A source whose ETag alone is another one than before compares two, the first chunk that it sent and the last.

A file may be overwritten while the only source of a download sends it, within one answer too. So that source reads its
first chunk again when all of it is there, unless the download took less than `CONFIRM_S_MIN`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from actors.core.dispatch.chunk_tracker import MISSING, Owned, recorded
from actors.core.dispatch.identity.checks import Check, CheckPlan
from actors.core.dispatch.identity.evidence import Identity
from actors.core.dispatch.progress import Reporter, VerifiedChunks
from actors.core.dispatch.sources import FailurePolicy, Source
from protocol.model.faults import FaultKind

CONFIRM_S_MIN: Final = 1.0
"""A request more is 2 % of a shorter download, in which a file is hardly overwritten."""
CONFIRM_S_MAX: Final = 5.0
"""The complete file waits no longer for it."""
CONFIRMS_MAX: Final = 2
"""Of a source: one that sends another first chunk each time would never be done."""
_ABSENT: Final = 1 << 33
"""Added to the names of contributors of an earlier attempt that sent nothing of what is stored."""


class ResumeChecks:
    """Checks of resumed chunks.

    `open`: sources of resumed chunks that were not compared with their file of today yet, and the one that is to
    confirm the complete file.
    """

    def __init__(self) -> None:
        self.open: set[int] = set()
        self._asked: set[int] = set()
        self._lacking: dict[int, int] = {}
        self._confirming: int | None = None
        self._confirms: Counter[int] = Counter()

    def doubt(self, source: Source, owned: Iterable[Owned]) -> None:
        """The validator of a source has changed and nothing else: what it sent is compared, complete or not."""
        own = [(first, stop) for first, stop, owner in owned if owner == source.id]
        if own:
            source.doubted = True
            self.open.add(source.id)
            self._lacking[source.id] = 1 if sum(stop - first for first, stop in own) == 1 else 2

    def opened(self, owned: Iterable[Owned], *, complete: bool) -> None:
        """These chunks were found when the job began or its hub was replaced; what is complete gets no other bytes."""
        self._confirming = None
        self.open.clear()
        self.open.update(owner for _, _, owner in owned if owner >= 0 and not complete)
        self._asked.clear()
        self._lacking.clear()

    def confirm(self, source: Source) -> None:
        """The file is complete, and all of it came from this source: once more it is to say that it has that file."""
        wanted = self._confirming is None and source.id not in self.open
        if wanted and self._confirms[source.id] < CONFIRMS_MAX and _may_check(source):
            self._confirming = source.id
            self._confirms[source.id] += 1
            self.open.add(source.id)
            self._asked.discard(source.id)

    def incomplete(self) -> None:
        """Chunks are missing again."""
        if self._confirming is not None:
            self.open.discard(self._confirming)
            self._confirming = None

    @property
    def confirming(self) -> bool:
        """Whether the source of the complete file is still to confirm it."""
        return self._confirming in self.open

    def contradicted(self, plan: CheckPlan, sources: Mapping[int, Source]) -> Source | None:
        """Return the source that was to confirm the complete file and has another version of it now."""
        asked = self._confirming if self._confirming in self.open & self._asked else None
        if asked is None or any(check.source == asked for check in plan.checking.values()):
            return None
        return sources[asked] if sources[asked].changed else None

    def check(self, source: Source, owned: Iterable[Owned]) -> Check | None:
        """Return the chunk that this source is to read again; None: nothing, or it was asked already."""
        confirms = source.id == self._confirming
        if source.id not in self.open or source.id in self._asked or not (source.must_compare or confirms):
            return None
        if not _may_check(source):
            return None
        own = [(stop - first, first, stop - 1) for first, stop, owner in owned if owner == source.id]
        if own and (confirms or self._lacking.get(source.id, 1) > 1):
            return Check(source.id, min(first for _, first, _ in own))
        return Check(source.id, max(own)[2]) if own else None

    def granted(self, check: Check, owner: int) -> None:
        """This check became a lease."""
        if check.source == owner:
            self._asked.add(owner)

    def is_awaited(self, sources: Mapping[int, Source], plan: CheckPlan) -> bool:
        """Whether a source is still to say of its own earlier chunks that they are those of its file."""
        if not self.open:
            return False
        under_way = any(check.source in self.open & self._asked for check in plan.checking.values())
        longest = (row for row in plan.holdings.longest if row[2] in self.open and row[2] in sources)
        return under_way or any(self.check(sources[row[2]], [row]) is not None for row in longest)

    def answered(self, source: int, owner: int) -> bool:
        """A chunk of `owner` came again from `source`. Returns whether that says something of an earlier attempt."""
        said = source == owner and source in self.open
        if said:
            self._lacking[source] = self._lacking.get(source, 1) - 1
            self._asked.discard(source)
            if self._lacking[source] <= 0:
                self.open.discard(source)
        return said

    def settled(self, source: Source) -> bool:
        """Whether a doubted source has just shown all that was wanted: its validator of today counts from now on."""
        settled = source.doubted and source.id not in self.open
        source.doubted = source.doubted and not settled
        return settled


def _may_check(source: Source) -> bool:
    return source.usable and source.probed and source.traits.offset_ok and not source.traits.abort_is_costly


class EarlierEvidence:
    """Evidence that the records keep of earlier attempts: chunks that two sources had, and who has another file.

    A source of stored chunks has that evidence as soon as it is known by name; `ResumeChecks` looks whether its file is
    still the same. One that sent nothing of what is stored only counts for those that it confirmed: it is compared
    again before it is tied to them. None of an attempt of which nothing is stored.
    """

    def __init__(
        self, identity: Identity, sources: Mapping[int, Source], report: Reporter, failures: FailurePolicy
    ) -> None:
        self._identity = identity
        self._sources = sources
        self._report = report
        self._failures = failures
        self._owners: set[int] = set()
        self._odd: set[int] = set()

    def opened(self, found: VerifiedChunks) -> None:
        """Take the records of a part file that was opened."""
        self._owners = {name_hash for _, _, name_hash in found.claims}
        self._odd = found.excluded if found.claims else set()
        for chunk, name_hash in found.repeats:
            owner = self._report.owner_of(chunk)
            other = recorded(name_hash) if name_hash in self._owners else recorded(name_hash) - _ABSENT
            if owner != MISSING:
                self._identity.agree(owner, other, chunk, whole=False)  # perhaps a span
        for name_hash, source in list(self._report.names.items()):
            self.named(name_hash, source)

    def named(self, name_hash: int, source: int) -> None:
        """This source has a name that the records may have."""
        if name_hash in self._owners:
            self._identity.rename(recorded(name_hash), source)
        if name_hash in self._odd and source != self._identity.anchor:
            winners = {owner for _, _, owner in self._report.owned()} - {source}
            self._identity.exclude({source}, winners, why="in an earlier attempt")
            if source in self._sources:
                self.bans(self._sources[source])

    def bans(self, source: Source) -> bool:
        """Take the place of a source that had another file in an earlier attempt. False: it had not."""
        odd = self._report.hash_of(source.id) in self._odd and source.id in self._identity.excluded
        if odd and source.usable:
            self._failures.ban(
                source, FaultKind.DISPUTED, "other content than the stored chunks, in an earlier attempt"
            )
        return odd
