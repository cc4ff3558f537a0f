"""Gate before sealing: whether the evidence for the content of a complete file is enough, awaited or lacking.

`LastChecks` says for how long optional checks hold a complete file up. Pure; owned by `ContentChecks`.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from enum import Enum, unique
from typing import Final, cast

from actors.core.dispatch.chunk_tracker import UNBOUNDED, ChunkTracker
from actors.core.dispatch.identity.checks import Check, CheckPlan, Overlaps, check_s
from actors.core.dispatch.identity.container_requests import ContainerRequests
from actors.core.dispatch.identity.evidence import Identity, claim_of, shortfall
from actors.core.dispatch.identity.pieces import PieceChecks
from actors.core.dispatch.identity.resumption import CONFIRM_S_MAX, CONFIRM_S_MIN, ResumeChecks
from actors.core.dispatch.progress import Reporter
from actors.core.dispatch.sources import Source
from protocol.messages import StartJob
from protocol.model.chunk_ranges import RangeSet
from protocol.model.identity import Claim

LACKING_S: Final = 1.0
TIES_S_MAX: Final = 30.0
"""A source that could give a missing tie is waited for no longer, unless it has us in its queue."""
OVERLAP_SHARE: Final = 0.02
"""Share of the time so far that the complete file waits for overlap checks under way."""
CHECK_SHARE: Final = 0.015
"""Share of the time so far that checks may add at the end, and that a single one may take."""
CHECK_S_MIN: Final = 0.02
LAST_S: Final = 0.25
LAST_SHARE: Final = 0.03
"""A complete file waits for checks that take no longer than this and this share of the time so far,"""
LAST_QUICK: Final = 2
"""and no longer than this multiple of what the quickest takes."""
LAST_MANY: Final = 4
LAST_ROUNDS: Final = 1
"""Of that many sources each, of fewer two. One more costs files of a few seconds 2 % and finds nothing, since
first leases read a chunk of their neighbours'."""


@unique
class Gate(Enum):
    """Verdict on a complete file: it may be sealed, waits or must not be."""

    OPEN = "open"
    CHECKING = "checking"
    LACKING = "lacking"


class LastChecks:
    """Last checks of a complete file before it is sealed: who may still be asked, and how long the file waits.

    One rule for everything that is not urgent, also while chunks are missing: a check may take `CHECK_SHARE` of the
    time so far. A complete file waits besides for `LAST_ROUNDS` of each of the quickest sources.
    """

    def __init__(self, sources: Mapping[int, Source], report: Reporter) -> None:
        self._sources = sources
        self._report = report
        self.restart()

    def restart(self) -> None:
        """Chunks are missing, or missing again."""
        self._since_s: float | None = None
        self._quickest_s: float | None = None
        self._rounds: Counter[int] = Counter()
        self._rounds_max = LAST_ROUNDS

    @property
    def begun(self) -> bool:
        """Whether the file is complete."""
        return self._since_s is not None

    def begin(self, now_s: float) -> None:
        """The file is complete, now or since an earlier call."""
        self._since_s = now_s if self._since_s is None else self._since_s

    def waited_s(self, now_s: float) -> float:
        """How long the file has been complete."""
        return 0.0 if self._since_s is None else now_s - self._since_s

    def waits_for_overlaps(self, now_s: float) -> bool:
        """Whether the complete file waits for chunks that transfers read beyond their ends."""
        return self.waited_s(now_s) < OVERLAP_SHARE * self._report.elapsed_s(now_s)

    def granted(self, check: Check) -> None:
        """This check became a lease."""
        self._rounds[check.source] += check.last

    def may_ask(self, source: Source, now_s: float) -> bool:
        """Whether a check of this source is short enough. A complete file waits for a few of the quickest."""
        cost_s, allowed_s = check_s(source, self._report.chunk_size), self._allowed_s(now_s)
        if cost_s <= allowed_s and self.waited_s(now_s) < allowed_s:
            return True
        if self._since_s is None or self._rounds[source.id] >= self._rounds_max:
            return False
        return cost_s <= min(self._longest_s(now_s), LAST_QUICK * self._quickest())

    def awaited(self, checking: Collection[Check], more_left: Callable[[], bool], now_s: float) -> bool:
        """Whether the complete file waits for those on their way, or for more that could be asked."""
        waited_s = self.waited_s(now_s)
        if waited_s < self._allowed_s(now_s):
            quick = any(self.may_ask(self._sources[each.source], now_s) for each in checking)
            if quick or more_left():
                return True
        in_time = waited_s < LAST_QUICK * min(self._quickest(), self._longest_s(now_s)) * self._rounds_max
        return in_time and (any(each.last for each in checking) or more_left())

    def _allowed_s(self, now_s: float) -> float:
        return max(CHECK_SHARE * self._report.elapsed_s(now_s), CHECK_S_MIN)

    def _longest_s(self, now_s: float) -> float:
        return LAST_S + LAST_SHARE * self._report.elapsed_s(now_s)

    def _quickest(self) -> float:
        """Shortest time of a check by a source that costs nothing to stop, when all was there; 0 without one.

        One that cannot begin within the file makes none, nor one of unknown rate: that would be awaited without end.
        """
        if self._quickest_s is None:
            able = (
                each for each in self._sources.values() if each.usable and each.traits.offset_ok and each.rate_bytes_s
            )
            costs = [check_s(each, self._report.chunk_size) for each in able if not each.traits.abort_is_costly]
            self._quickest_s = min(costs, default=0.0)
            self._rounds_max = LAST_ROUNDS if len(costs) >= LAST_MANY else 2 * LAST_ROUNDS
        return self._quickest_s


class SealGate:
    """Gate of one job. `unsettled`: why its file is not to be sealed, whatever comes. `freed`: all dropped chunks."""

    def __init__(
        self,
        job: StartJob,
        sources: dict[int, Source],
        report: Reporter,
        *,
        identity: Identity,
        plan: CheckPlan,
        pieces: PieceChecks,
        containers: ContainerRequests,
        overlaps: Overlaps,
        resume: ResumeChecks,
    ) -> None:
        self._job = job
        self._sources = sources
        self._report = report
        self._identity = identity
        self._plan = plan
        self._pieces = pieces
        self._containers = containers
        self._overlaps = overlaps
        self._resume = resume
        self.last = LastChecks(sources, report)
        self.unsettled = ""
        self.freed = RangeSet()
        self._claim: tuple[object, ...] = ()

    @property
    def proven(self) -> bool:
        """Whether a digest or piece hashes prove the content, so that ties are not needed."""
        return bool(self._job.spec.checksum) or self._pieces.awaited

    def decide(self, tracker: ChunkTracker, *, now_s: float) -> Gate:
        """Whether this complete file, of which nothing is disputed, may be sealed."""
        waited_s = self.last.waited_s(now_s)
        if self.unsettled:
            return Gate.LACKING
        self._confirm(tracker, now_s)
        longest_s = CONFIRM_S_MAX if self._resume.confirming else TIES_S_MAX
        if waited_s < longest_s and self._resume.is_awaited(self._sources, self._plan):
            return Gate.CHECKING
        settled = not (self._pieces.bad or self._plan.open_suspects())
        if settled and self._pieces.awaited and not self._pieces.all_proven(tracker.total):
            return Gate.CHECKING
        if settled and self.proven and not self.shortfall():
            return Gate.OPEN
        rows = self._report.owned()
        if self._containers.complete(rows, tracker, now_s=now_s) or self._overlaps.awaited(now_s=now_s):
            return Gate.CHECKING
        untied = not self.proven and self._plan.untied(now_s)
        if settled and not untied and self._containers.whole(rows, self._report.elapsed_s(now_s), now_s=now_s):
            return Gate.CHECKING
        if settled and not untied and self._containers.required and self.shortfall():
            return Gate.LACKING  # no source can help
        if not settled or untied or self.shortfall():
            return Gate.CHECKING if self._may_settle(waited_s, now_s=now_s) else Gate.LACKING
        if self.last.waits_for_overlaps(now_s) and self._overlaps.under_way(tracker):
            return Gate.CHECKING
        if waited_s < TIES_S_MAX and self._head_awaited():
            return Gate.CHECKING
        left = self.last.awaited(self._plan.checking.values(), lambda: self._optional_left(tracker, now_s), now_s)
        return Gate.CHECKING if left else Gate.OPEN

    def _confirm(self, tracker: ChunkTracker, now_s: float) -> None:
        """Have the source that sent all of the file confirm it, where nothing else speaks for what it sent."""
        able = tracker.total != UNBOUNDED and self._job.spec.mode != "race" and not self.proven
        if not able or self._identity.checks_agreed or self._report.elapsed_s(now_s) <= CONFIRM_S_MIN:
            return
        senders = {owner for _, _, owner in self._report.owned()}
        if len(senders) == 1 and (sole := self._sources.get(senders.pop())) is not None:
            self._resume.confirm(sole)

    def _may_settle(self, waited_s: float, *, now_s: float) -> bool:
        """Whether evidence that is lacking is on its way, or there is a source that could give it in time."""
        if waited_s < LACKING_S or self._plan.checking or any(each.busy is not None for each in self._sources.values()):
            return True
        able = next((each for each in self._sources.values() if self._plan.forced(each, now_s=now_s) is not None), None)
        return able is not None and (able.enqueued or waited_s < TIES_S_MAX)

    def forced_check(self, source: Source, tracker: ChunkTracker, *, now_s: float) -> Check | None:
        """A tie that the complete file waits for."""
        if not tracker.complete or self._containers.awaited:
            return None
        if self._containers.digest_open and (check := self._plan.head(source)) is not None:
            return check if self.last.waited_s(now_s) < TIES_S_MAX else None
        lacking = self._plan.open_suspects() or (not self.proven and self._plan.untied(now_s)) or self.shortfall()
        return self._plan.forced(source, now_s=now_s) if lacking else None

    def shortfall(self) -> str:
        """Return what the complete file lacks of the evidence that the user requires; a checksum is compared later."""
        if self._containers.required:
            return self._containers.shortfall()
        required = self._job.spec.require or self._job.spec.policy.required
        return shortfall(required, self.claim()) if required and not self._job.spec.checksum else ""

    def _head_awaited(self) -> bool:
        """Whether a contributor's first chunk, which names the content's digest, is still to be compared."""
        if not self._containers.digest_open:
            return False
        under_way = any(check.chunk == 0 for check in self._plan.checking.values())
        return under_way or any(self._plan.head(each) is not None for each in self._sources.values())

    def incomplete(self) -> None:
        """Chunks are missing again: what was found of the complete file holds no more."""
        self.last.restart()
        self._resume.incomplete()
        self.unsettled = ""
        self._containers.incomplete()

    def claim(self, *, compared: bool = False) -> Claim:
        """Return what is known of the content, in numbers. `compared`: its digest is the one that was wanted."""
        rows, identity = self._report.owned(), self._identity
        whole = ("digest" if compared else self._containers.kind), self._containers.detail
        state = (identity.revision, identity.checks_disagreed, identity.proven_chunks.count, self.freed.count, whole)
        if not self._claim or self._claim[0] is not rows or self._claim[1] != state:
            names = {owner: self._report.name_of(owner, self._sources) for owner in identity.excluded}
            self._claim = rows, state, claim_of(identity, rows, names, self.freed, whole)
        return cast(Claim, self._claim[2])

    def _optional_left(self, tracker: ChunkTracker, now_s: float) -> bool:
        return any(
            source.usable
            and self.last.may_ask(source, now_s)
            and self._plan.optional(source, tracker.total, last=True, spots_max=1) is not None
            for source in self._sources.values()
        )
