"""Health checks (``/health``, ``/health/ready``) and Prometheus metrics (``/metrics``), collected at each request."""

import shutil
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Response
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field

from protocol.http_api.gateway import ASK_S, Answer, Gateway, RefusedError, UnavailableError
from protocol.http_api.login import WhoAmI, who_is
from protocol.http_api.middleware.authorization import Caller, caller
from protocol.http_api.native.peer_schemas import LimitWindow
from protocol.http_api.openapi import refusals
from protocol.http_api.schema_base import Count, Number, ResponseModel, Text
from protocol.messages import GetCounts, HealthReported
from protocol.messages.addresses import JOB_MANAGER
from protocol.model.job_records import STATES
from protocol.model.job_views import Counts
from protocol.model.limits import STOPS_PER_DAY

READY_S_MAX: Final = 2.0
_COUNTERS: Final = {
    "received_bytes": "Bytes of files that came from sources.",
    "refetched_bytes": "Bytes that came more than once.",
    "stored_bytes": "Bytes that were checked and stored.",
    "chunks": "Chunks that were checked and stored.",
    "stops": "Times a source was stopped before the end of its file.",
    "trims": "Times the end of a transfer was taken for another source.",
    "retries": "Times a job was tried again by itself.",
}
_GAUGES: Final = {
    "rate_bytes_s": ("shoal_rate_bytes_per_second", "What all jobs together receive."),
    "limit_bytes_s": ("shoal_limit_bytes_per_second", "What they may at most, 0: no limit."),
}
_PROCESS_GAUGES: Final = {
    "memory_bytes": ("shoal_process_memory_bytes", "Memory, with shared pages divided among the processes."),
    "fds": ("shoal_process_open_fds", "Open file descriptors."),
    "threads": ("shoal_process_threads", "Threads."),
    "age_s": ("shoal_process_age_seconds", "Since it was started."),
}
_PROCESS_COUNTERS: Final = {
    "cpu_s": ("shoal_process_cpu_seconds", "Processor time since it was started."),
    "restarts": ("shoal_process_restarts", "How often it was restarted."),
}


class Alive(BaseModel):
    """The API's process lives."""

    status: Literal["alive"] = Field(default="alive", description="Always alive.")


class ProcessStatus(ResponseModel):
    """One process of the daemon."""

    name: Text = Field(description="Name of the process.")
    up: bool = Field(description="Whether it runs.")
    detail: Text = Field(description="Why it does not run; empty when it does.")
    pid: Count = Field(description="Its number in the system; 0 when it does not run.")
    restarts: Count = Field(description="How often it was restarted.")
    age_s: Number = Field(description="Seconds since it was started.")
    cpu_s: Number = Field(description="Processor seconds since then.")
    memory_bytes: Count = Field(description="Memory, with shared pages divided among the processes.")
    fds: Count = Field(description="Open file descriptors.")
    threads: Count = Field(description="Threads.")


class Status(ResponseModel):
    """The daemon at a glance."""

    caller: WhoAmI = Field(description="Who is asking.")
    login: Text = Field(description="State of the Soulseek login; none: without an account, or not known yet.")
    login_detail: Text = Field(description="Why it is so, in words; may be empty.")
    username: Text = Field(description="Name of the Soulseek account; empty without one.")
    server: Text = Field(description="Its server; empty without an account.")
    counts: dict[str, Count] = Field(description="Number of jobs in each state.")
    received_bytes: Count = Field(description="Bytes of files that came from sources, since the installation.")
    refetched_bytes: Count = Field(description="Of them, those that came more than once.")
    stops: Count = Field(description="Times a source was stopped before the end of its file.")
    rate_bytes_s: Number = Field(description="Bytes a second that come now.")
    limit: Count = Field(description="Limit of all jobs in bytes a second; 0: none.")
    limit_configured: Count = Field(description="The limit that the configuration names outside of the schedule.")
    schedule: Annotated[list[LimitWindow], Field(max_length=1000)] = Field(description="Other limits by time.")
    downloads: Text = Field(description="Folder of downloads.")
    disk_free_bytes: Count = Field(description="Free bytes there.")
    disk_bytes: Count = Field(description="Size of that file system.")
    stops_per_day: Count = Field(description="How often one user may be stopped in a day.")
    processes: Annotated[list[ProcessStatus], Field(max_length=100)] = Field(description="Processes of the daemon.")
    last_event: Count = Field(description="Id of the latest event: a stream of events may begin behind it.")


class Readiness(BaseModel):
    """Readiness of the daemon to work."""

    status: Literal["ready", "unavailable"] = Field(description="Whether jobs can be created and read.")
    login: Annotated[str, Field(max_length=100)] = Field(
        description="State of the Soulseek login; none: without an account, or not known yet."
    )
    detail: Annotated[str, Field(max_length=1000)] | None = Field(
        default=None, description="Why it is unavailable; left out when it is ready."
    )


def router(gateway: Gateway) -> APIRouter:
    """Build these routes."""
    routes = APIRouter()

    @routes.get("/health", summary="Whether the API's process lives", tags=["health"])
    async def alive() -> Alive:
        return Alive()

    @routes.get(
        "/health/ready",
        summary="Whether jobs can be created and read",
        tags=["health"],
        response_model_exclude_none=True,
        responses={503: {"model": Readiness, "description": "Not now; detail says why."}},
    )
    async def ready(response: Response) -> Readiness:
        login = gateway.session.state if gateway.session is not None else "none"
        try:
            await _counts(gateway, wait_s=READY_S_MAX)
        except (UnavailableError, RefusedError) as error:
            response.status_code = 503
            return Readiness(status="unavailable", login=login, detail=str(error))
        return Readiness(status="ready", login=login)

    @routes.get(
        "/api/v0/multisource/status", summary="The daemon at a glance", tags=["multisource"], responses=refusals()
    )
    async def get_status(who: Annotated[Caller, Depends(caller)]) -> Status:
        return _status(gateway, (await _counts(gateway)).row(Counts), who)

    content = {"text/plain": {"schema": {"type": "string"}}}

    @routes.get(
        "/metrics",
        summary="Numbers for Prometheus",
        tags=["metrics"],
        response_class=Response,
        responses={200: {"description": "In Prometheus's text format.", "content": content}, **refusals()},
    )
    async def get_metrics() -> Response:
        return await prometheus_text(gateway)

    return routes


async def prometheus_text(gateway: Gateway) -> Response:
    """Return all numbers in Prometheus's format. Raises `UnavailableError`."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Snapshot([*_job_metrics((await _counts(gateway)).row(Counts)), *_process_metrics(gateway)]))
    return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _counts(gateway: Gateway, *, wait_s: float = ASK_S) -> Answer:
    return await gateway.ask(JOB_MANAGER, GetCounts(), wait_s=wait_s)


def _status(gateway: Gateway, counts: Counts, who: Caller) -> Status:
    settings, session = gateway.settings, gateway.session
    try:
        disk = shutil.disk_usage(settings.daemon.downloads)
        total, free = disk.total, disk.free
    except OSError:
        total = free = 0
    account = settings.account
    return Status(
        caller=who_is(who),
        login=session.state if session is not None else "none",
        login_detail=session.detail if session is not None else "",
        username=account.username,
        server=f"{account.server_host}:{account.server_port}" if account.server_host else "",
        counts={state: getattr(counts, state) for state in STATES},
        received_bytes=counts.stored_bytes + counts.refetched_bytes,  # the attempts under way are in the first
        refetched_bytes=counts.refetched_bytes,
        stops=counts.stops,
        rate_bytes_s=counts.rate_bytes_s,
        limit=max(0, counts.limit_bytes_s),
        limit_configured=settings.limits.limit_bytes_s,
        schedule=[LimitWindow.model_validate(window) for window in counts.schedule],
        downloads=settings.daemon.downloads,
        disk_free_bytes=free,
        disk_bytes=total,
        stops_per_day=STOPS_PER_DAY,
        processes=[
            *(
                ProcessStatus(name=name, up=True, detail="", **_figures(health))
                for name, health in gateway.health.items()
            ),
            *(ProcessStatus(name=name, up=False, detail=why, **_figures(None)) for name, why in gateway.away.items()),
        ],
        last_event=counts.last_serial,
    )


def _figures(health: HealthReported | None) -> dict[str, Any]:
    names = ("pid", "restarts", "age_s", "cpu_s", "memory_bytes", "fds", "threads")
    return {name: getattr(health, name) if health is not None else 0 for name in names}


class _Snapshot:
    """A collector of metrics that were read already."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics


def _job_metrics(counts: Counts) -> Iterator[Metric]:
    jobs = GaugeMetricFamily("shoal_jobs", "Jobs by state.", labels=["state"])
    for state in STATES:
        jobs.add_metric([state], getattr(counts, state))
    yield jobs
    for field, text in _COUNTERS.items():
        yield CounterMetricFamily(f"shoal_{field}", text, value=getattr(counts, field))
    for field, (name, text) in _GAUGES.items():
        yield GaugeMetricFamily(name, text, value=getattr(counts, field))


def _process_metrics(gateway: Gateway) -> Iterator[Metric]:
    logged_in = gateway.session is not None and gateway.session.state == "online"
    yield GaugeMetricFamily("shoal_logged_in", "Whether the Soulseek login holds.", value=logged_in)
    up = GaugeMetricFamily("shoal_process_up", "Whether the process is there.", labels=["process"])
    for process in (*gateway.health, *gateway.away):
        up.add_metric([process], process in gateway.health)
    yield up
    for kind, fields in ((GaugeMetricFamily, _PROCESS_GAUGES), (CounterMetricFamily, _PROCESS_COUNTERS)):
        for field, (name, text) in fields.items():
            family = kind(name, text, labels=["process"])
            for process, health in gateway.health.items():
                family.add_metric([process], getattr(health, field))
            yield family
