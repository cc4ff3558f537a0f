"""A daemon played for the API: jobs that live in a dictionary, users who answer searches at once.

The answers keep to what `protocol.messages.job_commands` promises. What the real ones do is shown end to end.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from protocol.config.settings import AccountShown, Settings
from protocol.http_api.gateway import GatewayInbox
from protocol.messages import (
    BrowseUser,
    CancelJob,
    CancelSearch,
    CreateJob,
    FilesListed,
    GetCounts,
    GetJob,
    GetUser,
    HideEndedJobs,
    ListEvents,
    ListJobs,
    ListShares,
    RequestRefused,
    SearchEnded,
    SearchHit,
    SessionChanged,
    StartSearch,
    UserDescribed,
)
from protocol.model.job_records import ACTIVE, CANCELLED, ENDED, FAILED, SEALED, EventEntry
from protocol.model.job_views import JobDetail, JobView, SharedFolderView
from tests.protocol.http_api.rows import counts_row
from tests.protocol.http_api.serving import Api, answered, open_settings, serving
from tests.specs import changed_view, job_view

BASE: Final = "/api/v0"
ONLINE: Final = SessionChanged(state="online", detail="listening at port 2234", final=False)
TRACK: Final = "music\\Artist\\Album\\01 - Track 1.flac"
FOLDER: Final = "music\\Artist\\Album"
SIZE: Final = 20_000_001
FIRST: Final = "00000000-0000-0000-0000-000000000000"
OTHER: Final = "00000000-0000-0000-0000-000000000001"


def snapshot(**changed: Any) -> JobView:
    """A job that was just enqueued, but for what is said."""
    fields: dict[str, Any] = {
        "id": str(uuid.UUID(int=7)), "state": "queued", "origin": "slskd", "user": "peer one",
        "remote_path": TRACK, "size_bytes": SIZE, "created_ms": 1_763_794_800_123, "left_s": -1.0, "queue_place": -1,
        "source_count": 1,
    }  # fmt: skip
    return job_view(**{**fields, **changed})


@dataclass
class Daemon:
    """`jobs` by id, in order. `hits`: what every search finds; `refused`: how the next searches end instead.
    `shared`: folders of users, by user and name. Searches end at once unless `holding`."""

    jobs: dict[str, JobView] = field(default_factory=dict)
    orders: list[CreateJob] = field(default_factory=list)
    hits: list[dict[str, Any]] = field(default_factory=list)
    refused: list[tuple[str, float]] = field(default_factory=list)
    shared: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    online: dict[str, str] = field(default_factory=dict)
    shares: list[SharedFolderView] = field(default_factory=list)
    holding: bool = False
    full: bool = False
    left: list[int] = field(default_factory=list)
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def answer(self, _to: str, message: Any) -> Iterable[GatewayInbox]:
        match message:
            case CreateJob():
                return self._order(message)
            case ListJobs():
                return self._list(message)
            case GetJob(request=request, id=id) | CancelJob(request=request, id=id) if id not in self.jobs:
                return [RequestRefused(request=request, kind="unknown", field="", detail="no such job")]
            case GetJob():
                detail = JobDetail(job=self.jobs[message.id], sources=(), notes=())
                return answered(message.request, [detail])
            case CancelJob(id=id, removed=removed):
                job = self.jobs[id]
                self.become(id, removed=removed or job.removed, **({} if job.state in ENDED else {"state": CANCELLED}))
                return answered(message.request, [self.jobs[id]])
            case HideEndedJobs(origin=origin):
                ended = [job for job in self.jobs.values() if job.state in ENDED and job.spec.origin == origin]
                for job in ended:
                    self.become(job.id, removed=True)
                return answered(message.request, total=len(ended))
            case StartSearch():
                return self._search(message)
            case CancelSearch(search=search):
                self.left.append(search)
            case GetCounts(request=request):
                active_count = sum(job.state == ACTIVE for job in self.jobs.values())
                return answered(request, [counts_row(active=active_count)])
            case ListEvents(request=request):
                rows = [
                    EventEntry(serial=2, at_ms=1_764_000_000_000, kind="job.failed", id=OTHER, data=b'{"reason":"r"}'),
                    EventEntry(
                        serial=1, at_ms=1_763_000_000_000, kind="job.sealed", id=FIRST, data=b'{"path":"/data/x"}'
                    ),
                ]
                return answered(request, rows, total=2)
            case ListShares(request=request):
                return answered(request, self.shares)
            case BrowseUser():
                return self._files(message)
            case GetUser(request=request, peer=peer):
                presence = self.online.get(peer, "Offline")
                return [
                    UserDescribed(
                        request=request, peer=peer, presence=presence, privileged=False, speed_bytes_s=0, files=0,
                        folders=0,
                    )
                ]  # fmt: skip
        return []

    def become(self, id: str, **changed: Any) -> JobView:
        job = self.jobs[id] = changed_view(self.jobs[id], **changed)
        return job

    def seal(self, id: str) -> None:
        job = self.jobs[id]
        self.become(id, state=SEALED, stored_bytes=job.size_bytes, ended_ms=job.created_ms + 5000, active_s=4.0)

    def fail(self, id: str, outcome: str = "starved", reason: str = "no source can deliver") -> None:
        self.become(id, state=FAILED, outcome=outcome, reason=reason, ended_ms=self.jobs[id].created_ms + 5000)

    def _order(self, order: CreateJob) -> list[GatewayInbox]:
        self.orders.append(order)
        if self.full:
            return [RequestRefused(request=order.request, kind="full", field="", detail="too many jobs")]
        for job in self.jobs.values():
            same = (job.spec.user, job.spec.remote_path) == (order.spec.user, order.spec.remote_path)
            if same and job.state not in ENDED:
                return answered(order.request, [JobDetail(job=job, sources=(), notes=())])
        number = next(self._ids)
        job = job_view(
            id=str(uuid.UUID(int=number)),
            source_count=1,
            spec=order.spec,
            name=order.spec.name,
            size_bytes=order.spec.size_bytes,
            created_ms=1_763_794_800_000 + number,
        )
        self.jobs[job.id] = job
        return answered(order.request, [JobDetail(job=job, sources=(), notes=())])

    def _list(self, asked: ListJobs) -> list[GatewayInbox]:
        found = [
            job
            for job in reversed(self.jobs.values())
            if (not asked.states or job.state in asked.states)
            and asked.origin in ("", job.spec.origin)
            and asked.user in ("", job.spec.user)
            and (asked.removed or not job.removed)
        ]
        return answered(asked.request, found[asked.offset : asked.offset + asked.limit], total=len(found))

    def _search(self, asked: StartSearch) -> list[GatewayInbox]:
        if self.refused:
            why, retry_after_s = self.refused.pop(0)
            return [SearchEnded(search=asked.search, peers=0, refused=why, retry_after_s=retry_after_s)]
        found: list[GatewayInbox] = [hit(asked.search, **one) for one in self.hits]
        return found if self.holding else [*found, SearchEnded(search=asked.search, peers=1, refused="")]

    def _files(self, asked: BrowseUser) -> list[GatewayInbox]:
        folders = self.shared.get(asked.peer)
        if folders is None:
            return [_listed(asked, last=True, refused=f"{asked.peer} is not online")]
        below = f"{asked.folder}\\" if asked.folder else ""
        chosen = {name: files for name, files in folders.items() if f"{name}\\".startswith(below)}
        parts: list[GatewayInbox] = [
            _listed(asked, folder=name, names=tuple(files), sizes=tuple(files.values()))
            for name, files in chosen.items()
        ]
        return [*parts, _listed(asked, last=True)]


def shared_folder(path: str, *, folders: int, files: int) -> SharedFolderView:
    return SharedFolderView(path=path, alias=f"@@{path.strip('/')}", folders=folders, files=files, scanning=False)


def hit(search: int = 1, **changed: Any) -> SearchHit:
    fields: dict[str, Any] = {
        "peer": "peer one", "path": TRACK, "size_bytes": SIZE, "slots_free": True, "speed_bytes_s": 1_500_000,
        "queue_length": 0, "locked": False,
    }  # fmt: skip
    return SearchHit(search=search, **{**fields, **changed})


def _listed(asked: BrowseUser, **changed: Any) -> FilesListed:
    fields: dict[str, Any] = {
        "folder": asked.folder, "names": (), "sizes": (), "last": False, "truncated": False, "refused": "",
    }  # fmt: skip
    return FilesListed(request=asked.request, peer=asked.peer, **{**fields, **changed})


def settings(folder: str = "/data", **api: Any) -> Settings:
    plain = open_settings(folder, **api)
    account = AccountShown(username="me", server_host="server.example", server_port=2242)
    return Settings(daemon=plain.daemon, api=plain.api, account=account, jwt_key=plain.jwt_key)


@contextmanager
def playing(daemon: Daemon | None = None, *, online: bool = True, **api: Any) -> Iterator[tuple[Api, Daemon]]:
    """The API before a played daemon, logged in."""
    daemon = daemon if daemon is not None else Daemon()
    with serving(daemon.answer, settings(**api)) as served:
        if online:
            served.say(ONLINE)
            while served.gateway.session is None:
                pass
        yield served, daemon


def active(**changed: Any) -> JobView:
    return snapshot(state=ACTIVE, phase="riding", attempts=1, started_ms=1_763_794_801_000, **changed)
