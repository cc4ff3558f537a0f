"""The calls of downloads and users, over HTTP."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from protocol.messages import CreateJob, ProcessLost
from tests.protocol.http_api.serving import Api
from tests.protocol.http_api.slskd.fake_daemon import BASE, FOLDER, SIZE, TRACK, Daemon, playing, snapshot

DOWNLOADS = f"{BASE}/transfers/downloads"
FILE = {"filename": TRACK, "size": SIZE}


@pytest.fixture(scope="module")
def idle() -> Iterator[Api]:
    """For calls that change nothing."""
    with playing() as (api, _):
        yield api


def enqueued(api: Api, user: str = "peer one", file: dict[str, Any] = FILE) -> dict[str, Any]:
    answer = api.client.post(f"{DOWNLOADS}/{quote(user)}", json=[file])
    assert answer.status_code == 201, answer.text
    shown = answer.json()
    assert shown["failed"] == []
    return dict(shown["enqueued"][0])


def test_what_is_enqueued_is_in_the_tree_of_its_user_and_alone() -> None:
    with playing() as (api, daemon):
        made = enqueued(api)
        assert (made["username"], made["filename"], made["size"], made["state"]) == (
            "peer one", TRACK, SIZE, "Queued, Locally",
        )  # fmt: skip
        of_user = {"username": "peer one", "directories": [{"directory": FOLDER, "fileCount": 1, "files": [made]}]}
        assert api.client.get(f"{DOWNLOADS}/peer%20one").json() == of_user
        assert api.client.get(f"{DOWNLOADS}/").json() == [of_user]
        assert api.client.get(f"{DOWNLOADS}/peer%20one/{made['id']}").json() == made
        (order,) = daemon.orders
        assert (order.spec.folder, order.spec.name, order.spec.size_bytes) == (
            "/data/downloads/Album",
            "01 - Track 1.flac",
            SIZE,
        )


def test_many_files_are_enqueued_at_once_and_those_that_fail_are_reported() -> None:
    with playing() as (api, daemon):
        files = [{"filename": f"{FOLDER}\\{number}.flac", "size": number} for number in range(5)]
        shown = api.client.post(f"{DOWNLOADS}/u", json=files).json()
        assert [one["size"] for one in shown["enqueued"]] == [0, 1, 2, 3, 4]
        daemon.full = True
        answer = api.client.post(f"{DOWNLOADS}/u", json=[FILE])
        assert (answer.status_code, answer.json()) == (429, "too many jobs")
        assert "Retry-After" in answer.headers


@pytest.mark.parametrize(
    "body",
    [
        [], [None], {}, None, [{}], [{"filename": "a"}], [{"size": 1}], [{"filename": "", "size": 1}],
        [{"filename": "a\\..\\b", "size": 1}], [{"filename": "a/../../b", "size": 1}], [{"filename": "a\\", "size": 1}],
        [{"filename": "a", "size": -1}], [{"filename": "a", "size": "1"}], [{"filename": "a", "size": 1 << 60}],
        [{"filename": "a", "size": 1.5}], [{"filename": "a\\..", "size": 1}],
        [{"filename": "a", "size": True}], [{"filename": "a" * 4001, "size": 1}], [FILE, None],
        [{"filename": "a\x00b", "size": 1}], [{"filename": "a\nb", "size": 1}], [{"filename": 5, "size": 1}],
        [FILE] * 1001,
    ],
)  # fmt: skip
def test_a_list_that_cannot_be_meant_is_400_and_nothing_is_enqueued(idle: Api, body: Any) -> None:
    answer = idle.client.post(f"{DOWNLOADS}/u", json=body)
    assert answer.status_code == 400, answer.text
    assert isinstance(answer.json(), str)
    assert not any(isinstance(message, CreateJob) for _, message in idle.posted)


def test_a_whole_discography_is_enqueued_in_its_order() -> None:
    with playing() as (api, daemon):
        files = [{"filename": f"m\\A{number % 7}\\{number}.mp3", "size": number} for number in range(350)]
        shown = api.client.post(f"{DOWNLOADS}/u", json=files).json()
        assert [one["filename"] for one in shown["enqueued"]] == [file["filename"] for file in files]
        assert [order.spec.size_bytes for order in daemon.orders] == list(range(350))
        (user,) = api.client.get(DOWNLOADS).json()
        assert [each["fileCount"] for each in user["directories"]] == [50] * 7


def test_a_failed_one_that_is_enqueued_again_is_not_listed_beside_the_new_one() -> None:
    with playing() as (api, daemon):
        first = enqueued(api)
        daemon.fail(first["id"])
        again = enqueued(api)
        assert again["id"] != first["id"]
        (user,) = api.client.get(f"{DOWNLOADS}/").json()
        assert [each["id"] for each in user["directories"][0]["files"]] == [again["id"]]
        (user,) = api.client.get(f"{DOWNLOADS}/?includeRemoved=True").json()
        assert {each["id"]: each["removed"] for each in user["directories"][0]["files"]} == {
            first["id"]: True, again["id"]: False,
        }  # fmt: skip


def test_a_transfer_is_cancelled_and_then_forgotten() -> None:
    with playing() as (api, _):
        made = enqueued(api)
        path = f"{DOWNLOADS}/peer%20one/{made['id']}"
        assert api.client.delete(f"{path}?remove=False").status_code == 204
        assert api.client.get(path).json()["state"] == "Completed, Cancelled"
        assert api.client.get(f"{DOWNLOADS}/peer%20one").status_code == 200
        assert api.client.delete(f"{path}?remove=false").status_code == 204, "once more changes nothing"
        assert api.client.delete(f"{path}/?remove=True").status_code == 204
        assert api.client.get(f"{DOWNLOADS}/peer%20one").status_code == 404
        assert api.client.get(path).json()["removed"] is True


def test_an_ended_transfer_is_forgotten_and_stays_what_it_was() -> None:
    with playing() as (api, daemon):
        made = enqueued(api)
        daemon.seal(made["id"])
        path = f"{DOWNLOADS}/peer%20one/{made['id']}"
        assert api.client.delete(f"{path}?remove=True").status_code == 204
        assert api.client.get(path).json()["state"] == "Completed, Succeeded"
        assert api.client.get(f"{DOWNLOADS}/").json() == []


def test_all_that_ended_are_forgotten_together() -> None:
    with playing() as (api, daemon):
        done, failed, open_ = (enqueued(api, user) for user in ("a", "b", "c"))
        daemon.seal(done["id"])
        daemon.fail(failed["id"])
        assert api.client.delete(f"{DOWNLOADS}/all/completed").status_code == 204
        assert [user["username"] for user in api.client.get(f"{DOWNLOADS}/").json()] == ["c"]
        assert api.client.get(f"{DOWNLOADS}/c/{open_['id']}").status_code == 200


def test_the_place_in_a_queue_is_a_number() -> None:
    with playing() as (api, daemon):
        made = enqueued(api)
        path = f"{DOWNLOADS}/peer%20one/{made['id']}/position"
        assert api.client.get(path).json() == 0
        daemon.become(made["id"], state="active", queue_place=4)
        assert api.client.get(path).json() == 4


def test_a_transfer_of_another_or_another_door_is_404() -> None:
    with playing() as (api, daemon):
        made = enqueued(api)
        other = snapshot(id=str(uuid.uuid4()), origin="cli", user="peer one", remote_path="")
        daemon.jobs[other.id] = other
        for path in (f"peer%20two/{made['id']}", f"peer%20one/{other.id}", f"peer%20one/{uuid.uuid4()}"):
            assert api.client.get(f"{DOWNLOADS}/{path}").status_code == 404
            assert api.client.delete(f"{DOWNLOADS}/{path}").status_code == 404
            assert api.client.get(f"{DOWNLOADS}/{path}/position").status_code == 404
        assert [user["username"] for user in api.client.get(f"{DOWNLOADS}/").json()] == ["peer one"]


def test_what_is_no_guid_is_400_and_a_user_without_transfers_404() -> None:
    with playing() as (api, _):
        assert api.client.get(f"{DOWNLOADS}/nobody").status_code == 404
        assert api.client.get(f"{DOWNLOADS}/nobody/no-guid").status_code == 400
        assert api.client.delete(f"{DOWNLOADS}/nobody/no-guid").status_code == 400
        assert api.client.delete(f"{DOWNLOADS}/{uuid.uuid4()}").status_code == 404


def test_more_transfers_than_a_page_are_all_listed() -> None:
    with playing(page_max=10) as (api, daemon):
        for number in range(35):
            job = snapshot(id=str(uuid.UUID(int=number)), user="u", remote_path=f"m\\{number}.mp3")
            daemon.jobs[job.id] = job
        (user,) = api.client.get(f"{DOWNLOADS}/").json()
        files = user["directories"][0]["files"]
        assert [file["filename"] for file in files] == [f"m\\{number}.mp3" for number in range(35)]


def test_without_the_job_manager_it_is_503_and_not_an_empty_list() -> None:
    with playing() as (api, _):
        api.say(ProcessLost(process="jobs", detail="killed by SIGKILL", restart_s=1.0))
        while "jobs" not in api.gateway.away:
            pass
        answer = api.client.get(f"{DOWNLOADS}/")
        assert answer.status_code == 503
        assert isinstance(answer.json(), str)


def test_what_is_not_served_is_empty_and_harmless() -> None:
    with playing() as (api, _):
        assert api.client.get(f"{BASE}/transfers/uploads/").json() == []
        assert api.client.get(f"{BASE}/transfers/uploads/u").status_code == 404
        assert api.client.delete(f"{BASE}/transfers/uploads/all/completed").status_code == 204
        assert api.client.get(f"{BASE}/shares").json() == {"local": []}
        assert api.client.get(f"{BASE}/rooms/joined").json() == []
        assert api.client.get(f"{BASE}/relay/agents").status_code == 403


def test_a_folder_of_a_user_is_a_list_and_one_who_is_not_there_404() -> None:
    shared = {"peer one": {FOLDER: {"01 - Track 1.flac": SIZE}, "music\\Other": {"x.MP3": 5}}}
    with playing(Daemon(shared=shared, online={"peer one": "Away"})) as (api, _):
        shown = api.client.post(f"{BASE}/users/peer%20one/directory", json={"directory": FOLDER})
        assert shown.json() == [
            {
                "name": FOLDER, "fileCount": 1,
                "files": [
                    {"filename": "01 - Track 1.flac", "size": SIZE, "code": 1, "extension": "flac",
                     "attributeCount": 0, "attributes": []},
                ],
            },
        ]  # fmt: skip
        browsed = api.client.get(f"{BASE}/users/peer%20one/browse").json()
        assert browsed["directoryCount"] == 2
        assert browsed["directories"][1]["files"][0]["extension"] == "mp3"
        assert api.client.get(f"{BASE}/users/peer%20one/status").json() == {"presence": "Away", "isPrivileged": False}
        assert api.client.get(f"{BASE}/users/gone/status").json()["presence"] == "Offline"
        gone = api.client.post(f"{BASE}/users/gone/directory", json={"directory": FOLDER})
        assert (gone.status_code, gone.json()) == (404, "gone is not online")
        assert api.client.post(f"{BASE}/users/peer%20one/directory", json={"directory": "none"}).status_code == 404
        assert api.client.post(f"{BASE}/users/peer%20one/directory", json={}).status_code == 400
        assert api.client.get(f"{BASE}/users/gone/browse/status").status_code == 404
