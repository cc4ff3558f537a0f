"""What a front (terminal, later API and page) is told of a job."""

from protocol.messages.base import Message
from protocol.messages.job_commands import ContributorsListed, SourceFound
from protocol.messages.jobs import RestoreSourceCounts
from protocol.messages.soulseek import SearchEnded, SearchHit, SessionChanged
from protocol.messages.supervision import ActorDied, Pong, ProcessLost, ProcessReady


class JobOpened(Message, tag=44):
    """Size and place are known. `size_bytes` -1: unknown. `resumed_bytes` were found and verified."""

    job: int
    part_path: str
    size_bytes: int
    chunk_size: int
    resumed_bytes: int
    message: str


class JobProgressed(Message, tag=45):
    """`left_s` is the common finish time seen from now, -1 when nobody can say. `reason` says why nothing comes while
    the state is ``paused`` (by the disk) or ``waiting`` (for sources); in state ``verifying`` the bytes are those
    re-hashed so far."""

    job: int
    state: str
    stored_bytes: int
    size_bytes: int
    rate_bytes_s: float
    left_s: float
    reason: str = ""


class SourceProgressed(Message, tag=46):
    """One row of the display. `number` counts from 0 in the order sources were given.

    `bytes_stored` and `chunks` came from it and were kept; `lease_first`/`lease_stop` are chunk numbers, -1
    without a lease. `reason` says in words why it is not active, empty when it is.

    `phase` is one of ``probing``, ``connecting``, ``queued``, ``granted`` (its turn came, no byte yet), ``flowing``,
    ``stalled``, ``resting`` or empty. Of a Soulseek user: `peer`, and our `queue_place` (-1: not told).
    `trims`: so often the end of its rides was taken for another source, since the hub began.
    """

    job: int
    source: int
    name: str
    standing: str
    rate_bytes_s: float
    bytes_stored: int
    chunks: int
    leases: int
    stops: int
    lease_first: int
    lease_stop: int
    reason: str
    phase: str = ""
    peer: str = ""
    queue_place: int = -1
    trims: int = 0


def source_known(row: SourceProgressed) -> RestoreSourceCounts:
    """What another hub is to know of this source."""
    return RestoreSourceCounts(
        job=row.job, name=row.name, bytes_stored=row.bytes_stored, chunks=row.chunks, leases=row.leases, stops=row.stops
    )


class ChunkMapDrawn(Message, tag=47):
    """Who holds which part, in a few hundred cells over the whole file.

    Two bytes a cell, little endian: 0 missing, 1 stored before (resumed), 2 + source for a source;
    plus 0x8000 where the cell is leased and not yet stored.
    """

    job: int
    cells: bytes


class ChunkArrived(Message, tag=48):
    """One stored chunk, for ``--verbose``: who, which, how fast, how many of how many (0: unknown)."""

    job: int
    name: str
    chunk: int
    rate_bytes_s: float
    stored_chunks: int
    chunk_count: int


class JobNoted(Message, tag=49):
    """Something people should read: a source banned, a mirror that changed, a resume that lost chunks."""

    job: int
    text: str


class JobEnded(Message, tag=50):
    """The last word on a job; `SourceProgressed` rows for every source came just before.

    `state`: ``sealed``, ``starved`` (no source can deliver), ``disagreed`` (content), ``disk``, ``interrupted``
    or ``failed`` (our fault). `seconds` from the first request to sealed. `bytes_received` counts every byte of
    body that reached us, `bytes_resumed` what was on disk and verified, `bytes_refetched` what came more than once.
    """

    job: int
    state: str
    reason: str
    path: str
    size_bytes: int
    seconds: float
    bytes_received: int
    bytes_resumed: int
    bytes_refetched: int
    digest_hex: str


def ended_early(job: int, state: str, reason: str) -> JobEnded:
    """The last word on a job when there is nobody who could say what it had reached."""
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


FrontInbox = (
    JobOpened
    | JobProgressed
    | SourceProgressed
    | ChunkMapDrawn
    | ChunkArrived
    | JobNoted
    | JobEnded
    | SourceFound
    | ContributorsListed
    | ProcessReady
    | ProcessLost
    | Pong
    | ActorDied
    | SearchHit
    | SearchEnded
    | SessionChanged
)
