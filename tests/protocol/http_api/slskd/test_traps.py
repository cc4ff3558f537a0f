"""What clients of slskd stumble over, one trap a test. The restart (12) and the place of the file (10) are shown end
to end as well."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from protocol.config.settings import READ_ONLY, READ_WRITE, ApiKey
from tests.protocol.http_api.serving import Api
from tests.protocol.http_api.slskd.fake_daemon import BASE, FOLDER, SIZE, TRACK, Daemon, active, playing

DOWNLOADS = f"{BASE}/transfers/downloads"
FILE = {"filename": TRACK, "size": SIZE}
ID = "f857d550-e646-11f1-94e2-02fc00000001"


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[Api, Daemon]]:
    """For traps that disturb no other one."""
    with playing() as made:
        yield made


def enqueue(api: Api, user: str = "peer one", path: str = TRACK, size: int = SIZE) -> httpx.Response:
    return api.client.post(f"{DOWNLOADS}/{quote(user, safe='')}", json=[{"filename": path, "size": size}])


def nulls(document: Any) -> list[Any]:
    if isinstance(document, dict):
        return [key for key, value in document.items() if value is None] + [
            x for v in document.values() for x in nulls(v)
        ]
    return [x for v in document for x in nulls(v)] if isinstance(document, list) else []


def test_trap_1_enqueue_is_201() -> None:
    with playing() as (api, _):
        answer = enqueue(api)
        assert answer.status_code == 201
        assert sorted(answer.json()) == ["enqueued", "failed"]


def test_trap_2_null_members_are_absent() -> None:
    with playing(Daemon(hits=[{}])) as (api, daemon):
        made = enqueue(api).json()
        daemon.fail(made["enqueued"][0]["id"])
        api.client.post(f"{BASE}/searches", json={"id": ID, "searchText": "x"})
        paths = ("application", "server", "options", "searches", f"searches/{ID}?includeResponses=true")
        document = [api.client.get(f"{BASE}/{path}").json() for path in (*paths, "transfers/downloads")]
        assert nulls([made, *document]) == []


def test_trap_3_flags_are_joined_by_a_comma_and_a_space() -> None:
    with playing() as (api, daemon):
        id = enqueue(api).json()["enqueued"][0]["id"]
        states = []
        for change in (
            {"state": "queued"}, {"state": "active", "phase": "riding"}, {"state": "sealed"}, {"state": "cancelled"},
            {"state": "failed", "outcome": "starved"}, {"state": "failed", "outcome": "interrupted"},
        ):  # fmt: skip
            daemon.become(id, **change)
            states.append(api.client.get(f"{DOWNLOADS}/peer%20one/{id}").json()["state"])
        assert states == [
            "Queued, Locally", "Queued, Remotely", "Completed, Succeeded", "Completed, Cancelled",
            "Completed, Errored", "Completed, Aborted",
        ]  # fmt: skip


@pytest.mark.parametrize("flag", ["True", "true", "TRUE"])
def test_trap_4_a_trailing_slash_and_pythons_true(flag: str) -> None:
    with playing() as (api, _):
        id = enqueue(api).json()["enqueued"][0]["id"]
        assert api.client.delete(f"{DOWNLOADS}/peer%20one/{id}/?remove={flag}").status_code == 204
        assert api.client.get(f"{DOWNLOADS}/?includeRemoved=False").json() == []
        assert len(api.client.get(f"{DOWNLOADS}/?includeRemoved={flag}").json()) == 1
        assert api.client.post(f"{DOWNLOADS}/peer%20one/", json=[FILE]).status_code == 201
        for path in ("application/version/", "Application/Version", "searches/", "server/", "options/"):
            assert api.client.get(f"{BASE}/{path}").status_code == 200


@pytest.mark.parametrize(
    "user", ["peer one", "50% off", "100%25", "Ünïcödé ♫", "a/b", "a\\b", "batches", "all", "completed", "ALL", "x+y"]
)
def test_trap_5_users_of_every_name(shared: tuple[Api, Daemon], user: str) -> None:
    api, daemon = shared
    made = enqueue(api, user).json()["enqueued"][0]
    assert (made["username"], daemon.orders[-1].spec.user) == (user, user)
    name = quote(user)  # leaves a slash as it is, as the library does
    assert api.client.get(f"{DOWNLOADS}/{name}").json()["username"] == user
    assert api.client.get(f"{DOWNLOADS}/{name}/{made['id']}").json() == made
    assert api.client.get(f"{DOWNLOADS}/{name}/{made['id']}/position").status_code == 200
    daemon.seal(made["id"])
    assert api.client.delete(f"{DOWNLOADS}/all/completed").status_code == 204
    gone = api.client.get(f"{DOWNLOADS}/{name}").status_code
    assert gone == (400 if "/" in user else 404), "a slash may as well stand before an id that is none"
    assert api.client.delete(f"{DOWNLOADS}/{name}/{made['id']}").status_code == 204


def test_trap_6_bodies_in_pascal_case_and_members_no_one_knows() -> None:
    with playing(Daemon(hits=[{}], shared={"u": {FOLDER: {"a.mp3": 1}}})) as (api, daemon):
        body = {
            "Id": ID, "SearchText": "artist", "FileLimit": 10000, "FilterResponses": True, "ResponseLimit": 100,
            "SearchTimeout": 5000, "MinimumPeerUploadSpeed": 0, "Surprise": {"a": [1]},
        }  # fmt: skip
        assert api.client.post(f"{BASE}/searches", json=body).json()["id"] == ID
        file = {"Filename": TRACK, "Size": SIZE, "BitRate": 320, "isLocked": False, "unknown": None}
        assert api.client.post(f"{DOWNLOADS}/u", json=[file]).status_code == 201
        assert (daemon.orders[0].spec.remote_path, daemon.orders[0].spec.size_bytes) == (TRACK, SIZE)
        assert api.client.post(f"{BASE}/users/u/directory", json={"Directory": FOLDER}).status_code == 200


def test_trap_7_a_search_is_in_progress_until_its_responses_can_be_read() -> None:
    daemon = Daemon(hits=[{"peer": f"u{number}"} for number in range(50)], refused=[("the budget is spent", 0.5)])
    with playing(daemon) as (api, _):
        assert api.client.post(f"{BASE}/searches", json={"id": ID, "searchText": "x"}).json()["state"] == "InProgress"
        states = set()
        while "Completed, TimedOut" not in states:
            states.add(api.client.get(f"{BASE}/searches/{ID}").json()["state"])
        assert len(api.client.get(f"{BASE}/searches/{ID}/responses").json()) == 50
        assert states <= {"InProgress", "Completed, TimedOut"}


def test_trap_8_a_directory_keeps_its_backslashes() -> None:
    with playing() as (api, _):
        enqueue(api, path="@@abc\\Music/Mixed\\Album\\x.flac")
        (directory,) = api.client.get(f"{DOWNLOADS}/peer%20one").json()["directories"]
        assert directory["directory"] == "@@abc\\Music/Mixed\\Album"
        assert directory["files"][0]["filename"] == "@@abc\\Music/Mixed\\Album\\x.flac"


def test_trap_9_a_listing_is_a_list_with_bare_names() -> None:
    shared = {"u": {FOLDER + "\\Scans": {"front.jpg": 5}, FOLDER: {"01 - Track 1.flac": SIZE}}}
    with playing(Daemon(shared=shared)) as (api, _):
        document = api.client.post(f"{BASE}/users/u/directory", json={"directory": FOLDER}).json()
        assert isinstance(document, list)
        assert (document[0]["name"], [file["filename"] for file in document[0]["files"]]) == (
            FOLDER,
            ["01 - Track 1.flac"],
        )


def test_trap_10_the_file_is_ordered_to_where_clients_look_and_succeeded_only_when_sealed() -> None:
    with playing() as (api, daemon):
        id = enqueue(api).json()["enqueued"][0]["id"]
        (order,) = daemon.orders
        assert f"{order.spec.folder}/{order.spec.name}" == "/data/downloads/Album/01 - Track 1.flac"
        downloads = api.client.get(f"{BASE}/options").json()["directories"]["downloads"]
        assert order.spec.folder == f"{downloads}/Album"
        daemon.jobs[id] = active(id=id, stored_bytes=SIZE, sources_active=1, rate_bytes_s=1.0, left_s=0.0)
        document = api.client.get(f"{DOWNLOADS}/peer%20one/{id}").json()
        assert (document["percentComplete"], document["state"]) == (100.0, "InProgress"), (
            "stored is not yet at its place"
        )
        daemon.become(id, phase="sealing")
        assert api.client.get(f"{DOWNLOADS}/peer%20one/{id}").json()["state"] == "InProgress"
        daemon.seal(id)
        assert api.client.get(f"{DOWNLOADS}/peer%20one/{id}").json()["state"] == "Completed, Succeeded"


def test_trap_11_the_same_file_twice_is_one_transfer() -> None:
    with playing() as (api, daemon):
        first, second = enqueue(api), enqueue(api)
        assert second.status_code == 201
        assert second.json()["enqueued"][0]["id"] == first.json()["enqueued"][0]["id"]
        both = api.client.post(f"{DOWNLOADS}/peer%20one", json=[FILE, FILE])
        assert len(both.json()["enqueued"]) == 1
        assert len(daemon.jobs) == 1


def test_trap_12_ids_belong_to_the_job_and_not_to_this_process() -> None:
    daemon = Daemon()
    with playing(daemon) as (api, _):
        id = enqueue(api).json()["enqueued"][0]["id"]
    with playing(daemon) as (api, _):
        assert api.client.get(f"{DOWNLOADS}/peer%20one/{id}").json()["id"] == id


def test_trap_13_an_empty_file_is_at_0_percent() -> None:
    with playing() as (api, daemon):
        id = enqueue(api, size=0).json()["enqueued"][0]["id"]
        assert api.client.get(f"{DOWNLOADS}/peer%20one/{id}").json()["percentComplete"] == 0
        daemon.seal(id)
        assert api.client.get(f"{DOWNLOADS}/peer%20one/{id}").json()["percentComplete"] == 0


def test_trap_14_the_version_has_three_whole_numbers() -> None:
    with playing() as (api, _):
        version = api.client.get(f"{BASE}/application/version").json()
        assert (0, 22, 2) < tuple(map(int, version.split("."))) < (0, 26, 0)
        assert api.client.get(f"{BASE}/application").json()["product"].startswith("Shoal ")


def test_trap_15_keys_as_header_and_as_bearer_wrong_ones_401_and_small_ones_403() -> None:
    right = ApiKey(name="tool", key="0123456789abcdef-tool", role=READ_WRITE)
    small = ApiKey(name="eyes", key="0123456789abcdef-eyes", role=READ_ONLY)
    with playing(authentication=True, keys=(right, small)) as (api, _):
        for headers in ({"X-API-Key": right.key}, {"Authorization": f"Bearer {right.key}"}):
            assert api.client.post(f"{DOWNLOADS}/u", json=[FILE], headers=headers).status_code == 201
        for headers in ({"X-API-Key": "0123456789abcdef-none"}, {"Authorization": "Bearer 0123456789abcdef"}, {}):
            refused = api.client.post(f"{DOWNLOADS}/u", json=[FILE], headers=headers)
            assert refused.status_code == 401
            assert isinstance(refused.json(), str)
        weak = {"X-API-Key": small.key}
        assert api.client.get(f"{DOWNLOADS}/", headers=weak).status_code == 200
        refused = api.client.post(f"{DOWNLOADS}/u", json=[FILE], headers=weak)
        assert refused.status_code == 403
        assert isinstance(refused.json(), str)


def test_tubifarry_sends_pascal_case_and_raw_user_names() -> None:
    with playing(Daemon(hits=[{}])) as (api, _):
        assert api.client.get(f"{BASE}/application").json()["server"]["isLoggedIn"] is True
        assert api.client.get(f"{BASE}/options").json()["directories"]["downloads"]
        body = {"Id": ID, "FileLimit": 10000, "SearchText": "artist album", "SearchTimeout": 15000}
        assert api.client.post(f"{BASE}/searches", json=body).status_code == 200
        while (document := api.client.get(f"{BASE}/searches/{ID}?includeResponses=true").json())[
            "state"
        ] == "InProgress":
            pass
        file = document["responses"][0]["files"][0]
        raw = httpx.Request("POST", f"{api.url}{DOWNLOADS}/x", json=[{"Filename": file["filename"], "Size": SIZE}])
        raw.extensions["target"] = f"{DOWNLOADS}/peer%20one&co's(!)@:;=+$,*".encode()
        answer = api.client.send(raw)
        assert answer.status_code == 201
        assert answer.json()["enqueued"][0]["username"] == "peer one&co's(!)@:;=+$,*"


def test_explo_searches_by_text_alone_and_deletes_in_two_steps() -> None:
    with playing(Daemon(hits=[{}])) as (api, _):
        id = api.client.post(f"{BASE}/searches", json={"searchText": "artist title"}).json()["id"]
        while not (document := api.client.get(f"{BASE}/searches/{id}").json())["isComplete"]:
            pass
        assert document["fileCount"] == 1
        made = enqueue(api).json()["enqueued"][0]
        path = f"{DOWNLOADS}/peer%20one/{made['id']}"
        assert api.client.delete(f"{path}?remove=false").status_code == 204
        assert api.client.delete(f"{path}?remove=true").status_code == 204
        assert api.client.get(DOWNLOADS).json() == []


def test_errors_are_bare_strings_for_these_clients() -> None:
    with playing() as (api, _):
        for answer in (
            api.client.get(f"{BASE}/searches/{ID}"),
            api.client.get(f"{BASE}/nothing"),
            api.client.post(f"{BASE}/searches", content=b"{"),
            api.client.get(f"{DOWNLOADS}/nobody"),
            api.client.patch(f"{BASE}/searches"),
        ):
            assert answer.status_code >= 400
            assert isinstance(json.loads(answer.text), str)
