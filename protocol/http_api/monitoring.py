"""Health checks (``/health``, ``/health/ready``) and Prometheus metrics (``/metrics``), collected at each request."""

from collections.abc import Iterator
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field

from protocol.http_api.gateway import ASK_S, Answer, Gateway, RefusedError, UnavailableError
from protocol.http_api.openapi import refusals
from protocol.messages import GetCounts
from protocol.messages.addresses import JOB_MANAGER
from protocol.model.job_records import STATES
from protocol.model.job_views import Counts

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

    content = {"text/plain": {"schema": {"type": "string"}}}

    @routes.get(
        "/metrics",
        summary="Numbers for Prometheus",
        tags=["metrics"],
        response_class=Response,
        responses={200: {"description": "In Prometheus's text format.", "content": content}, **refusals()},
    )
    async def get_metrics() -> Response:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Snapshot([*_job_metrics((await _counts(gateway)).row(Counts)), *_process_metrics(gateway)]))
        return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return routes


async def _counts(gateway: Gateway, *, wait_s: float = ASK_S) -> Answer:
    return await gateway.ask(JOB_MANAGER, GetCounts(), wait_s=wait_s)


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
