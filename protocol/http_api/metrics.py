"""Numbers for Prometheus, made when they are asked for from what the job manager and the front know."""

from collections.abc import Iterator
from typing import Final

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from protocol.http_api.gateway import Gateway
from protocol.http_api.openapi import refusals
from protocol.messages import GetCounts, HealthReported
from protocol.messages.addresses import JOB_MANAGER
from protocol.model.job_views import STATES, Counts

_COUNTERS: Final = (
    ("shoal_received_bytes", "Bytes of files that came from sources.", "received_bytes"),
    ("shoal_refetched_bytes", "Bytes that came more than once.", "refetched_bytes"),
    ("shoal_stored_bytes", "Bytes that were checked and kept.", "stored_bytes"),
    ("shoal_chunks", "Chunks that were checked and kept.", "chunks"),
    ("shoal_stops", "Times a source was hung up on before the end of its file.", "stops"),
    ("shoal_trims", "Times the end of a ride was taken for another source.", "trims"),
    ("shoal_retries", "Times a job was tried again by itself.", "retries"),
)
_GAUGES: Final = (
    ("shoal_rate_bytes_per_second", "What all jobs together receive.", "rate_bytes_s"),
    ("shoal_limit_bytes_per_second", "What they may at most, 0: no limit.", "limit_bytes_s"),
)
_HEALTH: Final = (
    ("shoal_process_memory_bytes", "Memory, what is shared divided among those who share it.", "memory_bytes"),
    ("shoal_process_open_fds", "Open file descriptors.", "fds"),
    ("shoal_process_threads", "Threads.", "threads"),
    ("shoal_process_age_seconds", "Since it was started.", "age_s"),
)
CONTENT: Final = {"text/plain": {"schema": {"type": "string"}}}


def router(desk: Gateway) -> APIRouter:
    routes = APIRouter(tags=["metrics"])

    @routes.get(
        "/metrics",
        summary="Numbers for Prometheus",
        response_class=Response,
        responses={
            200: {"description": "In Prometheus's text format.", "content": CONTENT},
            **refusals(),
        },
    )
    async def get_metrics() -> Response:
        answer = await desk.ask(JOB_MANAGER, lambda number, to: GetCounts(request=number, reply_to=to))
        body = generate_latest(_registry(answer.row(Counts), desk))
        return Response(body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    return routes


class _Told:
    """A collector of what is given."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics


def _registry(counts: Counts, desk: Gateway) -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=False)
    login = desk.session.state if desk.session is not None else ""
    metrics = [*_of_jobs(counts), *_of_processes(list(desk.health.values()), list(desk.away))]
    metrics.append(GaugeMetricFamily("shoal_logged_in", "Whether the Soulseek login holds.", value=login == "online"))
    registry.register(_Told(metrics))
    return registry


def _of_jobs(counts: Counts) -> Iterator[Metric]:
    jobs = GaugeMetricFamily("shoal_jobs", "Jobs by state.", labels=["state"])
    for state in STATES:
        jobs.add_metric([state], getattr(counts, state))
    yield jobs
    for name, text, field in _COUNTERS:
        yield CounterMetricFamily(name, text, value=getattr(counts, field))
    for name, text, field in _GAUGES:
        yield GaugeMetricFamily(name, text, value=getattr(counts, field))


def _of_processes(living: list[HealthReported], away: list[str]) -> Iterator[Metric]:
    up = GaugeMetricFamily("shoal_process_up", "Whether the process is there.", labels=["process"])
    for health in living:
        up.add_metric([health.process], 1)
    for name in away:
        up.add_metric([name], 0)
    yield up
    for name, text, field in _HEALTH:
        family = GaugeMetricFamily(name, text, labels=["process"])
        for health in living:
            family.add_metric([health.process], getattr(health, field))
        yield family
    cpu = CounterMetricFamily("shoal_process_cpu_seconds", "Processor time since it was started.", labels=["process"])
    restarts = CounterMetricFamily("shoal_process_restarts", "How often it was started anew.", labels=["process"])
    for health in living:
        cpu.add_metric([health.process], health.cpu_s)
        restarts.add_metric([health.process], health.restarts)
    yield from (cpu, restarts)
