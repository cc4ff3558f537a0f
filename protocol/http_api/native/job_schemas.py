"""What is told of jobs: in lists, one with sources and chunks, why it waits, what happened to it, who sent what."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from protocol.http_api.native.chunk_map import ChunkState
from protocol.http_api.native.schema_base import (
    CHUNKS_MAX,
    COUNT_MAX,
    PAGE_MAX,
    PRIORITY_MAX,
    Count,
    Id,
    Number,
    Text,
    Told,
)

MAP_RUNS_MAX: Final = 10_000
"""So many runs of a chunk map or manifest are told at once."""
SOURCES_TOLD_MAX: Final = 10_000

State = Literal["queued", "active", "paused", "sealed", "failed", "cancelled"]
Chunk = Annotated[int, Field(ge=0, le=CHUNKS_MAX)]
SourceNumber = Annotated[int, Field(ge=0, le=COUNT_MAX)]


class Job(Told):
    """One job as a list shows it."""

    id: Id = Field(description="The job's id; it stays the same as long as the job is known.")
    state: State = Field(
        description=(
            "queued: waits for others. active: is being fetched. paused: until it is resumed. sealed: the file is "
            "complete at its place. failed: ended without the file. cancelled: somebody ended it."
        )
    )
    phase: Text | None = Field(
        description=(
            "What an active job is doing: searching, opening, verifying, riding, paused (its disk), waiting (for "
            "sources) or sealing; null in other states."
        )
    )
    reason: Text | None = Field(description="Why nothing comes, or how it ended, in words; null when all is well.")
    outcome: Text | None = Field(
        description="How its last run ended: sealed, starved, disagreed, disk, interrupted or failed; null before."
    )
    percent: Annotated[float, Field(ge=0, le=100)] = Field(
        description="Stored part of the file, 0 while its size is not known, 100 once it is sealed."
    )
    name: Text = Field(description="Name of the file; empty until a source has told it.")
    folder: Text = Field(description="Folder of the finished file.")
    path: Text | None = Field(
        description="The finished file once sealed, else the part file; null before there is one."
    )
    size_bytes: Count | None = Field(description="Size of the file; null while it is not known.")
    stored_bytes: Count = Field(description="Checked and on the disk; never falls while the job lives.")
    received_bytes: Count = Field(description="Everything that came over the network for this job.")
    refetched_bytes: Count = Field(description="Of it, what came more than once.")
    resumed_bytes: Count = Field(description="What was found on the disk at the start of the last run.")
    rate_bytes_s: Number = Field(description="Bytes a second now.")
    left_s: Number | None = Field(description="Seconds until all is there; null when nobody can say.")
    active_s: Number = Field(description="Seconds for which it was active so far.")
    chunk_size: Count = Field(description="Bytes of a chunk.")
    mode: Text = Field(description="swarm, queue, failover or race.")
    checksum: Text | None = Field(description="algorithm:hex that the file must have; null when none was given.")
    digest_hex: Text | None = Field(
        description="Digest of the finished file, by the checksum's algorithm, xxh3_128 without one; null before."
    )
    claim: Text | None = Field(
        description="How strong the proof of the content is: digest (a checksum matched) or size; null before."
    )
    priority: Annotated[int, Field(ge=-PRIORITY_MAX * 1000, le=PRIORITY_MAX * 1000)] = Field(
        description="The highest goes first."
    )
    limit: Count = Field(description="At most so many bytes a second; 0: no limit.")
    origin: Text = Field(description="Which door it came through: multisource, slskd or cli.")
    user: Text | None = Field(
        description="By slskd's API: whose file was enqueued, whoever sends the bytes; else null."
    )
    remote_path: Text | None = Field(description="By slskd's API: the enqueued remote path; else null.")
    term: Text | None = Field(description="What users are searched for; null when nothing is.")
    removed: bool = Field(description="Whether lists leave it out unless they are asked for removed jobs too.")
    created_at: datetime = Field(description="When it was ordered.")
    started_at: datetime | None = Field(description="When its first run began; null before.")
    ended_at: datetime | None = Field(description="When it ended; null before.")
    attempts: Count = Field(description="How many runs it had.")
    source_count: Count = Field(description="How many sources it has.")
    sources_active: Count = Field(description="How many of them send now.")
    stops: Count = Field(description="How often a Soulseek user was hung up on before the end of its file.")
    queue_place: Count | None = Field(description="Our best place in a user's queue, from 1; null without one.")


class JobSource(Told):
    """One source of a job. Its numbers are of all runs of the job."""

    number: SourceNumber = Field(description="Its number in the job: what chunks are owned by.")
    url: Text = Field(description="Its address, without a password.")
    username: Text | None = Field(description="The Soulseek user; null for a mirror.")
    full_path: Text | None = Field(description="The user's remote path; null for a mirror.")
    standing: Text = Field(description="candidate, queued, active, cooling, banned or dropped.")
    phase: Text | None = Field(
        description="probing, connecting, queued, granted, flowing, stalled or resting; null when it does nothing."
    )
    reason: Text | None = Field(description="Why it is not active, in words; null when it is.")
    rate_bytes_s: Number = Field(description="Bytes a second now.")
    bytes_stored: Count = Field(description="What came from it and was kept.")
    chunks: Count = Field(description="Chunks that came from it and were kept.")
    leases: Count = Field(description="How many runs of chunks it was given.")
    stops: Count = Field(description="How often it was hung up on before the end of its file.")
    lease_first: Chunk | None = Field(description="First chunk of the run it has now; null without one.")
    lease_stop: Chunk | None = Field(description="The chunk behind that run; null without one.")
    queue_place: Count | None = Field(description="Our place in its queue, from 1; null when it does not say.")


class ChunkRange(Told):
    """Consecutive chunks that are alike."""

    first: Chunk = Field(description="Number of the first chunk.")
    count: Chunk = Field(description="How many chunks.")
    state: ChunkState = Field(description="missing, leased (a source has them to fetch) or stored (checked, on disk).")
    source: SourceNumber | None = Field(
        description="Number of the source that sent them, or has them to fetch; null: nobody, or not known any more."
    )


class ChunkMap(Told):
    """Who has which chunks: the whole file, run-length encoded."""

    chunk_size: Count = Field(description="Bytes of a chunk; the last one may be shorter.")
    chunk_count: Chunk = Field(description="Chunks of the whole file.")
    runs: Annotated[list[ChunkRange], Field(max_length=MAP_RUNS_MAX)] = Field(
        description="In order, without holes; neighbours differ in state or source."
    )
    truncated: bool = Field(description=f"Whether there were more than {MAP_RUNS_MAX} runs and the last are left out.")


class JobDetail(Job):
    """One job with its sources and chunks."""

    sources: Annotated[list[JobSource], Field(max_length=SOURCES_TOLD_MAX)] = Field(
        description="Every source it has or had."
    )
    chunk_map: ChunkMap | None = Field(description="Null while the size is not known, or when it was not wanted.")
    notes: Annotated[list[Text], Field(max_length=PAGE_MAX)] = Field(
        description="The latest things that people should read, newest last."
    )


class Bottleneck(Told):
    """One thing that holds a job back."""

    kind: Text = Field(
        description=(
            "queue (too many active jobs), paused, sources, places (in users' queues), one source, budget (of stops), "
            "limit, disk, login, search, peers (as fast as they are) or ended."
        )
    )
    text: Text = Field(description="A sentence that says it.")


class Why(Told):
    """What holds a job back now, in words."""

    id: Id = Field(description="The job.")
    text: Text = Field(description="The tightest of the bindings, as a sentence.")
    bindings: Annotated[list[Bottleneck], Field(max_length=PAGE_MAX)] = Field(
        description="All of them, tightest first."
    )


class Happening(Told):
    """One thing that happened to a job."""

    serial: Count = Field(description="Rises by one with each event of the daemon.")
    at: datetime = Field(description="When.")
    kind: Text = Field(description="What, as in the list of events: job.queued, source.added, job.sealed ...")
    data: dict[str, Any] = Field(description="What there is to say about it; which members depends on the kind.")


class ManifestRange(Told):
    """Consecutive chunks from one source."""

    first: Chunk = Field(description="Number of the first chunk.")
    count: Chunk = Field(description="How many chunks.")
    start_byte: Count = Field(description="Where they begin in the file.")
    stop_byte: Count = Field(description="Where they end: the first byte that is not theirs.")
    source: SourceNumber | None = Field(description="Number of the source; null when it is not known any more.")
    url: Text | None = Field(description="Its address without a password; null when it is not known any more.")


class Manifest(Told):
    """Who sent which bytes of a job's file, and what it hashes to; also after the job ended."""

    id: Id = Field(description="The job.")
    name: Text = Field(description="Name of the file.")
    path: Text | None = Field(description="Where it is; null before there is anything.")
    state: State = Field(description="State of the job.")
    size_bytes: Count | None = Field(description="Size of the file; null while it is not known.")
    chunk_size: Count = Field(description="Bytes of a chunk; the last one may be shorter.")
    stored_bytes: Count = Field(description="Checked and on the disk.")
    checksum: Text | None = Field(description="algorithm:hex that was demanded; null without.")
    digest_hex: Text | None = Field(
        description="Digest of the finished file, by the checksum's algorithm, xxh3_128 without one; null before."
    )
    claim: Text | None = Field(
        description="How strong the proof of the content is: digest (a checksum matched) or size; null before."
    )
    runs: Annotated[list[ManifestRange], Field(max_length=MAP_RUNS_MAX)] = Field(
        description="Runs of stored chunks in order; what lies between them is missing. A page of them."
    )
