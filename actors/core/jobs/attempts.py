"""Attempts at jobs: started, restarted with a new hub, stopped, and the reports that come while they last.

An attempt has a number that no other one ever has. One that is stopped keeps it until its `JobEnded` comes, so that no
two attempts at a job, and no two jobs with the same file, ever write at the same time.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from actors.core.jobs.job import (
    PHASES,
    SLSKD,
    SOURCE_EVENTS_MAX,
    WAITING,
    Attempt,
    Job,
    JobIndex,
    ended_ms,
    likely_name,
    new_attempt,
    new_source,
    searches,
    size_of,
    taken_s,
)
from actors.core.jobs.lifecycle import Lifecycle, PartFileRemoval
from actors.core.jobs.transaction import ManifestReport, Now, TransactionBuilder
from protocol.messages import (
    ContributorsListed,
    JobOpened,
    JobProgressed,
    ListContributors,
    OfferSource,
    RestoreSourceCounts,
    SourceDisabled,
    SourceFound,
    SourcePreferred,
    SourceProgressed,
    StartJob,
    StopJob,
)
from protocol.messages.addresses import JOB_MANAGER, POOL, dispatcher_address
from protocol.model.event_kinds import JOB_NOTED, JOB_PROGRESSED, JOB_STARTED, SOURCE_ADDED, SOURCE_CHANGED
from protocol.model.job_policy import JobPolicy
from protocol.model.job_records import (
    ACTIVE,
    FAILED,
    QUEUED,
    AttemptRecord,
    JobFiles,
    JobRecord,
    ManifestRange,
    SaveAttempt,
    SaveJob,
    SaveNote,
    SaveSource,
    SourceRecord,
)
from protocol.model.remote_paths import search_term
from protocol.model.source_url import public_url
from protocol.model.value import Struct

PART_SUFFIX: Final = ".part"
STOP_AGAIN_S: Final = 2.0
"""Period at which a stop is repeated until the attempt has ended: the first may come before its dispatcher stands."""
NOTE_CHARS_MAX: Final = 1000
MANIFEST_S_MAX: Final = 3.0
"""Time in which a dispatcher has to list its contributors."""
MANIFEST_REQUESTS_MAX: Final = 100


class _ManifestRequest(Struct, frozen=True):
    """A pending question for the contributors of job `id`; `asker` is (request, address)."""

    id: str
    asker: tuple[int, str]
    due_s: float


class Attempts:
    """Owned by one `JobManagerState`."""

    def __init__(
        self,
        jobs: JobIndex,
        transaction: TransactionBuilder,
        policy: JobPolicy,
        removal: PartFileRemoval,
        *,
        last_attempt: int,
    ) -> None:
        self._jobs = jobs
        self._transaction = transaction
        self._last_attempt = last_attempt
        self._last_request = 0
        self._ticked_s = 0.0
        self._manifest_requests: dict[int, _ManifestRequest] = {}
        self.policy = policy
        self.lifecycle = Lifecycle(jobs, transaction, policy, removal)

    # -- started, restarted, stopped

    def start(self, job: Job, now: Now) -> None:
        """Give a queued job an attempt with a fresh number."""
        self._last_attempt += 1
        before = job.record
        name = before.file_name or self._guessed_name(job)
        job.record = before.but(
            spec=before.spec.but(policy=self.policy.transfer.ordered(before.spec.http)),
            state=ACTIVE,
            number=self._last_attempt,
            attempts=before.attempts + 1,
            started_ms=before.started_ms or now.ms,
            reason="",
            retry_at_ms=0,
            file_name=self._jobs.free_name(before.spec.folder, name, before.id) if name else "",
        )
        attempt = AttemptRecord(number=self._last_attempt, id=before.id, attempt=0, begun_ms=now.ms)
        job.attempt = new_attempt(attempt, now, searching=searches(before))
        self._jobs.update(job)
        self._transaction.write(SaveAttempt(attempt), SaveJob(job.record))
        self._transaction.event(JOB_STARTED, before.id, now, attempt=job.record.attempts)
        self._request(job, now)

    def _request(self, job: Job, now: Now) -> None:
        """Request the attempt from the pool, and its end at once where that was commanded already."""
        assert job.attempt is not None
        self._transaction.post(POOL, start_request(job, interface=self.policy.interface, now_s=now.s))
        for counts in carry_over(job):
            self._transaction.post(POOL, counts)
        for offer in offers(job):
            self._transaction.post(POOL, offer)
        if job.record.state != ACTIVE:
            self.stop(job, now)

    def restart(self, job: Job, now: Now) -> None:
        """Request an attempt again under its number: the hub that had it may be dead, or this job manager is new."""
        attempt = job.attempt
        assert attempt is not None
        attempt.record = attempt.record.but(attempt=attempt.record.attempt + 1)
        attempt.numbers.clear()
        spec = job.record.spec
        job.record = job.record.but(spec=spec.but(policy=self.policy.transfer.ordered(spec.http)))
        self._transaction.write(SaveAttempt(attempt.record), SaveJob(job.record))
        self._request(job, now)

    def hub_restarted(self, now: Now) -> None:
        for job in list(self._jobs.running.values()):
            job.progress.clear()
            if job.attempt is not None:
                job.attempt.grew_s = now.s
            self.restart(job, now)

    def stop(self, job: Job, now: Now) -> None:
        """End the attempt, keeping what it has."""
        assert job.attempt is not None
        job.attempt.stop_s = now.s
        self._transaction.post(POOL, StopJob(job=job.record.number))

    def tick(self, now: Now) -> None:
        self._answer_overdue(now)
        passed_s = now.s - self._ticked_s if self._ticked_s else 0.0
        self._end_overdue(passed_s, now)
        self._count_waiting(passed_s, now)
        self._ticked_s = now.s
        for job in list(self._jobs.running.values()):
            if job.record.state != ACTIVE and job.attempt is not None and now.s - job.attempt.stop_s >= STOP_AGAIN_S:
                self.stop(job, now)

    def _end_overdue(self, seconds: float, now: Now) -> None:
        """Fail jobs that have taken all the time that the order gives them, from their first start on."""
        for job in [*self._jobs.running.values(), *self._jobs.queued.values()]:
            record, limit_s = job.record, job.record.spec.max_time_s
            if not limit_s or (job.attempt is None and not record.attempts):
                continue
            if job.attempt is None:
                job.record = record.but(between_s=record.between_s + seconds)
                job.changed = True
            if taken_s(job, now) < limit_s or record.state not in (ACTIVE, QUEUED):
                continue
            reason = f"not complete within {limit_s:g} s"
            if job.attempt is None:
                self.lifecycle.fail_queued(job, "late", reason, now)
            else:
                self._fail(job, "late", reason, now)
                self.stop(job, now)

    def _count_waiting(self, seconds: float, now: Now) -> None:
        """Add to the waiting time of jobs that no source can deliver to; one that waited for too long fails."""
        for job in list(self._jobs.running.values()):
            if job.attempt is None or job.record.state != ACTIVE or job.attempt.phase != WAITING:
                continue
            job.record = job.record.but(waited_s=job.record.waited_s + seconds)
            job.changed = True
            if job.record.waited_s >= self.policy.wait_s_max:
                self._fail(job, "starved", job.attempt.reason or "no source could deliver for too long", now)
                self.stop(job, now)

    def _fail(self, job: Job, outcome: str, reason: str, now: Now) -> None:
        """Fail the job at once; its attempt follows."""
        job.record = job.record.but(state=FAILED, outcome=outcome, reason=reason, ended_ms=ended_ms(job.record, now))
        self._jobs.update(job)
        self._transaction.write(SaveJob(job.record))

    def stalled(self, now: Now) -> list[Job]:
        """Return the active jobs to which nothing came for long, those that wait for longest first."""
        stalled = [
            (job.attempt.grew_s, job.record.serial, job)
            for job in self._jobs.running.values()
            if job.attempt is not None
            and job.record.state == ACTIVE
            and now.s - job.attempt.grew_s >= self._patience_s(job.attempt)
        ]
        return [job for _, _, job in sorted(stalled)]

    def _patience_s(self, attempt: Attempt) -> float:
        """A place in a peer's queue is worth a long wait; sources that are gone are not."""
        return self.policy.yield_waiting_s if attempt.phase == WAITING else self.policy.yield_s

    def give_way(self, job: Job, now: Now) -> None:
        """Put a stalled job back into the queue, behind those that have waited meanwhile."""
        reason = "nothing came for long: others go first"
        job.record = job.record.but(state=QUEUED, queued_ms=now.ms, reason=reason)
        self._jobs.update(job)
        self._transaction.write(SaveJob(job.record))
        self.note(job, reason, now)
        self.stop(job, now)

    def _guessed_name(self, job: Job) -> str:
        """Return a name for an unnamed file where the likely one is taken by another job; else sources name it."""
        name = likely_name(job.record, [source.url for source in job.sources if not source.left])
        return name if name and self._jobs.name_taken(job.record.spec.folder, name, job.id) else ""

    # -- reports

    def opened(self, job: Job, message: JobOpened, now: Now) -> None:
        """Its part file is open; one that belongs to another job ends this attempt, and the next has another name."""
        assert job.attempt is not None
        name = message.part_path.rpartition("/")[2].removesuffix(PART_SUFFIX)
        if self._jobs.name_taken(job.record.spec.folder, name, job.id):
            self._rename(job, name, now)
            return
        if 0 <= message.size_bytes != job.record.spec.size_bytes >= 0:
            self._refuse_size(job, message, name, now)
            return
        first = job.attempt.record.resumed_bytes < 0
        if first:
            job.attempt.record = job.attempt.record.but(resumed_bytes=message.resumed_bytes)
            self._transaction.write(SaveAttempt(job.attempt.record))
        job.record = job.record.but(
            file_name=name,
            path=message.part_path,
            spec=job.record.spec.but(chunk_size=message.chunk_size),
            found_bytes=message.size_bytes if message.size_bytes >= 0 else job.record.found_bytes,
            stored_bytes=max(job.record.stored_bytes, message.resumed_bytes),
            resumed_bytes=job.attempt.record.resumed_bytes,
        )
        self._jobs.update(job)
        self._transaction.write(SaveJob(job.record))
        if first and message.message:
            self.note(job, message.message, now)

    def _refuse_size(self, job: Job, message: JobOpened, name: str, now: Now) -> None:
        """Another size is another file: nothing of it is kept."""
        ordered, found = job.record.spec.size_bytes, message.size_bytes
        if job.record.state == ACTIVE:  # else what was commanded meanwhile holds
            reason = f"sizes differ: {ordered} bytes were ordered, the sources have {found}"
            self._fail(job, "disagreed", reason, now)
        self.lifecycle.unwanted[job.record.number] = JobFiles(id=job.id, folder=job.record.spec.folder, name=name)
        self.stop(job, now)

    def _rename(self, job: Job, name: str, now: Now) -> None:
        other = self._jobs.free_name(job.record.spec.folder, name, job.id)
        job.record = job.record.but(file_name=other, state=QUEUED if job.record.state == ACTIVE else job.record.state)
        self._jobs.update(job)
        self._transaction.write(SaveJob(job.record))
        self.note(job, f"{name} belongs to another job: this one becomes {other}", now)
        self.stop(job, now)

    def progressed(self, job: Job, message: JobProgressed, now: Now) -> None:
        attempt, before = job.attempt, job.record
        assert attempt is not None
        verifying = message.state == "verifying"
        stored = before.stored_bytes if verifying else max(before.stored_bytes, message.stored_bytes)
        found = message.size_bytes if message.size_bytes >= 0 else before.found_bytes
        grew = stored > before.stored_bytes
        if grew:
            attempt.grew_s = now.s
            job.record = before.but(stored_bytes=stored, found_bytes=found, retries=0, waited_s=0.0)
            job.changed = True
        elif found != before.found_bytes:
            job.record = before.but(found_bytes=found)
            job.changed = True
        attempt.phase = PHASES.get(message.state, message.state)
        attempt.reason, attempt.rate_bytes_s, attempt.left_s = message.reason, message.rate_bytes_s, message.left_s
        attempt.estimate = message.estimate
        job.sample_rates(now.s)
        self._transaction.event(
            JOB_PROGRESSED,
            before.id,
            now,
            state=job.record.state,
            phase=attempt.phase,
            storedBytes=stored,
            sizeBytes=size_of(job.record),
            rateBytesS=round(message.rate_bytes_s),
            leftS=round(message.left_s, 1),
        )

    def source_progressed(self, job: Job, message: SourceProgressed, now: Now) -> None:
        attempt, number = job.attempt, job.number_of(message.source)
        if attempt is None or number < 0:
            return
        source = job.sources[number]
        before = job.progress.get(number)
        trims = before.trims if before is not None and before.trims <= message.trims else 0
        self.lifecycle.count(
            chunks=message.chunks - source.chunks, stops=message.stops - source.stops, trims=message.trims - trims
        )
        job.progress[number] = message
        job.sources[number] = source.but(
            standing=message.standing,
            reason=message.reason[:NOTE_CHARS_MAX],
            bytes_stored=message.bytes_stored,
            chunks=message.chunks,
            leases=message.leases,
            stops=message.stops,
        )
        if job.sources[number] != source:
            job.changed_sources.add(number)
        if message.standing != source.standing and attempt.source_events < SOURCE_EVENTS_MAX:
            attempt.source_events += 1
            url, standing = public_url(source.url), source.left or message.standing
            self._transaction.event(
                SOURCE_CHANGED, job.id, now, source=number, url=url, standing=standing, reason=message.reason
            )

    def found(self, job: Job, message: SourceFound, now: Now) -> None:
        """The hub numbers sources as they come; a job's number means the same address in every attempt."""
        attempt = job.attempt
        assert attempt is not None
        known = job.known(message.url)
        if known is None:
            if len(job.sources) >= self.policy.sources_max:
                attempt.numbers[message.source] = -1
                self._disable(job, message.source, "enough sources", banned=False)
                return
            known = self.add_source(job, message.url, now, found=True)
        if known.number != message.source:
            attempt.numbers[message.source] = known.number
        if known.preferred:
            self.prefer_source(job, message.source, preferred=True)
        if known.left:
            self._disable(job, message.source, known.left, banned=known.left == "banned")

    def add_source(self, job: Job, url: str, now: Now, *, found: bool = False) -> SourceRecord:
        """Add a source to a job and to the store."""
        source = new_source(job.id, len(job.sources), url, found=found)
        job.sources.append(source)
        job.record = job.record.but(source_count=len(job.sources))
        self._transaction.write(SaveSource(source), SaveJob(job.record))
        self._transaction.event(SOURCE_ADDED, job.id, now, source=source.number, url=public_url(url))
        return source

    def _disable(self, job: Job, hub_number: int, detail: str, *, banned: bool) -> None:
        disabled = SourceDisabled(job=job.record.number, source=hub_number, banned=banned, detail=detail)
        self._transaction.post(POOL, disabled)

    def disable_source(self, job: Job, number: int, *, banned: bool) -> None:
        """Let a running job do without this source from now on."""
        self._disable(job, job.hub_number_of(number), "banned" if banned else "dropped", banned=banned)

    def restore_source(self, job: Job, number: int) -> None:
        """Let a running job use this source again."""
        restored = SourceDisabled(
            job=job.record.number, source=job.hub_number_of(number), banned=False, detail="", restored=True
        )
        self._transaction.post(POOL, restored)

    def prefer_source(self, job: Job, hub_number: int, *, preferred: bool) -> None:
        """Let a source of a running job go before others, or like others again."""
        message = SourcePreferred(job=job.record.number, source=hub_number, preferred=preferred)
        self._transaction.post(POOL, message)

    def note(self, job: Job, text: str, now: Now) -> None:
        text = text[:NOTE_CHARS_MAX]
        self._transaction.write(SaveNote(job.id, text, self.policy.notes_max))
        self._transaction.event(JOB_NOTED, job.id, now, text=text)

    # -- contributors

    def contributors_listed(self, job: Job, message: ContributorsListed) -> None:
        """A part of a manifest: at the end of an attempt (`request` 0), or because it was requested."""
        attempt = job.attempt
        assert attempt is not None
        if message.request and message.request not in self._manifest_requests:
            return
        ranges = attempt.contributors.setdefault(message.request, [])
        ranges += manifest_ranges(job, message)
        if message.last:
            del attempt.contributors[message.request]
            request = self._manifest_requests.pop(message.request, None)
            asker = request.asker if request is not None else None
            self._transaction.report_manifest(ManifestReport(job.id, tuple(ranges), asker))

    def request_manifest(self, job: Job, asker: tuple[int, str], now: Now) -> None:
        """Ask the attempt for its contributors; without one nothing is added to what the store has."""
        if job.attempt is None or len(self._manifest_requests) >= MANIFEST_REQUESTS_MAX:
            self._transaction.report_manifest(ManifestReport(job.id, None, asker))
            return
        self._last_request += 1
        self._manifest_requests[self._last_request] = _ManifestRequest(job.id, asker, now.s + MANIFEST_S_MAX)
        request = ListContributors(job=job.record.number, request=self._last_request, reply_to=JOB_MANAGER)
        self._transaction.post(dispatcher_address(job.record.number), request)

    def _answer_overdue(self, now: Now) -> None:
        for number in [number for number, each in self._manifest_requests.items() if now.s >= each.due_s]:
            request = self._manifest_requests.pop(number)
            self._transaction.report_manifest(ManifestReport(request.id, None, request.asker))


# StartJob request of an attempt, with the sources' counts so far and their offers.


def start_request(job: Job, *, interface: str = "", now_s: float) -> StartJob:
    """Return the request for the job's attempt as it is now. `interface`: all is bound to it, whatever was ordered."""
    record, attempt = job.record, job.attempt
    assert attempt is not None
    restarted = attempt.record.attempt > 0
    spec = record.spec.but(
        name=record.file_name,
        size_bytes=size_of(record),
        term=searched_words(record) if searches(record) else "",
        http=record.spec.http.but(interface=interface or record.spec.http.interface),
    )
    return StartJob(
        job=attempt.record.number,
        spec=spec,
        source_count=job.usable(),
        watcher=JOB_MANAGER,
        attempt=attempt.record.attempt,
        elapsed_s=max(0.0, now_s - attempt.begun_s) if restarted else 0.0,
        resumed_bytes=attempt.record.resumed_bytes if restarted else -1,
        waits=record.spec.origin != SLSKD,
        make_folder=True,
        begun=record.stored_bytes > 0,
    )


def carry_over(job: Job) -> list[RestoreSourceCounts]:
    """Return what each source did in this job before: its counts go on, and so does the budget of stops of a user."""
    return [
        RestoreSourceCounts.of(job.record.number, public_url(source.url), source)
        for source in job.sources
        if source.leases and not source.left
    ]


def offers(job: Job) -> list[OfferSource]:
    """Return every source in the order of its number, so that the pool gives it the same."""
    return [offer(job, source) for source in job.sources]


def offer(job: Job, source: SourceRecord) -> OfferSource:
    """Return the offer of one source to the pool; one that was dropped keeps its number."""
    record = job.record
    private_ok = record.spec.private_ok
    return OfferSource(job=record.number, url=source.url, disabled=bool(source.left), private_ok=private_ok)


def searched_words(record: JobRecord) -> str:
    """Return the words that users are searched by: the term, else those of the file's name."""
    return record.spec.term or search_term(record.spec.remote_path or record.spec.name)


# Manifests: which source delivered which chunks of a file, over all attempts.


UNKNOWN = -1
"""The source of a range whose sender is not known."""


def manifest_ranges(job: Job, listed: ContributorsListed) -> list[ManifestRange]:
    """Return what an attempt listed, by the numbers that sources have in the job."""
    ranges = []
    for first, stop, owner in zip(listed.firsts, listed.stops, listed.owners, strict=True):
        number = job.number_of(owner) if owner >= 0 else UNKNOWN
        url = public_url(job.sources[number].url) if number >= 0 else ""
        ranges.append(ManifestRange(first=first, stop=stop, source=number, url=url))
    return ranges


def merge_manifest(listed: Iterable[ManifestRange], before: Iterable[ManifestRange]) -> list[ManifestRange]:
    """Return `listed`, which covers all that is stored, with unknown senders filled in from `before`.

    Neighbours of one source become one range.
    """
    past = sorted(before, key=_first)
    out: list[ManifestRange] = []
    for each in sorted(listed, key=_first):
        for piece in _owned(each, past):
            last = out[-1] if out else None
            if last is not None and last.stop == piece.first and (last.source, last.url) == (piece.source, piece.url):
                out[-1] = _range(last.first, piece.stop, last)
            else:
                out.append(piece)
    return out


def _owned(unowned: ManifestRange, past: list[ManifestRange]) -> Iterator[ManifestRange]:
    if unowned.source != UNKNOWN:
        yield unowned
        return
    at = unowned.first
    for known in past:
        first, stop = max(at, known.first), min(unowned.stop, known.stop)
        if first < stop:
            if at < first:
                yield _range(at, first, unowned)
            yield _range(first, stop, known)
            at = stop
    if at < unowned.stop:
        yield _range(at, unowned.stop, unowned)


def _first(each: ManifestRange) -> int:
    return each.first


def _range(first: int, stop: int, like: ManifestRange) -> ManifestRange:
    return ManifestRange(first=first, stop=stop, source=like.source, url=like.url)
