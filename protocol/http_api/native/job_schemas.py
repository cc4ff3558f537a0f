"""Response models of jobs: lists, detail with sources and chunk map, explanation, timeline, manifest.

Members named like a field of the view row come from there; `validation_alias` names it where the names differ.
"""

from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field

from protocol.http_api.schema_base import (
    CHUNKS_MAX,
    IF_KNOWN,
    PAGE_MAX,
    PRIORITY_MAX,
    Count,
    Id,
    MaybeCount,
    MaybeMoment,
    MaybeNumber,
    MaybeText,
    Moment,
    Number,
    ResponseModel,
    Text,
)
from protocol.model.identity import PLACES_MAX

ChunkState = Literal["missing", "leased", "stored"]
MAP_RUNS_MAX: Final = 10_000
"""Ranges of a chunk map or manifest in one answer."""
SOURCES_TOLD_MAX: Final = 10_000

State = Literal["queued", "active", "paused", "sealed", "failed", "cancelled"]
Chunk = Annotated[int, Field(ge=0, le=CHUNKS_MAX)]
MaybeChunk = Annotated[Chunk | None, IF_KNOWN]


class Identity(ResponseModel):
    """Evidence that all bytes of a file are of one and the same file."""

    kind: Text = Field(description="The strongest kind of evidence that holds for every byte; see claim.")
    checks_agreed: Count = Field(
        description="Chunks of which two sources sent the same, all or a span of it: overlap and spot checks."
    )
    checks_disagreed: Count = Field(description="Chunks that two sources sent differently.")
    groups: Count = Field(description="Groups of contributors without evidence between them; 1 where all are tied.")
    contributors: Count = Field(description="Sources whose bytes are stored.")
    excluded_share: Number = Field(
        description="Share of the file above which a difference of any contributor is excluded at 99 %; 1: none is."
    )
    excluded: Annotated[list[Text], Field(max_length=PAGE_MAX)] = Field(
        description="Sources that were left out because of other content; retry with otherGroup takes their file."
    )
    excluded_chunks: Annotated[list[Count], Field(max_length=PAGE_MAX)] = Field(
        description="How many chunks each of them had sent."
    )
    excluded_why: Annotated[list[Text], Field(max_length=PAGE_MAX)] = Field(
        description="What showed that the content of each is another one, in words."
    )
    container: Annotated[str, Field(max_length=1000)] = Field(
        description="What the container's own checks of the whole file found, in words; empty where there are none."
    )
    text: Text = Field(description="All of it as one sentence.")


class IdentityDetail(Identity):
    """The same with the places in the file."""

    agreed_chunks: Annotated[list[Chunk], Field(max_length=PLACES_MAX)] = Field(
        description="Where checks agreed, at most 200 places."
    )
    disagreed_chunks: Annotated[list[Chunk], Field(max_length=PLACES_MAX)] = Field(
        description="Where checks disagreed, at most 200 places."
    )
    freed_firsts: Annotated[list[Chunk], Field(max_length=PLACES_MAX)] = Field(
        description="Where ranges of chunks begin that were taken back from such sources, and fetched again ..."
    )
    freed_stops: Annotated[list[Chunk], Field(max_length=PLACES_MAX)] = Field(description="... and where they end.")


class JobFile(ResponseModel):
    """The file of a job, and what is known of its content."""

    id: Id = Field(description="The job's id; it stays the same as long as the job is known.")
    state: State = Field(
        description=(
            "queued: waits for others. active: is being fetched. paused: until it is resumed. sealed: the file is "
            "complete at its place. failed: ended without the file. cancelled: ended by a user."
        )
    )
    name: Text = Field(description="Name of the file; empty until a source has reported it.")
    path: MaybeText = Field(description="The finished file once sealed, else the part file; null before there is one.")
    size_bytes: MaybeCount = Field(description="Size of the file; null while it is not known.")
    stored_bytes: Count = Field(description="Checked and on the disk; never falls while the job lives.")
    chunk_size: Count = Field(description="Bytes of a chunk; 0 while it is not chosen.")
    checksum: MaybeText = Field(description="algorithm:hex that the file must have; null when none was given.")
    digest_hex: MaybeText = Field(
        description="Digest of the finished file, by the checksum's algorithm, xxh3_128 without one; null before."
    )
    claim: Text = Field(
        description=(
            "The kind of identity, weakest first: size, attributes, overlap, frames, pieces, digest (it was compared), "
            "decoded."
        )
    )
    identity: Identity = Field(description="What is known of the content, in numbers.")


class Job(JobFile):
    """One job as a list shows it."""

    phase: MaybeText = Field(
        description=(
            "What an active job is doing: searching, opening, verifying, riding, paused (its disk), waiting (for "
            "sources) or sealing; null in other states."
        )
    )
    reason: MaybeText = Field(description="Why nothing comes, or how it ended, in words; null when all is well.")
    estimate: MaybeText = Field(
        description=(
            "Time left as it goes now and with all users, which decides whether more of them are disturbed, in words; "
            "null where there is nothing to decide."
        )
    )
    outcome: MaybeText = Field(
        description="How its last run ended: sealed, starved, late, disagreed, disk, interrupted, failed; null before."
    )
    percent: Annotated[float, Field(ge=0, le=100)] = Field(
        description="Stored part of the file, 0 while its size is not known, 100 once it is sealed."
    )
    folder: Text = Field(description="Folder of the finished file.")
    received_bytes: Count = Field(description="Everything that came over the network for this job.")
    refetched_bytes: Count = Field(description="Of it, what came more than once.")
    resumed_bytes: Count = Field(description="What was found on the disk at the start of the last run.")
    rate_bytes_s: Number = Field(description="Bytes a second now.")
    left_s: MaybeNumber = Field(description="Seconds until all is there; null when that cannot be said.")
    active_s: Number = Field(description="Seconds for which it was active so far.")
    mode: Text = Field(description="swarm, queue, failover or race.")
    priority: Annotated[int, Field(ge=-PRIORITY_MAX * 1000, le=PRIORITY_MAX * 1000)] = Field(
        description="The highest goes first."
    )
    limit: Count = Field(validation_alias="limit_bytes_s", description="Limit in bytes a second; 0: none.")
    origin: Text = Field(description="Origin: multisource, slskd or cli.")
    user: MaybeText = Field(
        description="Whose file was ordered by slskd's API or in a folder, whichever source sends it; else null."
    )
    remote_path: MaybeText = Field(description="The remote path of such an order; else null.")
    folder_id: Annotated[Id | None, BeforeValidator(lambda value: value or None)] = Field(
        description="The folder download that it is a file of; null: none."
    )
    term: MaybeText = Field(description="What users are searched for; null when nothing is.")
    removed: bool = Field(description="Whether lists leave it out unless they are asked for removed jobs too.")
    created_at: Moment = Field(validation_alias="created_ms", description="When it was ordered.")
    started_at: MaybeMoment = Field(validation_alias="started_ms", description="When its first run began; null before.")
    ended_at: MaybeMoment = Field(validation_alias="ended_ms", description="When it ended; null before.")
    attempts: Count = Field(description="How many runs it had.")
    source_count: Count = Field(description="How many sources it has.")
    sources_active: Count = Field(description="How many of them send now.")
    stops: Count = Field(description="How often a Soulseek user was stopped before the end of its file.")
    queue_place: MaybeCount = Field(description="Our best place in a user's queue, from 1; null without one.")


class JobSource(ResponseModel):
    """One source of a job. Its numbers are of all runs of the job."""

    number: Count = Field(description="Its number in the job: what chunks are owned by.")
    url: Text = Field(description="Its address, without a password.")
    username: MaybeText = Field(validation_alias="peer", description="The Soulseek user; null for a mirror.")
    full_path: MaybeText = Field(validation_alias="path", description="The user's remote path; null for a mirror.")
    standing: Text = Field(description="candidate, queued, active, cooling, banned or dropped.")
    phase: MaybeText = Field(
        description="probing, connecting, queued, granted, flowing, stalled or resting; null when it does nothing."
    )
    reason: MaybeText = Field(description="Why it is not active, in words; null when it is.")
    rate_bytes_s: Number = Field(description="Bytes a second now.")
    bytes_stored: Count = Field(description="What came from it and was kept.")
    chunks: Count = Field(description="Chunks that came from it and were kept.")
    leases: Count = Field(description="How many runs of chunks it was given.")
    stops: Count = Field(description="How often it was stopped before the end of its file.")
    lease_first: MaybeChunk = Field(description="First chunk of the run it has now; null without one.")
    lease_stop: MaybeChunk = Field(
        description="The chunk behind that run; null without one, or while the size is unknown."
    )
    queue_place: MaybeCount = Field(description="Our place in its queue, from 1; null when it does not say.")
    preferred: bool = Field(description="Whether it goes before others, by a user's command.")


class ChunkRange(ResponseModel):
    """Consecutive chunks that are alike."""

    first: Chunk = Field(description="Number of the first chunk.")
    count: Chunk = Field(description="How many chunks.")
    state: ChunkState = Field(description="missing, leased (a source has them to fetch) or stored (checked, on disk).")
    source: MaybeCount = Field(
        description="Number of the source that sent them, or has them to fetch; null: none, or no longer known."
    )


class StoredChunk(ResponseModel):
    """One chunk of a job."""

    chunk: Chunk = Field(description="Its number.")
    digest: MaybeText = Field(
        description="xxh3_128 in hex, as recorded when it was stored; null while it is missing and after the end."
    )


class ChunkMap(ResponseModel):
    """Chunk map: the whole file, run-length encoded."""

    chunk_size: Count = Field(description="Bytes of a chunk; the last one may be shorter.")
    chunk_count: Chunk = Field(description="Chunks of the whole file.")
    runs: Annotated[list[ChunkRange], Field(max_length=MAP_RUNS_MAX)] = Field(
        description="In order, without holes; neighbours differ in state or source."
    )
    truncated: bool = Field(description=f"Whether there were more than {MAP_RUNS_MAX} runs and the last are left out.")


class JobDetail(Job):
    """One job with its sources and chunks."""

    identity: IdentityDetail = Field(description="What is known of the content, in numbers and places.")
    sources: Annotated[list[JobSource], Field(max_length=SOURCES_TOLD_MAX)] = Field(
        description="Every source it has or had."
    )
    stop_budget: Count = Field(description="How often each Soulseek user may be stopped early for this file.")
    chunk_map: ChunkMap | None = Field(description="Null while the size is not known, or when it was not wanted.")
    notes: Annotated[list[Text], Field(max_length=PAGE_MAX)] = Field(
        description="The latest notes to people, newest last."
    )


class Folder(ResponseModel):
    """One folder download: the sum of its jobs."""

    id: Id = Field(description="Id of the folder download, the folderId of its jobs.")
    state: State = Field(
        description="active while one of its files is, else queued, paused, failed or cancelled; sealed when all are."
    )
    name: Text = Field(description="Name of the folder.")
    folder: Text = Field(description="The local folder.")
    username: Text = Field(description="The user whose folder it is.")
    file_count: Count = Field(description="How many files it has.")
    states: dict[State, Count] = Field(description="How many of them are in which state.")
    size_bytes: MaybeCount = Field(description="Of all of them; null while one is not known.")
    stored_bytes: Count = Field(description="Checked and on the disk.")
    percent: Annotated[float, Field(ge=0, le=100)] = Field(description="Stored part of all.")
    rate_bytes_s: Number = Field(description="Bytes a second now.")
    left_s: MaybeNumber = Field(description="Seconds until all is there; null when that cannot be said.")


class FolderDetail(Folder):
    """One folder download with its files."""

    files: Annotated[list[Job], Field(max_length=PAGE_MAX)] = Field(description="Their jobs, as they are started.")
    truncated: bool = Field(description="Whether the user's list was longer than is read: files may be missing.")


class MetalinkOrdered(ResponseModel):
    """Jobs that a Metalink document became."""

    group: Annotated[Id | None, BeforeValidator(lambda value: value or None)] = Field(
        description="What they are listed and commanded by together, as a folder download; null: there is only one."
    )
    files: Annotated[list[Job], Field(max_length=PAGE_MAX)] = Field(description="A job for each file, in its order.")
    notes: Annotated[list[Text], Field(max_length=PAGE_MAX)] = Field(
        description="What was left out of the document, a line each."
    )


class NotDone(ResponseModel):
    """A job that a command was refused for."""

    id: Id = Field(description="The job.")
    kind: Text = Field(description="As in an error: unknown, conflict ...")
    detail: Text = Field(description="One line for people.")


class BulkDone(ResponseModel):
    """Outcome of a command to many jobs."""

    done: Annotated[list[Job], Field(max_length=PAGE_MAX)] = Field(description="Those that did it, as they are now.")
    failed: Annotated[list[NotDone], Field(max_length=PAGE_MAX)] = Field(description="Those that did not.")


class Bottleneck(ResponseModel):
    """One thing that holds a job back."""

    kind: Text = Field(
        description=(
            "queue (too many active jobs), paused, sources, places (in users' queues), one source, budget (of stops), "
            "limit, disk, login, search, peers (as fast as they are) or ended."
        )
    )
    text: Text = Field(description="A sentence that says it.")


class Why(ResponseModel):
    """Explanation of a job's rate: its bottlenecks, in words."""

    id: Id = Field(description="The job.")
    text: Text = Field(description="The tightest of the bindings, as a sentence.")
    bindings: Annotated[list[Bottleneck], Field(max_length=PAGE_MAX)] = Field(
        description="All of them, tightest first."
    )


class Happening(ResponseModel):
    """One thing that happened to a job."""

    serial: Count = Field(description="Rises by one with each event of the daemon.")
    at: Moment = Field(validation_alias="at_ms", description="When.")
    kind: Text = Field(description="What, as in the list of events: job.queued, source.added, job.sealed ...")
    data: dict[str, Any] = Field(description="What there is to say about it; which members depends on the kind.")


class ManifestRange(ResponseModel):
    """Consecutive chunks from one source."""

    first: Chunk = Field(description="Number of the first chunk.")
    count: Chunk = Field(description="How many chunks.")
    start_byte: Count = Field(description="Where they begin in the file.")
    stop_byte: Count = Field(description="Where they end: the first byte that is not theirs.")
    source: MaybeCount = Field(description="Number of the source; null when it is not known any more.")
    url: MaybeText = Field(description="Its address without a password; null when it is not known any more.")


class Manifest(JobFile):
    """Manifest: the source of every byte of a job's file, and its digest; also after the job ended."""

    runs: Annotated[list[ManifestRange], Field(max_length=MAP_RUNS_MAX)] = Field(
        description="Runs of stored chunks in order; what lies between them is missing. A page of them."
    )
