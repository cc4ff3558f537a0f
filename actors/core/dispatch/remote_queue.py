"""Places in the queues of Soulseek peers, and the turns that come of them.

A peer decides when it sends: we ask for a place in its queue and are told when our turn has come. All candidates are
asked at once, the first that grants streams, the others join when their turns come. What a turn is used for is decided
when it has come, not before: until then nothing is reserved for it. A turn without use is declined, and places are
left when they are not needed any more.

Each phase has its own limit and reason: *connecting* (asked, no sign that the peer has us), *queued* (it has us),
*granted* and the rest of the ride are watched by `Leases` and the SpeedWatchdog.
"""

from typing import Final

from actors.core.dispatch.progress import Reporter
from actors.core.dispatch.sources import FailurePolicy, Source, SourceState, end_cooldown
from actors.core.outbox import Outbox
from protocol.messages import (
    AcceptUpload,
    DeclineUpload,
    DequeueFile,
    EnqueueFile,
    EnqueueRefused,
    FileFinished,
    QueuePlaceChanged,
    SessionChanged,
    StartDispatcher,
    UploadFailed,
    UploadOffered,
)
from protocol.messages.addresses import SESSION
from protocol.model.faults import FaultKind

CONNECTING_S_MAX: Final = 60.0
"""The session's own limits (login, connection, direct and indirect) end this sooner."""
QUEUED_S_MAX: Final = 6 * 3600.0
DECLINED_REST_S: Final = 5.0
"""A peer whose turn we declined is not asked again at once."""
LOGIN_LOST_S_MAX: Final = 60.0
"""So long peers that wait for a turn outlive a lost login."""


class RemoteQueue:
    """Owned by one `DispatchState`; `sources` is shared with it.

    Invariant: a source that waits has asked for exactly one place, and a ticket is only held by one that waits.
    """

    def __init__(
        self, job: StartDispatcher, sources: dict[int, Source], failures: FailurePolicy, report: Reporter, out: Outbox
    ) -> None:
        self._job = job
        self._sources = sources
        self._failures = failures
        self._report = report
        self._out = out
        self._offline_s: float | None = None
        self._was_online = False
        self._why_offline = ""

    # -- asking

    def enqueue(self, source: Source, now_s: float) -> None:
        """Ask the peer for a place in its queue."""
        self._report.first_request(now_s)
        source.enqueued, source.enqueued_s, source.queue_place, source.ticket = True, now_s, -1, -1
        source.state = SourceState.QUEUED
        asked = EnqueueFile(
            job=self._job.job, source=source.id, peer=source.peer, path=source.path, worker=source.worker
        )
        self._out.post(SESSION, asked)

    def dequeue(self, source: Source) -> None:
        """Give the place up."""
        if source.enqueued:
            self._forget(source)
            self._out.post(SESSION, DequeueFile(job=self._job.job, source=source.id))

    def enqueue_again(self, now_s: float) -> None:
        """The session that knew our places has died and a new one is there. Turns that were not used went with it."""
        for source in self._sources.values():
            if source.enqueued and source.busy is None:
                self._forget(source)
                if source.usable:
                    self.enqueue(source, now_s)

    def dequeue_all(self) -> None:
        """The job needs nobody any more."""
        for source in self._sources.values():
            self.dequeue(source)

    def finished(self, path: str) -> None:
        """The file is there: what users gave is given back."""
        if any(source.peer for source in self._sources.values()):
            self._out.post(SESSION, FileFinished(path=path))

    # -- turns

    def offered(self, message: UploadOffered, *, size_bytes: int, now_s: float) -> Source | None:
        """A peer's turn for us. None: nobody waited for it, or what it offers is not the file; it is declined then.

        `size_bytes`: of the job's file, -1 while unknown.
        """
        source = self._sources.get(message.source)
        if source is None or not source.enqueued or source.busy is not None:
            self._out.post(SESSION, DeclineUpload(job=self._job.job, source=message.source, ticket=message.ticket))
            return None
        source.ticket = message.ticket
        source.queue_place = max(source.queue_place, 0)
        known = size_bytes if size_bytes >= 0 else source.size_bytes
        if known >= 0 and message.size_bytes != known:
            self.decline(source, now_s)
            detail = f"size differs: offers {message.size_bytes} bytes, the file has {known}"
            self._failures.ban(source, FaultKind.SIZE_DIFFERS, detail)
            return None
        source.size_bytes, source.probed = message.size_bytes, True
        return source

    def accept(self, source: Source) -> None:
        """The turn is used: a lease was granted for it."""
        self._out.post(SESSION, AcceptUpload(job=self._job.job, source=source.id, ticket=source.ticket))
        source.enqueued = False

    def decline(self, source: Source, now_s: float) -> None:
        """There is nothing to do for this turn."""
        self._out.post(SESSION, DeclineUpload(job=self._job.job, source=source.id, ticket=source.ticket))
        self._forget(source)
        source.not_before_s = max(source.not_before_s, now_s + DECLINED_REST_S)

    # -- what peers and the session say

    def place_changed(self, message: QueuePlaceChanged) -> None:
        source = self._sources.get(message.source)
        self._was_online = True
        if source is not None and source.enqueued:
            source.queue_place = message.place if message.place > 0 else max(source.queue_place, 0)

    def enqueue_refused(self, message: EnqueueRefused, *, now_s: float) -> None:
        source = self._sources.get(message.source)
        if source is not None and source.enqueued:
            self._forget(source)
            self._failures.record_failure(source, FaultKind(message.fault), message.detail, now_s=now_s)

    def upload_failed(self, message: UploadFailed, *, now_s: float) -> Source | None:
        """A turn came to nothing. Returns the source when its lease waits for bytes that will not come; a ride that
        has bytes sees the end of its connection itself."""
        source = self._sources.get(message.source)
        if source is None or source.ticket != message.ticket:
            return None
        if source.busy is not None:
            return source
        if source.enqueued:
            self._forget(source)
            self._failures.record_failure(source, FaultKind(message.fault), message.detail, now_s=now_s)
        return None

    def session_changed(self, message: SessionChanged, *, now_s: float) -> None:
        """The login came or went. Rides go on without it; those that wait do so for a while, unless it never stood."""
        if message.state == "online":
            self._was_online, self._offline_s = True, None
            self._hope_again()
        elif message.state != "connecting":
            self._why_offline = message.detail
            self._offline_s = self._offline_s if self._offline_s is not None else now_s
            if message.final or not self._was_online:
                self._give_up_all(now_s, banned=message.final and not self._job.waits)

    def _hope_again(self) -> None:
        """Those that were given up for want of a login may try again with the new one."""
        for source in self._sources.values():
            if source.peer and source.state is SourceState.COOLING and source.reason == self._why_offline:
                end_cooldown(source)

    def expire(self, now_s: float) -> None:
        """End what has waited too long."""
        if self._offline_s is not None and now_s - self._offline_s > LOGIN_LOST_S_MAX:
            self._give_up_all(now_s, banned=False)
        for source in self._sources.values():
            if not source.enqueued or source.ticket >= 0:
                continue
            connecting = source.queue_place < 0
            if now_s - source.enqueued_s > (CONNECTING_S_MAX if connecting else QUEUED_S_MAX):
                what = "no sign of it" if connecting else "still queued"
                detail = f"{what} after {now_s - source.enqueued_s:.0f} s"
                self.dequeue(source)
                self._failures.record_failure(source, FaultKind.PEER_UNREACHABLE, detail, now_s=now_s)

    def _give_up_all(self, now_s: float, *, banned: bool) -> None:
        for source in self._sources.values():
            if not source.peer or source.busy is not None or not source.usable:
                continue
            self.dequeue(source)
            if banned:
                self._failures.ban(source, FaultKind.NOT_LOGGED_IN, self._why_offline)
            else:
                self._failures.record_failure(source, FaultKind.NOT_LOGGED_IN, self._why_offline, now_s=now_s)

    @staticmethod
    def _forget(source: Source) -> None:
        source.enqueued, source.ticket, source.queue_place = False, -1, -1
        if source.state is SourceState.QUEUED:
            source.state = SourceState.CANDIDATE
