"""The daemon's other processes, played: they hold one job and answer whatever is asked of them at once."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from protocol.http_api.gateway import GatewayInbox
from protocol.messages import (
    BrowseUser,
    CreateJob,
    ExplainJob,
    FilesListed,
    GetCounts,
    GetJob,
    GetManifest,
    GetSearchRation,
    GetTimeline,
    ListJobs,
    ListPeers,
    ListShares,
    ListStops,
    ListUploads,
    SearchEnded,
    SearchHit,
    SetSchedule,
    SetTotalLimit,
    StartSearch,
)
from protocol.model.job_records import EventEntry, ManifestRange
from protocol.model.job_views import (
    Bottleneck,
    JobDetail,
    PeerView,
    SearchRation,
    SharedFolderView,
    StopCount,
    UploadView,
)
from tests.protocol.http_api.rows import ID, counts_row, detail_row, job_row
from tests.protocol.http_api.serving import answered


@dataclass
class Played:
    """`detail`: its job as it is now. `instead`: answers that a test wants to be others, by message."""

    detail: JobDetail = field(default_factory=detail_row)
    instead: dict[type, Callable[[Any], Iterable[GatewayInbox]]] = field(default_factory=dict)

    def reset(self) -> None:
        self.detail = detail_row()
        self.instead.clear()

    def __call__(self, _to: str, message: Any) -> Iterable[GatewayInbox]:
        if type(message) in self.instead:
            return self.instead[type(message)](message)
        match message:
            case GetJob(request=request) | CreateJob(request=request):
                return answered(request, [self.detail])
            case ListJobs(request=request):
                return answered(request, [self.detail.job, job_row(state="sealed", number=0)], total=57)
            case GetManifest(request=request):
                runs = ((0, 2, 0), (2, 4, 1), (4, 5, 0))
                rows = [ManifestRange(first=first, stop=stop, source=source, url="") for first, stop, source in runs]
                return answered(request, rows)
            case ExplainJob(request=request):
                return answered(request, [Bottleneck(kind="limit", text="It may have 5 KB/s.")])
            case GetTimeline(request=request):
                row = EventEntry(serial=3, at_ms=1_764_000_000_000, kind="job.queued", id=ID, data=b'{"name":"t"}')
                return answered(request, [row], total=9)
            case GetCounts(request=request) | SetTotalLimit(request=request) | SetSchedule(request=request):
                return answered(request, [counts_row(limit_bytes_s=500)])
            case ListPeers(request=request):
                return answered(request, [peer_row()], total=2)
            case ListStops(request=request):
                return answered(request, [StopCount(peer="ann", day="2026-11-25", count=3)], total=4)
            case GetSearchRation(request=request):
                return answered(request, [SearchRation(left=0, most=34, span_s=220.0, next_s=12.5)])
            case ListShares(request=request):
                folder = SharedFolderView(path="/music", alias="@@music", folders=2, files=9, scanning=True)
                return answered(request, [folder])
            case ListUploads(request=request):
                sent = UploadView(
                    peer="eve", path="@@music\\a.flac", state="sending", size_bytes=9, sent_bytes=4, rate_bytes_s=2.0
                )
                return answered(request, [sent])
            case StartSearch(search=search):
                return [*hits(search), SearchEnded(search=search, peers=3, refused="")]
            case BrowseUser(request=request):
                return files(request)
            case _ if hasattr(message, "request"):
                return answered(message.request, [self.detail.job])
        return ()


def peer_row() -> PeerView:
    return PeerView(
        peer="ann",
        rate_bytes_s=5e5,
        setup_s=0.4,
        offset_ok=True,
        failures=0,
        last_fault=0,
        stops_today=1,
        seen_ms=1_764_000_000_000,
    )


def hits(search: int) -> list[SearchHit]:
    """Two have the same file, one another, one tells nonsense."""
    found = (("ann", "m\\tide.flac", 1000), ("bob", "n\\tide.FLAC", 1000), ("ann", "m\\b.mp3", 7), ("eve", "\x00", 1))
    return [
        SearchHit(
            search=search,
            peer=peer,
            path=path,
            size_bytes=size,
            slots_free=peer == "bob",
            speed_bytes_s=100,
            queue_length=0,
            locked=False,
        )
        for peer, path, size in found
    ]


def files(request: int) -> list[FilesListed]:
    parts = (("music\\a", ("1.flac", "2.flac"), (10, 20), False), ("music\\b", ("3.flac",), (30,), True))
    return [
        FilesListed(
            request=request, peer="ann", folder=folder, names=names, sizes=sizes, last=last, truncated=False, refused=""
        )
        for folder, names, sizes, last in parts
    ]
