"""Messages about a job as a whole: start and stop, its sources, the actors that work for it."""

from typing import Final

from protocol.messages.base import Message
from protocol.model.job_records import SourceRecord
from protocol.model.job_spec import TIMEOUT_S, HttpOptions, JobSpec
from protocol.model.job_views import SourceReport

ROWS_S: Final = 1.0
"""Usual time between two reports of single sources to a watcher."""


class StartJob(Message, tag=0):
    """Begin an attempt at a job. From a front to the PoolManager, followed by its `OfferSource`.

    Asked for again while it runs, it is not begun again: the watcher hears everything from the start. When it has
    ended, the watcher hears again how.
    """

    job: int
    """Number of the attempt."""
    spec: JobSpec
    """As ordered, but: `name` as the file is to be called in its folder now, `size_bytes` as known by now, `term` empty
    where no search is wanted."""
    source_count: int
    """Number of sources that are going to be offered at once; the job does not end before they were heard."""
    watcher: str
    """Address that gets progress and the end of the job."""
    verbose: bool = False
    """The watcher wants a `ChunkArrived` for each chunk."""
    attempt: int = 0
    """How often the hub has died and the job was asked for again."""
    elapsed_s: float = 0.0
    """Since it began, before `attempt`."""
    resumed_bytes: int = -1
    """Found on disk before `attempt`; -1: not looked yet."""
    waits: bool = False
    """When no source can deliver it waits for one, instead of ending as ``starved``."""
    rows_s: float = ROWS_S
    """Shortest time between two reports of single sources and of the chunk map."""
    make_folder: bool = False
    """Make the last part of the folder where it is missing."""
    begun: bool = False
    """There may be a part file of it, or the file itself: no source is asked for more than its size at first."""
    exact_name: bool = False
    """The name in `spec`, where there is one, is the user's own and is not made safe."""

    def restarted(self, *, elapsed_s: float, resumed_bytes: int) -> "StartJob":
        """Return the same job for another hub."""
        return self.but(attempt=self.attempt + 1, elapsed_s=elapsed_s, resumed_bytes=resumed_bytes)


class StopJob(Message, tag=1):
    """Stop now and keep what is there; the same request goes on later."""

    job: int


class OfferSource(Message, tag=60):
    """One more source for a job, new or running. To the PoolManager. `url` may hold a password: never shown.

    Sources are numbered from 0 in the order they are offered or found. Those of a job that is asked for again are
    offered again in the order of their numbers. `disabled`: it has its number, but is not used, nor may a search bring
    it back. `private_ok`: as in `JobSpec`; both must say so.
    """

    job: int
    url: str
    disabled: bool = False
    private_ok: bool = True


class MirrorsNamed(Message, tag=156):
    """A source names other addresses of the job's file. Dispatcher to pool, answered by `SourcesExpected`."""

    job: int
    source: int
    urls: tuple[str, ...]


class RestoreSourceCounts(Message, tag=130):
    """Counts of a source from before the hub died or the attempt began, by its public name; the job goes on counting.

    To the PoolManager, after `StartJob` and before the `OfferSource` of its sources.
    """

    job: int
    name: str
    bytes_stored: int
    chunks: int
    leases: int
    stops: int

    @classmethod
    def of(cls, job: int, name: str, counts: SourceReport | SourceRecord) -> "RestoreSourceCounts":
        """Return the counts of this source."""
        return cls(
            job=job,
            name=name,
            bytes_stored=counts.bytes_stored,
            chunks=counts.chunks,
            leases=counts.leases,
            stops=counts.stops,
        )


class StartDispatcher(Message, tag=2):
    """Start the ChunkDispatcher of a job. To the hub's root.

    In `start` the `name` is the one that a search found, where none was ordered, and `source_count` is the number of
    sources that have joined or are going to.
    """

    start: StartJob


class StartWorker(Message, tag=3):
    """Start the PeerWorker of one source. To a fetch process's root.

    `private_ok` and `http`: see `JobSpec`; `timeout_s`: see `TransferPolicy`.
    """

    job: int
    source: int
    url: str
    private_ok: bool = True
    http: HttpOptions = HttpOptions()
    timeout_s: float = TIMEOUT_S


class StopWorker(Message, tag=126):
    """End the PeerWorker of a source that is not used any more. To a fetch process's root."""

    job: int
    source: int


class SourceJoined(Message, tag=4):
    """A job has one more source, whose PeerWorker has started. Pool to dispatcher."""

    job: int
    source: int
    worker: str
    """Address of its PeerWorker."""
    name: str
    """Public name: its address without a password."""
    host: str
    """Host that a ``Retry-After`` applies to."""
    fallback_name: str
    """File name made from the address."""
    prior_rate_bytes_s: float
    """Rate in earlier jobs, 0 unknown."""
    peer: str = ""
    """Soulseek user, empty for a URL, and ..."""
    path: str = ""
    """... remote path."""
    size_bytes: int = -1
    """As a search found it; -1 unknown."""
    prior_setup_s: float = 0.0
    """Time to the first byte in earlier jobs, 0 unknown."""
    offset_ok: bool = True
    """The peer takes offsets, as far as is known."""
    stops_today: int = 0
    """Transfers of this peer that were aborted today."""
    bytes_stored: int = 0
    """This and the rest: counts of this job before the hub died."""
    chunks: int = 0
    leases: int = 0
    stops: int = 0
    advertised_bytes_s: float = 0.0
    """Rate as the peer says of itself, 0 unknown."""
    odd: bool = False
    """In an earlier job this file of the peer had other content than that of others."""


class SourceNamed(Message, tag=136):
    """Hash of this source's name as records have it. Pool to dispatcher, for every source, used or not."""

    job: int
    source: int
    source_hash: int


class SourceLost(Message, tag=5):
    """The worker of this source is gone with its process; all that it was doing has ended."""

    job: int
    source: int
    detail: str


class ResendState(Message, tag=125):
    """Report everything again: the watcher of the job was restarted. Pool to dispatcher."""

    job: int


class SourcesExpected(Message, tag=131):
    """Number of sources that are going to join in all. Pool to dispatcher.

    During a search it is one more than are known, so that the job does not end before the search has.
    """

    job: int
    count: int


class JobClosed(Message, tag=6):
    """A job has ended: stop its actors, free what it held. From the dispatcher to the PoolManager and on."""

    job: int


class DispatcherReady(Message, tag=58):
    """A job's ChunkDispatcher has started and takes messages. To the PoolManager, which adds sources only then."""

    job: int


class WorkerReady(Message, tag=59):
    """A source's PeerWorker has started at the address `worker`. To the PoolManager."""

    job: int
    source: int
    worker: str
