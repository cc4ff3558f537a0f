"""Numbers for Prometheus, read back with its own parser."""

from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from protocol.http_api.gateway import GatewayInbox
from protocol.messages import GetCounts, HealthReported, ProcessLost, SessionChanged
from tests.protocol.http_api.events.event_store import Book
from tests.protocol.http_api.rows import counts_row
from tests.protocol.http_api.serving import Api, answered, no_answers, serving


def health(process: str) -> HealthReported:
    return HealthReported(
        process=process, pid=7, restarts=2, age_s=60.0, cpu_s=1.25, memory_bytes=1 << 20, fds=12, threads=5
    )


def shown(api: Api) -> dict[tuple[str, str], float]:
    answer = api.client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_jobs_bytes_and_every_process_are_reported() -> None:
    with serving(Book().answer) as api:
        api.say(health("hub"), health("store"), SessionChanged(state="online", detail="", final=False))
        api.say(ProcessLost(process="store", detail="killed"))
        numbers = shown(api)
    assert numbers["shoal_jobs", "active"] == 3
    assert numbers["shoal_rate_bytes_per_second", ""] == 1.5
    assert numbers["shoal_received_bytes_total", ""] == 0
    assert numbers["shoal_process_up", "hub"] == 1
    assert numbers["shoal_process_up", "store"] == 0
    assert numbers["shoal_process_memory_bytes", "hub"] == 1 << 20
    assert numbers["shoal_process_cpu_seconds_total", "hub"] == 1.25
    assert numbers["shoal_process_restarts_total", "hub"] == 2
    assert ("shoal_process_memory_bytes", "store") not in numbers
    assert numbers["shoal_logged_in", ""] == 1


def test_without_a_job_manager_there_are_no_numbers() -> None:
    with serving(no_answers) as api:
        api.say(ProcessLost(process="jobs", detail="killed"))
        answer = api.client.get("/metrics")
        for _ in range(20):  # it may be asked before the loss is heard
            if answer.status_code == 503:
                break
            answer = api.client.get("/metrics")
    assert answer.status_code == 503


def test_what_attempts_under_way_have_stored_counts_as_received() -> None:
    def answer(_address: str, request: Any) -> list[GatewayInbox]:
        assert isinstance(request, GetCounts)
        row = counts_row(
            received_bytes=50, refetched_bytes=10, stored_bytes=90, last_serial=7
        )  # 50 of it of a job that runs
        return answered(request.request, [row])

    with serving(answer) as api:
        status = api.client.get("/api/v0/multisource/status").json()
    assert (status["receivedBytes"], status["refetchedBytes"], status["lastEvent"]) == (100, 10, 7)
