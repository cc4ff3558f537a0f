"""The shell of the API: paths, errors, health, and an end that no open request holds up."""

import threading
import time
from collections.abc import Iterable

import httpx
import pytest

from protocol.http_api.gateway import ASK_S, GatewayInbox
from protocol.messages import (
    GetCounts,
    Message,
    ProcessLost,
    SessionChanged,
)
from tests.protocol.http_api.rows import counts_row
from tests.protocol.http_api.serving import answered, open_settings, serving


def job_manager(_to: str, message: Message) -> Iterable[GatewayInbox]:
    return answered(message.request) if isinstance(message, GetCounts) else ()


def test_the_process_is_alive_whatever_answers_and_ready_when_the_job_manager_does() -> None:
    with serving(job_manager) as api:
        assert api.client.get("/health").json() == {"status": "alive"}
        assert api.client.get("/health/ready").json() == {"status": "ready", "login": "none"}
        api.say(SessionChanged(state="online", detail="", final=False))
        assert api.client.get("/health/ready").json() == {"status": "ready", "login": "online"}
        api.say(ProcessLost(process="jobs", detail="killed by SIGKILL", restart_s=1.0))
        ready = api.client.get("/health/ready")
        assert ready.status_code == 503
        assert "SIGKILL" in ready.json()["detail"]
        assert api.client.get("/health").status_code == 200


@pytest.mark.parametrize("path", ["/health", "/health/", "/HEALTH", "/Health//", "/base/health", "/BASE/health/"])
def test_a_path_may_be_spelled_in_many_ways(path: str) -> None:
    with serving(settings=open_settings(url_base="/base")) as api:
        assert api.client.get(path).status_code == 200


def test_an_unknown_path_is_an_error_in_json_as_its_callers_read_them() -> None:
    with serving() as api:
        ours = api.client.get("/api/v0/multisource/nothing")
        assert ours.status_code == 404
        assert ours.json() == {"error": {"kind": "unknown", "field": "", "detail": "Not Found"}}
        theirs = api.client.get("/api/v0/nothing")
        assert theirs.status_code == 404
        assert theirs.json() == "Not Found"
        assert api.client.post("/health").status_code == 405
        job = api.client.put("/api/v0/multisource/jobs/3f0c9f0e-6a2b-4b44-9d5c-0d9a3c1e7f00")
        assert (job.status_code, job.headers["Allow"]) == (405, "DELETE, GET, PATCH")


def test_the_body_of_an_answer_does_not_wait_for_its_head_to_be_acknowledged() -> None:
    """Clients acknowledge after 40 ms what they do not answer, but for the first answers of a connection; the fastest
    of many later ones shows it on a busy machine too."""
    with serving() as api:
        took_s = []
        for _ in range(60):
            begun_s = time.perf_counter()
            api.client.get("/api/v0/multisource/jobs/none")
            took_s.append(time.perf_counter() - begun_s)
    assert min(took_s[30:]) < 0.03


def test_the_end_waits_for_no_open_question() -> None:
    with serving() as api:
        heard: list[httpx.Response] = []
        asking = threading.Thread(target=lambda: heard.append(httpx.get(f"{api.url}/health/ready")))
        asking.start()
        while len(api.posted) < 1:
            time.sleep(0.01)
        begun_s = time.monotonic()
    assert time.monotonic() - begun_s < 0.9 * ASK_S
    asking.join()
    assert heard[0].status_code == 503


def test_counts_fit_an_answer() -> None:
    row = counts_row()
    with serving(lambda _to, message: answered(message.request, [row])) as api:
        assert api.client.get("/health/ready").status_code == 200
