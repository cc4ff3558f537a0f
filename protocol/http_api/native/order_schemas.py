"""Request models of the native API: orders, sources, changes of a job, limits."""

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, WrapValidator, model_validator

from protocol.http_api.schema_base import (
    BARE_HASH,
    CHECKSUM,
    PAGE_MAX,
    SIZE_MAX,
    SOURCES_MAX,
    UUID,
    WHOLE,
    ChunkSize,
    FileName,
    FileSize,
    Folder,
    Path,
    Priority,
    Rate,
    RequestModel,
    Term,
    Url,
    Username,
)
from protocol.model.http_options import (
    CONNECTIONS_MAX,
    HEADERS_CHARS_MAX,
    LOGINS_CHARS_MAX,
    TEXT_CHARS_MAX,
    check_cookies,
    check_header,
    check_interface,
    check_proxy,
    login_line,
)
from protocol.model.integrity.metalink import PIECE_BYTES_MAX, PIECES_MAX
from protocol.model.job_spec import HttpOptions
from protocol.model.limits import RETRIES_MAX, TIMEOUT_S_MAX
from protocol.model.source_url import URL_BYTES_MAX

CHECKSUM_FILE_CHARS_MAX: Final = 200_000
DOCUMENT_CHARS_MAX: Final = 4_000_000
"""Of a Metalink in an order: with the rest it fits a body of the usual bound. Longer ones are fetched by address."""
MAX_TIME_S_MAX: Final = 2_592_000
WINDOWS_MAX: Final = 100
SEARCH_MS: Final = 30_000
SEARCH_MS_MIN: Final = 1000
SEARCH_MS_MAX: Final = 120_000


def _checked(check: Callable[[str], None]) -> Callable[[str], str]:
    def validated(word: str) -> str:
        check(word)
        return word

    return validated


Mode = Literal["swarm", "queue", "failover", "race"]
JobId = Annotated[
    str,
    Field(pattern=UUID, min_length=36, max_length=36, examples=["3f0c9f0e-6a2b-4b44-9d5c-0d9a3c1e7f00"]),
]
HttpUrl = Annotated[
    str, Field(min_length=8, max_length=URL_BYTES_MAX, pattern=r"^[hH][tT][tT][pP][sS]?://[^\x00-\x20\x7f-\xa0]+$")
]
SearchedSize = Annotated[int, Field(ge=1, le=SIZE_MAX), WHOLE]
SearchTimeout = Annotated[int, Field(ge=SEARCH_MS_MIN, le=SEARCH_MS_MAX), WHOLE]


class UserSource(RequestModel):
    """The same file at one Soulseek user."""

    username: Username = Field(description="Name of the Soulseek user.", examples=["ann"])
    full_path: Path = Field(
        description="Remote path of the file exactly as the user reports it, backslashes and all.",
        examples=["music\\quartet\\tide.flac"],
    )


class UrlSource(RequestModel):
    """The same file at one address."""

    url: Url = Field(
        description=(
            "http://, https:// or slsk://user/percent-encoded-path. Addresses inside private networks are refused "
            "unless the configuration allows them. user:password@ is sent to the server and never shown."
        ),
        examples=["https://mirror.example/tide.flac"],
    )


def _one_kind(value: Any, _either: object) -> "UserSource | UrlSource":
    """Validate as one kind, so that an error about a source names its member, not both kinds."""
    if isinstance(value, UserSource | UrlSource):
        return value
    kind = UrlSource if isinstance(value, dict) and "url" in value else UserSource
    return kind.model_validate(value)


AnySource = Annotated[UserSource | UrlSource, WrapValidator(_one_kind)]
Sources = Annotated[
    list[AnySource], Field(min_length=1, max_length=SOURCES_MAX, json_schema_extra={"uniqueItems": True})
]


class JobOrder(RequestModel):
    """Members of all orders."""

    chunk_size: ChunkSize | None = Field(
        default=None,
        description="Bytes of a chunk: unit of hash, record, retry and display; null: as the daemon is configured.",
    )
    mode: Mode = Field(
        default="swarm",
        description=(
            "swarm: every source sends one long range whose end moves. queue: one chunk a request. failover: one "
            "source at a time. race: every source fetches everything, the first complete one wins."
        ),
    )
    folder: Folder | None = Field(
        default=None,
        description=(
            "Where the file goes: relative to the download folder, or absolute and inside one of the folders that the "
            "configuration names. Null: the download folder."
        ),
        examples=["quartet"],
    )
    limit: Rate = Field(default=0, description="Limit in bytes a second, all sources together; 0: none.")
    priority: Priority = Field(default=0, description="The highest goes first; equal ones in the order they came.")


HeaderLine = Annotated[str, AfterValidator(_checked(check_header)), Field(min_length=2, max_length=HEADERS_CHARS_MAX)]
Proxy = Annotated[str, AfterValidator(_checked(check_proxy)), Field(min_length=1, max_length=TEXT_CHARS_MAX)]
Interface = Annotated[str, AfterValidator(_checked(check_interface)), Field(min_length=1, max_length=45)]
PlainText = Annotated[str, Field(max_length=TEXT_CHARS_MAX, pattern=r"^[ -~]*$")]
Wait = Annotated[int, Field(ge=1, le=round(1000 * TIMEOUT_S_MAX)), WHOLE]


CookieLine = Annotated[str, AfterValidator(_checked(lambda line: check_cookies((line,)))), Field(max_length=8192)]
Word = Annotated[str, Field(max_length=1000)]


class HostLogin(RequestModel):
    """Login of one host, as a netrc file has it."""

    host: Annotated[str, Field(min_length=1, max_length=253)] = Field(description="Name of the host, without a port.")
    username: Word = Field(description="Name of the user there.", repr=False)
    password: Word = Field(description="Sent to that host only, and never shown.", repr=False)

    @model_validator(mode="after")
    def _plain(self) -> Self:
        self.line()
        return self

    def line(self) -> str:
        """Return it as the job carries it. Raises `ValueError`."""
        return login_line(self.host, self.username, self.password)


class HttpOrder(RequestModel):
    """HTTP options of an order; each member may be left out. Secrets in it are kept apart and never shown."""

    headers: Annotated[list[HeaderLine], Field(max_length=100)] = Field(
        default=[],
        description=(
            "Request fields, Name: value, besides the usual ones or in their place; without a value it takes a usual "
            "one away. Authorization and Cookie go only to the hosts of the addresses that were ordered."
        ),
        examples=[["Authorization: Bearer abc"]],
        repr=False,
    )
    user_agent: PlainText = Field(default="", description="Empty: the daemon's.")
    referer: PlainText = Field(default="", description="The page that requests come from.")
    proxy: Proxy | None = Field(
        default=None,
        description="http, https, socks5 or socks5h address; none: no proxy; null: as the daemon's environment says.",
        examples=["socks5h://127.0.0.1:1080"],
        repr=False,
    )
    interface: Interface | None = Field(
        default=None, description="Network interface, or address of the daemon's machine, that connections leave from."
    )
    ip_version: Annotated[Literal[0, 4, 6], Field(json_schema_extra={"minimum": 0, "maximum": 6})] = Field(
        default=0, description="4 or 6: only that version; 0: both."
    )
    https_only: bool = Field(default=False, description="Redirects from https to plain http are not followed.")
    timeout: Wait | None = Field(
        default=None, description="Milliseconds for a server to begin its answer; null: as configured."
    )
    stall_timeout: Wait | None = Field(
        default=None, description="Milliseconds for which a sending source may be silent; null: as configured."
    )
    retries: Annotated[int, Field(ge=1, le=RETRIES_MAX), WHOLE] | None = Field(
        default=None, description="Failures of a source in a row before it rests; null: as configured."
    )

    cookies: Annotated[list[CookieLine], Field(max_length=200)] = Field(
        default=[],
        description="Lines of a cookie file in Netscape's format; each goes to the hosts that it names.",
        examples=[["mirror.example\tFALSE\t/\tTRUE\t0\tsession\tabc"]],
        repr=False,
    )
    logins: Annotated[list[HostLogin], Field(max_length=50)] = Field(
        default=[], description="Logins of hosts, for addresses and redirects without one.", repr=False
    )

    @model_validator(mode="after")
    def _together(self) -> Self:
        check_cookies(tuple(self.cookies))
        if sum(len(one.line()) for one in self.logins) > LOGINS_CHARS_MAX:
            raise ValueError(f"logins: more than {LOGINS_CHARS_MAX} characters together")
        return self

    def options(self) -> HttpOptions:
        """Return them as the job carries them."""
        return HttpOptions(
            headers=tuple(self.headers),
            user_agent=self.user_agent,
            referer=self.referer,
            proxy=self.proxy or "",
            interface=self.interface or "",
            ip_version=self.ip_version,
            https_only=self.https_only,
            answer_s=(self.timeout or 0) / 1000,
            silence_s=(self.stall_timeout or 0) / 1000,
            failures=self.retries or 0,
            cookies=tuple(self.cookies),
            logins=tuple(one.line() for one in self.logins),
        )


class _FileOrder(JobOrder):
    """Members of orders whose files may come from HTTP servers."""

    http: HttpOrder = Field(default=HttpOrder(), description="How HTTP servers are asked.")
    existing: Literal["auto", "skip", "rename", "overwrite", "resume"] = Field(
        default="rename",
        description=(
            "What becomes of a file that has the name. auto: one that is proven to be the same is left, else rename."
        ),
    )
    require: Literal["size", "overlap", "frames", "pieces", "digest", "decoded"] | None = Field(
        default=None,
        description=(
            "Evidence about the content without which the file does not get its name. overlap: two sources agree where "
            "they were compared. frames: so do the file's own checks. decoded: all of the file was checked by its "
            "container. Null: as the configuration says."
        ),
    )
    max_time: Annotated[int, Field(ge=1, le=1000 * MAX_TIME_S_MAX), WHOLE] | None = Field(
        default=None,
        description="Milliseconds from its first start on after which the job fails, waits between attempts included, "
        "pauses not; null: never.",
    )


class _Order(_FileOrder):
    """Members of an order of one file."""

    checksum: Annotated[str, Field(pattern=CHECKSUM, max_length=150)] | None = Field(
        default=None,
        description="algorithm:hex of the whole file; it gets its name only when this matches.",
        examples=["sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    )
    expected_hash: Annotated[str, Field(pattern=BARE_HASH, max_length=128)] | None = Field(
        default=None,
        description=(
            "The same without the algorithm, which follows from the length: 32 digits md5, 40 sha1, 64 sha256, "
            "128 sha512. Together with checksum both must say the same."
        ),
    )


class PieceList(RequestModel):
    """Digests of the equal pieces that the file consists of; only the last piece may be shorter."""

    algorithm: Literal["sha1", "sha224", "sha256", "sha384", "sha512", "md5"] = Field(
        description="Algorithm of the digests.", examples=["sha256"]
    )
    piece_size: Annotated[int, Field(ge=1, le=PIECE_BYTES_MAX), WHOLE] = Field(
        description="Bytes of a piece.", examples=[1 << 20]
    )
    hashes: Annotated[
        list[Annotated[str, Field(pattern="^[0-9a-fA-F]{32,128}$", min_length=32, max_length=128)]],
        Field(min_length=1, max_length=PIECES_MAX),
    ] = Field(description="Hexadecimal digests, in the order of the pieces; as many as the file has pieces.")


class DownloadOrder(_Order):
    """Fetch one file from these sources."""

    filename: FileName = Field(
        description="Name of the finished file; of a path the last part is taken.", examples=["tide.flac"]
    )
    checksum_file: Annotated[str, Field(max_length=CHECKSUM_FILE_CHARS_MAX)] | None = Field(
        default=None,
        description=(
            "Text of a file like SHA256SUMS; the line of this filename gives the checksum. Together with checksum both "
            "must say the same."
        ),
    )
    file_size: FileSize | None = Field(
        description="Exact size in bytes; null when it is not known: then the sources, which must agree, report it.",
        examples=[21721524],
    )
    sources: Sources = Field(
        description="Where the file can be had, each place once. More may be added while the job runs."
    )
    connections: Annotated[int, Field(ge=1, le=CONNECTIONS_MAX), WHOLE] = Field(
        default=1, description="Connections to each HTTP server at once; each counts as a source."
    )
    pieces: PieceList | None = Field(
        default=None,
        description=(
            "Compared as they are complete: of a bad one only that piece is fetched again. fileSize must be known."
        ),
    )
    group: JobId | None = Field(
        default=None,
        description=(
            "A UUID that several orders share: their jobs are listed and commanded together, as those of a folder."
        ),
    )


class MetalinkOrder(_FileOrder):
    """Fetch the files that a Metalink document describes, each from its mirrors. One of document and url is needed."""

    document: Annotated[str, Field(min_length=1, max_length=DOCUMENT_CHARS_MAX)] | None = Field(
        default=None, description="The document itself, version 4 (RFC 5854) or 3."
    )
    url: HttpUrl | None = Field(
        default=None,
        description="Its address, in the place of the document: it is fetched once, now.",
        examples=["https://mirror.example/tide.iso.meta4"],
    )


class SwarmOrder(_Order):
    """Search Soulseek users for a file, then fetch it from all who have it."""

    filename: Term = Field(description="What to search for.", examples=["quartet tide flac"])
    size: SearchedSize | None = Field(
        description=(
            "Exact size in bytes: what tells the file from others of that name. Null: of the files that are found, the "
            "one that most users have."
        ),
        examples=[21721524],
    )
    search_timeout: SearchTimeout = Field(
        default=SEARCH_MS, description="Milliseconds for which answers to the first search are awaited."
    )


class FolderOrder(JobOrder):
    """Fetch a folder of a Soulseek user: each file from all who have it, as that user has it."""

    username: Username = Field(description="Name of the Soulseek user.", examples=["ann"])
    remote_folder: Path = Field(
        description="Remote path of the folder exactly as the user reports it.", examples=["music\\quartet"]
    )
    recursive: bool = Field(default=False, description="Also the folders below it, each in a folder of its name.")
    widen: bool = Field(default=True, description="Search for other users who have the same files.")


class Tuning(RequestModel):
    """Settings that may change while a job waits or runs; what is left out or null stays as it is."""

    limit: Rate | None = Field(default=None, description="Limit in bytes a second from now on; 0: none.")
    priority: Priority | None = Field(default=None, description="Its priority in the queue from now on.")


class BulkOrder(RequestModel):
    """One command to many jobs."""

    action: Literal["pause", "resume", "cancel", "retry", "delete", "update"] = Field(
        description="As the commands to one job; update: limit and priority."
    )
    ids: Annotated[list[JobId], Field(min_length=1, max_length=PAGE_MAX)] = Field(description="Ids of the jobs.")
    limit: Rate | None = Field(default=None, description="With update: limit in bytes a second; null: as it is.")
    priority: Priority | None = Field(default=None, description="With update: priority; null: as it is.")


class MoreSources(RequestModel):
    """More places for a job that has not ended."""

    sources: Sources = Field(description="Places to add, each once. Those the job has already are no error.")


class FileWanted(RequestModel):
    """One exact file that is looked for."""

    filename: FileName = Field(
        description="Its name; of a path the last part is taken. Its words are searched for.", examples=["tide.flac"]
    )
    size: SearchedSize = Field(description="Its exact size in bytes.", examples=[21721524])
    search_timeout: SearchTimeout = Field(default=10_000, description="Milliseconds for which answers are awaited.")


class LimitOrder(RequestModel):
    """Another limit for all jobs together."""

    limit: Rate | None = Field(
        description=(
            "Limit in bytes a second, all jobs together, until the next such order or restart; 0: none; "
            "null: as configuration and schedule say."
        )
    )


class LimitWindowOrder(RequestModel):
    """A time of the week with its own limit for all jobs together, in the daemon's local time."""

    days: Annotated[list[Annotated[int, Field(ge=0, le=6), WHOLE]], Field(min_length=1, max_length=7)] = Field(
        description="Days on which it begins; 0 is Monday.", examples=[[0, 1, 2, 3, 4]]
    )
    begin_minute: Annotated[int, Field(ge=0, le=1439), WHOLE] = Field(
        description="Minute of the day when it begins.", examples=[480]
    )
    end_minute: Annotated[int, Field(ge=0, le=1440), WHOLE] = Field(
        description="Minute when it ends; not after the beginning: on the next day.", examples=[1080]
    )
    limit: Rate = Field(description="Limit in bytes a second; 0: none.", examples=[1_000_000])


class ScheduleOrder(RequestModel):
    """Other limits by the time of the week."""

    schedule: Annotated[list[LimitWindowOrder], Field(max_length=WINDOWS_MAX)] | None = Field(
        description="The first window that fits holds, else the usual limit; kept over restarts. null: as configured."
    )
