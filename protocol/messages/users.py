"""What is asked of the session about one Soulseek user. Each question gets `UserTold` or file rows, then an end."""

from typing import Final

from protocol.messages.fact import Fact

FILES_MAX: Final = 50_000
"""So many files of one user are told; what is beyond is cut off."""


class UserAsked(Fact, frozen=True, kw_only=True, gc=False):
    """Is this user there? Answered by `UserTold`."""

    request: int
    reply_to: str
    peer: str


class UserTold(Fact, frozen=True, kw_only=True, gc=False):
    """`presence`: ``Online``, ``Away``, ``Offline`` or empty when nobody answered. Numbers are 0 when not told."""

    request: int
    peer: str
    presence: str
    privileged: bool
    speed_bytes_s: int
    files: int
    folders: int


class FilesAsked(Fact, frozen=True, kw_only=True, gc=False):
    """What does this user share: in one `folder` (remote path), or everything when it is empty. Answered by `FilesTold`
    parts. Bounded: at most `FILES_MAX` rows of one answer are told."""

    request: int
    reply_to: str
    peer: str
    folder: str


class FilesTold(Fact, frozen=True, kw_only=True, gc=False):
    """Files of one folder, names without it. `last` ends the answer; `refused` then says in words why there is nothing.
    `truncated`: there was more."""

    request: int
    peer: str
    folder: str
    names: tuple[str, ...]
    sizes: tuple[int, ...]
    last: bool
    truncated: bool
    refused: str


class PeersQueried(Fact, frozen=True, kw_only=True, gc=False):
    """To the memory of peers: whom do we know? Answered by `PeerSnapshot` rows, the fastest first."""

    request: int
    reply_to: str
    offset: int
    limit: int


class StopsQueried(Fact, frozen=True, kw_only=True, gc=False):
    """To the memory of peers: the ledger of stops. Answered by `StopCount` rows, the newest day first."""

    request: int
    reply_to: str
    peer: str
    offset: int
    limit: int
