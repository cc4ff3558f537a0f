"""Admission of sources: they join, are probed, fail and are asked again, vanish and come back.

And what their probes say together: how large the file is, its name, and whether they agree.
"""

from collections import Counter
from typing import Final

from actors.core.dispatch.chunk_tracker import chunk_size_of
from actors.core.dispatch.progress import Reporter
from actors.core.dispatch.remote_queue import RemoteQueue
from actors.core.dispatch.sources import FailurePolicy, Source, SourceState, SourceTraits, end_cooldown, validator_seen
from actors.core.dispatch.stop_cost import SPENT_TODAY, update_stop_budget
from actors.core.outbox import Outbox
from protocol.messages import (
    MirrorsNamed,
    MonitorJob,
    OpenPartFile,
    ProbeSource,
    SourceDescribed,
    SourceDisabled,
    SourceFailed,
    SourceJoined,
    SourceLost,
    SourceProbed,
    StartJob,
)
from protocol.messages.addresses import ASSEMBLER, POOL, dispatcher_address
from protocol.model.faults import FaultKind
from protocol.model.source_url import is_further_connection, window_of
from protocol.model.value import Struct, replace

"""A transfer without a byte for this long is stalled."""
NAME_WAIT_S: Final = 1.0
"""The first-named source may take this long to propose a name once another has said the size. It is not waited for
when its address ends in the name that the others give."""
SETUP_S_MIN: Final = 0.001
PEER_SETUP_S: Final = 1.0
GRANT_SETUP_S: Final = 0.3
"""A Soulseek peer's time from request, and from offered upload, to the first byte, until it is measured."""
SIZES_AWAITED_S: Final = 1.0
"""For this long after the first request nothing is sealed while a source has not said how large the file is."""
PROBE_S_MAX: Final = 60.0
"""A worker's own limits end a probe long before this; here it is the worker that does not answer."""
SWITCH_S_MAX: Final = 30.0
"""So long after the first answer to a probe a majority for another size still makes the job start over with it."""
HELD_S_MAX: Final = 0.5
"""Time that the other addresses of a new job are not asked while the first one has not said how large the file is."""
BODIES_MAX: Final = 4
"""Addresses of a job that are asked for parts of the file at once; of more, one is asked for all of it. Among eight
mirrors, some of which begin at byte 0 only, a part for each cost a tenth of the file's bytes a second time: what is
measured first is placed better."""
OTHER_SIZE: Final = "size differs:"
LIKELY_SMALLER: Final = 16
"""What is smaller than this part (1/16) of the others' file is a login page rather than another version of it."""
REASONS_SHOWN_MAX: Final = 8
NAMES_SHOWN_MAX: Final = 3


class Wait(Struct, frozen=True):
    """Decision that not enough is known yet."""


class Open(Struct, frozen=True):
    """Decision to open a part file; `size_bytes` -1 when no source says it."""

    size_bytes: int
    name: str


OpeningDecision = Wait | Open


class Admission:
    """Admission of one job's sources. Owned by one `DispatchState`, which decides what follows for the job.

    `sources` is shared with the owner; only this adds to it. `expected`: number of sources that have joined or are
    going to. `first_probed_s`: 0 before the first answer.
    """

    def __init__(
        self,
        job: StartJob,
        sources: dict[int, Source],
        report: Reporter,
        out: Outbox,
        *,
        failures: FailurePolicy,
        remote_queue: RemoteQueue,
    ) -> None:
        self.job = job
        self.sources = sources
        self.first_probed_s = 0.0
        self._disabled: set[int] = set()
        self._preferred: set[int] = set()
        self._failures = failures
        self._remote_queue = remote_queue
        self._report = report
        self._out = out
        self.expected = job.source_count
        self.ordered_bytes = job.spec.size_bytes  # or a document's, in its place
        self._in_vain: set[int] = set()  # sizes of files that have another digest than the wanted one
        self._first: Source | None = None  # asked for all of the file, while its answer is awaited

    def joined(self, message: SourceJoined, *, now_s: float) -> Source | None:
        """Take in a source, or a new worker of a known one, which must probe again. None: it is disabled.

        A Soulseek peer's file is known without a probe when a search had its size, else from the first upload offered.
        """
        source = self.sources.get(message.source)
        if message.source in self._disabled:
            return None
        if source is None:
            source = self.sources[message.source] = Source(
                message.source,
                message.name,
                message.host,
                message.worker,
                message.fallback_name,
                failures_max=self.job.spec.policy.failures_max,
                rate_bytes_s=message.prior_rate_bytes_s,
                advertised_bytes_s=message.advertised_bytes_s,
                proven=message.chunks > 0,
                bytes_stored=message.bytes_stored,
                chunks=message.chunks,
                leases=message.leases,
                stops=message.stops,
                stops_inherited=message.stops,
                preferred=message.source in self._preferred,
                odd=message.odd,
            )
            if message.peer:
                self._joined_peer(source, message)
        source.worker, source.lost_s, source.asked, source.stands = message.worker, None, False, False
        source.probed = bool(source.peer) and source.size_bytes >= 0
        if source.enqueued:
            self._remote_queue.dequeue(source)  # its upload would go to the worker that is gone
        if source.probed:
            self.first_probed_s = self.first_probed_s or now_s
        elif source.may_ask(now_s):
            self._probe(source, now_s)
        return source

    def lost(self, message: SourceLost, *, now_s: float) -> Source | None:
        """Note that its worker is gone, and with it what it was asked for."""
        source = self.sources.get(message.source)
        if source is not None:
            source.asked, source.lost_s = False, now_s
            self._remote_queue.dequeue(source)
            self._answered(source, now_s)
            self._failures.record_failure(source, FaultKind.LOST, message.detail, progressed=True, now_s=now_s)
        return source

    def disabled(self, message: SourceDisabled) -> Source | None:
        """Stop using a source, known or not; for this job that is as final as a ban."""
        self._disabled.add(message.source)
        source = self.sources.get(message.source)
        if source is not None:
            self._remote_queue.dequeue(source)
            source.state, source.reason = SourceState.BANNED, message.detail or "dropped"
            source.dropped = True
            source.probed = source.asked = False
        return source

    def restored(self, number: int, *, now_s: float) -> None:
        """Use a source again, known or not, that was disabled; it has no worker before it joins once more."""
        self._disabled.discard(number)
        source = self.sources.get(number)
        if source is not None and source.dropped:
            source.dropped, source.failures, source.lost_s = False, 0, now_s
            source.state, source.reason, source.not_before_s = SourceState.CANDIDATE, "", now_s

    def prefer(self, number: int, *, preferred: bool) -> None:
        """Let a source, known or not, go before others, or like others again."""
        (self._preferred.add if preferred else self._preferred.discard)(number)
        if number in self.sources:
            self.sources[number].preferred = preferred

    def _joined_peer(self, source: Source, message: SourceJoined) -> None:
        source.peer, source.path, source.size_bytes = message.peer, message.path, message.size_bytes
        # What is remembered of this day has the stops of this job in it when a hub before this one made them.
        source.proposed_name, source.stops_before = message.fallback_name, max(message.stops_today - message.stops, 0)
        source.traits = SourceTraits(
            restart_cost_s=message.prior_setup_s or PEER_SETUP_S,
            grant_cost_s=GRANT_SETUP_S,
            offset_ok=message.offset_ok,
            abort_is_costly=True,
        )
        source.setup_known = message.prior_setup_s > 0
        update_stop_budget(source, self.job)
        source.window = window_of(message.name)
        if source.window is not None and not source.window.reaches_end and source.budget_spent_today:
            self._failures.ban(source, FaultKind.TOO_MANY_FILES, SPENT_TODAY)  # the job's end would be one more

    def probed(self, message: SourceProbed, *, now_s: float) -> Source | None:
        """Take a probe's answer. None: it was not asked for, or is known already."""
        source = self.sources.get(message.source)
        if source is None or source.probed or source.lost_s is not None:
            return None
        self.first_probed_s = self.first_probed_s or now_s
        source.probed, source.asked = True, False
        source.failures = source.busy_answers = 0
        source.reason = "" if source.usable else source.reason
        source.unbound = False
        source.size_bytes = message.size_bytes
        source.proposed_name, source.validator, source.modified = message.name, message.validator, message.modified
        setup_s = max(message.setup_s, SETUP_S_MIN)
        source.traits = replace(source.traits, restart_cost_s=setup_s, offset_ok=message.offset_ok)
        chunk_size = chunk_size_of(self.job.spec, message.size_bytes)
        if message.open_at >= 0 and message.open_at % chunk_size == 0:
            source.position, source.stands, source.answered_once = message.open_at // chunk_size, True, True
        self._answered(source, now_s)
        return source

    def described(self, message: SourceDescribed) -> bool:
        """Take the name and the mirrors that a source or a document names. False: the source is not known."""
        source = self.sources.get(message.source)
        if source is None:
            return False
        for note in message.notes:
            self._out.extend(self._report.noted(note))
        if message.name:
            source.proposed_name = source.fallback_name = message.name
        if message.document and self.ordered_bytes < 0:
            self.ordered_bytes = message.size_bytes
        if message.mirrors:
            self.expected += len(message.mirrors)  # until the pool says how many of them are new
            self._out.post(POOL, MirrorsNamed(job=self.job.job, source=message.source, urls=message.mirrors))
        return True

    def admit(self, source: Source, size_bytes: int) -> bool:
        """Return whether its file can be the job's, of `size_bytes`: then its validator is noted, else it is banned."""
        reason = _unfit(source, size_bytes)
        if reason:
            self._remote_queue.dequeue(source)
            self._failures.ban(source, FaultKind.SIZE_DIFFERS, reason)
        elif source.validator:
            self._out.post(ASSEMBLER, validator_seen(self.job, source, agreed=source.changed))
        source.changed = False
        return not reason

    def failed(self, message: SourceFailed, *, now_s: float) -> None:
        """Take a failed probe: wait, cool or ban, as the fault says."""
        source = self.sources.get(message.source)
        if source is None or source.probed:
            return
        source.asked = False
        self.bind_host(source, message.retry_after_s, now_s=now_s)
        retry_after_s = message.retry_after_s
        fault = FaultKind(message.fault)
        self._failures.record_failure(source, fault, message.detail, retry_after_s=retry_after_s, now_s=now_s)
        self._answered(source, now_s)

    def bind_host(self, source: Source, retry_after_s: float, *, now_s: float) -> None:
        """Let a ``Retry-After`` bind every source of its host."""
        if retry_after_s > 0:
            for other in self.sources.values():
                if other.host == source.host:
                    other.not_before_s = max(other.not_before_s, now_s + retry_after_s)

    def revisit(self, *, now_s: float) -> None:
        """End cooldowns that are over; probe again those that never answered well, or not at all."""
        for source in self.sources.values():
            limit_s = PROBE_S_MAX + self.job.spec.policy.timeout_s
            if source.asked and now_s - source.asked_s > limit_s:
                source.asked = False
                detail = f"no answer to a probe for {limit_s:.0f} s"
                self._failures.record_failure(source, FaultKind.SILENT, detail, now_s=now_s)
            if source.state is SourceState.COOLING and source.not_before_s <= now_s:
                end_cooldown(source)
            if not source.probed and not source.asked and not source.enqueued and source.may_ask(now_s):
                self._probe(source, now_s)

    @property
    def awaited(self) -> int:
        """Number of named sources that have not joined yet."""
        return self.expected - len(self.sources) - sum(each not in self.sources for each in self._disabled)

    def consider_opening(self, *, now_s: float) -> OpeningDecision:
        """Decide whether enough is known to open the part file."""
        decision = consider(
            self.sources,
            self.job.spec.name,
            ordered_bytes=self.ordered_bytes,
            expected=len(self.sources) + self.awaited,
            since_s=self.first_probed_s,
            now_s=now_s,
        )
        pending = self.awaited > 0 or any(each.usable and not each.probed for each in self.sources.values())
        return Wait() if pending and isinstance(decision, Open) and self.refusal(decision.size_bytes) else decision

    def refusal(self, size_bytes: int) -> str:
        """Return why a file of this size is not fetched: another was ordered, and no digest can tell; else empty."""
        ordered = self.ordered_bytes
        if self.job.spec.checksum or ordered < 0 or size_bytes in (-1, ordered):
            return ""
        return f"sizes differ: {ordered} bytes were ordered, the sources have {size_bytes}"

    def other_file(self, size_bytes: int, *, disagreed: bool, now_s: float) -> tuple[int, str]:
        """Return the size of the file to be fetched in place of this one, and why; -1 where there is none.

        `disagreed`: no bytes of this size have the wanted digest, so those of a size that was left out may have it.
        """
        if not disagreed:
            other = self.other_size(size_bytes, now_s=now_s)
            return other, f"the file has {other} bytes, not {size_bytes} as the first answer said"
        self._in_vain.add(size_bytes)
        votes = Counter(
            each.size_bytes
            for _, each in sorted(self.sources.items())
            if not each.usable and _may_count(each) and each.size_bytes * LIKELY_SMALLER >= size_bytes
        )
        sizes = [size for size, _ in votes.most_common() if size not in self._in_vain]
        if not self.job.spec.checksum or not sizes:
            return -1, ""
        return sizes[0], f"no file of {size_bytes} bytes has the wanted digest, one of {sizes[0]} may"

    def other_size(self, size_bytes: int, *, now_s: float) -> int:
        """Return the size that the file has by what is known now, -1 where this one stands."""
        if size_bytes < 0 or now_s - self.first_probed_s > SWITCH_S_MAX or self._in_vain:
            return -1
        if not any(0 <= each.size_bytes != size_bytes for each in self.sources.values()):
            return -1
        preferred = preferred_size(self.sources, self.ordered_bytes)
        return preferred if 0 <= preferred != size_bytes else -1

    def start_over(self, size_bytes: int) -> None:
        """Let sources of this size back in that were left out for having another one than before."""
        for source in self.sources.values():
            source.busy, source.position, source.stands = None, 0, False
            left_out = source.state is SourceState.BANNED and source.reason.startswith(OTHER_SIZE)
            if source.size_bytes == size_bytes and left_out:
                source.state, source.reason = SourceState.CANDIDATE, ""

    def chunk_size(self, found: int, size_bytes: int) -> int:
        """Return the chunk size of the part file that is open; `found` is its own where an earlier attempt chose it."""
        chosen = chunk_size_of(self.job.spec, size_bytes)
        if found in (0, chosen):
            return chosen
        for source in self.sources.values():
            source.position, source.stands = 0, False  # they were counted in chunks of another size
        return found

    def ask_again(self, changed: list[Source], *, now_s: float) -> None:
        """Ask sources again whose file is another version than before; its size may be another one too."""
        self.first_probed_s = 0.0
        for source in changed:
            source.state, source.reason, source.failures, source.position = SourceState.CANDIDATE, "", 0, 0
            source.probed, source.not_before_s = False, now_s
            self._probe(source, now_s)

    def awaits_sizes(self, *, now_s: float) -> bool:
        """Return whether to wait a moment for sizes: that they differ should be noticed.

        A search counts as one source that is awaited; whom it finds later has a file of the same size.
        """
        if self._report.elapsed_s(now_s) >= SIZES_AWAITED_S:
            return False
        return self.awaited > bool(self.job.spec.term) or any(each.asked for each in self.sources.values())

    def _probe(self, source: Source, now_s: float) -> None:
        if source.peer:
            self._remote_queue.enqueue(source, now_s)
            return
        few = self.job.source_count <= BODIES_MAX
        if few and self._first is not None and now_s - self._first.asked_s < HELD_S_MAX:
            return  # until that one has answered
        begin_at = self._begin_at(source)
        if begin_at == 0:
            self._first = source
        self._report.first_request(now_s)
        source.asked, source.asked_s = True, now_s
        self._out.post(source.worker, ProbeSource(job=self.job.job, source=source.id, begin_at=begin_at))

    def _begin_at(self, source: Source) -> int:
        """Return from which byte on this source is asked for the file, -1: its first request is a probe only.

        Some links are good for one request, so the answer is to be the download: the first source's from the start,
        those of a few others, once the size is known, each from a place of its own.
        """
        spec, count = self.job.spec, self.job.source_count
        if self.job.begun or self.job.attempt or spec.policy.preallocate or spec.term or source.proven:
            return -1
        if source.id >= count or (count > 1 and (spec.mode != "swarm" or spec.user)):
            return -1
        if not self.first_probed_s:
            return 0 if self._first is None else -1
        if count > BODIES_MAX:
            return -1
        first = next((each for each in self.sources.values() if each.probed and each.stands), None)
        chunk_size = chunk_size_of(spec, first.size_bytes) if first is not None else 1
        chunks = -(-first.size_bytes // chunk_size) if first is not None else 0
        chunk = chunks * ((source.id - first.id) % count) // count if first is not None else 0
        return chunk * chunk_size if chunk > 0 and not source.leases else -1

    def _answered(self, source: Source, now_s: float) -> None:
        """Ask those that were held back until this one has said how large the file is, or that it cannot."""
        if source is self._first:
            self._first = None
            for each in self.sources.values():
                if not each.probed and not each.asked and not each.peer and each.may_ask(now_s):
                    self._probe(each, now_s)


def consider(
    sources: dict[int, Source],
    asked_name: str,
    *,
    ordered_bytes: int = -1,
    expected: int,
    since_s: float,
    now_s: float,
) -> OpeningDecision:
    """Decide from the probes so far. `since_s`: when the first was answered; before that there is only waiting."""
    answered = [source for _, source in sorted(sources.items()) if source.probed and source.usable]
    sized = [source for source in answered if source.size_bytes >= 0]
    pending = len(sources) < expected or any(source.usable and not source.probed for source in sources.values())
    if not answered or (not sized and pending):
        return Wait()
    first = sources.get(0)
    first_may_answer = first is None or (first.usable and not first.probed)
    name = asked_name or _name(sources, answered)
    expected_name = first is not None and name == first.fallback_name
    if not asked_name and not expected_name and first_may_answer and now_s - since_s < NAME_WAIT_S:
        return Wait()
    return Open(preferred_size(sources, ordered_bytes), name)


def preferred_size(sources: dict[int, Source], ordered_bytes: int) -> int:
    """Return the size of the job's file, -1 while no source that can be used says one.

    That of the order where a source has it; else what most addresses say (a Soulseek peer's file was found by its name:
    one of another size is another file), at equal numbers those that can send parts of it, then what was named first.
    """
    sized = [each for _, each in sorted(sources.items()) if each.probed and each.size_bytes >= 0 and _may_count(each)]
    addresses = [each for each in sized if not each.peer] or sized
    # A server that thinks that it has enough connections may send a page over all the others.
    addresses = [each for each in addresses if not is_further_connection(each.name)] or addresses
    votes = Counter(each.size_bytes for each in addresses)  # in the order in which they were named
    if not votes:
        return -1
    if any(each.size_bytes == ordered_bytes for each in sized):
        return ordered_bytes
    if len(votes) == 1:
        return next(iter(votes))
    ranged = {each.size_bytes for each in addresses if each.traits.offset_ok}
    return max(votes, key=lambda size: (votes[size], size in ranged))  # of equal ones the first


def _may_count(source: Source) -> bool:
    """Return whether its size counts: it can be used, or is left out for that size alone."""
    return source.usable or (source.state is SourceState.BANNED and source.reason.startswith(OTHER_SIZE))


def _unfit(source: Source, size_bytes: int) -> str:
    """Return why this source cannot join a job whose file has this size (-1: unknown), empty when it can."""
    if size_bytes < 0 <= source.size_bytes:
        return "came after the file had been begun without knowing its size"
    if source.size_bytes < 0 <= size_bytes:
        return "does not say how large the file is"
    if source.size_bytes != size_bytes:
        return f"{OTHER_SIZE} it has {source.size_bytes} bytes, the file has {size_bytes}"
    return ""


def why_no_source(sources: dict[int, Source]) -> str:
    """Return why no source could deliver: each cause once, with the sources that it stopped."""
    causes: dict[str, list[str]] = {}
    for source in sources.values():
        reason = source.reason or source.state.value
        causes.setdefault(reason.removeprefix(f"{source.host} says "), []).append(source.name)
    if len(sources) == 1:
        (source,) = sources.values()
        return (
            source.reason if source.reason and source.host in source.reason else f"{source.name}: {next(iter(causes))}"
        )
    lines = [f"{_listed(names)}: {cause}" for cause, names in causes.items()]
    more = len(lines) - REASONS_SHOWN_MAX
    return "; ".join(lines[:REASONS_SHOWN_MAX]) + (f"; and {more} more" if more > 0 else "")


def _listed(names: list[str]) -> str:
    more = len(names) - NAMES_SHOWN_MAX
    return ", ".join(names[:NAMES_SHOWN_MAX]) + (f" and {more} more" if more > 0 else "")


def _name(sources: dict[int, Source], answered: list[Source]) -> str:
    """Return what a source calls the file, else the end of the first address: the same at every attempt."""
    for source in answered:
        if source.proposed_name:
            return source.proposed_name
    return next((source.fallback_name for _, source in sorted(sources.items()) if source.fallback_name), "")


def all_out(sources: dict[int, Source], *, now_s: float) -> bool:
    """Return whether no source can be used without another round of retries."""
    return all(source.is_out(now_s) for source in sources.values())


def monitor_request(job: StartJob, limit_bytes_s: int) -> MonitorJob:
    """Return what the rate monitor needs to know of a job."""
    return MonitorJob(
        job=job.job,
        dispatcher=dispatcher_address(job.job),
        policy=job.spec.policy,
        stall_s=job.spec.policy.stall_timeout_s,
        limit_bytes_s=limit_bytes_s,
    )


VALIDATORS_MAX: Final = 20
"""Of those that may prove that a file is there already."""


def open_request(
    job: StartJob,
    size_bytes: int,
    name: str,
    *,
    again: bool = False,
    start_over: bool = False,
    validators: tuple[str, ...] = (),
) -> OpenPartFile:
    """Return the request that opens the part file, opens it `again`, or begins it from the start."""
    policy = job.spec.policy.but(preallocate=job.spec.policy.preallocate and not again)
    return OpenPartFile(
        job=job.job,
        spec=job.spec.but(
            name=name, size_bytes=size_bytes, chunk_size=chunk_size_of(job.spec, size_bytes), policy=policy
        ),
        dispatcher=dispatcher_address(job.job),
        again=again,
        start_over=start_over,
        make_folder=job.make_folder,
        exact_name=job.exact_name and bool(job.spec.name),
        validators=validators[:VALIDATORS_MAX],
        any_chunk_size=job.spec.chunk_size == 0,
    )
