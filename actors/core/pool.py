"""The PoolManager's decisions: which jobs there are, which sources each has, in which process each source is read.

Invariant: every source of a job has exactly one home process; a job is known from `JobAsked` to `JobForgotten`.
"""

from dataclasses import dataclass, field
from typing import Final, assert_never

from protocol.messages import (
    ActorDied,
    DispatcherReady,
    DispatcherWanted,
    JobAsked,
    JobForgotten,
    JobStopAsked,
    Message,
    PoolInbox,
    ProcessLost,
    SourceJoined,
    SourceLost,
    SourceOffered,
    WorkerReady,
    WorkerWanted,
)
from protocol.post import Post, dispatcher_address, root_address, worker_address
from protocol.urls import host_of, name_from_url, public_url

WORKER_RESTARTS_MAX: Final = 3


@dataclass(slots=True)
class _Job:
    number: int
    chunk_size: int
    dispatching: bool = False
    urls: list[str] = field(default_factory=list)
    homes: dict[int, str] = field(default_factory=dict)
    restarts: dict[int, int] = field(default_factory=dict)


class PoolState:
    """Owned by the PoolManager. `fetchers` are the names of the fetch processes."""

    def __init__(self, fetchers: tuple[str, ...]) -> None:
        assert fetchers, "somebody has to fetch"
        self._load = dict.fromkeys(fetchers, 0)
        self._jobs: dict[int, _Job] = {}

    def handle(self, message: PoolInbox) -> list[Post]:
        """Take one message, return what is to be posted. Words about unknown jobs change nothing."""
        match message:
            case JobAsked():
                return self._begin(message) if message.job not in self._jobs else []
            case SourceOffered():
                return self._offer(message)
            case JobStopAsked(job=job):
                return [Post(to=dispatcher_address(job), message=message)] if job in self._jobs else []
            case JobForgotten(job=job):
                return self._forget(job)
            case DispatcherReady(job=number):
                return self._ready(number)
            case WorkerReady():
                known = self._jobs.get(message.job)
                return [self._joined(known, message)] if known is not None else []
            case ActorDied():
                return self._replace_worker(message)
            case ProcessLost():
                return self._lose(message)
            case _:
                assert_never(message)

    def _begin(self, asked: JobAsked) -> list[Post]:
        self._jobs[asked.job] = _Job(asked.job, asked.chunk_size)
        wanted = DispatcherWanted(
            job=asked.job,
            folder=asked.folder,
            name=asked.name,
            chunk_size=asked.chunk_size,
            checksum=asked.checksum,
            mode=asked.mode,
            limit_bytes_s=asked.limit_bytes_s,
            preallocate=asked.preallocate,
            sync=asked.sync,
            slow_rate_bytes_s=asked.slow_rate_bytes_s,
            slow_after_s=asked.slow_after_s,
            verbose=asked.verbose,
            watcher=asked.watcher,
            sources_expected=asked.source_count,
        )
        return [Post(to=root_address("hub"), message=wanted)]

    def _offer(self, offered: SourceOffered) -> list[Post]:
        job = self._jobs.get(offered.job)
        if job is None:
            return []
        source = len(job.urls)
        job.urls.append(offered.url)
        if not self._load:
            return []
        wanted = self._settle(job, source)
        return [wanted] if job.dispatching else []

    def _ready(self, number: int) -> list[Post]:
        """A worker that spoke before its dispatcher stood would not be heard, so workers come second."""
        job = self._jobs.get(number)
        if job is None:
            return []
        job.dispatching = True
        return [self._worker(job, source) for source in job.homes]

    def _worker(self, job: _Job, source: int) -> Post:
        wanted = WorkerWanted(job=job.number, source=source, url=job.urls[source], chunk_size=job.chunk_size)
        return Post(to=root_address(job.homes[source]), message=wanted)

    def _joined(self, job: _Job, ready: WorkerReady) -> Post:
        url = job.urls[ready.source]
        joined = SourceJoined(
            job=ready.job,
            source=ready.source,
            worker=ready.worker,
            name=public_url(url),
            host=host_of(url),
            fallback_name=name_from_url(url),
            prior_rate_bytes_s=0.0,
        )
        return Post(to=dispatcher_address(ready.job), message=joined)

    def _forget(self, number: int) -> list[Post]:
        job = self._jobs.pop(number, None)
        if job is None:
            return []
        for home in job.homes.values():
            if home in self._load:
                self._load[home] -= 1
        told: Message = JobForgotten(job=number)
        return [Post(to=root_address(process), message=told) for process in ["hub", *sorted(set(job.homes.values()))]]

    def _replace_worker(self, died: ActorDied) -> list[Post]:
        """A worker failed with our fault: its source goes on with a new worker, a few times."""
        for number, job in self._jobs.items():
            for source, home in job.homes.items():
                if worker_address(home, number, source) == f"{died.process}/{died.actor}":
                    lost = SourceLost(job=number, source=source, detail=f"its worker failed: {died.detail}")
                    out = [Post(to=dispatcher_address(number), message=lost)]
                    job.restarts[source] = job.restarts.get(source, 0) + 1
                    if job.restarts[source] <= WORKER_RESTARTS_MAX:
                        out.append(self._worker(job, source))
                    return out
        return []

    def _lose(self, lost: ProcessLost) -> list[Post]:
        """Its sources are lost for a moment and find a new home, if a fetch process is left."""
        self._load.pop(lost.process, None)
        out: list[Post] = []
        for number, job in self._jobs.items():
            for source in [source for source, home in job.homes.items() if home == lost.process]:
                told = SourceLost(job=number, source=source, detail=f"{lost.process} died: {lost.detail}")
                out.append(Post(to=dispatcher_address(number), message=told))
                if self._load:
                    out.append(self._settle(job, source))
        return out

    def _settle(self, job: _Job, source: int) -> Post:
        """Give a source the home with the least to do."""
        job.homes[source] = home = min(self._load, key=lambda name: self._load[name])
        self._load[home] += 1
        return self._worker(job, source)
