"""A source's fault: its policy is applied, people and the memory of peers hear of it."""

from actors.core.outbox import Outbox
from actors.core.standing import Source, Standing, blame
from protocol.faults import FaultKind
from protocol.messages import DispatcherWanted, JobNoted, PeerFaulted
from protocol.post import MEMORY


class Faults:
    """Owned by one `DispatchState`; the one place where a source is blamed."""

    def __init__(self, job: DispatcherWanted, out: Outbox) -> None:
        self._job = job
        self._out = out

    def blame(
        self,
        source: Source,
        kind: FaultKind,
        detail: str,
        *,
        retry_after_s: float = 0.0,
        progressed: bool = False,
        now_s: float,
    ) -> None:
        """As `standing.blame`. People are told when the source is out."""
        before = source.standing
        blame(source, kind, detail, retry_after_s=retry_after_s, progressed=progressed, now_s=now_s)
        if kind is FaultKind.REVOKED:
            return
        if source.peer and kind is not FaultKind.LOST:
            self._out.post(MEMORY, PeerFaulted(peer=source.peer, fault=kind, offset_ok=source.traits.offset_ok))
        self._tell_if_out(source, before, detail)

    def ban(self, source: Source, kind: FaultKind, detail: str) -> None:
        """It is not used again in this job, for a reason that is found here and not by its worker."""
        before, source.standing, source.reason = source.standing, Standing.BANNED, detail
        if source.peer:
            self._out.post(MEMORY, PeerFaulted(peer=source.peer, fault=kind, offset_ok=source.traits.offset_ok))
        self._tell_if_out(source, before, detail)

    def _tell_if_out(self, source: Source, before: Standing, detail: str) -> None:
        out = source.standing in (Standing.COOLING, Standing.BANNED)
        if out and source.standing is not before and self._job.watcher:
            text = f"{source.name}: {source.standing.value}: {detail}"
            self._out.post(self._job.watcher, JobNoted(job=self._job.job, text=text))
