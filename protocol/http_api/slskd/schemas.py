"""JSON models of slskd's API.

Requests are matched whatever their case (one client writes ``SearchText``, another ``searchText``) and unknown members
are ignored. Responses are camelCase without null members.
"""

import uuid
from collections.abc import Callable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from protocol.http_api.params import Flag
from protocol.http_api.schema_base import PATH_CHARS_MAX, WHOLE, AnyCase, FileName, FileSize
from protocol.model.limits import TERM_CHARS_MAX

NUMBER_MAX: Final = (1 << 31) - 1
"""Clients say "no limit" with the largest number that their language has an `int` for."""
FILES_MAX: Final = 1000
"""Files in one request to enqueue."""

Whole = Annotated[int, WHOLE]
GUID_CHARS: Final = 36
GUID: Final = "^[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}$"


class Body(AnyCase):
    """Base of request bodies: members in any case, but numbers as numbers."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, strict=True)


class Answer(BaseModel):
    """Base of responses. None: the member is left out."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True)


Guid = Annotated[
    uuid.UUID,
    Path(
        description="The transfer's id.",
        json_schema_extra={"minLength": GUID_CHARS, "maxLength": GUID_CHARS},
        examples=["bedb8fe1-d497-43b5-a8b4-c6a328fe38fd"],
    ),
]
SearchId = Annotated[
    str, Path(description="The search's id.", max_length=64, examples=["f857d550-e646-11f1-94e2-02fc00000001"])
]
IncludeResponses = Annotated[Flag, Query(description="Whether what was found is listed too.")]
IncludeRemoved = Annotated[Flag, Query(description="Whether those are listed that were removed from the list.")]
Remove = Annotated[Flag, Query(description="Whether it is taken from the list too.")]


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the ``responses`` of a route: errors with one line of text, a bare JSON string."""
    return {status: {"model": str, "description": _MEANS[status]} for status in statuses}


_MEANS: Final = {
    400: "Something in the request cannot be meant",
    404: "There is no such thing",
    409: "Not possible without a login to Soulseek",
    429: "Too many at once; try again after what `Retry-After` says",
    503: "No process is there to answer now, or none does in time",
}


class CompactRouter(APIRouter):
    """A router whose answers have no null members, and no body at all with status 204."""

    def add_api_route(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        options["response_model_exclude_none"] = True
        if options.get("status_code") == 204:
            options["response_class"] = Response
        super().add_api_route(path, endpoint, **options)


class Version(Answer):
    """Version of slskd that this behaves like."""

    full: str = Field(description="The version of slskd whose API this is: three whole numbers")
    current: str = Field(description="The same")
    is_update_available: bool = Field(default=False, description="Never")
    is_canary: bool = Field(default=False, description="Never")
    is_development: bool = Field(default=False, description="Never")


class ServerState(Answer):
    """The connection to the Soulseek server."""

    address: str = Field(description="Host of the server as configured, empty without an account")
    ip_end_point: str = Field(description="Host and port of the server, empty without an account")
    state: str = Field(description="``Disconnected``, ``Connecting`` or ``Connected, LoggedIn``")
    username: str = Field(description="Who is logged in, empty without an account")
    is_connected: bool = Field(description="There is a connection")
    is_connecting: bool = Field(description="One is being made")
    is_logged_in: bool = Field(description="The server has accepted the login")
    is_logging_in: bool = Field(default=False, description="Never seen: connecting and logging in are one step here")
    is_transitioning: bool = Field(description="The state is about to change")
    detail: str | None = Field(default=None, description="Why it is as it is, in words")


class User(Answer):
    """Ourselves."""

    username: str = Field(description="Our name on the network, empty without an account")


class ShareCounts(Answer):
    """Numbers of the share. Zeros while no session runs."""

    scan_pending: bool = Field(default=False, description="Never: a scan that is needed is begun")
    scanning: bool = Field(default=False, description="The shared folders are being read")
    ready: bool = Field(default=True, description="They can be read")
    scan_progress: float = Field(default=1.0, description="0 while they are being read, else 1")
    directories: int = Field(default=0, description="Folders that hold shared files")
    files: int = Field(default=0, description="Shared files")


class Application(Answer):
    """The state of the whole program."""

    version: Version = Field(description="As of slskd")
    product: str = Field(description="Name and version of this program")
    pending_reconnect: bool = Field(default=False, description="Never")
    pending_restart: bool = Field(default=False, description="Never")
    server: ServerState = Field(description="The connection to the Soulseek server")
    user: User = Field(description="Ourselves")
    shares: ShareCounts = Field(default=ShareCounts(), description="What is shared")
    rooms: list[str] = Field(default=[], description="Chat rooms: none")
    users: list[str] = Field(default=[], description="Watched users: none")


class Directories(Answer):
    """Folders on this machine."""

    downloads: str = Field(description="Finished files lie in folders below it")
    incomplete: str = Field(description="The same: an unfinished file lies beside its final place, named ``.part``")


class Options(Answer):
    """Configuration that tools need to know. No secrets."""

    directories: Directories = Field(description="Folders on this machine")


class EventRecord(Answer):
    """An event as slskd lists it."""

    timestamp: str = Field(description="UTC, ISO 8601")
    type: str = Field(description="`DownloadFileComplete` for a file that is complete, else as in /api/v0/events/kinds")
    data: str = Field(description="JSON in a text: the event's members")
    id: str = Field(description="A GUID")


class SearchBody(Body):
    """A search request."""

    search_text: str = Field(
        min_length=1,
        max_length=TERM_CHARS_MAX,
        pattern=r"\S",
        description="Words that must be in a file's path; ``-word`` must not",
        examples=["artist album"],
    )
    id: Annotated[str, StringConstraints(max_length=GUID_CHARS, pattern=GUID)] | None = Field(
        default=None,
        description="A GUID to call it by; made when there is none",
        examples=["f857d550-e646-11f1-94e2-02fc00000001"],
    )
    file_limit: Whole = Field(default=10_000, ge=1, le=NUMBER_MAX, description="Ends at this number of files")
    filter_responses: bool = Field(default=True, description="Whether the three limits on users below hold")
    maximum_peer_queue_length: Whole = Field(
        default=1_000_000, ge=0, le=NUMBER_MAX, description="Of users with longer queues nothing"
    )
    minimum_peer_upload_speed: Whole = Field(
        default=0, ge=0, le=NUMBER_MAX, description="Of slower users nothing; bytes/s"
    )
    minimum_response_file_count: Whole = Field(
        default=1, ge=0, le=NUMBER_MAX, description="Of users with fewer files nothing"
    )
    response_limit: Whole = Field(default=100, ge=1, le=NUMBER_MAX, description="Ends at this number of users")
    search_timeout: Whole = Field(default=15_000, ge=5, le=NUMBER_MAX, description="Ends after these milliseconds")


class FoundFile(Answer):
    """One file of a user, as a search finds it."""

    filename: str = Field(description="The whole remote path, backslashes and all")
    size: int = Field(description="Bytes")
    code: int = Field(default=1, description="Always 1")
    extension: str = Field(description="Lower case without dot, may be empty")
    is_locked: bool = Field(default=False, description="Only for the user's friends")
    bit_rate: int | None = Field(default=None, description="kbit/s")
    bit_depth: int | None = Field(default=None, description="Bits of a sample")
    sample_rate: int | None = Field(default=None, description="Hz")
    length: int | None = Field(default=None, description="Seconds")
    is_variable_bit_rate: bool | None = Field(default=None, description="Whether the bit rate varies")


class SearchResponse(Answer):
    """Files of one user."""

    username: str = Field(description="Who has it")
    token: int = Field(description="Of the search")
    file_count: int = Field(description="How many files")
    has_free_upload_slot: bool = Field(description="Would send at once")
    queue_length: int = Field(description="How many uploads wait there")
    upload_speed: int = Field(description="Bytes/s as the user says, 0 unknown")
    locked_file_count: int = Field(description="How many locked files")
    files: list[FoundFile] = Field(description="Files that can be had")
    locked_files: list[FoundFile] = Field(description="Files that cannot")


class Search(Answer):
    """A search and how far it is."""

    id: str = Field(description="A GUID")
    search_text: str = Field(description="What was searched for")
    started_at: str = Field(description="UTC, ISO 8601")
    ended_at: str | None = Field(default=None, description="UTC, ISO 8601")
    state: str = Field(description="``InProgress``, or ``Completed, `` and why")
    is_complete: bool = Field(description="Nothing more will come")
    file_count: int = Field(description="Files found that can be had")
    locked_file_count: int = Field(description="Files found that cannot")
    response_count: int = Field(description="Users who have some")
    responses: list[SearchResponse] = Field(description="Filled only when asked for")
    token: int = Field(description="A number for it")


class DirectoryBody(Body):
    """A folder to list."""

    directory: str = Field(min_length=1, max_length=PATH_CHARS_MAX, description="A remote folder, backslashes and all")


class DirectoryFile(Answer):
    """A file in a remote folder."""

    filename: str = Field(description="The bare name, without the folder")
    size: int = Field(description="Bytes")
    code: int = Field(default=1, description="Always 1")
    extension: str = Field(description="Lower case without dot, may be empty")
    attribute_count: int = Field(default=0, description="Always 0")
    attributes: list[str] = Field(default=[], description="Always empty")


class Directory(Answer):
    """A remote folder."""

    name: str = Field(description="Its whole remote path")
    file_count: int = Field(description="How many files")
    files: list[DirectoryFile] = Field(description="What is in it")


class Browse(Answer):
    """Everything that a user shares."""

    directories: list[Directory] = Field(description="Folders")
    directory_count: int = Field(description="How many")
    locked_directories: list[Directory] = Field(default=[], description="Always empty")
    locked_directory_count: int = Field(default=0, description="Always 0")


class UserStatus(Answer):
    """Presence of a user."""

    presence: str = Field(description="``Online``, ``Away`` or ``Offline``")
    is_privileged: bool = Field(description="Goes first in queues")


class BrowseStatus(Answer):
    """Progress of a list that is being fetched; how much of it came is not known here."""

    username: str = Field(description="Whose list")
    size: int = Field(default=0, description="Always 0")
    bytes_transferred: int = Field(default=0, description="Always 0")
    bytes_remaining: int = Field(default=0, description="Always 0")
    percent_complete: float = Field(default=0.0, description="Always 0")


class UserInfo(Answer):
    """Description of a user, by itself."""

    description: str = Field(description="In its own words")
    has_free_upload_slot: bool = Field(validation_alias="slots_free", description="Would send at once")
    has_picture: bool = Field(default=False, description="Never: pictures are not passed on")
    queue_length: int = Field(description="How many uploads wait there")
    upload_slots: int = Field(description="How many it sends at the same time")


class UserEndpoint(Answer):
    """Address of a user."""

    address: str = Field(description="Numeric")
    port: int = Field(description="0: none is known")


class WantedFile(Body):
    """A file to be enqueued; a file of a search's answer may be sent as it is."""

    filename: FileName = Field(
        description="The whole remote path, backslashes and all", examples=["music\\Artist\\Album\\01 - Track 1.flac"]
    )
    size: FileSize = Field(description="Bytes")


class Transfer(Answer):
    """One file being fetched, from any source."""

    id: str = Field(description="A GUID; that of the job below ``/api/v0/multisource/jobs`` as well")
    username: str = Field(description="From whom it was enqueued, also when others send the bytes")
    direction: str = Field(default="Download", description="Always ``Download``")
    filename: str = Field(description="The remote path that was enqueued")
    size: int = Field(description="Bytes")
    start_offset: int = Field(default=0, description="Always 0")
    state: str = Field(
        description="``Queued, Locally``, ``Queued, Remotely``, ``Initializing``, ``InProgress``, ``Completed, ...``"
    )
    requested_at: str = Field(description="UTC, ISO 8601")
    enqueued_at: str | None = Field(default=None, description="UTC, ISO 8601")
    started_at: str | None = Field(default=None, description="When the first bytes may have come; UTC, ISO 8601")
    ended_at: str | None = Field(default=None, description="UTC, ISO 8601")
    bytes_transferred: int = Field(description="Stored and checked, each byte once; never falls")
    average_speed: float = Field(description="Bytes/s")
    place_in_queue: int | None = Field(default=None, description="The best of our places in users' queues")
    exception: str | None = Field(default=None, description="Why it failed, in words")
    attempts: int = Field(description="How often it was begun")
    removed: bool = Field(description="Not listed unless asked for")
    bytes_remaining: int = Field(description="What is missing")
    elapsed_time: str | None = Field(default=None, description="Time at work")
    percent_complete: float = Field(description="0 to 100; 0 for an empty file")
    remaining_time: str | None = Field(default=None, description="Until it is complete, at this speed")
    sources: int = Field(description="Users it may come from")
    sources_active: int = Field(description="Users who are sending")


class FailedFile(Answer):
    """A file that was not enqueued."""

    filename: str = Field(description="Which")
    message: str = Field(description="Why not, in words")


class Enqueued(Answer):
    """Outcome for each file."""

    enqueued: list[Transfer] = Field(description="Those that are in the queue now, or were there already")
    failed: list[FailedFile] = Field(description="Those that are not")


class TransferDirectory(Answer):
    """Files of one remote folder."""

    directory: str = Field(description="The remote folder, backslashes and all")
    file_count: int = Field(description="How many")
    files: list[Transfer] = Field(description="The files")


class UserTransfers(Answer):
    """Transfers of one user."""

    username: str = Field(description="From whom")
    directories: list[TransferDirectory] = Field(description="By remote folder")


class Share(Answer):
    """A folder that is shared with all below it."""

    id: str = Field(description="A name for it")
    alias: str = Field(description="First part of the names that others see")
    is_excluded: bool = Field(default=False, description="Never")
    local_path: str = Field(description="Where it is on this machine")
    raw: str = Field(description="The same, as configured")
    remote_path: str = Field(description="The same as the alias")
    directories: int = Field(description="Folders in it that hold files, with itself")
    files: int = Field(description="Files in it")


class Shares(Answer):
    """Shared folders, by the machine that has them."""

    local: list[Share] = Field(description="Those of this daemon")
