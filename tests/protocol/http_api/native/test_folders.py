"""Ordering a user's folder: which jobs are made, once for each key, and how the sum of them is reported."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from protocol.messages import CancelJob, CreateJob, FilesListed, ListFolders, ListJobs, PauseJob, RequestRefused
from protocol.model.job_views import FolderView
from tests.protocol.http_api.fake_daemon import Played
from tests.protocol.http_api.rows import detail_row, job_row
from tests.protocol.http_api.serving import Api, answered, open_settings, serving

ROOT = "/api/v0/multisource"
ORDER: dict[str, Any] = {"username": "ann", "remoteFolder": "music\\a", "folder": "new"}
FOLDER = "0b7c1f0e-6a2b-4b44-9d5c-0d9a3c1e7f00"


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[Api, Played]]:
    played = Played()
    with serving(played, open_settings("/nowhere")) as api:
        yield api, played


@pytest.fixture
def played(shared: tuple[Api, Played]) -> Played:
    shared[1].reset()
    return shared[1]


@pytest.fixture
def api(shared: tuple[Api, Played], played: Played) -> Api:
    shared[0].posted.clear()
    shared[0].gateway.away.clear()
    return shared[0]


def orders(api: Api) -> list[CreateJob]:
    return [message for _, message in api.posted if isinstance(message, CreateJob)]


def listed(*folders: tuple[str, tuple[str, ...]], refused: str = "") -> Any:
    def answer(asked: Any) -> list[FilesListed]:
        last = len(folders) - 1
        return [
            FilesListed(
                request=asked.request, peer="ann", folder=folder, names=names, sizes=tuple(map(len, names)),
                last=at == last, truncated=False, refused=refused,
            )
            for at, (folder, names) in enumerate(folders)
        ]  # fmt: skip

    return answer


def test_each_file_of_a_folder_becomes_a_job_of_that_user_and_of_all_who_have_it(api: Api) -> None:
    response = api.client.post(f"{ROOT}/folder", json=ORDER | {"priority": 4})
    assert response.status_code == 202
    first, second = (order.spec for order in orders(api))
    assert (first.name, second.name, first.size_bytes) == ("1.flac", "2.flac", 10)
    assert first.folder == second.folder == "/nowhere/downloads/new/a"
    assert (first.user, first.remote_path, first.widen, first.term) == ("ann", "music\\a\\1.flac", True, "a 1")
    assert first.priority == 4
    assert response.json()["id"] == first.folder_id == second.folder_id
    assert [order.sources for order in orders(api)] == [
        ("slsk://ann/music%5Ca%5C1.flac",),
        ("slsk://ann/music%5Ca%5C2.flac",),
    ]


def test_folders_below_it_come_where_that_is_wanted(api: Api, played: Played) -> None:
    from protocol.messages import BrowseUser

    played.instead[BrowseUser] = listed(("m\\a", ("x",)), ("m\\a\\CD 1", ("y",)), ("m\\b", ("z",)))
    order = {"username": "ann", "remoteFolder": "m\\a", "recursive": True, "widen": False}
    assert api.client.post(f"{ROOT}/folder", json=order).status_code == 202
    assert [made.spec.folder for made in orders(api)] == ["/nowhere/downloads/a", "/nowhere/downloads/a/CD 1"]
    assert {(made.spec.widen, made.spec.term) for made in orders(api)} == {(False, "")}
    asked = [message for _, message in api.posted if isinstance(message, BrowseUser)]
    assert [message.folder for message in asked] == [""]


def test_the_same_order_with_its_key_makes_the_same_jobs(api: Api) -> None:
    key = {"Idempotency-Key": f"folder-{uuid.uuid4()}"}
    once = api.client.post(f"{ROOT}/folder", json=ORDER, headers=key).json()["id"]
    again = api.client.post(f"{ROOT}/folder", json=ORDER, headers=key).json()["id"]
    other = api.client.post(f"{ROOT}/folder", json=ORDER).json()["id"]
    assert once == again != other
    keys = [(made.key, made.digest, made.spec.folder_id) for made in orders(api)]
    assert keys[0] == keys[2]
    assert keys[0][0] != keys[1][0]
    assert keys[4][0] == ""


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"remoteFolder": "music\\none"}, 404, "remoteFolder"),
        ({"folder": "../up"}, 403, "folder"),
        ({"remoteFolder": ""}, 400, "remoteFolder"),
        ({"more": 1}, 400, "more"),
    ],
)
def test_what_cannot_be_fetched_is_refused_before_a_job_is_made(
    api: Api, body: dict[str, Any], status: int, field: str
) -> None:
    response = api.client.post(f"{ROOT}/folder", json=ORDER | body)
    assert (response.status_code, response.json()["error"]["field"]) == (status, field)
    assert not orders(api)


def test_a_folder_of_too_many_files_is_refused_whole(api: Api, played: Played) -> None:
    from protocol.messages import BrowseUser

    parts = [("music\\a", tuple(f"{part}-{number}" for number in range(501))) for part in range(2)]
    played.instead[BrowseUser] = listed(*parts)
    response = api.client.post(f"{ROOT}/folder", json=ORDER)
    assert (response.status_code, response.json()["error"]["field"]) == (400, "remoteFolder")
    assert not orders(api)


def jobs_of_a_folder(request: int) -> Any:
    common = {"user": "ann", "folder_id": FOLDER}
    rows = [
        job_row(**common, name="1", folder="/music/a", state="sealed", stored_bytes=0, size_bytes=100),
        job_row(**common, name="2", folder="/music/a/CD", stored_bytes=50, size_bytes=100, rate_bytes_s=5.0, left_s=3),
        job_row(**common, name="3", folder="/music/a", state="failed", phase="", stored_bytes=0, size_bytes=200),
    ]
    return answered(request, rows, total=3)


def test_a_folder_is_the_sum_of_its_files(api: Api, played: Played) -> None:
    played.instead[ListJobs] = lambda asked: jobs_of_a_folder(asked.request)
    found = api.client.get(f"{ROOT}/folders/{FOLDER.upper()}").json()
    assert (found["id"], found["state"], found["name"], found["folder"]) == (FOLDER, "active", "a", "/music/a")
    assert found["states"] == {"sealed": 1, "active": 1, "failed": 1}
    assert (found["sizeBytes"], found["storedBytes"], found["percent"]) == (400, 150, 37.5)
    assert (found["rateBytesS"], found["leftS"], found["fileCount"]) == (5.0, 3.0, 3)
    assert [file["name"] for file in found["files"]] == ["1", "2", "3"]
    assert {file["folderId"] for file in found["files"]} == {FOLDER}
    why = api.client.get(f"{ROOT}/folders/{FOLDER}/why").json()
    assert [each["text"] for each in why] == ["It may have 5 KB/s."] * 2
    (query, *_) = [message for _, message in api.posted if isinstance(message, ListJobs)]
    assert (query.folder_id, query.removed, query.order) == (FOLDER, True, "oldest")


def test_folders_are_listed_with_their_total(api: Api, played: Played) -> None:
    played.instead[ListFolders] = lambda asked: answered(asked.request, [FolderView(id=FOLDER, jobs=3)], total=9)
    played.instead[ListJobs] = lambda asked: jobs_of_a_folder(asked.request)
    response = api.client.get(f"{ROOT}/folders")
    assert response.headers["X-Total-Count"] == "9"
    assert [(each["id"], each["fileCount"]) for each in response.json()] == [(FOLDER, 3)]


def test_a_command_to_a_folder_reaches_each_of_its_files(api: Api, played: Played) -> None:
    played.instead[ListJobs] = lambda asked: jobs_of_a_folder(asked.request)
    played.instead[PauseJob] = lambda asked: [
        RequestRefused(request=asked.request, kind="conflict", field="", detail="it has ended")
    ]
    refused = api.client.post(f"{ROOT}/folders/{FOLDER}/pause").json()
    assert [len(refused["done"]), len(refused["failed"]), refused["failed"][0]["kind"]] == [0, 3, "conflict"]
    done = api.client.post(f"{ROOT}/folders/{FOLDER}/cancel").json()
    assert [len(done["done"]), len(done["failed"])] == [3, 0]
    assert sum(isinstance(message, CancelJob) for _, message in api.posted) == 3
    assert api.client.post(f"{ROOT}/folders/{FOLDER}/explode").status_code == 404


def test_an_unknown_folder_is_404(api: Api, played: Played) -> None:
    played.instead[ListJobs] = lambda asked: answered(asked.request, [], total=0)
    for method, path in (("GET", ""), ("GET", "/why"), ("POST", "/pause")):
        response = api.client.request(method, f"{ROOT}/folders/{FOLDER}{path}")
        assert (response.status_code, response.json()["error"]["field"]) == (404, "id")


def test_a_job_of_no_folder_says_so(api: Api, played: Played) -> None:
    played.detail = detail_row()
    assert api.client.get(f"{ROOT}/jobs").json()[0]["folderId"] is None
