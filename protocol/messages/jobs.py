"""What is said about a whole job: asked for, stopped, its sources coming and going."""

from typing import Final

from protocol.messages.base import Message
from protocol.model.job_spec import HttpOptions, JobSpec

ROWS_S: Final = 1.0
"""How often a watcher hears of single sources, unless it wants to hear it more often."""


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

    def restarted(self, *, elapsed_s: float, resumed_bytes: int) -> "StartJob":
        """Return the same job for another hub."""
        return self.but(attempt=self.attempt + 1, elapsed_s=elapsed_s, resumed_bytes=resumed_bytes)


class StopJob(Message, tag=1):
    """The job is to stop now and keep what it has; the same request goes on later."""

    job: int


class OfferSource(Message, tag=60):
    """One more source for a job, new or running. To the PoolManager. `url` may hold a password: never shown.

    Sources are numbered from 0 in the order they are offered or found. Those of a job that is asked for again are
    offered again in the order of their numbers. `left`: it has its number, but is not used, nor does a search bring it
    back. `private_ok`: as in `JobSpec`; both must say so.
    """

    job: int
    url: str
    left: bool = False
    private_ok: bool = True


class RestoreSourceCounts(Message, tag=130):
    """What a source had given to a job when the hub died, by the name people see. From the front to the next hub's
    PoolManager, after `StartJob` and before its `OfferSource`: the same job goes on counting. Fields as in
    `SourceProgressed`."""

    job: int
    name: str
    bytes_stored: int
    chunks: int
    leases: int
    stops: int


class StartDispatcher(Message, tag=2):
    """Start the ChunkDispatcher of a job. To the hub's root.

    In `start` the `name` is the one that a search found, where none was ordered, and `source_count` is the number of
    sources that have joined or are going to.
    """

    start: StartJob


class StartWorker(Message, tag=3):
    """A fetch process's root starts the PeerWorker of one source. `chunk_size` in bytes.

    `private_ok` and `http`: see `JobSpec`."""

    job: int
    source: int
    url: str
    chunk_size: int
    private_ok: bool = True
    http: HttpOptions = HttpOptions()


class StopWorker(Message, tag=126):
    """A fetch process's root ends the PeerWorker of a source that is not used any more."""

    job: int
    source: int


class SourceJoined(Message, tag=4):
    """A job has one more source; its PeerWorker lives at `worker`.

    `name` is the source as people may see it (no password), `host` is what a ``Retry-After`` binds,
    `fallback_name` a file name made from the address, `prior_rate_bytes_s` what is known from before (0: nothing).

    A Soulseek user's file has `peer` and `path`, both empty for a URL. Of it a search may have told the size (-1: not
    known); `prior_setup_s` (0: not known), `offset_ok` and `stops_today` are what is remembered of the peer.

    `bytes_stored`, `chunks`, `leases` and `stops` are what it had given to this job before the hub died.
    """

    job: int
    source: int
    worker: str
    name: str
    host: str
    fallback_name: str
    prior_rate_bytes_s: float
    peer: str = ""
    path: str = ""
    size_bytes: int = -1
    prior_setup_s: float = 0.0
    offset_ok: bool = True
    stops_today: int = 0
    bytes_stored: int = 0
    chunks: int = 0
    leases: int = 0
    stops: int = 0


class SourceNamed(Message, tag=136):
    """What records keep of the name of this source, used or not. Pool to dispatcher, as soon as it has the source."""

    job: int
    source: int
    source_hash: int


class SourceLost(Message, tag=5):
    """The worker of this source is gone (its process died); whatever it was doing has ended."""

    job: int
    source: int
    detail: str


class ResendState(Message, tag=125):
    """The watcher of a job has forgotten what it was told. Pool to dispatcher: tell it everything anew."""

    job: int


class SourcesExpected(Message, tag=131):
    """Pool to dispatcher: so many sources are going to join in all. While users are searched for one more is expected
    than are known, so that the job does not end before they were heard of."""

    job: int
    count: int


class JobClosed(Message, tag=6):
    """A job has ended: stop its actors, free what it held. From the dispatcher to the PoolManager and on."""

    job: int


class DispatcherReady(Message, tag=58):
    """A job's ChunkDispatcher stands and may be written to. To the PoolManager, who only then adds sources."""

    job: int


class WorkerReady(Message, tag=59):
    """A source's PeerWorker stands at `worker`. To the PoolManager, who tells the dispatcher."""

    job: int
    source: int
    worker: str
