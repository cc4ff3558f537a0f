"""slskd routes of its web interface: reports of ended transfers, events, log, files, configuration without secrets.

Reports count downloads only, from the jobs that are still known; uploads are not recorded here.
"""

import asyncio
import base64
import binascii
import os
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from fastapi import APIRouter, Query, Response

from protocol.config.schema import fields_of
from protocol.config.settings import TABLES
from protocol.http_api.events.replay_feed import plain as event_members
from protocol.http_api.gateway import Gateway, RefusedError, UnavailableError
from protocol.http_api.monitoring import prometheus_text
from protocol.http_api.openapi import TOTAL
from protocol.http_api.params import PAGE, Flag, Limit, Offset
from protocol.http_api.schema_base import USERNAME_CHARS_MAX
from protocol.http_api.slskd import formatting, transfer_mapping
from protocol.http_api.slskd.schemas import CompactRouter, EventRecord, errors
from protocol.http_api.slskd.searches import now_ms
from protocol.messages import GetCounts, GetJob, ListEvents, ListJobs
from protocol.messages.addresses import JOB_MANAGER
from protocol.model.event_kinds import JOB_FAILED, JOB_SEALED, PROCESS_LOST, SESSION_CHANGED
from protocol.model.job_records import ACTIVE, CANCELLED, FAILED, QUEUED, SEALED, EventEntry
from protocol.model.job_views import Counts, JobDetail, JobView, whole

JOBS_MAX: Final = 10_000
"""Ended jobs that a report looks at, the newest ones."""
JOBS_A_PAGE: Final = 1000
LOG_LINES: Final = 200
BUCKETS_MAX: Final = 1000
_WEEK: Final = timedelta(days=7)
_FIRST: Final = datetime(2020, 1, 1, tzinfo=UTC)
_FILE_COMPLETE: Final = "DownloadFileComplete"
_ERRORS: Final = (JOB_FAILED, PROCESS_LOST)

Moment = Annotated[datetime | None, Query(description="ISO 8601.")]
Direction = Annotated[Literal["Download", "Upload", "download", "upload"] | None, Query(description="Only these.")]
OfUser = Annotated[str | None, Query(description="Only of this user.", max_length=USERNAME_CHARS_MAX)]
SortBy = Annotated[Literal["Count", "TotalBytes", "AverageSpeed"], Query(description="First by this.")]


def router(gateway: Gateway) -> APIRouter:
    """Build these routes."""
    routes = CompactRouter(prefix="/api/v0", tags=["slskd"])
    _add_summaries(routes, gateway)
    _add_lists(routes, gateway)
    _add_events(routes, gateway)
    _add_files(routes, gateway)
    _add_yaml(routes, gateway)
    return routes


async def ended_jobs(gateway: Gateway, start: datetime | None, end: datetime | None, user: str | None) -> list[JobView]:
    """Return the jobs that ended in this time, the newest first. Raises `RefusedError` for an impossible time."""
    first, last = _utc(start or _FIRST), _utc(end or _now() + timedelta(days=1))
    if first >= last:
        raise RefusedError("invalid", "end", "end must be later than start")
    found: list[JobView] = []
    for offset in range(0, JOBS_MAX, JOBS_A_PAGE):
        asked = _list_of((SEALED, FAILED, CANCELLED), user=user or "", offset=offset)
        rows = (await gateway.ask(JOB_MANAGER, asked)).rows(JobView)
        found += [job for job in rows if first.timestamp() <= job.ended_ms / 1000 < last.timestamp()]
        if len(rows) < JOBS_A_PAGE:
            break
    return found


def _list_of(states: tuple[str, ...], *, user: str = "", offset: int = 0) -> ListJobs:
    return ListJobs(
        states=states, origin="", user=user, text="", removed=True, order="newest", offset=offset, limit=JOBS_A_PAGE
    )


def _now() -> datetime:
    return datetime.fromtimestamp(now_ms() / 1000, UTC)


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def by_state(jobs: Iterable[JobView]) -> dict[str, dict[str, Any]]:
    """Return a summary of the jobs of each final state, by its name."""
    groups: dict[str, list[JobView]] = defaultdict(list)
    for job in jobs:
        groups[formatting.transfer_state(job).partition(", ")[2]].append(job)
    return {state: _summary(group) for state, group in groups.items()}


def _summary(jobs: list[JobView]) -> dict[str, Any]:
    rates = [job.stored_bytes / job.active_s for job in jobs if job.active_s > 0]
    waits = [max(0, job.started_ms - job.created_ms) / 1000 for job in jobs if job.started_ms > 0]
    return {
        "totalBytes": sum(max(job.stored_bytes, 0) for job in jobs),
        "count": len(jobs),
        "distinctUsers": len({job.spec.user for job in jobs}),
        "averageSpeed": sum(rates) / len(rates) if rates else 0.0,
        "averageWait": sum(waits) / len(waits) if waits else 0.0,
        "averageDuration": sum(job.active_s for job in jobs) / len(jobs),
    }


def _add_summaries(routes: APIRouter, gateway: Gateway) -> None:
    reports = "/telemetry/reports/transfers"

    @routes.get(f"{reports}/summary", include_in_schema=False)
    async def get_transfer_summary(
        start: Moment = None, end: Moment = None, direction: Direction = None, username: OfUser = None
    ) -> dict[str, Any]:
        jobs = await ended_jobs(gateway, start or _now() - _WEEK, end, username)
        return {"Download": {} if _is_upload(direction) else by_state(jobs), "Upload": {}}

    @routes.get(f"{reports}/histogram", include_in_schema=False)
    async def get_transfer_histogram(
        start: Moment = None,
        end: Moment = None,
        buckets: Annotated[int, Query(ge=1, le=BUCKETS_MAX)] = 100,
        direction: Direction = None,
        username: OfUser = None,
    ) -> dict[str, Any]:
        last = _utc(end or _now())
        first = _utc(start or last - _WEEK)
        jobs = [] if _is_upload(direction) else await ended_jobs(gateway, first, last, username)
        step = (last - first) / buckets
        groups: dict[int, list[JobView]] = defaultdict(list)
        for job in jobs:
            groups[int((datetime.fromtimestamp(job.ended_ms / 1000, UTC) - first) / step)].append(job)
        return {
            formatting.moment(int((first + number * step).timestamp() * 1000)): {
                "Download": by_state(groups[number]),
                "Upload": {},
            }
            for number in range(buckets)
        }

    @routes.get(f"{reports}/users/{{username:path}}", include_in_schema=False)
    async def get_user_transfers(username: str, start: Moment = None, end: Moment = None) -> dict[str, Any]:
        jobs = await ended_jobs(gateway, start, end, username)
        states = Counter(job.state for job in jobs)
        counts = {
            "total": len(jobs),
            "successful": states[SEALED],
            "errored": states[FAILED],
            "cancelled": states[CANCELLED],
        }
        none = dict.fromkeys(counts, 0)
        return {
            "Download": {"summary": by_state(jobs), "statistics": counts, "exceptions": _pareto(jobs)},
            "Upload": {"summary": {}, "statistics": none, "exceptions": []},
        }


def _add_lists(routes: APIRouter, gateway: Gateway) -> None:
    reports = "/telemetry/reports/transfers"

    @routes.get(f"{reports}/leaderboard", include_in_schema=False)
    async def get_transfer_leaderboard(
        direction: Direction = None,
        start: Moment = None,
        end: Moment = None,
        sort_by: Annotated[SortBy, Query(alias="sortBy")] = "Count",
        sort_order: Annotated[Literal["ASC", "DESC"], Query(alias="sortOrder")] = "DESC",
        limit: Limit = 25,
        offset: Offset = 0,
    ) -> list[dict[str, Any]]:
        users: dict[str, list[JobView]] = defaultdict(list)
        for job in [] if _is_upload(direction) else await ended_jobs(gateway, start, end, None):
            if job.state == SEALED and job.spec.user:
                users[job.spec.user].append(job)
        rows = [{"username": user, **_summary(jobs)} for user, jobs in users.items()]
        member = sort_by[0].lower() + sort_by[1:]
        rows.sort(key=lambda row: row[member], reverse=sort_order == "DESC")
        return rows[offset : offset + limit]

    @routes.get(f"{reports}/exceptions/pareto", include_in_schema=False)
    async def get_transfer_exceptions_pareto(
        direction: Direction = None,
        start: Moment = None,
        end: Moment = None,
        username: OfUser = None,
        limit: Limit = 25,
        offset: Offset = 0,
    ) -> list[dict[str, Any]]:
        jobs = [] if _is_upload(direction) else await ended_jobs(gateway, start, end, username)
        return _pareto(jobs)[offset : offset + limit]

    @routes.get(f"{reports}/exceptions", include_in_schema=False)
    async def get_transfer_exceptions(
        direction: Direction = None,
        start: Moment = None,
        end: Moment = None,
        username: OfUser = None,
        sort_order: Annotated[Literal["ASC", "DESC"], Query(alias="sortOrder")] = "DESC",
        limit: Limit = 25,
        offset: Offset = 0,
    ) -> list[dict[str, Any]]:
        jobs = [] if _is_upload(direction) else await ended_jobs(gateway, start, end, username)
        failed = [job for job in jobs if job.state == FAILED]
        failed.sort(key=lambda job: job.ended_ms, reverse=sort_order == "DESC")
        return [
            transfer_mapping.transfer(job).model_dump(by_alias=True, exclude_none=True)
            for job in failed[offset : offset + limit]
        ]

    @routes.get(f"{reports}/directories", include_in_schema=False)
    async def get_transfer_directories(
        start: Moment = None, end: Moment = None, username: OfUser = None, limit: Limit = 25, offset: Offset = 0
    ) -> list[dict[str, Any]]:
        """Uploads by folder, of which none are recorded."""
        return []


def _is_upload(direction: str | None) -> bool:
    return (direction or "").lower() == "upload"


def _pareto(jobs: Iterable[JobView]) -> list[dict[str, Any]]:
    users: dict[str, list[str]] = defaultdict(list)
    for job in jobs:
        if job.state == FAILED:
            users[job.reason or job.outcome or "failed"].append(job.spec.user)
    rows = [{"exception": why, "count": len(all_), "distinctUsers": len(set(all_))} for why, all_ in users.items()]
    return sorted(rows, key=lambda row: -int(str(row["count"])))


async def transfer_metrics(gateway: Gateway) -> dict[str, Any]:
    """Return how many downloads run, wait and have ended. Raises `UnavailableError`."""
    counts = (await gateway.ask(JOB_MANAGER, GetCounts())).row(Counts)
    jobs = (await gateway.ask(JOB_MANAGER, _list_of((QUEUED, ACTIVE)))).rows(JobView)
    active, queued = ([job for job in jobs if job.state == state] for state in (ACTIVE, QUEUED))
    return _metrics(
        files=counts.active,
        users=len({job.spec.user for job in active}),
        speed=counts.rate_bytes_s,
        queued=(counts.queued, len({job.spec.user for job in queued}), sum(max(job.size_bytes, 0) for job in queued)),
        ended=(counts.sealed, counts.failed, counts.stored_bytes),
    )


def _metrics(
    *, files: int, users: int, speed: float, queued: tuple[int, int, int], ended: tuple[int, int, int]
) -> dict[str, Any]:
    def half(files: int, users: int, speed: float, queued: Iterable[int], ended: Iterable[int]) -> dict[str, Any]:
        each = speed / files if files else 0.0
        return {
            "inProgress": {"files": files, "users": users, "averageSpeed": each, "totalSpeed": speed},
            "queued": dict(zip(("files", "users", "bytes"), queued, strict=True)),
            "completed": dict(zip(("succeeded", "failed", "bytes"), ended, strict=True)),
        }

    return {"downloads": half(files, users, speed, queued, ended), "uploads": half(0, 0, 0.0, (0, 0, 0), (0, 0, 0))}


# Events and the log.


def _add_events(routes: APIRouter, gateway: Gateway) -> None:
    @routes.get(
        "/events",
        summary="What happened, a page of it, the newest first",
        responses={200: {"headers": TOTAL, "description": "As slskd lists it."}, **errors(503)},
    )
    async def get_slskd_events(response: Response, offset: Offset = 0, limit: Limit = PAGE) -> list[EventRecord]:
        """With all members below /api/v0/multisource/events."""
        answer = await gateway.ask(JOB_MANAGER, ListEvents(after=-1, offset=offset, limit=limit))
        response.headers["X-Total-Count"] = str(answer.total)
        return list(await asyncio.gather(*(_record(gateway, event) for event in answer.rows(EventEntry))))

    @routes.get("/logs", include_in_schema=False)
    async def get_logs() -> list[dict[str, Any]]:
        return await log_records(gateway)

    @routes.get("/telemetry/metrics", include_in_schema=False)
    async def get_slskd_metrics() -> Response:
        """Prometheus's own format, as at ``/metrics``."""
        return await prometheus_text(gateway)

    @routes.get("/telemetry/metrics/kpis", include_in_schema=False)
    async def get_kpis() -> dict[str, Any]:
        return await transfer_metrics(gateway)


async def _record(gateway: Gateway, event: EventEntry) -> EventRecord:
    members = event_members(event)
    id, kind, data = str(uuid.UUID(int=event.serial)), event.kind, dict(members["data"])
    data |= {"id": id, "timestamp": members["timestamp"], "type": kind, "version": 0, "job": event.id}
    if kind == JOB_SEALED:
        kind = data["type"] = _FILE_COMPLETE
        data["localFilename"] = data.get("path", "")
        try:
            job = whole((await gateway.ask(JOB_MANAGER, GetJob(id=event.id))).rows(JobDetail)).job
        except (RefusedError, UnavailableError):
            pass  # it is not known any more
        else:
            data["remoteFilename"] = job.spec.remote_path
            data["transfer"] = transfer_mapping.transfer(job).model_dump(by_alias=True, exclude_none=True)
    return EventRecord(timestamp=members["timestamp"], type=kind, data=msgspec.json.encode(data).decode(), id=id)


async def log_records(gateway: Gateway) -> list[dict[str, Any]]:
    """Return the latest events as lines of slskd's log, the oldest first; none where they cannot be read now."""
    try:
        answer = await gateway.ask(JOB_MANAGER, ListEvents(after=-1, offset=0, limit=LOG_LINES))
    except (UnavailableError, RefusedError):
        return []
    return [_line(event) for event in reversed(answer.rows(EventEntry))]


def _line(event: EventEntry) -> dict[str, Any]:
    members = event_members(event)
    words = " ".join(f"{name}={value}" for name, value in members["data"].items())
    level = "Error" if event.kind in _ERRORS else "Warning" if event.kind == SESSION_CHANGED else "Information"
    message = f"{event.kind} {event.id} {words}".replace("  ", " ").strip()
    return {"timestamp": members["timestamp"], "context": "Shoal", "level": level, "message": message}


# Files and the configuration.


def _add_files(routes: APIRouter, gateway: Gateway) -> None:
    def listed(root: str, relative: str, *, recursive: bool) -> dict[str, Any]:
        folder = Path(root, relative)
        if ".." in Path(relative).parts or not folder.resolve().is_relative_to(Path(root).resolve()):
            raise RefusedError("forbidden", "", "outside the download folder")
        try:
            return _folder(folder, Path(root), depth=8 if recursive else 1)
        except OSError:
            raise RefusedError("unknown", "", "no such folder") from None

    for kind in ("downloads", "incomplete"):

        @routes.get(f"/files/{kind}/directories", include_in_schema=False, name=f"list_{kind}")
        @routes.get(f"/files/{kind}/directories/{{path}}", include_in_schema=False, name=f"list_{kind}_below")
        async def list_folder(path: str = "", recursive: Flag = False) -> dict[str, Any]:
            try:
                relative = base64.b64decode(path, validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                raise RefusedError("invalid", "", "no Base64 of a path") from None
            root = gateway.settings.daemon.downloads
            return await asyncio.to_thread(listed, root, relative.strip("/"), recursive=recursive)

    @routes.delete("/files/{kind}/{what}/{path}", status_code=403, include_in_schema=False)
    async def refuse_to_delete(kind: str, what: str, path: str) -> str:
        raise RefusedError("forbidden", "", "files are not deleted over this API")


def _folder(folder: Path, root: Path, *, depth: int) -> dict[str, Any]:
    entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    folders = [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    return {
        **_times(folder, root),
        "files": [
            {**_times(Path(entry.path), root), "length": entry.stat(follow_symlinks=False).st_size}
            for entry in entries
            if entry.is_file(follow_symlinks=False)
        ],
        "directories": [_folder(each, root, depth=depth - 1) if depth > 1 else _times(each, root) for each in folders],
    }


def _times(path: Path, root: Path) -> dict[str, Any]:
    at = formatting.moment(int(path.lstat().st_mtime * 1000))
    return {
        "name": path.name,
        "fullName": str(path.relative_to(root)),
        "attributes": "Directory" if path.is_dir() else "Normal",
        "createdAt": at,
        "modifiedAt": at,
    }


def _add_yaml(routes: APIRouter, gateway: Gateway) -> None:
    @routes.get("/options/yaml", include_in_schema=False)
    async def get_yaml() -> str:
        return "\n".join(_yaml(gateway)) + "\n"

    def refuse() -> str:
        raise RefusedError("forbidden", "", "the configuration is changed in its file, not over this API")

    refused: tuple[tuple[str, str, Callable[[], str]], ...] = (
        ("GET", "/options/yaml/location", refuse),
        ("PUT", "/options/yaml", refuse),
        ("POST", "/options/yaml", refuse),
        ("POST", "/options/yaml/validate", refuse),
        ("GET", "/options/debug", refuse),
    )
    for method, path, handler in refused:
        routes.add_api_route(path, handler, methods=[method], status_code=403, include_in_schema=False)


def _yaml(gateway: Gateway) -> Iterator[str]:
    """Yield the lines of the configuration in force, as YAML, without secrets."""
    settings = gateway.settings
    for table in ("daemon", "api", "limits", "slskd"):
        yield f"{table}:"
        values = getattr(settings, table)
        for key, one in fields_of(TABLES[table].kind).items():
            if not one.key.secret and hasattr(values, one.name):
                yield f"  {key}: {msgspec.json.encode(getattr(values, one.name)).decode()}"
    account = settings.account
    yield "soulseek:"
    for name in ("username", "server_host", "server_port"):
        yield f"  {name}: {msgspec.json.encode(getattr(account, name)).decode()}"
