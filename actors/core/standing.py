"""The standing of a source, and what each fault does to it.

A source is *candidate* (may be used), *queued* (a Soulseek peer has our request and will say when our turn has come),
*active* (has a lease or is free for one at once), *cooling* (left alone until `not_before_s`, then tried again with one
failure to spare) or *banned* (not used again in this job).
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum, unique
from typing import Final

from protocol.faults import FaultKind


@unique
class Standing(StrEnum):
    CANDIDATE = "candidate"
    QUEUED = "queued"
    ACTIVE = "active"
    COOLING = "cooling"
    BANNED = "banned"


_USABLE: Final = (Standing.CANDIDATE, Standing.QUEUED, Standing.ACTIVE)
"""A constant: of a thousand sources each is asked several times in one step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceTraits:
    """How sources differ, as data. `restart_cost_s` is what a new ride costs before its first byte.

    `offset_ok` False: a ride can only begin at byte 0, everything before the run is read and dropped. `dear_stops`: a
    ride that is broken off before the end of the file is a failed upload in the peer's list. Of such a source
    `restart_cost_s` is counted from the request for a place in its queue, `turn_cost_s` from the turn it gives.
    """

    restart_cost_s: float = 0.05
    offset_ok: bool = True
    run_chunks_min: int = 1
    dear_stops: bool = False
    turn_cost_s: float = 0.0


@dataclass(slots=True)
class Source:
    """One row of the pool. `busy` is the lease its worker still has to answer for, also after a revocation.

    `position` is the chunk at which its last ride ended. `lost_s`: since when it has had no worker, None with one.

    Of a Soulseek peer's file, else empty: `peer`, `path`. `waiting`: a place in its queue is asked for or ours since
    `waiting_s`; `queue_place` as told (0: it has us, but does not say where), -1 before any word of it; `ticket` is
    the turn that is ours to take, -1 without one. `stops_before`: this day's in other jobs. `spent` and
    `spent_today`: see `politeness`.
    """

    id: int
    name: str
    host: str
    worker: str
    fallback_name: str
    standing: Standing = Standing.CANDIDATE
    traits: SourceTraits = field(default_factory=SourceTraits)
    probed: bool = False
    asked: bool = False
    asked_s: float = 0.0
    size_bytes: int = -1
    proposed_name: str = ""
    validator: str = ""
    busy: int | None = None
    busy_since_s: float = 0.0
    position: int = 0
    not_before_s: float = 0.0
    lost_s: float | None = None
    failures: int = 0
    busy_answers: int = 0
    proven: bool = False
    rate_bytes_s: float = 0.0
    bytes_stored: int = 0
    chunks: int = 0
    leases: int = 0
    stops: int = 0
    trims: int = 0
    peer: str = ""
    path: str = ""
    waiting: bool = False
    waiting_s: float = 0.0
    queue_place: int = -1
    ticket: int = -1
    stops_before: int = 0
    spent: bool = False
    spent_today: bool = False
    cooled: int = 0
    reason: str = ""

    @property
    def usable(self) -> bool:
        """Whether it is to be used, now or soon."""
        return self.lost_s is None and self.standing in _USABLE

    def ripe(self, now_s: float) -> bool:
        """Whether it may be asked at this moment."""
        return self.not_before_s <= now_s and self.usable

    def ready(self, now_s: float) -> bool:
        """Whether it could take a lease, or be asked for a turn, at this moment."""
        if not self.probed or self.busy is not None or (self.waiting and self.ticket < 0):
            return False
        return self.ripe(now_s)

    @property
    def start_cost_s(self) -> float:
        """From now to the first byte of a ride that is decided now."""
        return self.traits.turn_cost_s if self.ticket >= 0 else self.traits.restart_cost_s

    def out(self, now_s: float) -> bool:
        """Whether nothing is to be hoped from it without another round."""
        if self.lost_s is not None and now_s - self.lost_s > REJOIN_S_MAX:
            return True
        return self.standing in (Standing.BANNED, Standing.COOLING)


FAILURES_MAX: Final = 3
"""Consecutive failures without a byte kept in between, then the source cools (the seed's figure)."""
BUSY_ANSWERS_MAX: Final = 10
"""Consecutive 429/503 answers, then the source cools: a limit on everything."""
BACK_OFF_FIRST_S: Final = 0.5
BACK_OFF_MAX_S: Final = 8.0
BUSY_BACK_OFF_FIRST_S: Final = 0.1
COOL_S: Final = 30.0
REJOIN_S_MAX: Final = 10.0
"""So long a source whose worker is gone may wait for a new one."""
COOL_MAX_S: Final = 600.0

_BANNED: Final = frozenset(
    {
        FaultKind.NO_SUCH_HOST,
        FaultKind.TLS_UNTRUSTED,
        FaultKind.NOT_FOUND,
        FaultKind.FORBIDDEN,
        FaultKind.WRONG_RANGE,
        FaultKind.CHANGED,
        FaultKind.ENCODED,
        FaultKind.REDIRECT_LOOP,
        FaultKind.UNSUPPORTED_URL,
        FaultKind.SIZE_DIFFERS,
        FaultKind.DISPUTED,
        FaultKind.NOT_SHARED,
        FaultKind.PEER_BANNED_US,
        FaultKind.PRIVATE_ADDRESS,
    }
)
"""Faults that time does not mend."""
_COOLED: Final = frozenset(
    {
        FaultKind.SLOW,
        FaultKind.OFFLINE,
        FaultKind.TOO_MANY_FILES,
        FaultKind.PEER_UNREACHABLE,
        FaultKind.NOT_LOGGED_IN,
    }
)
"""Faults that only time mends: asking again soon would be a nuisance."""
_COOLED_DEAR: Final = frozenset({FaultKind.SILENT, FaultKind.STALLED})
"""The same of a source whose every broken ride counts."""


def blame(
    source: Source, kind: FaultKind, detail: str, *, retry_after_s: float, progressed: bool, now_s: float
) -> None:
    """Apply a fault's policy. `progressed`: the lease that ended had kept at least one chunk.

    A failure after progress is the first of a new row of failures and costs no waiting: a mirror that drops the
    connection every few megabytes is annoying, not useless.
    """
    if kind is FaultKind.REVOKED or source.standing is Standing.BANNED:
        return
    source.reason = detail
    if progressed:
        source.failures = source.busy_answers = 0
    if kind in _BANNED:
        source.standing = Standing.BANNED
    elif kind is FaultKind.RANGE_REFUSED:
        _give_up_offsets(source, detail)
    elif kind is FaultKind.BUSY:
        _wait_for_busy(source, retry_after_s, now_s)
    elif kind in _COOLED or (source.traits.dear_stops and kind in _COOLED_DEAR):
        cool(source, now_s)
    else:
        source.failures += 1
        if kind is FaultKind.STALLED:
            progressed = False  # what it sent before does not make the silence shorter
        if source.failures >= FAILURES_MAX:
            cool(source, now_s)
        elif not progressed:
            source.not_before_s = now_s + min(BACK_OFF_FIRST_S * 2 ** (source.failures - 1), BACK_OFF_MAX_S)


def cool(source: Source, now_s: float) -> None:
    """Leave the source alone for a while, longer each time."""
    source.standing = Standing.COOLING
    source.not_before_s = now_s + min(COOL_S * 2**source.cooled, COOL_MAX_S)
    source.cooled += 1


def warm(source: Source) -> None:
    """A cooled source may try again: one failure more and it cools again."""
    source.standing = Standing.CANDIDATE
    source.failures = FAILURES_MAX - 1
    source.busy_answers = 0
    source.not_before_s = 0.0


def delivered(source: Source) -> None:
    """A chunk of it was stored: it is proven and its row of failures is over."""
    source.proven = True
    source.failures = source.busy_answers = 0
    source.reason = ""


def _give_up_offsets(source: Source, detail: str) -> None:
    if not source.traits.offset_ok:  # it refused even a ride from byte 0
        source.standing = Standing.BANNED
        return
    source.traits = replace(source.traits, offset_ok=False)
    source.reason = f"{detail}; used from the start of the file only"


def _wait_for_busy(source: Source, retry_after_s: float, now_s: float) -> None:
    source.busy_answers += 1
    if source.busy_answers >= BUSY_ANSWERS_MAX or retry_after_s > COOL_MAX_S:
        cool(source, now_s)
        source.not_before_s = max(source.not_before_s, now_s + retry_after_s)
    elif retry_after_s > 0:
        source.not_before_s = now_s + retry_after_s
    else:
        source.not_before_s = now_s + min(BUSY_BACK_OFF_FIRST_S * 2 ** (source.busy_answers - 1), BACK_OFF_MAX_S)
