"""The behaviour of an uploader in tests: every bad habit a client may have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from actors.demo.soulseek.behavior import Behavior

Silence = Literal["offer", "connection", "bytes"]
"""What never comes: the transfer request after queueing, the F connection after the handshake, or the first byte."""

Hostility = Literal[
    "length_prefix", "zlib_bomb", "million_files", "garbage", "names", "sizes", "tickets", "mute_f", "flood", "all"
]
"""What it does to users who search:

* `length_prefix`: announces a message of 4 GiB and goes on sending; `zlib_bomb`: 1 MiB that unpacks to 1 GiB;
  `million_files`: a million results in one reply; `garbage`: messages cut short, unknown, random. No honest reply.
* `names`: the file under names with `..`, drive letters, NULs, 4 kB, bytes that are no UTF-8; all can be fetched.
* `sizes`: results of 0, 2^63 and 2^64-1 bytes beside the true one, and transfer requests that repeat the lie.
* `tickets`: invented tickets, files and tokens, in every message that has one; `mute_f`: 20 F connections that
  never speak; `flood`: 300 connections. Beside an honest reply, and what is queued is sent honestly.
* `all`: everything above, one after the other.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Character(Behavior):
    """One uploader's behaviour. The defaults describe an honest, unlimited one."""

    tells_speed: int | None = None
    """Its average speed in search replies; None: the rate, or 0 when there is none, as on a new server."""
    late_upload_failed_s: float | None = None
    """The slot is free at once, but UploadFailed comes only after this, perhaps into the next transfer."""
    tells_place: bool = False
    """Sends the place after each QueueUpload without being asked, as slskd does."""
    answers_place: bool = True
    """False: never answers PlaceInQueueRequest, as seen of aioslsk."""
    deny: str | None = None
    """UploadDenied with this text, for instance `Too many files`, `Banned`, `Queued`."""
    deny_count: int | None = None
    """Denies only the first few; None denies for ever."""
    drop_queue_upload: bool = False
    """Silently loses a QueueUpload that comes between an early close and its UploadFailed, as aioslsk may."""
    silent: Silence | None = None
    stall_after_bytes: int | None = None
    """Total over its life: then no byte more on any connection, which all stay open."""
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
