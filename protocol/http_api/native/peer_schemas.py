"""Response models of Soulseek users: search results, known users, shared files, the ledger of stops."""

from datetime import date
from typing import Annotated, Final, Literal

from pydantic import Field

from protocol.http_api.schema_base import (
    PAGE_MAX,
    Count,
    MaybeCount,
    MaybeMoment,
    MaybeText,
    Number,
    ResponseModel,
    Text,
)

HITS_TOLD_MAX: Final = 500
FILES_TOLD_MAX: Final = 100_000


class Holder(ResponseModel):
    """A user who has a file."""

    username: Text = Field(description="Name of the user.")
    full_path: Text = Field(description="Remote path, as an order wants it.")
    size: Count = Field(description="Size of the file in bytes.")
    slots_free: bool = Field(description="Whether the user would send at once.")
    queue_length: Count = Field(description="How many wait before us.")
    speed_bytes_s: Count = Field(description="What the user advertises; 0: nothing.")
    bit_rate: MaybeCount = Field(description="kbit/s as the user reports; null when not.")
    duration: MaybeCount = Field(description="Seconds as the user reports; null when not.")
    sample_rate: MaybeCount = Field(description="Hz as the user reports; null when not.")
    bit_depth: MaybeCount = Field(description="Bits of a sample as the user reports; null when not.")


class FileMatch(ResponseModel):
    """One file as far as a search can tell: same exact size, extension and words of the name, nothing else differs."""

    name: Text = Field(description="What most users call it.")
    size: Count = Field(description="Exact size in bytes.")
    extension: Text = Field(description="In lower case without the dot; empty without one.")
    users: Count = Field(description="How many users have it.")
    free: Count = Field(description="How many of them would send at once.")
    speed_bytes_s: Count = Field(description="Sum of what they advertise.")
    shortest_queue: Count = Field(description="The fewest who wait before us.")
    sureness: Literal["single", "names", "attributes"] = Field(
        description="Why it counts as one file: one user has it; size and names; length or rates of several users too."
    )
    agreeing: Count = Field(description="How many users report a length, bit rate or sample rate, all the same.")
    sources: Annotated[list[Holder], Field(max_length=HITS_TOLD_MAX)] = Field(
        description="Those who have it, who would send soonest and fastest first."
    )


class Found(ResponseModel):
    """Results of a search."""

    search_text: Text = Field(description="What was searched for.")
    hits: Count = Field(description="Files that users reported.")
    refused: Count = Field(description="Of them, invalid or locked ones, and those there was no room for.")
    targets: Annotated[list[FileMatch], Field(max_length=PAGE_MAX)] = Field(
        description="What most users have first; a page of them."
    )


class FileSources(ResponseModel):
    """Sources of one exact file."""

    filename: Text = Field(description="Name that was looked for.")
    size: Count = Field(description="Exact size in bytes.")
    sources: Annotated[list[Holder], Field(max_length=HITS_TOLD_MAX)] = Field(
        description="Who would send soonest and fastest first. Ready for the sources of an order."
    )


class KnownUser(ResponseModel):
    """History of a Soulseek user."""

    username: Text = Field(validation_alias="peer", description="Name of the user.")
    rate_bytes_s: Number = Field(description="How fast its transfers were; 0: not measured.")
    setup_s: Number = Field(description="Seconds from asking to the first byte; 0: not measured.")
    offset_ok: bool = Field(description="Whether it sends from the middle of a file.")
    failures: Count = Field(description="Failed attempts in a row.")
    last_fault: MaybeText = Field(description="What the last of them was; null without.")
    stops_today: Count = Field(description="How often its transfers were stopped early on this day (UTC).")
    seen_at: MaybeMoment = Field(
        validation_alias="seen_ms", description="When anything was last learned of it; null when that is not known."
    )


class SharedFile(ResponseModel):
    """One shared file."""

    filename: Text = Field(description="Its name in the folder.")
    size: Count = Field(description="Its size in bytes.")


class SharedFolder(ResponseModel):
    """One shared folder."""

    name: Text = Field(description="Remote path of the folder.")
    files: Annotated[list[SharedFile], Field(max_length=FILES_TOLD_MAX)] = Field(description="The files in it.")


class UserFiles(ResponseModel):
    """Shared files of a user."""

    username: Text = Field(description="Name of the user.")
    folders: Annotated[list[SharedFolder], Field(max_length=FILES_TOLD_MAX)] = Field(description="Folder by folder.")
    truncated: bool = Field(description="Whether there was more than is listed.")


class StopsOfDay(ResponseModel):
    """Number of times a user's transfer was stopped before the end of its file on one day."""

    username: Text = Field(validation_alias="peer", description="Name of the user.")
    day: date = Field(description="The day (UTC).")
    count: Count = Field(description="How often.")


class Upload(ResponseModel):
    """One file that is sent to a Soulseek user, or was lately."""

    username: Text = Field(validation_alias="peer", description="Name of the user.")
    path: Text = Field(description="Remote path of the file, as the user asked for it.")
    state: Literal["sending", "queued", "complete", "ended"] = Field(description="ended: without being complete.")
    size_bytes: Count = Field(description="Size of the file; 0: not known yet.")
    sent_bytes: Count = Field(description="What was sent of it.")
    rate_bytes_s: Number = Field(description="Bytes a second now.")


class Shared(ResponseModel):
    """A folder that is shared with its subfolders."""

    path: Text = Field(description="On the daemon's machine.")
    alias: Text = Field(description="First part of its remote paths.")
    folders: Count = Field(description="Subfolders that hold files, with itself.")
    files: Count = Field(description="Files in them.")
    scanning: bool = Field(description="Whether it is looked through now.")


class Searches(ResponseModel):
    """Searches that may still be sent."""

    left: Count = Field(description="How many may be sent now.")
    most: Count = Field(description="How many in any span.")
    span_s: Number = Field(description="Seconds of a span.")
    next_s: Number = Field(description="Seconds until the next one may be sent; 0: now.")


class Exchange(ResponseModel):
    """Our part in the Soulseek network: searches, what is shared, what is sent."""

    searches: Searches | None = Field(description="Null without a session.")
    shares: Annotated[list[Shared], Field(max_length=FILES_TOLD_MAX)] = Field(description="Shared folders.")
    uploads: Annotated[list[Upload], Field(max_length=FILES_TOLD_MAX)] = Field(
        description="Those that are sent first, then those that wait, then those that ended."
    )


class LimitWindow(ResponseModel):
    """A time of the week with another limit."""

    days: Annotated[list[Count], Field(max_length=7)] = Field(description="Days on which it begins; 0 is Monday.")
    begin_minute: Count = Field(description="Minute of the day, local time, when it begins.")
    end_minute: Count = Field(description="Minute when it ends, perhaps on the next day.")
    limit: Count = Field(validation_alias="limit_bytes_s", description="Limit in bytes a second; 0: none.")


class Limit(ResponseModel):
    """The limit of all jobs together."""

    limit: Count = Field(description="Limit in bytes a second, all jobs together; 0: none.")
    rate_bytes_s: Number = Field(description="Bytes a second that come now.")
    schedule: Annotated[list[LimitWindow], Field(max_length=1000)] = Field(
        description="Times with another limit, the first that fits holds: by order, else as configured."
    )
