"""What is said about a whole job: asked for, stopped, its sources coming and going."""

from typing import Final

import msgspec

from protocol.messages.base import Message
from protocol.model.limits import STOPS_PER_DAY, STOPS_PER_JOB

ROWS_S: Final = 1.0
"""How often a watcher hears of single sources, unless it wants to hear it more often."""


class StartJob(Message, tag=0):
    """A person or a tool wants one file. From a front to the PoolManager, followed by its `OfferSource`.

    `source_count`: so many sources are going to be offered at once; nobody gives up before they were heard.
    `name` empty: taken from the sources. `chunk_size` in bytes. `checksum` is ``algorithm:hex`` or empty.
    `limit_bytes_s` 0 means none. `watcher` is the address that gets progress and the end of the job.
    `term` not empty: Soulseek users who have the file are searched for, of `wanted_size_bytes` when that is not -1.
    `stops_per_job`, `stops_per_day`: how often each of them may be hung up on.
    `attempt` > 0: the hub has died so many times and the job is asked for anew. It began `elapsed_s` ago, and had found
    `resumed_bytes` on disk then (-1: it had not looked yet).
    `waits`: when nobody can deliver it does not end as ``starved`` but waits until somebody can.
    `private_ok`: addresses inside private networks may be fetched from. `rows_s`: the watcher hears of single sources
    and of the chunk map at most so often. `make_folder`: the last part of `folder` is made where it is missing.

    Asked for again while it runs, it is not begun again: the watcher is told everything anew. When it has ended, the
    watcher is told again how.
    """

    job: int
    source_count: int
    folder: str
    name: str
    chunk_size: int
    checksum: str
    mode: str
    limit_bytes_s: int
    preallocate: bool
    sync: str
    slow_rate_bytes_s: int
    slow_after_s: float
    verbose: bool
    watcher: str
    term: str = ""
    wanted_size_bytes: int = -1
    stops_per_job: int = STOPS_PER_JOB
    stops_per_day: int = STOPS_PER_DAY
    attempt: int = 0
    elapsed_s: float = 0.0
    resumed_bytes: int = -1
    waits: bool = False
    private_ok: bool = True
    rows_s: float = ROWS_S
    make_folder: bool = False


def restarted_job(asked: StartJob, *, elapsed_s: float, resumed_bytes: int) -> StartJob:
    """The same job for another hub."""
    return msgspec.structs.replace(asked, attempt=asked.attempt + 1, elapsed_s=elapsed_s, resumed_bytes=resumed_bytes)


def with_stop_budget(asked: StartJob, *, stops_per_job: int, stops_per_day: int) -> StartJob:
    """The same job with the user's own limits on hanging up."""
    return msgspec.structs.replace(asked, stops_per_job=stops_per_job, stops_per_day=stops_per_day)


def with_limit(asked: StartJob, limit_bytes_s: int) -> StartJob:
    """The same job with another limit."""
    return msgspec.structs.replace(asked, limit_bytes_s=limit_bytes_s)


class StopJob(Message, tag=1):
    """The job is to stop now and keep what it has; the same request goes on later."""

    job: int


class OfferSource(Message, tag=60):
    """One more source for a job, new or running. To the PoolManager. `url` may hold a password: never shown.

    Sources are numbered from 0 in the order they are offered or found. Those of a job that is asked for again are
    offered again in the order of their numbers. `left`: it has its number, but is not used, nor does a search bring it
    back. `private_ok`: as in `StartJob`; both must say so.
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
    """The hub's root starts the ChunkDispatcher of a job. Fields as in `StartJob`."""

    job: int
    folder: str
    name: str
    chunk_size: int
    checksum: str
    mode: str
    limit_bytes_s: int
    preallocate: bool
    sync: str
    slow_rate_bytes_s: int
    slow_after_s: float
    verbose: bool
    watcher: str
    sources_expected: int
    stops_per_job: int = STOPS_PER_JOB
    stops_per_day: int = STOPS_PER_DAY
    attempt: int = 0
    elapsed_s: float = 0.0
    resumed_bytes: int = -1
    waits: bool = False
    rows_s: float = ROWS_S
    make_folder: bool = False


class StartWorker(Message, tag=3):
    """A fetch process's root starts the PeerWorker of one source. `chunk_size` in bytes.

    `private_ok`: see `StartJob`."""

    job: int
    source: int
    url: str
    chunk_size: int
    private_ok: bool = True


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
