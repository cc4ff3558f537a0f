"""Progress of a job, for its watcher: the front of a command, or the job manager."""

from protocol.messages.base import Message
from protocol.messages.job_commands import ContributorsListed, SourceFound
from protocol.messages.soulseek import FilesListed, SearchEnded, SearchHit, SessionChanged
from protocol.messages.supervision import ActorDied, Pong, ProcessLost, ProcessReady
from protocol.model.identity import Claim
from protocol.model.job_views import SourceReport


class JobOpened(Message, tag=44):
    """The part file is open. `message` says what was found there, for people; may be empty."""

    job: int
    part_path: str
    size_bytes: int
    """-1: unknown."""
    chunk_size: int
    resumed_bytes: int
    """Found and verified."""
    message: str


class JobProgressed(Message, tag=45):
    """State, bytes and rate of a job."""

    job: int
    state: str
    stored_bytes: int
    """In state ``verifying`` the bytes that were re-hashed so far."""
    size_bytes: int
    rate_bytes_s: float
    left_s: float
    """Until the common finish time; -1 when it cannot be estimated."""
    reason: str = ""
    """Why nothing comes, in state ``paused`` (by the disk) or ``waiting`` (for sources)."""
    estimate: str = ""
    """Time left as it goes now and with all users, which decides whether more of them are disturbed; in words."""


class SourceProgressed(SourceReport, Message, tag=46):
    """Report of one source. `source` counts from 0 in the order that sources were given; `name` has no password."""

    job: int
    source: int
    name: str


class ChunkMapDrawn(Message, tag=47):
    """Chunk map in a few hundred cells over the whole file.

    Two bytes a cell, little endian: 0 missing, 1 stored before (resumed), 2 + source for a source; plus 0x8000 where
    the cell is leased and not yet stored.
    """

    job: int
    cells: bytes


class ChunkArrived(Message, tag=48):
    """One stored chunk, for ``--verbose``."""

    job: int
    name: str
    """Of the source."""
    chunk: int
    rate_bytes_s: float
    stored_chunks: int
    chunk_count: int
    """0: unknown."""


class JobNoted(Message, tag=49):
    """A note for people: a source banned, a mirror that changed, a resume that lost chunks."""

    job: int
    text: str


class JobEnded(Message, tag=50):
    """The end of an attempt; `SourceProgressed` of every source came just before."""

    job: int
    state: str
    """``sealed``, ``starved`` (no source can deliver), ``late`` (its time was up), ``disagreed`` (content), ``disk``,
    ``interrupted``, ``limited`` (the system refused threads, processes or files) or ``failed`` (our fault)."""
    reason: str
    path: str = ""
    size_bytes: int = -1
    seconds: float = 0.0
    """From the first request to sealed."""
    bytes_received: int = 0
    """All bytes of body that reached us."""
    bytes_resumed: int = 0
    """On disk and verified."""
    bytes_refetched: int = 0
    """Received more than once."""
    digest_hex: str = ""
    claim: Claim = Claim()
    """Of the content, as far as the attempt had come."""


class ClaimChanged(Message, tag=148):
    """News of what is known of the content; at most one a second."""

    job: int
    claim: Claim


FrontInbox = (
    JobOpened
    | ClaimChanged
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
    | FilesListed
)
