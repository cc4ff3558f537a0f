"""Runs of jobs: how they are begun, asked for anew, stopped, and what is learned while they last.

A run has a number that no other one ever has; who was stopped keeps it until its `JobEnded` came, so that no two runs
of a job, and no two jobs with the same file, ever write at the same time.
"""

from dataclasses import dataclass
from typing import Final

from actors.core.jobs.index import Jobs, likely_name
from actors.core.jobs.job import PHASES, SOURCE_EVENTS_MAX, WAITING, Attempt, Job, new_run, new_source, size_of
from actors.core.jobs.lifecycle import Endings, Removal
from actors.core.jobs.queue import searches
from actors.core.jobs.start_request import asked_for, given, offers
from actors.core.jobs.transaction import Now, Told, Transaction
from protocol.messages import (
    ContributorsListed,
    JobOpened,
    JobProgressed,
    ListContributors,
    SourceDisabled,
    SourceFound,
    SourceProgressed,
    StopJob,
)
from protocol.messages.addresses import JOB_MANAGER, POOL, dispatcher_address
from protocol.model.event_kinds import JOB_NOTED, JOB_PROGRESSED, JOB_STARTED, SOURCE_ADDED, SOURCE_CHANGED
from protocol.model.job_policy import JobPolicy
from protocol.model.job_records import AttemptRecord, JobFiles, SaveAttempt, SaveJob, SaveNote, SaveSource, SourceRecord
from protocol.model.job_views import ACTIVE, FAILED, QUEUED, ManifestRange
from protocol.model.source_url import public_url

PART_SUFFIX: Final = ".part"
STOP_AGAIN_S: Final = 2.0
"""So often a stop is asked for until the run has ended: the first word may come before there is anybody to hear it."""
NOTE_CHARS_MAX: Final = 1000
MANIFEST_S_MAX: Final = 3.0
"""So long a run may take to say who sent what."""
ASKED_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class _Asked:
    """Somebody wants to know who sent what of this job."""

    id: str
    asker: tuple[int, str]
    due_s: float


class Runs:
    """Owned by one `JobManagerState`."""

    def __init__(
        self, jobs: Jobs, scribe: Transaction, settings: JobPolicy, removal: Removal, *, last_run: int
    ) -> None:
        self._jobs = jobs
        self._scribe = scribe
        self._last_run = last_run
        self._last_asked = 0
        self._ticked_s = 0.0
        self._asked: dict[int, _Asked] = {}
        self.settings = settings
        self.endings = Endings(jobs, scribe, settings, removal)

    # -- begun, asked for, stopped

    def start(self, job: Job, now: Now) -> None:
        """A queued job gets a run with a fresh number."""
        self._last_run += 1
        kept = job.kept
        name = kept.file_name or self._guessed(job)
        job.kept = kept.but(
            state=ACTIVE,
            number=self._last_run,
            attempts=kept.attempts + 1,
            started_ms=kept.started_ms or now.ms,
            reason="",
            retry_at_ms=0,
            file_name=self._jobs.free_name(kept.folder, name, kept.id) if name else "",
        )
        run = AttemptRecord(number=self._last_run, id=kept.id, attempt=0, begun_ms=now.ms)
        job.run = new_run(run, now_s=now.s, searching=searches(kept))
        self._jobs.settle(job)
        self._scribe.write(SaveAttempt(run), SaveJob(job.kept))
        self._scribe.event(JOB_STARTED, kept.id, now, attempt=job.kept.attempts)
        self.ask(job, now)

    def ask(self, job: Job, now: Now) -> None:
        """Ask the pool for the run, and for its end at once where that was ordered already."""
        assert job.run is not None
        self._scribe.post(POOL, asked_for(job, self.settings, now_ms=now.ms))
        for known in given(job):
            self._scribe.post(POOL, known)
        for offered in offers(job):
            self._scribe.post(POOL, offered)
        if job.kept.state != ACTIVE:
            self.stop(job, now)

    def ask_anew(self, job: Job, now: Now) -> None:
        """The hub that had it may be dead, or this job manager is a new one: same number, another attempt."""
        run = job.run
        assert run is not None
        run.kept = run.kept.but(attempt=run.kept.attempt + 1)
        run.numbers.clear()
        self._scribe.write(SaveAttempt(run.kept))
        self.ask(job, now)

    def hub_is_new(self, now: Now) -> None:
        for job in list(self._jobs.running.values()):
            job.rows.clear()
            if job.run is not None:
                job.run.grew_s = now.s
            self.ask_anew(job, now)

    def stop(self, job: Job, now: Now) -> None:
        """The run is to end and keep what it has."""
        assert job.run is not None
        job.run.stop_s = now.s
        self._scribe.post(POOL, StopJob(job=job.kept.number))

    def tick(self, now: Now) -> None:
        self._answer_late(now)
        self._wait(now.s - self._ticked_s if self._ticked_s else 0.0, now)
        self._ticked_s = now.s
        for job in list(self._jobs.running.values()):
            if job.kept.state != ACTIVE and job.run is not None and now.s - job.run.stop_s >= STOP_AGAIN_S:
                self.stop(job, now)

    def _wait(self, seconds: float, now: Now) -> None:
        """So long has passed; whom nobody could deliver to for too long is not waited for any more."""
        for job in list(self._jobs.running.values()):
            if job.run is None or job.kept.state != ACTIVE or job.run.phase != WAITING:
                continue
            job.kept = job.kept.but(waited_s=job.kept.waited_s + seconds)
            job.changed = True
            if job.kept.waited_s >= self.settings.wait_s_max:
                self._fail(job, "starved", job.run.reason or "no source could deliver for too long", now)
                self.stop(job, now)

    def _fail(self, job: Job, outcome: str, reason: str, now: Now) -> None:
        """At once; its run follows."""
        job.kept = job.kept.but(state=FAILED, outcome=outcome, reason=reason, ended_ms=now.ms)
        self._jobs.settle(job)
        self._scribe.write(SaveJob(job.kept))

    def idle(self, now: Now) -> list[Job]:
        """Active jobs to which nothing came for long, those that wait for longest first."""
        idle = [
            (job.run.grew_s, job.kept.serial, job)
            for job in self._jobs.running.values()
            if job.run is not None and job.kept.state == ACTIVE and now.s - job.run.grew_s >= self._patience_s(job.run)
        ]
        return [job for _, _, job in sorted(idle)]

    def _patience_s(self, run: Attempt) -> float:
        """A place in a peer's queue is worth a long wait; sources that are gone are not."""
        return self.settings.yield_waiting_s if run.phase == WAITING else self.settings.yield_s

    def give_way(self, job: Job, now: Now) -> None:
        """Back into the queue, behind those who waited meanwhile."""
        reason = "nothing came for long: others go first"
        job.kept = job.kept.but(state=QUEUED, queued_ms=now.ms, reason=reason)
        self._jobs.settle(job)
        self._scribe.write(SaveJob(job.kept))
        self.note(job, reason, now)
        self.stop(job, now)

    def _guessed(self, job: Job) -> str:
        """A name for a file that nobody named, where the likely one belongs to another job's; else sources name it."""
        name = likely_name(job.kept, [source.url for source in job.sources if not source.left])
        return name if name and self._jobs.name_taken(job.kept.folder, name, job.id) else ""

    # -- what is learned

    def opened(self, job: Job, message: JobOpened, now: Now) -> None:
        """Where the file is: if that is another job's place, this run ends and the next one has another name."""
        assert job.run is not None
        name = message.part_path.rpartition("/")[2].removesuffix(PART_SUFFIX)
        if self._jobs.name_taken(job.kept.folder, name, job.id):
            self._rename(job, name, now)
            return
        if 0 <= message.size_bytes != job.kept.size_bytes >= 0:
            self._refuse_size(job, message, now)
            return
        first = job.run.kept.resumed_bytes < 0
        if first:
            job.run.kept = job.run.kept.but(resumed_bytes=message.resumed_bytes)
            self._scribe.write(SaveAttempt(job.run.kept))
        job.kept = job.kept.but(
            file_name=name,
            path=message.part_path,
            found_bytes=message.size_bytes if message.size_bytes >= 0 else job.kept.found_bytes,
            stored_bytes=max(job.kept.stored_bytes, message.resumed_bytes),
            resumed_bytes=job.run.kept.resumed_bytes,
        )
        self._jobs.settle(job)
        self._scribe.write(SaveJob(job.kept))
        if first and message.message:
            self.note(job, message.message, now)

    def _refuse_size(self, job: Job, message: JobOpened, now: Now) -> None:
        """Another size is another file: nothing of it is kept."""
        ordered, found = job.kept.size_bytes, message.size_bytes
        reason = f"sizes differ: {ordered} bytes were ordered, the sources have {found}"
        name = message.part_path.rpartition("/")[2].removesuffix(PART_SUFFIX)
        if job.kept.state == ACTIVE:  # else what was ordered meanwhile holds
            self._fail(job, "disagreed", reason, now)
        self.endings.unwanted[job.kept.number] = JobFiles(id=job.id, folder=job.kept.folder, name=name)
        self.stop(job, now)

    def _rename(self, job: Job, name: str, now: Now) -> None:
        other = self._jobs.free_name(job.kept.folder, name, job.id)
        job.kept = job.kept.but(file_name=other)
        self._jobs.settle(job)
        if job.kept.state == ACTIVE:
            job.kept = job.kept.but(state=QUEUED)
            self._jobs.settle(job)
        self._scribe.write(SaveJob(job.kept))
        self.note(job, f"{name} belongs to another job: this one becomes {other}", now)
        self.stop(job, now)

    def progressed(self, job: Job, message: JobProgressed, now: Now) -> None:
        run, kept = job.run, job.kept
        assert run is not None
        stored = kept.stored_bytes if message.state == "verifying" else max(kept.stored_bytes, message.stored_bytes)
        if stored > kept.stored_bytes:
            run.grew_s = now.s
        found = message.size_bytes if message.size_bytes >= 0 else kept.found_bytes
        if stored != kept.stored_bytes or found != kept.found_bytes:
            retries = 0 if stored > kept.stored_bytes else kept.retries
            waited_s = 0.0 if stored > kept.stored_bytes else kept.waited_s
            job.kept = kept.but(stored_bytes=stored, found_bytes=found, retries=retries, waited_s=waited_s)
            job.changed = True
        run.phase = PHASES.get(message.state, message.state)
        run.reason, run.rate_bytes_s, run.left_s = message.reason, message.rate_bytes_s, message.left_s
        self._scribe.event(
            JOB_PROGRESSED,
            kept.id,
            now,
            state=job.kept.state,
            phase=run.phase,
            storedBytes=stored,
            sizeBytes=size_of(job.kept),
            rateBytesS=round(message.rate_bytes_s),
            leftS=round(message.left_s, 1),
        )

    def source_told(self, job: Job, message: SourceProgressed, now: Now) -> None:
        run, number = job.run, job.number_of(message.source)
        if run is None or number < 0:
            return
        source = job.sources[number]
        before = job.rows.get(number)
        known = before.trims if before is not None and before.trims <= message.trims else 0
        self.endings.count(
            chunks=message.chunks - source.chunks, stops=message.stops - source.stops, trims=message.trims - known
        )
        job.rows[number] = message
        changed = message.standing != source.standing
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
        if changed and run.source_events < SOURCE_EVENTS_MAX:
            run.source_events += 1
            url, standing = public_url(source.url), source.left or message.standing
            self._scribe.event(
                SOURCE_CHANGED, job.id, now, source=number, url=url, standing=standing, reason=message.reason
            )

    def found(self, job: Job, message: SourceFound, now: Now) -> None:
        """The hub numbers sources as they come; ours mean the same address in every run."""
        run = job.run
        assert run is not None
        known = job.known(message.url)
        if known is None:
            if len(job.sources) >= self.settings.sources_max:
                run.numbers[message.source] = -1
                self._leave(job, message.source, "enough sources", banned=False)
                return
            known = self.add(job, message.url, now, found=True)
        if known.number != message.source:
            run.numbers[message.source] = known.number
        if known.left:
            self._leave(job, message.source, known.left, banned=known.left == "banned")

    def add(self, job: Job, url: str, now: Now, *, found: bool = False) -> SourceRecord:
        """One more source of a job, written down."""
        source = new_source(job.id, len(job.sources), url, found=found)
        job.sources.append(source)
        job.kept = job.kept.but(source_count=len(job.sources))
        self._scribe.write(SaveSource(source), SaveJob(job.kept))
        self._scribe.event(SOURCE_ADDED, job.id, now, source=source.number, url=public_url(url))
        return source

    def _leave(self, job: Job, hub_number: int, detail: str, *, banned: bool) -> None:
        left = SourceDisabled(job=job.kept.number, source=hub_number, banned=banned, detail=detail)
        self._scribe.post(POOL, left)

    def leave(self, job: Job, number: int, *, banned: bool) -> None:
        """A running job does without this source from now on."""
        self._leave(job, job.hub_number_of(number), "banned" if banned else "dropped", banned=banned)

    def note(self, job: Job, text: str, now: Now) -> None:
        text = text[:NOTE_CHARS_MAX]
        self._scribe.write(SaveNote(job.id, text, self.settings.notes_max))
        self._scribe.event(JOB_NOTED, job.id, now, text=text)

    # -- who sent what

    def runs_told(self, job: Job, message: ContributorsListed) -> None:
        """Who sent what: at the end of a run, or because somebody asked."""
        run = job.run
        assert run is not None
        if message.request and message.request not in self._asked:
            return
        rows = run.told.setdefault(message.request, [])
        rows += manifest_rows(job, message)
        if message.last:
            del run.told[message.request]
            asked = self._asked.pop(message.request, None)
            self._scribe.told(Told(job.id, tuple(rows), asked.asker if asked is not None else None))

    def ask_manifest(self, job: Job, asker: tuple[int, str], now: Now) -> None:
        """A run is asked what it knows; who has none says nothing new."""
        if job.run is None or len(self._asked) >= ASKED_MAX:
            self._scribe.told(Told(job.id, None, asker))
            return
        self._last_asked += 1
        self._asked[self._last_asked] = _Asked(job.id, asker, now.s + MANIFEST_S_MAX)
        asked = ListContributors(job=job.kept.number, request=self._last_asked, reply_to=JOB_MANAGER)
        self._scribe.post(dispatcher_address(job.kept.number), asked)

    def _answer_late(self, now: Now) -> None:
        for number in [number for number, asked in self._asked.items() if now.s >= asked.due_s]:
            asked = self._asked.pop(number)
            self._scribe.told(Told(asked.id, None, asked.asker))


def manifest_rows(job: Job, message: ContributorsListed) -> list[ManifestRange]:
    """What was told, in our numbers."""
    rows = []
    for first, stop, owner in zip(message.firsts, message.stops, message.owners, strict=True):
        number = job.number_of(owner) if owner >= 0 else -1
        url = public_url(job.sources[number].url) if number >= 0 else ""
        rows.append(ManifestRange(first=first, stop=stop, source=number, url=url))
    return rows
