"""In which words the pool is asked for a run."""

import re
from typing import Final

from actors.core.jobs.job import Job, size_of
from actors.core.jobs.queue import searches
from protocol.messages import OfferSource, RestoreSourceCounts, StartJob
from protocol.messages.addresses import JOB_MANAGER
from protocol.model.job_policy import JobPolicy
from protocol.model.job_records import JobRecord, SourceRecord
from protocol.model.job_spec import JobSpec
from protocol.model.source_url import public_url

WORDS_CHARS_MAX: Final = 120
SLSKD: Final = "slskd"
"""The origin of jobs that end, once they were tried again often enough: those tools ask another user then."""
_NO_WORD: Final = re.compile(r"[\W_]+")


def asked_for(job: Job, settings: JobPolicy, *, now_ms: int) -> StartJob:
    """The run of `job`, as it is now."""
    kept, run = job.kept, job.run
    assert run is not None
    anew = run.kept.attempt > 0
    spec = JobSpec(
        folder=kept.folder,
        name=kept.file_name,
        size_bytes=size_of(kept),
        chunk_size=kept.chunk_size,
        checksum=kept.checksum,
        mode=kept.mode,
        limit_bytes_s=kept.limit_bytes_s,
        term=searched_words(kept) if searches(kept) else "",
        private_ok=kept.private_ok,
        policy=settings.transfer,
    )
    return StartJob(
        job=run.kept.number,
        spec=spec,
        source_count=job.usable(),
        watcher=JOB_MANAGER,
        attempt=run.kept.attempt,
        elapsed_s=max(0, now_ms - run.kept.begun_ms) / 1000 if anew else 0.0,
        resumed_bytes=run.kept.resumed_bytes if anew else -1,
        waits=kept.origin != SLSKD,
        make_folder=True,
    )


def given(job: Job) -> list[RestoreSourceCounts]:
    """What each source did in this job before: its counts go on, and so does the budget of stops of a user."""
    return [
        RestoreSourceCounts(
            job=job.kept.number,
            name=public_url(source.url),
            bytes_stored=source.bytes_stored,
            chunks=source.chunks,
            leases=source.leases,
            stops=source.stops,
        )
        for source in job.sources
        if source.leases and not source.left
    ]


def offers(job: Job) -> list[OfferSource]:
    """Every source in the order of its number, so that the pool gives it the same."""
    return [offer(job, source) for source in job.sources]


def offer(job: Job, source: SourceRecord) -> OfferSource:
    kept = job.kept
    return OfferSource(job=kept.number, url=source.url, left=bool(source.left), private_ok=kept.private_ok)


def searched_words(kept: JobRecord) -> str:
    """What users are searched for by: the term, else the words of the file's name."""
    if kept.term:
        return kept.term
    stem = (kept.remote_path or kept.name).replace("/", "\\").rpartition("\\")[2]
    stem = stem.rpartition(".")[0] or stem
    words = _NO_WORD.sub(" ", stem).split()
    text = ""
    for word in words:
        if len(text) + len(word) >= WORDS_CHARS_MAX:
            break
        text = f"{text} {word}".strip()
    return text
