"""Ordering over the API: what the job manager is sent, once for each key, and requests that wait for the end."""

import json
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from protocol.http_api.native import downloads
from protocol.messages import AddSources, CreateJob, GetJob, ProcessLost, RequestRefused
from protocol.model.job_spec import HttpOptions, TransferPolicy
from tests.protocol.http_api.fake_daemon import Played
from tests.protocol.http_api.rows import ID, detail_row
from tests.protocol.http_api.serving import Api, open_settings, serving

ROOT = "/api/v0/multisource"
DOWNLOAD = f"{ROOT}/download"
FOLDER = "/nowhere"
ORDER: dict[str, Any] = {
    "filename": "path/to/tide.flac",
    "fileSize": 1000,
    "sources": [{"username": "ann", "fullPath": "music\\tide.flac"}, {"url": "https://m.example/t"}],
}
SHA = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


@pytest.fixture(scope="module")
def standing() -> Iterator[tuple[Api, Played]]:
    played = Played()
    with serving(played, open_settings(FOLDER)) as api:
        yield api, played


@pytest.fixture
def played(standing: tuple[Api, Played]) -> Played:
    standing[1].reset()
    return standing[1]


@pytest.fixture
def api(standing: tuple[Api, Played], played: Played) -> Api:
    standing[0].posted.clear()
    standing[0].gateway.away.clear()
    return standing[0]


@pytest.fixture
def key() -> str:
    return f"order-{uuid.uuid4()}"


def placed(api: Api) -> list[CreateJob]:
    return [message for _, message in api.posted if isinstance(message, CreateJob)]


def test_a_download_is_accepted_and_says_where_it_is(api: Api) -> None:
    more = {"expectedHash": SHA, "folder": "quartet", "limit": 7, "priority": -2, "mode": "race", "chunkSize": 65536}
    response = api.client.post(DOWNLOAD, json=ORDER | more)
    assert response.status_code == 202
    assert response.headers["Location"] == f"{ROOT}/jobs/{ID}"
    assert response.json()["id"] == ID
    (order,) = placed(api)
    spec = order.spec
    assert order.sources == ("slsk://ann/music%5Ctide.flac", "https://m.example/t")
    assert (spec.name, spec.size_bytes, spec.folder) == (
        "tide.flac",
        1000,
        f"{FOLDER}/downloads/quartet",
    )
    assert (spec.checksum, spec.limit_bytes_s, spec.priority) == (f"sha256:{SHA}", 7, -2)
    assert (spec.mode, spec.chunk_size, spec.origin, spec.private_ok) == (
        "race",
        65536,
        "multisource",
        False,
    )


def test_a_new_job_is_answered_whole_after_one_request(api: Api, played: Played) -> None:
    played.detail = detail_row(state="queued", phase="", attempts=0, stored_bytes=0)
    job = api.client.post(DOWNLOAD, json=ORDER).json()
    assert [type(message).__name__ for _, message in api.posted] == ["CreateJob"]
    assert (job["state"], len(job["sources"]), job["chunkMap"]["chunkCount"]) == ("queued", 1, 10)


def test_a_swarm_is_a_search_that_becomes_a_job(api: Api) -> None:
    body = {"filename": " quartet  tide ", "size": 1000, "searchTimeout": 5000}
    assert api.client.post(f"{ROOT}/swarm", json=body).status_code == 202
    (order,) = placed(api)
    assert (order.spec.term, order.spec.search_s, order.spec.size_bytes, order.spec.name, order.sources) == (
        "quartet tide",
        5.0,
        1000,
        "",
        (),
    )
    blank = api.client.post(f"{ROOT}/swarm", json=body | {"filename": "  "})
    assert (blank.status_code, blank.json()["error"]["field"]) == (400, "filename")


def test_how_servers_are_asked_travels_in_the_job_and_wrong_options_are_named(api: Api) -> None:
    http = {
        **{"headers": ["Authorization: Bearer s3cret", "X-Two: 2"], "userAgent": "mine/1", "proxy": "socks5h://p:1080"},
        **{"interface": "eth0", "ipVersion": 6, "timeout": 7500, "stallTimeout": 2000, "retries": 2},
    }
    answer = api.client.post(DOWNLOAD, json={**ORDER, "http": http, "existing": "skip"})
    assert (answer.status_code, "s3cret" in answer.text) == (202, False)
    spec = placed(api)[0].spec
    assert spec.http == HttpOptions(
        headers=("Authorization: Bearer s3cret", "X-Two: 2"),
        user_agent="mine/1",
        proxy="socks5h://p:1080",
        interface="eth0",
        ip_version=6,
        answer_s=7.5,
        silence_s=2.0,
        failures=2,
    )
    assert spec.existing == "skip"
    policy = TransferPolicy(timeout_s=40.0).ordered(spec.http)
    assert (policy.timeout_s, policy.stall_timeout_s, policy.failures_max) == (7.5, 2.0, 2)
    assert TransferPolicy(timeout_s=40.0).ordered(HttpOptions()).timeout_s == 40.0
    for member, wrong in (
        *(("headers", ["Range: bytes=0-"]), ("headers", ["A: b\r\nHost: evil"]), ("proxy", "ftp://p")),
        *(("interface", "a b"), ("ipVersion", 5), ("timeout", 0), ("userAgent", "a\nb"), ("other", 1)),
    ):
        refused = api.client.post(DOWNLOAD, json={**ORDER, "http": {member: wrong}})
        assert (refused.status_code, member in refused.json()["error"]["field"]) == (400, True), refused.text


def test_cookies_logins_connections_and_a_time_limit_travel_in_the_job_and_no_secret_comes_back(api: Api) -> None:
    cookie = "m.example\tFALSE\t/\tFALSE\t0\tsession\tc00kie"
    http = {"cookies": [cookie], "logins": [{"host": "M.example", "username": "me", "password": "w0rd :x"}]}
    answer = api.client.post(DOWNLOAD, json={**ORDER, "http": http, "connections": 2, "maxTime": 1500})
    assert (answer.status_code, "c00kie" in answer.text, "w0rd" in answer.text) == (202, False, False), answer.text
    order = placed(api)[0]
    assert (order.spec.http.cookies, order.spec.http.logins) == ((cookie,), ("m.example\tme\tw0rd :x",))
    assert order.spec.max_time_s == 1.5
    web = [url for url in order.sources if url.startswith("http")]
    assert web
    assert [url.partition("#")[2] for url in web] == ["", "connection-2"] * (len(web) // 2)
    for member, wrong in (
        ("cookies", ["not a cookie"]),
        ("cookies", [cookie + "\u00e9"]),
        ("cookies", [cookie + "x" * 3000] * 5),
        ("logins", [{"host": "h", "username": "a\tb", "password": ""}]),
        ("logins", [{"host": "h", "username": "a"}]),
    ):
        refused = api.client.post(DOWNLOAD, json={**ORDER, "http": {member: wrong}})
        assert refused.status_code == 400, refused.text
        assert "c00kie" not in refused.text
    for wrong_order in ({"connections": 17}, {"connections": 0}, {"maxTime": 0}):
        assert api.client.post(DOWNLOAD, json=ORDER | wrong_order).status_code == 400


def test_sources_that_do_not_fit_one_message_follow(api: Api) -> None:
    sources = [{"url": f"https://m.example/{number}/{'x' * 900}"} for number in range(60)]
    assert api.client.post(DOWNLOAD, json=ORDER | {"sources": sources}).status_code == 202
    shown = [*placed(api)[0].sources]
    for _, message in api.posted:
        if isinstance(message, AddSources):
            assert message.id == ID
            shown += message.urls
    assert shown == [source["url"] for source in sources]


def test_the_base_of_our_paths_stands_in_the_location(played: Played) -> None:
    with serving(played, open_settings(url_base="/shoal")) as api:
        response = api.client.post(f"/shoal{DOWNLOAD}/", json=ORDER)
        assert response.headers["Location"] == f"/shoal{ROOT}/jobs/{ID}"


# the same order twice


def test_a_key_is_kept_with_what_was_ordered_however_it_was_written(api: Api, key: str) -> None:
    reordered = dict(reversed(list(ORDER.items())))
    spelled_out = ORDER | {"mode": "swarm", "limit": 0.0}
    for body in (ORDER, reordered, spelled_out, ORDER | {"limit": 1}):
        assert api.client.post(DOWNLOAD, json=body, headers={"Idempotency-Key": key}).status_code == 202
    api.client.post(DOWNLOAD, json=ORDER)
    *keyed, other, none = placed(api)
    assert {order.key for order in (*keyed, other)} == {key}
    assert len({order.digest for order in keyed}) == 1
    assert other.digest not in ("", keyed[0].digest)
    assert (none.key, none.digest) == ("", "")


def test_a_key_that_came_with_another_order_is_a_conflict(api: Api, played: Played, key: str) -> None:
    played.instead[CreateJob] = lambda order: [
        RequestRefused(request=order.request, kind="conflict", field="key", detail="another order came with this key")
    ]
    response = api.client.post(DOWNLOAD, json=ORDER, headers={"Idempotency-Key": key})
    assert (response.status_code, response.json()["error"]["field"]) == (409, "Idempotency-Key")


# waiting


def test_a_request_that_waits_is_answered_when_the_job_has_ended(api: Api, played: Played) -> None:
    shown: list[httpx.Response] = []
    waiting = threading.Thread(
        target=lambda: shown.append(httpx.post(f"{api.url}{DOWNLOAD}?wait=True", json=ORDER, timeout=30))
    )
    waiting.start()
    until(lambda: sum(isinstance(message, GetJob) for _, message in api.posted) >= 2)
    assert not shown
    played.detail = detail_row(state="sealed", number=0, path="/music/tide.flac")
    waiting.join()
    assert shown[0].status_code == 200
    assert (shown[0].json()["state"], shown[0].json()["path"]) == ("sealed", "/music/tide.flac")
    assert shown[0].headers["Location"] == f"{ROOT}/jobs/{ID}"


def test_waiting_ends_after_the_time_that_was_asked_for(api: Api) -> None:
    response = api.client.post(f"{DOWNLOAD}?wait=true&waitS=1", json=ORDER)
    assert (response.status_code, response.json()["state"]) == (202, "active")


def test_a_client_that_goes_away_leaves_its_place_and_the_job_alone(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "WAITING_MAX", 1)
    with socket.create_connection(("127.0.0.1", httpx.URL(api.url).port or 0)) as client:
        client.sendall(raw_order("?wait=true"))
        until(lambda: len(placed(api)) == 1)
        refused = api.client.post(f"{DOWNLOAD}?wait=true&waitS=1", json=ORDER)
        assert (refused.status_code, refused.json()["error"]["field"]) == (429, "wait")
        assert len(placed(api)) == 1
    until(lambda: api.client.post(f"{DOWNLOAD}?wait=true&waitS=1", json=ORDER).status_code == 202)
    assert {type(message).__name__ for _, message in api.posted} <= {"CreateJob", "GetJob", "GetManifest"}


def raw_order(query: str) -> bytes:
    body = json.dumps(ORDER).encode()
    head = f"POST {DOWNLOAD}{query} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def test_the_end_of_the_daemon_ends_the_waiting_with_the_job_that_was_made() -> None:
    with serving(Played()) as api:
        end_while_waiting(api)


def end_while_waiting(api: Api) -> None:
    shown: list[httpx.Response] = []
    waiting = threading.Thread(
        target=lambda: shown.append(httpx.post(f"{api.url}{DOWNLOAD}?wait=true", json=ORDER, timeout=30))
    )
    waiting.start()
    until(lambda: len(placed(api)) == 1)
    api.loop.call_soon_threadsafe(api.gateway.close)
    waiting.join()
    assert (shown[0].status_code, shown[0].json()["id"]) == (202, ID)


def test_a_job_that_was_made_is_reported_even_if_the_job_manager_dies_then(api: Api, played: Played) -> None:
    def die(_message: Any) -> list[Any]:
        return [ProcessLost(process="jobs", detail="killed", restart_s=1.0)]

    played.instead[GetJob] = die
    response = api.client.post(DOWNLOAD, json=ORDER)
    assert (response.status_code, response.json()["id"]) == (202, ID)
    assert [source["number"] for source in response.json()["sources"]] == [0]


def until(condition: Any, within_s: float = 10.0) -> None:
    due_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < due_s
        time.sleep(0.02)
