"""Index of the living jobs: by id, by attempt number and by file name; and which of them are queued.

Invariants: a job is in `running` exactly while it has an attempt; in `queued` exactly while its state is queued; no two
living jobs have the same file name in the same folder.
"""

from collections.abc import Iterator

from actors.core.jobs.job import Job, ended
from actors.core.jobs.start_request import SLSKD
from protocol.model.filenames import numbered, unhidden_name
from protocol.model.job_records import ENDED, QUEUED, JobRecord
from protocol.model.source_url import name_from_url

NameKey = tuple[str, str]


class JobIndex:
    """Owned by one `JobManagerState`. Every change of a job's `record` or `attempt` is followed by `update`."""

    def __init__(self) -> None:
        self.living: dict[str, Job] = {}
        self.running: dict[int, Job] = {}
        self.queued: dict[str, Job] = {}
        self._names: dict[NameKey, str] = {}
        self._name_of: dict[str, NameKey] = {}
        self._enqueued: dict[tuple[str, str], str] = {}

    def __iter__(self) -> Iterator[Job]:
        return iter(list(self.living.values()))

    def by_number(self, number: int) -> Job | None:
        """Return the job whose attempt has this number; None for a late message about one that is over."""
        return self.running.get(number)

    def enqueued(self, user: str, remote_path: str) -> Job | None:
        """Return the living job that was enqueued as this file of this user."""
        id = self._enqueued.get((user, remote_path))
        return self.living.get(id) if id is not None else None

    def update(self, job: Job) -> None:
        """Index a job by its present state; one that has ended is dropped."""
        record = job.record
        if ended(job):
            self._drop(job)
            return
        self.living[record.id] = job
        if job.attempt is not None:
            self.running[record.number] = job
        if record.state == QUEUED:
            self.queued[record.id] = job
        else:
            self.queued.pop(record.id, None)
        if record.spec.origin == SLSKD and record.state not in ENDED:
            self._enqueued[record.spec.user, record.spec.remote_path] = record.id
        self._reserve_name(record)

    def attempt_ended(self, job: Job, number: int) -> None:
        """Attempt `number` of the job is over."""
        self.running.pop(number, None)
        job.attempt = None
        job.progress.clear()

    def free_name(self, folder: str, name: str, id: str) -> str:
        """Return `name`, which is safe, or the first of "name (1)" ... that no other living job of this folder has."""
        for proposal in numbered(name):
            if self._names.get(_key(folder, proposal), id) == id:
                return proposal
        return name

    def name_taken(self, folder: str, name: str, id: str) -> bool:
        return self._names.get(_key(folder, name), id) != id

    def _reserve_name(self, record: JobRecord) -> None:
        wanted = _key(record.spec.folder, record.file_name) if record.file_name else None
        before = self._name_of.get(record.id)
        if before == wanted:
            return
        if before is not None:
            del self._names[before], self._name_of[record.id]
        if wanted is not None and wanted not in self._names:
            self._names[wanted], self._name_of[record.id] = record.id, wanted

    def _drop(self, job: Job) -> None:
        self.living.pop(job.id, None)
        self.queued.pop(job.id, None)
        enqueued = (job.record.spec.user, job.record.spec.remote_path)
        if self._enqueued.get(enqueued) == job.id:
            del self._enqueued[enqueued]
        name = self._name_of.pop(job.id, None)
        if name is not None:
            del self._names[name]


def likely_name(record: JobRecord, urls: list[str]) -> str:
    """Return what the file will probably be called where the user gave no name; empty: not known yet."""
    return (
        next((name for url in urls if (name := unhidden_name(name_from_url(url)))), "") if not record.spec.term else ""
    )


def _key(folder: str, name: str) -> NameKey:
    """Some file systems ignore case."""
    return folder.rstrip("/"), name.casefold()
