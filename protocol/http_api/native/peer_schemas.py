"""What is told of Soulseek users: what a search found, who is known, what they share, how often we hung up on them."""

from datetime import date, datetime
from typing import Annotated, Final

from pydantic import Field

from protocol.http_api.native.schema_base import PAGE_MAX, Count, Number, Text, Told

HITS_TOLD_MAX: Final = 500
FILES_TOLD_MAX: Final = 100_000


class Holder(Told):
    """A user who has a file."""

    username: Text = Field(description="Name of the user.")
    full_path: Text = Field(description="Remote path, as an order wants it.")
    size: Count = Field(description="Size of the file in bytes.")
    slots_free: bool = Field(description="Whether the user would send at once.")
    queue_length: Count = Field(description="How many wait before us.")
    speed_bytes_s: Count = Field(description="What the user advertises; 0: nothing.")


class FileMatch(Told):
    """One file as far as a search can tell: same exact size, same extension. A guess that chunks have to confirm."""

    name: Text = Field(description="What most users call it.")
    size: Count = Field(description="Exact size in bytes.")
    extension: Text = Field(description="In lower case without the dot; empty without one.")
    users: Count = Field(description="How many users have it.")
    free: Count = Field(description="How many of them would send at once.")
    speed_bytes_s: Count = Field(description="Sum of what they advertise.")
    shortest_queue: Count = Field(description="The fewest who wait before us.")
    sources: Annotated[list[Holder], Field(max_length=HITS_TOLD_MAX)] = Field(
        description="Those who have it, who would send soonest and fastest first."
    )


class Found(Told):
    """What a search brought."""

    search_text: Text = Field(description="What was searched for.")
    hits: Count = Field(description="Files that were told.")
    refused: Count = Field(description="Of them, nonsense, locked ones, and those there was no room for.")
    targets: Annotated[list[FileMatch], Field(max_length=PAGE_MAX)] = Field(
        description="What most users have first; a page of them."
    )


class FileSources(Told):
    """Who has one exact file."""

    filename: Text = Field(description="Name that was looked for.")
    size: Count = Field(description="Exact size in bytes.")
    sources: Annotated[list[Holder], Field(max_length=HITS_TOLD_MAX)] = Field(
        description="Who would send soonest and fastest first. Ready for the sources of an order."
    )


class KnownUser(Told):
    """What is remembered of a Soulseek user."""

    username: Text = Field(description="Name of the user.")
    rate_bytes_s: Number = Field(description="How fast its rides were; 0: not measured.")
    setup_s: Number = Field(description="Seconds from asking to the first byte; 0: not measured.")
    offset_ok: bool = Field(description="Whether it sends from the middle of a file.")
    failures: Count = Field(description="Attempts in a row that came to nothing.")
    last_fault: Text | None = Field(description="What the last of them was; null without.")
    stops_today: Count = Field(description="How often it was hung up on this day (UTC).")
    seen_at: datetime | None = Field(description="When anything was last learned of it; null when that is not known.")


class SharedFile(Told):
    """One shared file."""

    filename: Text = Field(description="Its name in the folder.")
    size: Count = Field(description="Its size in bytes.")


class SharedFolder(Told):
    """One shared folder."""

    name: Text = Field(description="Remote path of the folder.")
    files: Annotated[list[SharedFile], Field(max_length=FILES_TOLD_MAX)] = Field(description="The files in it.")


class UserFiles(Told):
    """What a user shares."""

    username: Text = Field(description="Name of the user.")
    folders: Annotated[list[SharedFolder], Field(max_length=FILES_TOLD_MAX)] = Field(description="Folder by folder.")
    truncated: bool = Field(description="Whether there was more than is told.")


class StopsOfDay(Told):
    """So often a user was hung up on before the end of its file on one day."""

    username: Text = Field(description="Name of the user.")
    day: date = Field(description="The day (UTC).")
    count: Count = Field(description="How often.")


class Limit(Told):
    """The limit of all jobs together."""

    limit: Count = Field(description="At most so many bytes a second, all jobs together; 0: no limit.")
    rate_bytes_s: Number = Field(description="Bytes a second that come now.")
