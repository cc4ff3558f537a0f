"""Messages about Soulseek peers: searches, remote queues, uploads to us, the login, and the history of peers.

A *peer* is a Soulseek user. Its upload begins with its offer (a TransferRequest), named by the `ticket` that the peer
chose, which is answered at once: accepted or declined.
"""

from typing import Final

from protocol.messages.base import Message, Request
from protocol.model.file_matches import PeerFile


class StartSearch(Message, tag=61):
    """Search the network. Each `SearchHit` goes to `reply_to` as it comes, then one `SearchEnded`.

    `search` is the sender's own number for it. After `hits_max` hits (0: no limit but the session's own) it ends.
    """

    search: int
    term: str
    wait_s: float
    reply_to: str
    hits_max: int = 0


class CancelSearch(Message, tag=127):
    """End this search at once, with its `SearchEnded`. From the one who started it."""

    search: int
    reply_to: str


class SearchHit(PeerFile, Message, tag=62):
    """One result of a search: one file of one peer."""

    search: int


class SearchEnded(Message, tag=63):
    """No more hits for this search. `refused` says in words why it was not made (budget, not logged in).

    `retry_after_s`: when it could be made then, 0 unknown.
    """

    search: int
    peers: int
    refused: str
    retry_after_s: float = 0.0


class EnqueueFile(Message, tag=64):
    """Ask the peer to queue its file for us (QueueUpload).

    Files of one peer queue there together, up to a limit that the session keeps; one is transferred at a time.
    `worker` is where the connection of the upload goes.
    """

    job: int
    source: int
    peer: str
    path: str
    worker: str


class DequeueFile(Message, tag=65):
    """The place in the queue is no longer needed: an offer for it will be declined."""

    job: int
    source: int


class QueuePlaceChanged(Message, tag=66):
    """Our place in the peer's queue, from 1.

    0: the peer has our request and does not say, or the session holds the request back because the peer has enough of
    ours.
    """

    job: int
    source: int
    place: int


class EnqueueRefused(Message, tag=67):
    """The peer or the network refused. `fault` is a `FaultKind` number; `retry_after_s` 0: as its policy says."""

    job: int
    source: int
    fault: int
    detail: str
    retry_after_s: float = 0.0


class UploadOffered(Message, tag=68):
    """The peer offers to send now. To be answered with `AcceptUpload` or `DeclineUpload` at once."""

    job: int
    source: int
    ticket: int
    size_bytes: int
    stops_beside: int = 0
    """Transfers of this peer that other jobs aborted lately, of files in the same folder."""


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
    """F connection of an upload, ready for the offset; its descriptor came with this frame under `fd_token`."""

    job: int
    source: int
    ticket: int
    fd_token: int


class ConnectionClosed(Message, tag=72):
    """The worker is done with the upload's connection.

    `stopped`: it hung up before the end of the file, so the peer's UploadFailed is awaited before it is asked again.
    `peer` and `path` are for a session that did not negotiate the transfer.
    """

    job: int
    source: int
    ticket: int
    stopped: bool
    peer: str = ""
    path: str = ""


class UploadFailed(Message, tag=73):
    """The peer says that the running upload failed (UploadFailed of this ticket), or its offer led to nothing."""

    job: int
    source: int
    ticket: int
    fault: int
    detail: str


class SessionChanged(Message, tag=74):
    """State of the login.

    ``online``, ``connecting``, ``offline``, ``refused`` (wrong password), ``kicked`` (another login of the same name)
    or ``port taken``. `detail` is one line for people; `final`: it will not be tried again.
    """

    state: str
    detail: str
    final: bool


class LogIn(Message, tag=132):
    """Be logged in: at once where it was put off, also where it was over. Changes nothing where there is a login."""


class LogOut(Message, tag=133):
    """Log out and stay so until a login is wanted. Running transfers go on."""


class FileFinished(Message, tag=75):
    """A file that Soulseek users sent is complete at `path`: it is to be shared back. To the session."""

    path: str


class LoadPeerHistory(Message, tag=76):
    """Answer `PeerHistoryLoaded` to `reply_to`. `job` and `source` only come back."""

    job: int
    source: int
    peer: str
    reply_to: str
    name: str = ""
    """Of the file that is wanted, and ..."""
    size_bytes: int = -1
    """... its size; -1: unknown, any."""


class PeerHistoryLoaded(Message, tag=77):
    """Record of a Soulseek user from earlier jobs; zeros and `offset_ok` when there is none, or it cannot be read."""

    job: int
    source: int
    peer: str
    rate_bytes_s: float
    setup_s: float
    offset_ok: bool
    stops_today: int
    """Transfers of this peer that were aborted this day (UTC), in all jobs."""
    odd: bool = False
    """This peer had other content than others under this name and size."""


class PeerDelivered(Message, tag=78):
    """A transfer of this peer delivered, at this rate, `setup_s` after it was requested (0: not measured)."""

    peer: str
    rate_bytes_s: float
    setup_s: float


class PeerFaulted(Message, tag=79):
    """An attempt failed. `fault` is a `FaultKind` number."""

    peer: str
    fault: int
    offset_ok: bool


class PeerFileDiffers(Message, tag=170):
    """A file of this peer has other content than the same file of others; or, `differs` false, that was wrong.

    It is remembered of this file alone, by name and size: the peer's other files are as good as any.
    """

    peer: str
    name: str
    size_bytes: int
    differs: bool


class PeerUploadOpened(Message, tag=137):
    """A worker has a connection of this peer. Until its end is known it counts as cut when process `pid` dies.

    With `reply_to`: the peer's offer is about to be accepted, and its connection may come while all processes die.
    Answered by `PeerUploadNoted`.
    """

    peer: str
    ticket: int
    pid: int
    reply_to: str = ""


class PeerUploadNoted(Message, tag=174):
    """Answer to `PeerUploadOpened`: the ledger has it."""

    peer: str
    ticket: int


class PeerUploadClosed(Message, tag=80):
    """The worker has closed it; `stopped`: before the end of the file."""

    peer: str
    ticket: int
    stopped: bool


class PeerUploadSettled(Message, tag=138):
    """The peer has counted an upload to us. `failed`: as a failed one, one more of this day."""

    peer: str
    ticket: int
    failed: bool


FILES_MAX: Final = 50_000
"""Files of one user that are listed; what is beyond is cut off."""


class GetUser(Request, tag=114):
    """Find out whether this user is there. Answered by `UserDescribed`."""

    peer: str


class UserDescribed(Message, tag=115):
    """Answer to `GetUser`. Numbers are 0 when not known."""

    request: int
    peer: str
    presence: str
    """``Online``, ``Away``, ``Offline``, or empty when the server did not answer."""
    privileged: bool
    speed_bytes_s: int
    files: int
    folders: int


class GetUserInfo(Request, tag=149):
    """Ask the user for its description and queue. Answered by a `UserInfoView`, or `RequestRefused`."""

    peer: str


class GetUserAddress(Request, tag=150):
    """Ask the server where the user listens. Answered by a `UserAddressView`, or `RequestRefused`."""

    peer: str


class BrowseUser(Request, tag=116):
    """List the files that this user shares in one `folder` (remote path), or in all when it is empty.

    Answered by `FilesListed` parts, at most `FILES_MAX` files in all.
    """

    peer: str
    folder: str


class FilesListed(Message, tag=117):
    """Files of one folder, a part of the answer to `BrowseUser`."""

    request: int
    peer: str
    folder: str
    names: tuple[str, ...]
    """Without the folder."""
    sizes: tuple[int, ...]
    last: bool
    """Ends the answer."""
    truncated: bool
    """There was more."""
    refused: str
    """In words why there is nothing; only in the last part."""


class ListShares(Request, tag=143):
    """List the folders that the session shares. Answered by `SharedFolderView` rows."""


class GetSearchRation(Request, tag=161):
    """Ask the session how many searches it may still send. Answered by one `SearchRation` row."""


class ListUploads(Request, tag=162):
    """List what is sent to others, or was lately. Answered by `UploadView` rows, those that are sent first."""


class ScanShares(Message, tag=158):
    """Look again at what the shared folders hold. To the session."""


class ListPeers(Request, tag=118):
    """List the peers in the history. Answered by `PeerView` rows, the fastest first."""

    offset: int
    limit: int


class ListStops(Request, tag=119):
    """List how often peers' transfers were aborted. Answered by `StopCount` rows, the newest day first."""

    peer: str
    offset: int
    limit: int
