"""What a front (terminal, later API and page) is told of a job."""

from protocol.messages.base import Message
from protocol.messages.job_commands import ContributorsListed, SourceFound
from protocol.messages.jobs import RestoreSourceCounts
from protocol.messages.soulseek import SearchEnded, SearchHit, SessionChanged
from protocol.messages.supervision import ActorDied, Pong, ProcessLost, ProcessReady
from protocol.model.job_views import SourceReport


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


class SourceProgressed(SourceReport, Message, tag=46):
    """Report of one source. `source` counts from 0 in the order that sources were given; `name` has no password."""

    job: int
    source: int
    name: str


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
