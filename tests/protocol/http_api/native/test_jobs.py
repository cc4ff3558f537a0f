"""The native API: what each route tells the daemon's processes, and what it makes of their answers."""

import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from protocol.messages import (
    AddSources,
    BrowseUser,
    CancelJob,
    DeleteJob,
    DropSource,
    FilesListed,
    GetChunkDigest,
    GetManifest,
    GetSearchRation,
    ListJobs,
    ListShares,
    ListStops,
    ListUploads,
    PauseJob,
    PreferSource,
    ProcessLost,
    RequestRefused,
    ResumeJob,
    RetryJob,
    SearchEnded,
    SessionChanged,
    SetSchedule,
    SetTotalLimit,
    StartSearch,
    UpdateJob,
)
from protocol.model.integrity.metalink import read_metalink
from protocol.model.job_policy import LimitWindow
from protocol.model.job_views import ChunkDigest
from tests.protocol.http_api.fake_daemon import Played
from tests.protocol.http_api.rows import ID, detail_row, job_row, source_row
from tests.protocol.http_api.serving import Api, answered, serving

ROOT = "/api/v0/multisource"
JOB = f"{ROOT}/jobs/{ID}"


@pytest.fixture(scope="module")
def standing() -> Iterator[tuple[Api, Played]]:
    played = Played()
    with serving(played) as api:
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


def last(api: Api, kind: type) -> Any:
    return [message for _, message in api.posted if type(message) is kind][-1]


def refused(kind: str, field: str = "") -> Callable[[Any], list[RequestRefused]]:
    return lambda message: [RequestRefused(request=message.request, kind=kind, field=field, detail="no")]


# lists and single jobs


def test_a_list_is_filtered_and_paged_by_the_job_manager(api: Api) -> None:
    query = "state=queued&state=active&state=queued&text=tide&origin=cli&user=ann&removed=True&order=queue"
    response = api.client.get(f"{ROOT}/jobs?{query}&offset=20&limit=2")
    assert response.status_code == 200
    assert response.headers["X-Total-Count"] == "57"
    assert [(job["id"], job["state"]) for job in response.json()] == [(ID, "active"), (ID, "sealed")]
    asked = last(api, ListJobs)
    assert (asked.states, asked.text, asked.origin, asked.user) == (("queued", "active"), "tide", "cli", "ann")
    assert (asked.removed, asked.order, asked.offset, asked.limit) == (True, "queue", 20, 2)


def test_a_job_shows_who_has_which_chunks(api: Api) -> None:
    shown = api.client.get(JOB).json()
    assert shown["percent"] == 50
    assert shown["chunkMap"]["runs"] == [
        {"first": 0, "count": 2, "state": "stored", "source": 0},
        {"first": 2, "count": 2, "state": "stored", "source": 1},
        {"first": 4, "count": 1, "state": "stored", "source": 0},
        {"first": 5, "count": 3, "state": "leased", "source": 0},
        {"first": 8, "count": 2, "state": "missing", "source": None},
    ]
    assert api.client.get(JOB.upper().replace("/API/V0/MULTISOURCE/JOBS", f"{ROOT}/jobs")).json()["id"] == ID


def test_a_job_that_has_only_begun_is_not_held_up_by_sources_that_are_not_ready(api: Api, played: Played) -> None:
    for phase in ("searching", "opening"):
        played.detail = detail_row(phase=phase)
        states = [run["state"] for run in api.client.get(JOB).json()["chunkMap"]["runs"]]
        assert states == ["missing", "leased", "missing"]
    assert not [message for _, message in api.posted if isinstance(message, GetManifest)]


def test_the_chunk_map_may_be_left_out(api: Api) -> None:
    assert api.client.get(f"{JOB}?chunkMap=false").json()["chunkMap"] is None
    assert not [message for _, message in api.posted if isinstance(message, GetManifest)]


def test_why_timeline_and_manifest_are_reported(api: Api) -> None:
    assert api.client.get(f"{JOB}/why").json() == {
        "id": ID,
        "text": "It may have 5 KB/s.",
        "bindings": [{"kind": "limit", "text": "It may have 5 KB/s."}],
    }
    timeline = api.client.get(f"{JOB}/timeline")
    assert timeline.headers["X-Total-Count"] == "9"
    assert timeline.json()[0]["data"] == {"name": "t"}
    manifest = api.client.get(f"{JOB}/manifest?offset=1&limit=1")
    assert manifest.headers["X-Total-Count"] == "3"
    assert [(run["first"], run["count"], run["source"]) for run in manifest.json()["runs"]] == [(2, 2, 1)]


@pytest.mark.parametrize(
    ("method", "path", "body", "kind"),
    [
        ("POST", f"{JOB}/pause", None, PauseJob),
        ("POST", f"{JOB}/resume", None, ResumeJob),
        ("POST", f"{JOB}/cancel", None, CancelJob),
        ("POST", f"{JOB}/retry", None, RetryJob),
        ("DELETE", JOB, None, DeleteJob),
        ("PATCH", JOB, {"limit": 5}, UpdateJob),
        ("POST", f"{JOB}/sources", {"sources": [{"url": "http://m.example/f"}]}, AddSources),
        ("DELETE", f"{JOB}/sources?source=1", None, DropSource),
        ("POST", f"{JOB}/sources/restore?source=1", None, DropSource),
        ("PATCH", f"{JOB}/sources?source=1", None, PreferSource),
    ],
)
def test_an_order_is_passed_on_and_a_wrong_state_is_a_conflict(
    api: Api, played: Played, method: str, path: str, body: Any, kind: type
) -> None:
    response = api.client.request(method, path, json=body)
    assert response.status_code == 200
    assert response.json()["id"] == ID
    assert last(api, kind).id == ID
    for refusal, field, status in (("conflict", "", 409), ("unknown", "id", 404), ("invalid", "sources", 400)):
        played.instead[kind] = refused(refusal, {"id": "", "sources": "urls"}.get(field, field))
        response = api.client.request(method, path, json=body)
        assert response.status_code == status
        assert response.json() == {"error": {"kind": refusal, "field": field, "detail": "no"}}


def test_a_source_that_the_job_does_not_have_is_unknown(api: Api, played: Played) -> None:
    played.instead[DropSource] = refused("invalid", "source")
    response = api.client.delete(f"{JOB}/sources?source=9")
    assert (response.status_code, response.json()["error"]["field"]) == (404, "source")


def test_a_source_is_preferred_and_no_longer(api: Api) -> None:
    for preferred in (True, False):
        assert api.client.patch(f"{JOB}/sources?source=1&preferred={str(preferred).lower()}").status_code == 200
        command = last(api, PreferSource)
        assert (command.source, command.preferred) == (1, preferred)


def test_a_job_is_a_metalink_of_its_mirrors_those_that_sent_most_first(api: Api, played: Played) -> None:
    sources = [
        source_row(number=0, url="https://slow.example/a&b", bytes_stored=1),
        source_row(number=1, url="https://fast.example/tide.flac", bytes_stored=9),
        source_row(number=2, url="https://bad.example/tide.flac", standing="banned"),
        source_row(number=3, url="slsk://ann/music%5Ctide.flac", bytes_stored=99),
    ]
    job = job_row(name='ti"de.flac', checksum=f"sha256:{'ab' * 32}")
    played.detail = detail_row().but(job=job, sources=tuple(sources))
    response = api.client.get(f"{JOB}/metalink")
    assert response.headers["content-type"] == "application/metalink4+xml"
    assert response.headers["content-disposition"] == "attachment; filename*=UTF-8''ti%22de.flac.meta4"
    (file,) = read_metalink(response.content).files
    assert (file.name, file.size_bytes, file.checksum) == ('ti"de.flac', job.size_bytes, f"sha256:{'ab' * 32}")
    assert list(file.urls) == ["https://fast.example/tide.flac", "https://slow.example/a&b"]


@pytest.mark.parametrize("why", ["no mirror", "no size"])
def test_a_metalink_of_no_use_is_refused(api: Api, played: Played, why: str) -> None:
    size, url = (-1, "https://a.example/f") if why == "no size" else (9, "slsk://ann/f")
    played.detail = detail_row().but(job=job_row(size_bytes=size), sources=(source_row(url=url),))
    assert api.client.get(f"{JOB}/metalink").status_code == 409


def test_searches_left_shares_and_uploads_are_listed_also_without_a_session(api: Api, played: Played) -> None:
    exchange = api.client.get(f"{ROOT}/exchange").json()
    assert exchange["searches"] == {"left": 0, "most": 34, "spanS": 220.0, "nextS": 12.5}
    assert [(each["alias"], each["files"], each["scanning"]) for each in exchange["shares"]] == [("@@music", 9, True)]
    assert [(each["username"], each["state"], each["sentBytes"]) for each in exchange["uploads"]] == [
        ("eve", "sending", 4)
    ]
    for question in (GetSearchRation, ListShares, ListUploads):
        played.instead[question] = refused("conflict")
    assert api.client.get(f"{ROOT}/exchange").json() == {"searches": None, "shares": [], "uploads": []}


def test_the_digest_of_a_chunk_is_as_recorded_or_null(api: Api, played: Played) -> None:
    played.instead[GetChunkDigest] = lambda message: answered(message.request, [ChunkDigest(digest=b"\x0a" * 16)])
    assert api.client.get(f"{JOB}/chunks/3").json() == {"chunk": 3, "digest": "0a" * 16}
    assert (last(api, GetChunkDigest).job, last(api, GetChunkDigest).chunk) == (7, 3)
    played.instead[GetChunkDigest] = lambda message: answered(message.request)
    assert api.client.get(f"{JOB}/chunks/4").json() == {"chunk": 4, "digest": None}


def test_tuning_changes_only_what_is_named(api: Api) -> None:
    api.client.patch(JOB, json={"limit": 0})
    assert (last(api, UpdateJob).limit_bytes_s, last(api, UpdateJob).priority) == (0, -1)
    api.client.patch(JOB, json={"priority": 7, "limit": None})
    assert (last(api, UpdateJob).limit_bytes_s, last(api, UpdateJob).priority) == (-1, 7)


def test_a_source_is_dropped_or_banned(api: Api) -> None:
    api.client.delete(f"{JOB}/sources?source=3")
    assert (last(api, DropSource).source, last(api, DropSource).banned) == (3, False)
    api.client.delete(f"{JOB}/sources?source=3&banned=True")
    assert last(api, DropSource).banned is True
    api.client.post(f"{JOB}/sources/restore?source=3")
    assert (last(api, DropSource).source, last(api, DropSource).restored) == (3, True)


def test_a_job_manager_that_is_away_makes_every_route_unavailable_for_now(api: Api) -> None:
    api.say(ProcessLost(process="jobs", detail="killed", restart_s=0.1))
    for path in (f"{ROOT}/jobs", JOB, f"{JOB}/why", f"{ROOT}/limit"):
        response = api.client.get(path)
        assert response.status_code == 503
        assert int(response.headers["Retry-After"]) > 0
        assert response.json()["error"]["kind"] == "unavailable"


# users


def test_a_search_groups_what_users_have(api: Api) -> None:
    response = api.client.get(f"{ROOT}/search", params={"searchText": " quartet  tide ", "searchTimeout": 2000})
    shown = response.json()
    assert (last(api, StartSearch).term, last(api, StartSearch).wait_s) == ("quartet tide", 2.0)
    assert (shown["hits"], shown["refused"], response.headers["X-Total-Count"]) == (4, 1, "2")
    assert [(one["name"], one["size"], one["users"]) for one in shown["targets"]] == [
        ("tide.FLAC", 1000, 2),
        ("b.mp3", 7, 1),
    ]
    assert [one["username"] for one in shown["targets"][0]["sources"]] == ["bob", "ann"]
    assert api.client.get(f"{ROOT}/search?searchText=t&size=7").json()["targets"][0]["name"] == "b.mp3"
    assert api.client.get(f"{ROOT}/search?searchText=t&offset=1&limit=1").json()["targets"][0]["name"] == "b.mp3"


def test_a_search_that_is_refused_is_for_later(api: Api, played: Played) -> None:
    played.instead[StartSearch] = lambda asked: [SearchEnded(search=asked.search, peers=0, refused="not logged in")]
    for state, status in (("online", 429), ("connecting", 409)):
        api.say(SessionChanged(state=state, detail="", final=False))
        response = api.client.get(f"{ROOT}/search?searchText=tide")
        assert response.status_code == status
        assert response.json()["error"]["detail"] == "not logged in"


def test_without_an_account_trying_again_does_not_help(played: Played) -> None:
    with serving(played) as api:
        api.say(ProcessLost(process="soulseek", detail="no account", restart_s=0.0))
        for path in ("search?searchText=tide", "users/ann/files"):
            response = api.client.get(f"{ROOT}/{path}")
            assert (response.status_code, response.json()["error"]["detail"]) == (409, "no account")
        api.say(SessionChanged(state="online", detail="", final=False))
        assert api.client.get(f"{ROOT}/search?searchText=tide").status_code == 503


def test_who_has_the_file_is_ready_for_an_order(api: Api) -> None:
    wanted = {"filename": "x/02 - Tide.flac", "size": 1000}
    assert api.client.post(f"{ROOT}/file-sources", json=wanted).json()["sources"] == [], "another number, another file"
    wanted = {"filename": "x/- Tide.flac", "size": 1000}
    shown = api.client.post(f"{ROOT}/file-sources", json=wanted).json()
    assert last(api, StartSearch).term == "Tide flac"
    assert [(one["username"], one["fullPath"]) for one in shown["sources"]] == [
        ("bob", "n\\tide.FLAC"),
        ("ann", "m\\tide.flac"),
    ]
    sources = [{key: one[key] for key in ("username", "fullPath")} for one in shown["sources"]]
    order = {"filename": "tide.flac", "fileSize": shown["size"], "sources": sources}
    assert api.client.post(f"{ROOT}/download", json=order).status_code == 202


@pytest.mark.parametrize("name", ["ann", "ann b", "a/b", "100%", "ü%2F", "files"])
def test_a_user_may_be_called_anything(api: Api, name: str) -> None:
    response = api.client.get(f"{ROOT}/users/{quote(name, safe='')}/files?folder=m%5Ca")
    assert response.status_code == 200
    assert (last(api, BrowseUser).peer, last(api, BrowseUser).folder) == (name, "m\\a")
    assert [(folder["name"], len(folder["files"])) for folder in response.json()["folders"]] == [
        ("music\\a", 2),
        ("music\\b", 1),
    ]


def test_a_user_who_is_not_there_is_not_found(api: Api, played: Played) -> None:
    played.instead[BrowseUser] = lambda asked: [
        FilesListed(
            request=asked.request,
            peer="ann",
            folder="",
            names=(),
            sizes=(),
            last=True,
            truncated=False,
            refused="ann is offline",
        )
    ]
    response = api.client.get(f"{ROOT}/users/ann/files")
    assert response.status_code == 404
    assert response.json()["error"]["detail"] == "ann is offline"


def test_known_users_stops_and_the_limit_are_reported(api: Api) -> None:
    users = api.client.get(f"{ROOT}/users?offset=1&limit=5")
    assert (users.headers["X-Total-Count"], users.json()[0]["rateBytesS"]) == ("2", 5e5)
    stops = api.client.get(f"{ROOT}/stops?username=ann")
    assert stops.json() == [{"username": "ann", "day": "2026-11-25", "count": 3}]
    assert last(api, ListStops).peer == "ann"
    assert api.client.get(f"{ROOT}/limit").json() == {"limit": 500, "rateBytesS": 0, "schedule": []}
    assert api.client.put(f"{ROOT}/limit", json={"limit": 9}).status_code == 200
    assert last(api, SetTotalLimit).limit_bytes_s == 9
    api.client.put(f"{ROOT}/limit", json={"limit": None})
    assert last(api, SetTotalLimit).limit_bytes_s == -1


def test_a_schedule_is_set_checked_and_taken_back(api: Api) -> None:
    path = f"{ROOT}/limit/schedule"
    night = {"days": [6, 0, 6], "beginMinute": 1320, "endMinute": 360, "limit": 7}
    assert api.client.put(path, json={"schedule": [night]}).status_code == 200
    window = LimitWindow(days=(0, 6), begin_minute=1320, end_minute=360, limit_bytes_s=7)
    assert last(api, SetSchedule).windows == (window,)
    written = {"days": [6.0, 0, 6], "beginMinute": 1320.0, "endMinute": 360.0, "limit": 7.0}  # numbers of JSON too
    assert api.client.put(path, json={"schedule": [written]}).status_code == 200
    api.client.put(path, json={"schedule": []})
    assert last(api, SetSchedule).windows == ()
    api.client.put(path, json={"schedule": None})
    assert last(api, SetSchedule).windows is None
    refused: list[dict[str, Any]] = [{"days": []}, {"days": [7]}, {"beginMinute": 1440}, {"endMinute": 1441}]
    for wrong in (*refused, {"limit": -1}):
        assert api.client.put(path, json={"schedule": [night | wrong]}).status_code == 400, wrong


def test_a_name_that_is_asked_for_twice_at_once_is_asked_for_twice(api: Api) -> None:
    """Reading is not limited to one at a time, and answers do not get mixed up."""
    shown: list[int] = []
    asking = [threading.Thread(target=lambda: shown.append(httpx.get(api.url + JOB).status_code)) for _ in range(8)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    assert shown == [200] * 8
