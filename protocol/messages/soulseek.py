"""What is said about Soulseek peers: searches, places in their queues, turns, and the session that holds the login.

A *peer* is a Soulseek user, a *place* is ours in a peer's upload queue, a *turn* is the peer's offer to send now
(its TransferRequest), named by the ticket it chose. A turn is answered at once: taken or declined.
"""

from typing import Final

from protocol.messages.base import Message, Request
from protocol.model.file_matches import PeerFile


class StartSearch(Message, tag=61):
    """Search the network. Hits go to `reply_to` as they come, then one `SearchEnded`. `search` is the asker's own
    number for it. After `hits_max` hits (0: no limit but the session's own) it ends at once."""

    search: int
    term: str
    wait_s: float
    reply_to: str
    hits_max: int = 0


class CancelSearch(Message, tag=127):
    """Whoever asked wants no more hits of this search. It ends at once, with its `SearchEnded`."""

    search: int
    reply_to: str


class SearchHit(PeerFile, Message, tag=62):
    """One result of a search: one file of one peer."""

    search: int


class SearchEnded(Message, tag=63):
    """No more hits for this search. `refused` in words when it could not be made (budget, not logged in); then
    `retry_after_s` says when it can be (0: nobody knows)."""

    search: int
    peers: int
    refused: str
    retry_after_s: float = 0.0


class EnqueueFile(Message, tag=64):
    """Ask the peer to queue its file for us (QueueUpload). One at a time for each peer; the session holds others back.

    `worker` is where the connection of the turn goes.
    """

    job: int
    source: int
    peer: str
    path: str
    worker: str


class DequeueFile(Message, tag=65):
    """The place is no longer needed: an offer for it will be declined."""

    job: int
    source: int


class QueuePlaceChanged(Message, tag=66):
    """Our place in the peer's queue, from 1; 0 when the peer does not say."""

    job: int
    source: int
    place: int


class EnqueueRefused(Message, tag=67):
    """The peer or the network refused. `fault` is a `FaultKind` number."""

    job: int
    source: int
    fault: int
    detail: str


class UploadOffered(Message, tag=68):
    """The peer offers to send now. To be answered with `AcceptUpload` or `DeclineUpload` at once."""

    job: int
    source: int
    ticket: int
    size_bytes: int


class AcceptUpload(Message, tag=69):
    """Accept the offer; the connection is to be handed to the worker."""

    job: int
    source: int
    ticket: int


class DeclineUpload(Message, tag=70):
    """Answer the offer with Cancelled."""

    job: int
    source: int
    ticket: int


class ConnectionReady(Message, tag=71):
    """The turn's F connection, ready for the offset; its descriptor came with this frame under `fd_token`."""

    job: int
    source: int
    ticket: int
    fd_token: int


class ConnectionClosed(Message, tag=72):
    """The worker is done with the turn's connection. `stopped`: it hung up before the end of the file, so the peer's
    UploadFailed is to be awaited before it is asked again."""

    job: int
    source: int
    ticket: int
    stopped: bool


class UploadFailed(Message, tag=73):
    """The peer says that the running upload failed (UploadFailed of this turn), or its offer came to nothing."""

    job: int
    source: int
    ticket: int
    fault: int
    detail: str


class SessionChanged(Message, tag=74):
    """The login's state: ``online``, ``connecting``, ``offline``, ``refused`` (wrong password), ``kicked`` (another
    login of the same name), ``port taken``. `detail` is one line for people; `final`: it will not be tried again."""

    state: str
    detail: str
    final: bool


class LogIn(Message, tag=132):
    """Be logged in: at once where it was put off, also where it was over. Where it holds nothing changes."""


class LogOut(Message, tag=133):
    """Log out and stay so until a login is wanted. What rides rides on."""


class FileFinished(Message, tag=75):
    """A file that Soulseek users sent is complete at `path`: it is to be shared back. To the session."""

    path: str


# What is said to and by the memory of peers: what a Soulseek user did in jobs before this one.
# Keyed by user name. The memory keeps and tells; what follows from it is decided by those who ask.


class LoadPeerHistory(Message, tag=76):
    """What is known of this peer? Answered by `PeerHistoryLoaded` to `reply_to`. `job` and `source` only come
    back."""

    job: int
    source: int
    peer: str
    reply_to: str


class PeerHistoryLoaded(Message, tag=77):
    """What is remembered of a peer; zeros and `offset_ok` when nothing is, or nothing can be read.

    `failures`: attempts in a row that came to nothing, the last with `last_fault` (a `FaultKind` number) `failed_s_ago`
    seconds ago. `stops_today`: how often we hung up on it this day (UTC), in all jobs.
    """

    job: int
    source: int
    peer: str
    rate_bytes_s: float
    setup_s: float
    offset_ok: bool
    failures: int
    last_fault: int
    failed_s_ago: float
    stops_today: int


class PeerDelivered(Message, tag=78):
    """A ride of this peer delivered, at this rate, so long after it was asked (0: not measured)."""

    peer: str
    rate_bytes_s: float
    setup_s: float


class PeerFaulted(Message, tag=79):
    """An attempt came to nothing. `fault` is a `FaultKind` number."""

    peer: str
    fault: int
    offset_ok: bool


class PeerStopped(Message, tag=80):
    """We hung up on this peer before the end of its file: one more in its ledger of this day."""

    peer: str


# What is asked of the session about one Soulseek user. Each question gets `UserDescribed` or file rows, then an end.

FILES_MAX: Final = 50_000
"""So many files of one user are told; what is beyond is cut off."""


class GetUser(Request, tag=114):
    """Is this user there? Answered by `UserDescribed`."""

    peer: str


class UserDescribed(Message, tag=115):
    """`presence`: ``Online``, ``Away``, ``Offline`` or empty when nobody answered. Numbers are 0 when not told."""

    request: int
    peer: str
    presence: str
    privileged: bool
    speed_bytes_s: int
    files: int
    folders: int


class BrowseUser(Request, tag=116):
    """What does this user share: in one `folder` (remote path), or everything when it is empty. Answered by
    `FilesListed`
    parts. Bounded: at most `FILES_MAX` rows of one answer are told."""

    peer: str
    folder: str


class FilesListed(Message, tag=117):
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


class ListPeers(Request, tag=118):
    """To the memory of peers: whom do we know? Answered by `PeerView` rows, the fastest first."""

    offset: int
    limit: int


class ListStops(Request, tag=119):
    """To the memory of peers: the ledger of stops. Answered by `StopCount` rows, the newest day first."""

    peer: str
    offset: int
    limit: int
