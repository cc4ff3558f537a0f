"""Mapping of jobs to slskd's transfers: one transfer is one job, named by the enqueued user and path. Pure."""

import os.path
from collections.abc import Iterable

from protocol.http_api.slskd import formatting
from protocol.http_api.slskd.schemas import Transfer, TransferDirectory, UserTransfers
from protocol.messages import CreateJob
from protocol.model.filenames import placed_folder, placed_name
from protocol.model.job_records import ACTIVE, ENDED, FAILED, SEALED
from protocol.model.job_spec import JobSpec
from protocol.model.job_views import JobView
from protocol.model.remote_paths import last_folder, search_term, split_remote
from protocol.model.source_url import slsk_url

ORIGIN = "slskd"
"""`CreateJob.origin` of jobs that come through this API."""
WIDEN_SEARCH_S = 8.0


def transfer(job: JobView) -> Transfer:
    """Return a job as a transfer."""
    size = max(job.size_bytes, 0)
    done = size if job.state == SEALED else min(max(job.stored_bytes, 0), size)
    begun = job.attempts > 0 or job.started_ms > 0
    return Transfer(
        id=job.id,
        username=job.spec.user,
        filename=job.spec.remote_path,
        size=size,
        state=formatting.transfer_state(job),
        requested_at=formatting.moment(job.created_ms),
        enqueued_at=formatting.timestamp(job.created_ms),
        started_at=formatting.timestamp(job.started_ms),
        ended_at=formatting.timestamp(job.ended_ms) if job.state in ENDED else None,
        bytes_transferred=done,
        average_speed=_speed(job, done),
        place_in_queue=job.queue_place if job.state == ACTIVE and job.queue_place >= 0 else None,
        exception=(job.reason or job.outcome or "failed") if job.state == FAILED else None,
        attempts=max(job.attempts, 1),
        removed=job.removed,
        bytes_remaining=size - done,
        elapsed_time=formatting.time_span(job.active_s) if begun else None,
        percent_complete=100.0 * done / size if size else 0.0,
        remaining_time=formatting.time_span(job.left_s) if job.state == ACTIVE else None,
        sources=job.source_count,
        sources_active=job.sources_active if job.state == ACTIVE else 0,
    )


class Tree:
    """Transfers grouped by user and remote folder; each in the order of their jobs."""

    def __init__(self) -> None:
        self._users: dict[str, dict[str, list[Transfer]]] = {}

    def add(self, jobs: Iterable[JobView]) -> None:
        for job in jobs:
            folder = split_remote(job.spec.remote_path)[0]
            self._users.setdefault(job.spec.user, {}).setdefault(folder, []).append(transfer(job))

    def users(self) -> list[UserTransfers]:
        return [UserTransfers(username=user, directories=_directories(own)) for user, own in self._users.items()]


def order(user: str, path: str, size_bytes: int, *, downloads: str, chunk_size: int, widen: bool) -> CreateJob:
    """Return the order for this file, to lie at ``downloads/last remote folder/base name``, where clients expect it."""
    spec = JobSpec(
        name=placed_name(split_remote(path)[1]),
        folder=os.path.join(downloads, placed_folder(last_folder(path))).rstrip("/"),
        size_bytes=size_bytes,
        chunk_size=chunk_size,
        term=search_term(path) if widen else "",
        search_s=WIDEN_SEARCH_S,
        origin=ORIGIN,
        user=user,
        remote_path=path,
        widen=widen,
        private_ok=False,
        template_root=downloads,
    )
    return CreateJob(spec=spec, sources=(slsk_url(user, path),))


def _directories(folders: dict[str, list[Transfer]]) -> list[TransferDirectory]:
    return [
        TransferDirectory(directory=folder, file_count=len(files), files=files) for folder, files in folders.items()
    ]


def _speed(job: JobView, done: int) -> float:
    """Return the present rate while it runs, the average afterwards."""
    if job.state == ACTIVE:
        return max(job.rate_bytes_s, 0.0)
    fetched = max(done - job.resumed_bytes, 0)
    return fetched / job.active_s if job.active_s > 0 else 0.0
