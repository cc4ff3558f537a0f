"""Remote queues of Soulseek peers: our places in them, and the uploads that peers offer.

A peer decides when it sends: we request a place in its queue, and later it offers the upload. All candidates are asked
at once, the first that grants streams, the others join when they offer. What an upload is used for is decided when it
is offered, not before: until then nothing is reserved for it. One without use is declined, and places are given up when
they are not needed any more.

Each phase has its own limit and reason: *connecting* (asked, no sign that the peer has us), *queued* (it has us);
*granted* and the rest are watched by `Leases` and the rate monitor.
"""

from typing import Final

from actors.core.dispatch.progress import Reporter
from actors.core.dispatch.sources import FailurePolicy, Source, SourceState, end_cooldown
from actors.core.dispatch.stop_cost import update_stop_budget
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
    StartJob,
    UploadFailed,
    UploadOffered,
)
from protocol.messages.addresses import SESSION
from protocol.model.faults import FaultKind

CONNECTING_S_MAX: Final = 60.0
"""The session's own limits (login, connection, direct and indirect) end this sooner."""
QUEUED_S_MAX: Final = 6 * 3600.0
"""Queues of popular users last hours; after this the place is given up and requested again."""
DECLINED_REST_S: Final = 5.0
"""A peer whose upload we declined is not asked again at once."""
LOGIN_LOST_S_MAX: Final = 60.0
"""Peers in whose queue we are outlive a lost login by this long."""


class RemoteQueue:
    """Queue places and offered uploads of one job. Owned by one `DispatchState`; `sources` is shared with it.

    Invariant: an enqueued source has requested exactly one place, and only such a one holds a ticket.
    """

    def __init__(
        self, job: StartJob, sources: dict[int, Source], failures: FailurePolicy, report: Reporter, out: Outbox
    ) -> None:
        self._job = job
        self._sources = sources
        self._failures = failures
        self._report = report
        self._out = out
        self._offline_s: float | None = None
        self._was_online = False
        self._final = False
        self._why_offline = ""

    # -- asking

    def enqueue(self, source: Source, now_s: float) -> None:
        """Request a place in the peer's queue."""
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
        """Request every place again, of a new session: unused offers went with the dead one."""
        for source in self._sources.values():
            if source.enqueued and source.busy is None:
                self._forget(source)
                if source.usable:
                    self.enqueue(source, now_s)

    def dequeue_all(self) -> None:
        """Give up every place."""
        for source in self._sources.values():
            self.dequeue(source)

    def finished(self, path: str) -> None:
        """Let the session share the finished file with the users of its network; a window of one is none."""
        if any(source.peer and source.window is None for source in self._sources.values()):
            self._out.post(SESSION, FileFinished(path=path))

    # -- offers

    def offered(self, message: UploadOffered, *, size_bytes: int, now_s: float) -> Source | None:
        """Take an offered upload. None: it was not requested, or is not the file; then it is declined.

        `size_bytes`: of the job's file, -1 while unknown. Some clients offer 0 bytes of files that are not empty: such
        an offer comes as one of -1 where the user's list of the folder does not say more.
        """
        source = self._sources.get(message.source)
        if source is None or not source.enqueued or source.busy is not None:
            self._out.post(SESSION, DeclineUpload(job=self._job.job, source=message.source, ticket=message.ticket))
            return None
        source.ticket, source.offered_s = message.ticket, now_s
        source.queue_place = max(source.queue_place, 0)
        # A session that was started again does not know of what was before.
        source.stops_beside = max(source.stops_beside, message.stops_beside)
        update_stop_budget(source, self._job)
        known = size_bytes if size_bytes >= 0 else source.size_bytes
        window = source.window
        if window is not None:  # what is offered is the file that it is a range of
            known = window.size_bytes
        not_said = message.size_bytes < 0 or (message.size_bytes == 0 and known > 0)
        if known >= 0 and message.size_bytes != known and not not_said:
            self.decline(source, now_s)
            detail = f"size differs: offers {message.size_bytes} bytes, the file has {known}"
            self._failures.ban(source, FaultKind.SIZE_DIFFERS, detail)
            return None
        if known < 0 and not_said:
            self.decline(source, now_s)
            detail = "offers the file as empty, and does not list how large it is"
            self._failures.record_failure(source, FaultKind.BAD_ANSWER, detail, now_s=now_s)
            return None
        source.size_bytes, source.probed = known if not_said else message.size_bytes, True
        if window is not None:
            source.size_bytes = window.length
        return source

    def accept(self, source: Source) -> None:
        """Accept the offer: a lease was granted for it."""
        self._out.post(SESSION, AcceptUpload(job=self._job.job, source=source.id, ticket=source.ticket))
        source.enqueued = False

    def decline(self, source: Source, now_s: float) -> None:
        """Decline the offer: there is nothing to do for it."""
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
            self._failures.record_failure(
                source,
                FaultKind(message.fault),
                message.detail,
                retry_after_s=message.retry_after_s,
                now_s=now_s,
            )

    def upload_failed(self, message: UploadFailed, *, now_s: float) -> Source | None:
        """Take the end of an offered upload. Return the source when its lease waits for bytes that will not come.

        A transfer that has bytes sees the end of its connection itself.
        """
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
        """Take a login that came or went. Transfers go on without; queue places for a while, if there ever was one."""
        if message.state == "online":
            self._was_online, self._final, self._offline_s = True, False, None
            self._retry_offline()
        elif message.state != "connecting":
            self._why_offline, self._final = message.detail, message.final
            self._offline_s = self._offline_s if self._offline_s is not None else now_s
            if message.final or not self._was_online:
                self._give_up_all(now_s, banned=message.final and not self._job.waits)

    def _retry_offline(self) -> None:
        """Let sources that were given up for want of a login try again with the new one."""
        for source in self._sources.values():
            if source.peer and source.state is SourceState.COOLING and source.reason == self._why_offline:
                end_cooldown(source)

    def expire(self, now_s: float) -> None:
        """End what has waited too long."""
        if self._offline_s is not None and (self._final or now_s - self._offline_s > LOGIN_LOST_S_MAX):
            self._give_up_all(now_s, banned=self._final and not self._job.waits)
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
