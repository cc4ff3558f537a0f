"""Every job that lives, found by its id, by its run's number, by its file's name; and which of them wait.

Invariants: a job is in `running` exactly while it has a run; in `queued` exactly while it waits for one; no two living
jobs have the same file name in the same folder.
"""

from collections.abc import Iterator

from actors.core.jobs.job import Job, ended
from actors.core.jobs.start_request import SLSKD
from protocol.model.filenames import numbered, unhidden_name
from protocol.model.job_records import JobRecord
from protocol.model.job_views import ENDED, QUEUED
from protocol.model.source_url import name_from_url

Claim = tuple[str, str]


class Jobs:
    """Owned by one `JobManagerState`. Whoever changes a job's `kept` or `run` calls `settle` afterwards."""

    def __init__(self) -> None:
        self.living: dict[str, Job] = {}
        self.running: dict[int, Job] = {}
        self.queued: dict[str, Job] = {}
        self._claims: dict[Claim, str] = {}
        self._claim_of: dict[str, Claim] = {}
        self._enqueued: dict[tuple[str, str], str] = {}

    def __iter__(self) -> Iterator[Job]:
        return iter(list(self.living.values()))

    def of_run(self, number: int) -> Job | None:
        """The job whose run has this number; None for a late word about one that is over."""
        return self.running.get(number)

    def enqueued(self, user: str, remote_path: str) -> Job | None:
        """The living job that was enqueued as this file of this user."""
        id = self._enqueued.get((user, remote_path))
        return self.living.get(id) if id is not None else None

    def settle(self, job: Job) -> None:
        """Put it where it belongs now; one that has ended is let go."""
        kept = job.kept
        if ended(job):
            self._let_go(job)
            return
        self.living[kept.id] = job
        if job.run is not None:
            self.running[kept.number] = job
        if kept.state == QUEUED:
            self.queued[kept.id] = job
        else:
            self.queued.pop(kept.id, None)
        if kept.origin == SLSKD and kept.state not in ENDED:
            self._enqueued[kept.user, kept.remote_path] = kept.id
        self._claim(kept)

    def over(self, job: Job) -> None:
        """Its run is."""
        self.running.pop(job.kept.number, None)
        job.run = None
        job.rows.clear()

    def free_name(self, folder: str, name: str, id: str) -> str:
        """`name`, which is safe, or the first of "name (1)" ... that no other living job of this folder has."""
        for proposal in numbered(name):
            if self._claims.get(_key(folder, proposal), id) == id:
                return proposal
        return name

    def name_taken(self, folder: str, name: str, id: str) -> bool:
        return self._claims.get(_key(folder, name), id) != id

    def _claim(self, kept: JobRecord) -> None:
        wanted = _key(kept.folder, kept.file_name) if kept.file_name else None
        before = self._claim_of.get(kept.id)
        if before == wanted:
            return
        if before is not None:
            del self._claims[before], self._claim_of[kept.id]
        if wanted is not None and wanted not in self._claims:
            self._claims[wanted], self._claim_of[kept.id] = kept.id, wanted

    def _let_go(self, job: Job) -> None:
        self.living.pop(job.id, None)
        self.queued.pop(job.id, None)
        place = (job.kept.user, job.kept.remote_path)
        if self._enqueued.get(place) == job.id:
            del self._enqueued[place]
        claim = self._claim_of.pop(job.id, None)
        if claim is not None:
            del self._claims[claim]


def likely_name(kept: JobRecord, urls: list[str]) -> str:
    """What the file will probably be called when nobody says it; empty: nobody knows."""
    return next((name for url in urls if (name := unhidden_name(name_from_url(url)))), "") if not kept.term else ""


def _key(folder: str, name: str) -> Claim:
    """Some file systems do not tell capitals apart."""
    return folder.rstrip("/"), name.casefold()
