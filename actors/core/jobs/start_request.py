"""StartJob request of an attempt, with the sources' counts so far and their offers."""

import re
from typing import Final

from actors.core.jobs.job import Job, size_of
from actors.core.jobs.queue import searches
from protocol.messages import OfferSource, RestoreSourceCounts, StartJob
from protocol.messages.addresses import JOB_MANAGER
from protocol.model.job_records import JobRecord, SourceRecord
from protocol.model.source_url import public_url

WORDS_CHARS_MAX: Final = 120
SLSKD: Final = "slskd"
"""The origin of jobs that end, once they were tried again often enough: those tools ask another user then."""
_NO_WORD: Final = re.compile(r"[\W_]+")


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
    if record.spec.term:
        return record.spec.term
    stem = (record.spec.remote_path or record.spec.name).replace("/", "\\").rpartition("\\")[2]
    stem = stem.rpartition(".")[0] or stem
    text = ""
    for word in _NO_WORD.sub(" ", stem).split():
        if len(text) + len(word) >= WORDS_CHARS_MAX:
            break
        text = f"{text} {word}".strip()
    return text
