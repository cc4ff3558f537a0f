"""What the PoolManager knows of a job and of its sources, and what it says of them to others."""

from dataclasses import dataclass, field

from protocol.messages import (
    DispatcherWanted,
    JobAsked,
    JobEnded,
    PriorsTold,
    SourceJoined,
    SourceKnown,
)
from protocol.post import Post, dispatcher_address, root_address
from protocol.urls import host_of, name_from_url, public_url


@dataclass(slots=True)
class PoolSource:
    """One source of a job. `peer`, `path` and `prior` only of a Soulseek user's file; `worker` once it stands."""

    url: str
    peer: str = ""
    path: str = ""
    size_bytes: int = -1
    offered_s: float = 0.0
    prior: PriorsTold | None = None
    worker: str = ""
    home: str = ""
    restarts: int = 0


@dataclass(slots=True)
class PoolJob:
    """`asked` is kept for the moment its dispatcher is wanted: at once, or when a search has found the file. `known`:
    what each source had given when the last hub died."""

    asked: JobAsked
    dispatching: bool = False
    sources: list[PoolSource] = field(default_factory=list)
    known: dict[str, SourceKnown] = field(default_factory=dict)

    @property
    def number(self) -> int:
        return self.asked.job

    @property
    def of_soulseek(self) -> bool:
        return bool(self.asked.term) or any(source.peer for source in self.sources)


def introduction(job: PoolJob, number: int) -> Post:
    """What the dispatcher is told of a source whose worker stands."""
    source = job.sources[number]
    prior, known = source.prior, job.known.get(public_url(source.url))
    joined = SourceJoined(
        job=job.number,
        source=number,
        worker=source.worker,
        name=public_url(source.url),
        host=host_of(source.url),
        fallback_name=name_from_url(source.url),
        prior_rate_bytes_s=prior.rate_bytes_s if prior is not None else 0.0,
        peer=source.peer,
        path=source.path,
        size_bytes=source.size_bytes,
        prior_setup_s=prior.setup_s if prior is not None else 0.0,
        offset_ok=prior.offset_ok if prior is not None else True,
        stops_today=prior.stops_today if prior is not None else 0,
        bytes_stored=known.bytes_stored if known is not None else 0,
        chunks=known.chunks if known is not None else 0,
        leases=known.leases if known is not None else 0,
        stops=known.stops if known is not None else 0,
    )
    return Post(to=dispatcher_address(job.number), message=joined)


def ended_early(job: int, state: str, reason: str) -> JobEnded:
    """The last word on a job that never had a dispatcher."""
    return JobEnded(
        job=job,
        state=state,
        reason=reason,
        path="",
        size_bytes=-1,
        seconds=0.0,
        bytes_received=0,
        bytes_resumed=0,
        bytes_refetched=0,
        digest_hex="",
    )


def dispatcher_wanted(asked: JobAsked, name: str, source_count: int) -> Post:
    same = {field: getattr(asked, field) for field in DispatcherWanted.__struct_fields__ if hasattr(asked, field)}
    wanted = DispatcherWanted(**{**same, "name": name, "sources_expected": source_count})
    return Post(to=root_address("hub"), message=wanted)


def nothing_known(job: int, source: int, peer: str) -> PriorsTold:
    return PriorsTold(
        job=job,
        source=source,
        peer=peer,
        rate_bytes_s=0.0,
        setup_s=0.0,
        offset_ok=True,
        failures=0,
        last_fault=0,
        failed_s_ago=0.0,
        stops_today=0,
    )
