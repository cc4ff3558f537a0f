"""Sources of a job: their state, their failure policy, and what their transfers teach about them.

A source is *candidate* (may be used), *queued* (a Soulseek peer has our request and will offer the upload), *active*
(has a lease or could have one at once), *cooling* (left alone until `not_before_s`, then tried again with one failure
to spare) or *banned* (not used again in this job).
"""

from bisect import insort
from collections.abc import Iterable, Iterator
from enum import StrEnum, unique
from typing import Final

from actors.core.dispatch.chunk_tracker import Lease
from actors.core.outbox import Outbox
from protocol.messages import JobNoted, PeerFaulted, PeerFileDiffers, StartJob, ValidatorSeen
from protocol.messages.addresses import PEER_HISTORY
from protocol.model.faults import FaultKind
from protocol.model.filenames import base_name
from protocol.model.job_spec import FAILURES_MAX
from protocol.model.limits import LIMITER_QUOTA_S
from protocol.model.source_url import Window
from protocol.model.value import Struct, field, replace


@unique
class SourceState(StrEnum):
    """State of a source: whether it is used, see the module."""

    CANDIDATE = "candidate"
    QUEUED = "queued"
    ACTIVE = "active"
    COOLING = "cooling"
    BANNED = "banned"


COMPARED_S_MAX: Final = 0.5
"""A chunk that takes longer is not read only to be compared by a user of whom one was compared already."""
_USABLE: Final = (SourceState.CANDIDATE, SourceState.QUEUED, SourceState.ACTIVE)
"""A constant: of a thousand sources each is asked several times in one step."""


class SourceTraits(Struct, frozen=True, kw_only=True):
    """Differences between kinds of sources, as data: nothing here asks whether a source is HTTP or Soulseek."""

    # From the request (of a place in the queue, where there is one) to the first byte.
    restart_cost_s: float = 0.05
    # False: a transfer begins at byte 0, everything before the lease is read and dropped.
    offset_ok: bool = True
    run_chunks_min: int = 1
    # An abort before the end of the file is a failed upload in the peer's list.
    abort_is_costly: bool = False
    # From a granted upload to its first byte, where there is a queue.
    grant_cost_s: float = 0.0


class Source(Struct):
    """One source of a job. `peer` and `path` name a Soulseek user's file and are empty for a URL."""

    id: int
    name: str
    host: str  # what a ``Retry-After`` binds
    worker: str
    fallback_name: str  # file name made from the address
    state: SourceState = SourceState.CANDIDATE
    traits: SourceTraits = field(default_factory=SourceTraits)
    probed: bool = False
    asked: bool = False  # a probe is under way, since `asked_s`
    asked_s: float = 0.0
    size_bytes: int = -1
    proposed_name: str = ""
    validator: str = ""
    modified: str = ""  # date of the last change, as sent
    doubted: bool = False  # its validator is another one than before, its size and date are not: the bytes decide
    lease_ended: int = -1  # the last one whose end its worker reported
    busy: int | None = None  # the lease its worker still answers for, also after a revocation
    busy_since_s: float = 0.0
    position: int = 0  # chunk at which its last transfer ended, or at which the body of its first answer stands open
    stands: bool = False  # that body, which goes on to the end of the file
    answered_once: bool = False  # that body is all it has sent so far: its link may be good for one request
    not_before_s: float = 0.0
    lost_s: float | None = None  # since when it has had no worker, None with one
    failures_max: int = FAILURES_MAX  # in a row, then it rests
    failures: int = 0  # consecutive, without a stored chunk between them
    busy_answers: int = 0
    obeyed_s: float = 0.0  # sum of the waits it asked for, without a stored chunk between them
    proven: bool = False  # has delivered a stored chunk of this job
    handed: bool = False  # has handed over chunks, which may not be stored yet
    offset_proven: bool = False  # ... from an offset that is not 0
    rate_bytes_s: float = 0.0  # 0: unknown
    advertised_bytes_s: float = 0.0  # what it says of itself, 0: nothing
    bytes_stored: int = 0
    chunks: int = 0
    leases: int = 0
    rides: int = 0  # leases of chunks that were missing: neither checks nor samples
    stops: int = 0
    trims: int = 0
    peer: str = ""
    path: str = ""
    window: Window | None = None  # of the peer's file that is this job's file: the offer has the size of all of it
    enqueued: bool = False  # a place in its queue is requested or ours, since `enqueued_s`
    enqueued_s: float = 0.0
    queue_place: int = -1  # as reported; 0: it has us and does not say where, -1: no report yet
    ticket: int = -1  # of the upload it offers since `offered_s`, -1 without an offer
    offered_s: float = 0.0
    stops_before: int = 0  # of this day, in other jobs
    stops_beside: int = 0  # lately, in other jobs that fetch files of the same folder of its: an album
    stops_inherited: int = 0  # of this job, when it joined: deaths of ours made some of them
    budget_spent: bool = False  # see `stop_cost.update_stop_budget`
    budget_spent_today: bool = False
    last_stop: bool = False  # one more, and its budget is spent
    cooldowns: int = 0
    reason: str = ""
    preferred: bool = False  # by the user: served first, past the gate, shortened last, believed first
    odd: bool = False  # in an earlier job it had other content than others: asked last, compared first
    unbound: bool = False  # what its connections are bound to is not there
    failed_finally: bool = False  # its last fault is one that time hardly mends
    changed: bool = False  # its last fault is that its file is another version than before
    dropped: bool = False  # by command
    setup_known: bool = False  # what a start of it costs: from an earlier job, or seen in this one
    begins_at: int = -1  # chunk that is kept for it to begin at, see `spread`; -1: none
    rate_guessed: bool = False  # its rate is that of a sample which came at once: it may be any quicker

    @property
    def must_compare(self) -> bool:
        """Whether nothing says that it has the file of an earlier attempt: no validator, or a doubtful one."""
        return not self.validator or self.doubted

    @property
    def usable(self) -> bool:
        """Whether it is to be used, now or soon."""
        return self.lost_s is None and self.state in _USABLE

    def may_ask(self, now_s: float) -> bool:
        """Whether it may be asked for anything at this moment."""
        return self.not_before_s <= now_s and self.usable

    def is_ready(self, now_s: float) -> bool:
        """Whether it could take a lease, or be asked for a place in its queue, at this moment."""
        # Spelled out, for of ten thousand each is asked in one step: a call costs as much as all of this.
        if not self.probed or self.busy is not None or self.not_before_s > now_s or self.lost_s is not None:
            return False
        return self.state in _USABLE and not (self.enqueued and self.ticket < 0)

    def is_out(self, now_s: float) -> bool:
        """Whether nothing is to be expected from it without another round of retries."""
        if self.lost_s is not None and now_s - self.lost_s > REJOIN_S_MAX:
            return True
        return self.state in (SourceState.BANNED, SourceState.COOLING)

    def compares_again(self, chunk_size: int) -> bool:
        """Whether its further transfers read a chunk beside their own, for a moment's time, to be compared.

        The first one does in any case: that shows that it has the same file.
        """
        return self.rate_bytes_s <= 0 or chunk_size <= COMPARED_S_MAX * self.rate_bytes_s

    @property
    def start_cost_s(self) -> float:
        """From now to the first byte of a transfer that is decided now."""
        return self.traits.grant_cost_s if self.ticket >= 0 else self.traits.restart_cost_s


# -- failures

BUSY_ANSWERS_MAX: Final = 10
"""Consecutive 429/503 answers, then the source cools: every retry has a limit."""
BACK_OFF_FIRST_S: Final = 0.5
BACK_OFF_MAX_S: Final = 8.0
BUSY_BACK_OFF_FIRST_S: Final = 0.1
COOL_S: Final = 30.0
"""First cooling; each further one lasts twice as long, up to `COOL_MAX_S`."""
COOL_MAX_S: Final = 600.0
REJOIN_S_MAX: Final = 10.0
"""A source whose worker is gone is waited for this long: a process restarts within it."""

INTERFACE_S: Final = 2.0
"""Period at which a source is tried again whose connections are bound to an interface that is gone: no bytes leave."""
OUTAGE_S: Final = 10.0
"""Without a fault of the interface for so long its next one is another outage, and worth another note."""

RETRY_AFTER_TOTAL_S_MAX: Final = 600.0
"""A server's wishes to wait are obeyed for so long without a byte in between, then the source cools."""

_BANNED: Final = frozenset(
    {
        FaultKind.UNSUPPORTED_URL,
        FaultKind.SIZE_DIFFERS,
        FaultKind.DISPUTED,
        FaultKind.NOT_SHARED,
        FaultKind.PEER_BANNED_US,
        FaultKind.PRIVATE_ADDRESS,
        FaultKind.OFF_TLS,
    }
)
"""Faults that prove bad will or other content, that time does not mend, or that the user has forbidden to follow."""
_FINAL_AT_FIRST: Final = frozenset(
    {
        FaultKind.NO_SUCH_HOST,
        FaultKind.TLS_UNTRUSTED,
        FaultKind.NOT_FOUND,
        FaultKind.FORBIDDEN,
        FaultKind.CHANGED,
        FaultKind.ENCODED,
        FaultKind.REDIRECT_LOOP,
    }
)
"""Faults that are final where they come first. A source that has delivered may give an odd answer once: there they are
failures like others, which wait before the next attempt."""
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
_COOLED_IF_COSTLY: Final = frozenset({FaultKind.SILENT, FaultKind.STALLED})
"""The same of a source whose every aborted transfer counts."""


def record_failure(
    source: Source, kind: FaultKind, detail: str, *, retry_after_s: float, progressed: bool, now_s: float
) -> None:
    """Apply the policy of a fault. `progressed`: the lease that ended had stored at least one chunk.

    A failure after progress is the first of a new row of failures and costs no waiting: a mirror that drops the
    connection every few megabytes is annoying, not useless.
    """
    if kind is FaultKind.REVOKED or source.state is SourceState.BANNED:
        return
    source.unbound, source.changed = kind is FaultKind.INTERFACE_GONE, kind is FaultKind.CHANGED
    source.reason, source.failed_finally = detail, kind in _FINAL_AT_FIRST or kind in _BANNED
    if progressed:
        source.failures, source.busy_answers, source.obeyed_s = 0, 0, 0.0
    if kind in _BANNED or (kind in _FINAL_AT_FIRST and not (source.proven or source.handed)):
        source.state = SourceState.BANNED
    elif kind is FaultKind.INTERFACE_GONE:
        source.not_before_s = now_s + INTERFACE_S
    elif kind is FaultKind.RANGE_REFUSED and source.traits.offset_ok and not source.offset_proven:
        source.traits = replace(source.traits, offset_ok=False)
        source.reason = f"{detail}; used from the start of the file only"
    elif kind is FaultKind.BUSY or (kind is FaultKind.SERVER_ERROR and retry_after_s > 0):
        _wait_for_busy(source, retry_after_s, now_s)
    elif kind in _COOLED or (source.traits.abort_is_costly and kind in _COOLED_IF_COSTLY):
        cool_down(source, now_s)
    else:
        source.failures += 1
        if kind is FaultKind.STALLED or kind in _FINAL_AT_FIRST:
            progressed = False  # what it sent before does not make the silence shorter, nor the answer better
        if source.failures >= source.failures_max:
            _give_up(source, kind, now_s)
        elif not progressed:
            source.not_before_s = now_s + min(BACK_OFF_FIRST_S * 2 ** (source.failures - 1), BACK_OFF_MAX_S)


def cool_down(source: Source, now_s: float) -> None:
    """Leave the source alone for a while, longer each time."""
    source.state = SourceState.COOLING
    source.not_before_s = now_s + min(COOL_S * 2**source.cooldowns, COOL_MAX_S)
    source.cooldowns += 1


def end_cooldown(source: Source) -> None:
    """Let it try again: one failure more and it cools again."""
    source.state = SourceState.CANDIDATE
    source.failures = source.failures_max - 1
    source.busy_answers = 0
    source.not_before_s = 0.0


def record_delivery(source: Source) -> None:
    """Note that a chunk of it was stored: it is proven and its row of failures is over.

    Not the reason why it is left out meanwhile: the last chunks may be stored after that.
    """
    source.proven = True
    source.failures, source.busy_answers, source.obeyed_s = 0, 0, 0.0
    source.reason, source.unbound = "" if source.usable else source.reason, False


def interface_words(sources: Iterable[Source]) -> str:
    """Return why nothing comes where no source can be asked for want of the interface; empty elsewhere."""
    left = [source for source in sources if source.state is not SourceState.BANNED]
    return left[0].reason if left and all(source.unbound for source in left) else ""


def _give_up(source: Source, kind: FaultKind, now_s: float) -> None:
    """After too many failures in a row: ban what has other content now, use the rest otherwise or later."""
    if kind is FaultKind.CHANGED:
        source.state = SourceState.BANNED
    elif kind is FaultKind.RANGE_REFUSED and source.traits.offset_ok:
        source.traits = replace(source.traits, offset_ok=False)
        source.failures, source.offset_proven = 0, False
    else:
        cool_down(source, now_s)


def _wait_for_busy(source: Source, retry_after_s: float, now_s: float) -> None:
    """Wait as the server says, which is no failure while it is bounded; without a word of it, longer each time."""
    source.busy_answers += retry_after_s <= 0
    source.obeyed_s += retry_after_s
    if source.busy_answers >= BUSY_ANSWERS_MAX or source.obeyed_s > RETRY_AFTER_TOTAL_S_MAX:
        source.obeyed_s = 0.0
        cool_down(source, now_s)
        source.not_before_s = max(source.not_before_s, now_s + retry_after_s)
    elif retry_after_s > 0:
        source.not_before_s = now_s + retry_after_s
    else:
        source.not_before_s = now_s + min(BUSY_BACK_OFF_FIRST_S * 2 ** (source.busy_answers - 1), BACK_OFF_MAX_S)


class FailurePolicy:
    """Failure bookkeeping of one job: applies the policy, tells the watcher and the peer history.

    Owned by one `DispatchState`; the only place where a failure is held against a source.
    """

    def __init__(self, job: StartJob, out: Outbox) -> None:
        self._job = job
        self._out = out
        self._unbound_s = float("-inf")

    def record_failure(
        self,
        source: Source,
        kind: FaultKind,
        detail: str,
        *,
        retry_after_s: float = 0.0,
        progressed: bool = False,
        now_s: float,
    ) -> None:
        """Apply the policy as the function of this name does; note it for the watcher when the source is out."""
        before = source.state
        record_failure(source, kind, detail, retry_after_s=retry_after_s, progressed=progressed, now_s=now_s)
        if kind is FaultKind.INTERFACE_GONE:
            if now_s - self._unbound_s > OUTAGE_S and self._job.watcher:
                self._out.post(self._job.watcher, JobNoted(job=self._job.job, text=f"{detail}: waits until it is back"))
            self._unbound_s = now_s
        elif kind is not FaultKind.REVOKED:
            self._report(source, kind, before, detail)

    def ban(self, source: Source, kind: FaultKind, detail: str) -> None:
        """Never use it again in this job, for a reason found here and not by its worker."""
        before, source.state, source.reason = source.state, SourceState.BANNED, detail
        self._report(source, kind, before, detail)

    def reinstate(self, source: Source) -> None:
        """Use it again: what it differed from has other content itself."""
        source.state, source.reason, source.not_before_s = SourceState.CANDIDATE, "", 0.0
        self._remember_content(source, differs=False)

    def _remember_content(self, source: Source, *, differs: bool) -> None:
        """Have the peer history know of this one file of a user, for later jobs of the same file."""
        if source.peer and source.size_bytes >= 0:
            name = base_name(source.path)
            news = PeerFileDiffers(peer=source.peer, name=name, size_bytes=source.size_bytes, differs=differs)
            self._out.post(PEER_HISTORY, news)

    def _report(self, source: Source, kind: FaultKind, before: SourceState, detail: str) -> None:
        # Losing a worker is no fault of the peer, and one file with other content does not make it a bad one.
        if kind is FaultKind.DISPUTED:
            self._remember_content(source, differs=True)
        if source.peer and kind not in (FaultKind.LOST, FaultKind.DISPUTED):
            self._out.post(PEER_HISTORY, PeerFaulted(peer=source.peer, fault=kind, offset_ok=source.traits.offset_ok))
        is_out = source.state in (SourceState.COOLING, SourceState.BANNED)
        if source.state is SourceState.BANNED and self._job.source_count == 1 and not self._job.waits:
            return  # the job ends with this reason
        if is_out and source.state is not before and self._job.watcher:
            why = detail.removeprefix(f"{source.host} says ")
            text = f"{source.name}: {'given up' if source.state is SourceState.BANNED else 'cooling'}: {why}"
            self._out.post(self._job.watcher, JobNoted(job=self._job.job, text=text))


ROUNDS_MAX: Final = 3
ROUND_PAUSE_S: Final = 0.5
"""Before round n every source rests n times this."""


class RetryRounds:
    """Rounds of retries with proven sources once every source is out; each needs progress since the one before.

    Owned by one `DispatchState`. `count`: rounds begun.
    """

    def __init__(self) -> None:
        self.count = 0
        self._mark = 0

    def begin(self, sources: dict[int, Source], stored_chunks: int, *, now_s: float) -> int:
        """Begin a round and return how many sources take part.

        0: there is none, because no source is proven, the last round brought nothing, or it was the last.
        """
        proven = [each for each in sources.values() if each.proven and each.state is SourceState.COOLING]
        progress = self.count == 0 or stored_chunks > self._mark
        if not progress or self.count >= ROUNDS_MAX or not proven:
            return 0
        self.count += 1
        self._mark = stored_chunks
        for source in proven:
            end_cooldown(source)
            source.failures = 0
            source.not_before_s = now_s + self.count * ROUND_PAUSE_S
        return len(proven)


def validator_seen(job: StartJob, source: Source, *, agreed: bool = False) -> ValidatorSeen:
    """Return the note of a source's validator for the records; `agreed`: in place of the one that is there."""
    return ValidatorSeen(
        job=job.job, source_name=source.name, validator=source.validator, modified=source.modified, agreed=agreed
    )


# -- what a transfer teaches about its source

PRIOR_BYTES_S: Final = float(1 << 20)
"""Rate of an unknown user before any is measured: measured peers gave between 0.05 and 10 MiB/s."""
SAMPLE_S_MIN: Final = 0.05
"""A sample whose bytes took longer came as an even flow; one that took less is not believed to be any quicker. One that
came in a single piece says little of the rate: a limiter may have lent its quota of a second."""
QUICKEST_BYTES_S: Final = 10.0 * PRIOR_BYTES_S
"""A sample that came quicker came in one piece too: measured peers gave less than this."""
YOUNG_S: Final = 2.0
"""The rate of a younger transfer is mixed with what its source showed before: limiters begin with a burst."""
MEASURE_AGE_S: Final = 0.05
"""Mean age of a measurement when it arrives."""
FIRST_REPORT_AGE_S: Final = 0.15
"""A first byte is reported with the next progress report, on average this late."""


def note_received(lease: Lease, received_bytes: int, now_s: float) -> None:
    """Take a measurement of how much of a lease has come."""
    if received_bytes > lease.received_bytes:
        lease.flowing_s = lease.flowing_s or now_s - FIRST_REPORT_AGE_S
        lease.received_bytes, lease.grown_s = received_bytes, now_s
    lease.measured_s = now_s - MEASURE_AGE_S


def learn_setup(source: Source, setup_s: float) -> None:
    """Learn what a start costs, the newest weighing half; of a user of whom nothing is known the first one counts.

    With a user it begins at the request for its queue, but for the time in which we held its offer.
    """
    traits, weight = source.traits, 0.5
    if traits.abort_is_costly:
        weight = 0.5 if source.setup_known else 1.0
        source.setup_known = True
        traits = replace(traits, grant_cost_s=_moved(traits.grant_cost_s, setup_s, weight))
        setup_s += source.offered_s - source.enqueued_s
    source.traits = replace(traits, restart_cost_s=_moved(traits.restart_cost_s, setup_s, weight))


def _moved(before: float, now: float, weight: float) -> float:
    return before + weight * (now - before)


def learn_rate(source: Source, lease: Lease, now_s: float, *, flowing_s: float = -1.0) -> None:
    """Judge a lease that ended before the rate monitor could, when nothing better is known.

    `flowing_s`: from its first byte to its last, as its worker saw it, below 0 where that is not known.
    """
    kept = lease.received_bytes - lease.lead_in_bytes
    known = source.rate_bytes_s > 0 and not source.rate_guessed
    if kept <= 0 or (known and not (lease.sample and flowing_s >= SAMPLE_S_MIN)):
        return
    if lease.sample and flowing_s >= 0:
        quickest = lease.received_bytes / max(flowing_s, SAMPLE_S_MIN)
        likely = max(PRIOR_BYTES_S, lease.received_bytes / LIMITER_QUOTA_S)
        source.rate_bytes_s = quickest if flowing_s > 0 else min(likely, quickest)
        source.rate_guessed = flowing_s < SAMPLE_S_MIN or quickest > QUICKEST_BYTES_S
        return
    setup_s = source.traits.grant_cost_s if source.peer else source.traits.restart_cost_s
    begun_s = lease.flowing_s if source.peer and lease.flowing_s else lease.granted_s + setup_s
    took_s = max(now_s - begun_s, 0.01)
    source.rate_bytes_s = lease.received_bytes / (max(took_s, LIMITER_QUOTA_S) if source.peer else took_s)


def tempered(lease: Lease, rate_bytes_s: float, setup_s: float, now_s: float) -> float:
    """Return the measured rate, mixed with the source's earlier one while the transfer is young."""
    if lease.prior_rate_bytes_s <= 0:
        return rate_bytes_s
    trust = min(max((now_s - lease.granted_s - setup_s) / YOUNG_S, 0.0), 1.0)
    return trust * rate_bytes_s + (1 - trust) * lease.prior_rate_bytes_s


# -- the order of idle ones
#
# They choose their next ranges in this order, sorted at each look where they are few, else kept for a moment. Of ten
# thousand sources nearly all are idle at the start and at the end, and sorting them takes 20 ms: more than all that is
# decided for the first of them. Sources that become idle while an order is kept are put in their places.

FEW: Final = 256
"""Up to this number idle sources are looked at and sorted every time."""
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

    @property
    def has_usable(self) -> bool:
        """Whether any of them may take a lease, now or later."""
        return any(self._sources[number].usable for number in self._idle)

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
