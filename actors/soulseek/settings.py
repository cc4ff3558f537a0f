"""What a person may choose about the Soulseek session, and the times it keeps."""

from dataclasses import dataclass, field

from protocol.messages.addresses import FRONT, POOL

NAME_CHARS_MAX = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class TalkTimes:
    """How long a talk with a peer waits for what, in seconds. Measured with real peers; tests make them shorter."""

    connect_s_max: float = 15.0
    """Direct and indirect together."""
    login_s_max: float = 20.0
    """What is asked while the login is on its way waits so long for it."""
    upload_failed_s_max: float = 1.5
    """After a stop, before the peer is asked again. Uploaders say it within 0.115."""
    finished_s: float = 0.2
    """After a body read to its end: the uploader needs a moment to see us close."""
    owed_s_max: float = 30.0
    """So late may an UploadFailed still be about the attempt before."""
    repeat_s: tuple[float, ...] = (4.0, 12.0)
    """A QueueUpload that met silence is said again at these times: some uploaders lose one that comes too early."""
    repeat_every_s: float = 180.0
    """And again after so long without any sign that the peer knows of us: it may have been restarted."""
    place_first_s: float = 2.0
    place_every_s: float = 30.0
    """The place in the queue is asked for after the first and then so often."""
    answer_s_max: float = 10.0
    """An offer that our side does not answer is declined: a peer's slot is waiting."""
    file_s_max: float = 30.0
    """From taking a turn to its F connection, and for a ticket on any F connection."""
    last_word_s_max: float = 0.5
    """When our side asks anew before the worker has said how its connection ended."""
    failed_s_max: float = 10.0
    """After the peer's UploadFailed the worker's last word is awaited for so long."""
    server_s_max: float = 5.0
    """What is asked about a user the server answers within so long."""
    told_s_max: float = 30.0
    """A user may take so long to tell what it shares: some make the list when they are asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    """Everything the session needs. Pickles; the password is in no repr."""

    username: str
    password: str = field(repr=False)
    server_host: str = "server.slsknet.org"
    server_port: int = 2416
    ports: tuple[int, ...] = (0,)
    """Listening ports, the first that is free is taken. 0: any; better a fixed one where a router forwards it."""
    obfuscated_port: int = -1
    """A second listening port for obfuscated connections. 0: any, -1: none."""
    bind_host: str = "0.0.0.0"
    upnp: bool = False
    shared_folders: tuple[str, ...] = ()
    sharing: bool = True
    """False: share nothing, not even finished files. Many users ban those who do."""
    finished_folder: str = ""
    """Where links to finished files are kept, which are shared. Empty: they are not."""
    upload_slots: int = 2
    upload_limit_kib_s: int = 0
    """0: none."""
    searches_max: int = 34
    searches_s: float = 220.0
    """At most so many searches in any time so long: the server bans who searches more."""
    retry_s: tuple[float, float] = (1.0, 60.0)
    """First and longest pause between attempts to log in."""
    times: TalkTimes = TalkTimes()
    heard_by: tuple[str, ...] = (POOL, FRONT)
    """Who is told how the login goes. Processes that do not run must not be named: each costs a wait."""

    def __post_init__(self) -> None:
        if not 0 < len(self.username) <= NAME_CHARS_MAX or not self.username.isprintable():
            raise ValueError(f"a Soulseek user name has 1 to {NAME_CHARS_MAX} printable characters")
        for port in (*self.ports, self.server_port, max(self.obfuscated_port, 0)):
            if not 0 <= port <= 65535:
                raise ValueError(f"{port} is no port")
        if not self.ports:
            raise ValueError("no listening port")
