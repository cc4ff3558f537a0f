"""What an uploader in the box is like: its speed, its manners and every bad habit it may have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Silence = Literal["offer", "connection", "bytes"]
"""What never comes: the transfer request after queueing, the F connection after the handshake, or the first byte."""

Hostility = Literal[
    "length_prefix", "zlib_bomb", "million_files", "garbage", "names", "sizes", "tickets", "mute_f", "flood", "all"
]
"""What it does to whoever searches:

* `length_prefix`: announces a message of 4 GiB and goes on sending; `zlib_bomb`: 1 MiB that unpacks to 1 GiB;
  `million_files`: a million results in one reply; `garbage`: messages cut short, unknown, random. No honest reply.
* `names`: the file under names with `..`, drive letters, NULs, 4 kB, bytes that are no UTF-8; all can be fetched.
* `sizes`: results of 0, 2^63 and 2^64-1 bytes beside the true one, and transfer requests that repeat the lie.
* `tickets`: tickets, files and tokens nobody gave, in every message that has one; `mute_f`: 20 F connections that
  never speak; `flood`: 300 connections. Beside an honest reply, and what is queued is sent honestly.
* `all`: everything above, one after the other.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Character:
    """One uploader's behaviour. The defaults describe an honest, unlimited one with Nicotine+'s manners, but quicker.

    Rates and byte counts are of file bytes, `*_s` are seconds.
    """

    rate_bytes_s: float | None = None
    """All its uploads together; None is as fast as the machine goes.

    Without a rate the kernels hold megabytes: a stop of a small file then often comes after its last byte was sent, and
    counts as finished, at real uploaders too.
    """
    burst_s: float = 0.0
    """The limiter lets the quota of this many seconds go at once, then pauses (Nicotine+: 1.0); 0 paces evenly."""
    tells_speed: int | None = None
    """Its average speed in search replies; None tells the rate, or 0 when there is none, as on a new server."""

    set_up_s: float = 0.01
    """From QueueUpload, or from the end of the wait in the queue, to its TransferRequest."""
    hop_s: float = 0.0
    """Waits this long before the F connection and before the first byte (Nicotine+: 0.05 to 0.1)."""
    tick_s: float = 0.02
    """From an early close to its UploadFailed (Nicotine+: 0.008 to 0.115, aioslsk: 0.003)."""
    late_upload_failed_s: float | None = None
    """The slot is free at once, but UploadFailed comes only after this, perhaps into the next transfer."""

    slots: int = 3
    """Uploads at the same time; never two for one user."""
    queue_before_us: int = 0
    """Strangers ahead of every new place in the queue."""
    queue_step_s: float = 1.0
    """Another stranger is served after this."""
    tells_place: bool = False
    """Sends the place after each QueueUpload without being asked, as slskd does."""
    answers_place: bool = True
    """False: never answers PlaceInQueueRequest, as seen of aioslsk."""

    refuse_offsets: bool = False
    """Closes, with UploadFailed, when the offset is not 0."""
    deny: str | None = None
    """UploadDenied with this text, for instance `Too many files`, `Banned`, `Queued`."""
    deny_count: int | None = None
    """Denies only the first so many; None denies for ever."""
    drop_queue_upload: bool = False
    """Silently loses a QueueUpload that comes between an early close and its UploadFailed, as aioslsk may."""
    silent: Silence | None = None
    stall_after_bytes: int | None = None
    """Total over its life: then no byte more on any connection, which all stay open."""
    dies_after_bytes: int | None = None
    """Total over its life: then resets every connection and leaves the network."""

    offer_s_max: float = 45.0
    """Takes an offer without answer back after this ..."""
    reoffer_s: float = 180.0
    """... and makes it again after this."""
    idle_s_max: float = 60.0
    """Closes, with UploadFailed, after this long without an offset, without progress or after the last byte."""
    line_s_max: float = 60.0
    """Closes a P connection on which nothing came for this long; dials again when it has something to say."""

    firewalled: bool = False
    """Refuses connections: only its own to others work, which the server's ConnectToPeer asks it to make."""
    obfuscated: bool = False
    """Listens on an obfuscated port only."""
    duplicate_f: bool = False
    """Opens F twice, from its side and through the server; the one that loses stays open and silent."""

    other_content: bool = False
    """The same size, but other bytes."""
    size_lie: int | None = None
    """The size in search replies; transfer requests tell the true one."""
    no_search_reply: bool = False
    """Has the file, but is deaf to searches."""
    offline: bool = False
    """Answers its first search, then leaves the network."""
    hostile: Hostility | None = None

    def __post_init__(self) -> None:
        for value, known in ((self.silent, Silence), (self.hostile, Hostility)):
            if value is not None and value not in get_args(known):
                raise ValueError(f"no such character: {value!r}; known: {', '.join(get_args(known))}")
