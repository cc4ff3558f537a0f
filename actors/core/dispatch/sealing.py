"""Sealing of a complete file: evidence that is lacking is asked for, then the Assembler seals it or finds it wrong.

What the evidence is worth is decided in `identity`. Owned by one `DispatchState`, which ends the job.
"""

from actors.core.dispatch.chunk_tracker import ChunkTracker
from actors.core.dispatch.identity.content import ContentChecks
from actors.core.dispatch.identity.seal_gate import Gate
from actors.core.dispatch.progress import Reporter
from actors.core.dispatch.sources import Source
from actors.core.outbox import Outbox
from protocol.messages import SealFile, StartJob
from protocol.messages.addresses import ASSEMBLER
from protocol.model.value import Struct


class SealAnswer(Struct, frozen=True):
    """Answer to a sealing.

    `reason`: why the job must end, empty where it goes on. `lost`: sources that lost their place just now.
    """

    ready: bool = False
    reason: str = ""
    lost: tuple[Source, ...] = ()


class Sealing:
    """Sealing of one job's file.

    `under_way`: the Assembler was asked, or a disk fault meanwhile is not reported yet.
    """

    def __init__(
        self, job: StartJob, sources: dict[int, Source], report: Reporter, out: Outbox, content: ContentChecks
    ) -> None:
        self.under_way = False
        self._job = job
        self._sources = sources
        self._report = report
        self._out = out
        self._content = content
        self._digest_differs = ""

    def prepare(self, tracker: ChunkTracker, *, now_s: float) -> SealAnswer:
        """Whether the content of the complete file is known well enough; asks for what is lacking."""
        match self._content.gate(tracker, now_s=now_s):
            case Gate.OPEN:
                return SealAnswer(ready=True)
            case Gate.LACKING:
                reason, lost = self._content.lacking(tracker, now_s=now_s)
            case Gate.CHECKING:
                reason, lost = self._content.search_over(self._digest_differs, tracker)
        return SealAnswer(reason=reason, lost=tuple(lost))

    def request(self) -> None:
        """Have the Assembler seal the file. Its name in the records is that of the source that gave most of it."""
        self.under_way = True
        best = max(self._sources.values(), key=lambda each: (each.bytes_stored, -each.id), default=None)
        seal = SealFile(
            job=self._job.job,
            checksum=self._content.to_compare(),
            user=best.peer if best is not None else "",
            path=best.path if best is not None else "",
            host=best.host if best is not None and not best.peer else "",
        )
        self._out.post(ASSEMBLER, seal)

    def refused(self, detail: str, tracker: ChunkTracker) -> SealAnswer:
        """The digest of the whole did not come out: chunks are read again, as long as there is anything to try."""
        content, namer = self._content, ""
        if content.named.compared:
            namer = f"{self._report.name_of(content.named.namer, self._sources)} names another digest: "
        self._digest_differs = namer + detail
        again, lost = content.repair(detail, tracker)
        if not again:
            return SealAnswer(reason=self._digest_differs)
        self.under_way = False
        return SealAnswer(lost=tuple(lost))
