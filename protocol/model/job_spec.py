"""Job specification: one download as it was ordered. The only place where its defaults stand.

It travels whole: from the command line or the API into the order, the job store, each attempt, and the dispatcher. So
a new setting is one field here, the option or key that sets it, and the decision that reads it.
"""

from typing import Final

from protocol.model.limits import PATIENCE_S, RACE_USERS, STOPS_PER_DAY, STOPS_PER_JOB
from protocol.model.value import Value

SLOW_RATE_BYTES_S: Final = 5 * 1024
SLOW_AFTER_S: Final = 15.0
TIMEOUT_S: Final = 30.0
STALL_TIMEOUT_S: Final = 10.0
FAILURES_MAX: Final = 3
_SECRETS: Final = ("authorization", "cookie")


class TransferPolicy(Value):
    """Rules for disk and sources: options of a command, in the daemon its configuration as each attempt begins."""

    preallocate: bool = False
    """Reserve the disk space at once."""
    sync: str = "full"
    """One of `SYNCS`: ``full`` means that a sealed file is on the disk."""
    slow_rate_bytes_s: int = SLOW_RATE_BYTES_S
    """A source below this rate is slow; 0: none is."""
    slow_after_s: float = SLOW_AFTER_S
    """How long a slow source is tolerated."""
    timeout_s: float = TIMEOUT_S
    """How long an HTTP server may take to begin its answer. A connection may take a third of it, or 10 s."""
    stall_timeout_s: float = STALL_TIMEOUT_S
    """How long a source that sends may be silent."""
    failures_max: int = FAILURES_MAX
    """Failures of a source in a row, without a stored chunk between them, after which it rests."""
    required: str = ""
    """Evidence without which no file is sealed, one of `identity.REQUIRABLE`; the job's own `require` goes before."""
    stops_per_job: int = STOPS_PER_JOB
    """How often one Soulseek user's transfers may be aborted, for this file and lately for others of its folder ..."""
    stops_per_day: int = STOPS_PER_DAY
    """... and in a day."""
    patience_s: float = PATIENCE_S
    """Seconds, beside a quarter of what is left, that disturbing one more user must save; 0: any may be disturbed."""
    race_users: int = RACE_USERS
    """Soulseek users that a race disturbs at a time: all but the winner are hung up on."""
    output_template: str = ""
    """Where finished files of a daemon go, see `output_template`; empty: they stay."""
    roots: tuple[str, ...] = ()
    """``kind=folder``: what the template's paths of a kind of files are below; else the folder for downloads."""
    file_mode: str = ""
    """Mode of finished files and ..."""
    folder_mode: str = ""
    """... of folders that a template makes, as ``0640``; empty: as the system says."""

    def configured(self, *tables: object) -> "TransferPolicy":
        """Return the policy with what these tables of the configuration say; their fields are called like its own."""
        names = self.__struct_fields__
        return self.but(**{name: getattr(table, name) for table in tables for name in names if hasattr(table, name)})

    def ordered(self, http: "HttpOptions") -> "TransferPolicy":
        """Return the policy with what a job was ordered with."""
        return self.but(
            timeout_s=http.answer_s or self.timeout_s,
            stall_timeout_s=http.silence_s or self.stall_timeout_s,
            failures_max=http.failures or self.failures_max,
        )


class HttpOptions(Value):
    """Options of a job's HTTP requests. They may hold secrets, so no value is in the repr."""

    headers: tuple[str, ...] = ()
    """Request fields, ``Name: value``, besides the usual ones or in their place. ``Authorization`` and ``Cookie`` go
    only to the host of the address that the user gave."""
    user_agent: str = ""
    """Empty: the program's."""
    referer: str = ""
    cookie_file: str = ""
    """Absolute path of a cookie file in Netscape's format; empty: none."""
    netrc_file: str = ""
    """Absolute path of a file with logins of hosts; empty: none."""
    proxy: str = ""
    """Address of the proxy; empty: as the environment says, ``none``: no proxy."""
    interface: str = ""
    """Network interface, or address of this machine, that connections leave from; empty: any."""
    ip_version: int = 0
    """4 or 6: only that version; 0: both."""
    answer_s: float = 0.0
    """`TransferPolicy.timeout_s` of this job in a daemon, whose configuration says it else; 0: that."""
    silence_s: float = 0.0
    """The same of `stall_timeout_s`."""
    failures: int = 0
    """The same of `failures_max`."""
    cookies: tuple[str, ...] = ()
    """Lines of a cookie file, of a job in a daemon, which reads no file of the user."""
    logins: tuple[str, ...] = ()
    """The same of a file with logins: host, user and password with tabs between them."""
    https_only: bool = False
    """A redirect from https to plain http is not followed."""

    def for_strangers(self) -> "HttpOptions":
        """Return the options for addresses named by a document or a server: without what is for the user's own."""
        open_to_all = [each for each in self.headers if each.partition(":")[0].strip().lower() not in _SECRETS]
        return self.but(headers=tuple(open_to_all), netrc_file="", logins=())

    def __repr__(self) -> str:
        """Return which are set, without their values."""
        given = [name for name in self.__struct_fields__ if getattr(self, name)]
        return f"HttpOptions({', '.join(given)})"


class PieceHashes(Value):
    """Digests of the equal pieces of a file. Their list may be longer than a message, so it lies in a file."""

    piece_algorithm: str = ""
    """One of `HEX_DIGITS`; empty: there are none."""
    piece_bytes: int = 0
    """Length of every piece but the last one."""
    piece_file: str = ""
    """Absolute path of the raw digests, one after another."""

    @property
    def algorithm(self) -> str:
        return self.piece_algorithm


class JobSpec(Value):
    """One file and how it is to be downloaded. Columns of the job store have the names of its fields."""

    folder: str
    """Absolute path."""
    name: str = ""
    """Of the finished file; empty: taken from the sources."""
    size_bytes: int = -1
    """Exact size; -1: unknown, any."""
    chunk_size: int = 0
    """0: chosen by the size of the file, see `chunk_tracker.chunk_size_of`."""
    checksum: str = ""
    """``algorithm:hex`` in lower case, empty: none."""
    mode: str = "swarm"
    """One of `MODES`."""
    limit_bytes_s: int = 0
    """Of all sources together; 0: none."""
    priority: int = 0
    """The highest starts first."""
    term: str = ""
    """Words that users are searched for by; empty: no search."""
    search_s: float = 0.0
    """How long answers to the first search are awaited."""
    origin: str = "cli"
    """How it was ordered: ``cli``, ``multisource`` (the native API) or ``slskd``."""
    user: str = ""
    """Of an order through slskd's API: the user and ..."""
    remote_path: str = ""
    """... the path that were enqueued, whichever source sends the bytes."""
    widen: bool = False
    """Search for other users who have the same file."""
    private_ok: bool = True
    """Addresses inside private networks may be downloaded from."""
    policy: TransferPolicy = TransferPolicy()
    http: HttpOptions = HttpOptions()
    existing: str = "rename"
    """One of `EXISTING`: what is done with a file that has the name."""
    require: str = ""
    """Evidence about the content without which it is not sealed, one of `identity.REQUIRABLE`; empty: as configured."""
    folder_id: str = ""
    """Id of the folder download that the job is a file of; empty: none."""
    pieces: PieceHashes = PieceHashes()
    """Compared piece by piece as they are complete."""
    max_time_s: float = 0.0
    """A job in a daemon fails when it is not complete so long after its first start, pauses by a user and times
    without a daemon left out; 0: never."""
    template_root: str = ""
    """Folder for downloads of a daemon, below which its template puts the file; empty: it stays in `folder`."""
