"""The calls of a search, over HTTP."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from protocol.http_api.slskd.searches import RUNNING_MAX, UNENDED_MAX
from protocol.messages import ProcessLost, SearchEnded, SessionChanged, StartSearch
from tests.protocol.http_api.serving import Api
from tests.protocol.http_api.slskd.fake_daemon import BASE, SIZE, TRACK, Daemon, hit, playing

ID = "f857d550-e646-11f1-94e2-02fc00000001"


@pytest.fixture(scope="module")
def idle() -> Iterator[Api]:
    """For calls that change nothing."""
    with playing() as (api, _):
        yield api


def begun(api: Api, **body: Any) -> dict[str, Any]:
    answer = api.client.post(f"{BASE}/searches", json={"id": ID, "searchText": "artist album", **body})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def ended(api: Api, id: str = ID) -> dict[str, Any]:
    """Poll as clients do."""
    until_s = time.monotonic() + 10
    while True:
        shown = api.client.get(f"{BASE}/searches/{id}", params={"includeResponses": "True"}).json()
        if shown["state"] != "InProgress":
            return dict(shown)
        assert time.monotonic() < until_s, shown


def asked(api: Api) -> list[StartSearch]:
    return [message for _, message in api.posted if isinstance(message, StartSearch)]


def test_a_search_is_begun_at_once_and_read_when_it_is_over() -> None:
    with playing(Daemon(hits=[{}, {"peer": "b"}])) as (api, _):
        shown = begun(api, searchTimeout=5000)
        assert {key: shown[key] for key in ("id", "searchText", "state", "isComplete", "responses")} == {
            "id": ID, "searchText": "artist album", "state": "InProgress", "isComplete": False, "responses": [],
        }  # fmt: skip
        over = ended(api)
        assert (over["state"], over["fileCount"], over["responseCount"]) == ("Completed, TimedOut", 2, 2)
        responses = api.client.get(f"{BASE}/searches/{ID}/responses").json()
        assert over["responses"] == responses
        assert responses[0] == {
            "username": "peer one", "token": shown["token"], "fileCount": 1, "hasFreeUploadSlot": True,
            "queueLength": 0, "uploadSpeed": 1_500_000, "lockedFileCount": 0, "lockedFiles": [],
            "files": [{"filename": TRACK, "size": SIZE, "code": 1, "extension": "flac", "isLocked": False}],
        }  # fmt: skip
        assert [(each.term, each.wait_s) for each in asked(api)] == [("artist album", 5.0)]


def test_responses_are_left_out_unless_they_are_asked_for() -> None:
    with playing(Daemon(hits=[{}])) as (api, _):
        begun(api)
        ended(api)
        assert api.client.get(f"{BASE}/searches/{ID}").json()["responses"] == []
        assert api.client.get(f"{BASE}/searches/{ID}?includeResponses=False").json()["responses"] == []
        (listed,) = api.client.get(f"{BASE}/searches").json()
        assert (listed["id"], listed["responses"]) == (ID, [])


def test_what_came_so_far_can_be_read_while_it_runs() -> None:
    with playing(Daemon(hits=[{}], holding=True)) as (api, _):
        begun(api)
        while not api.client.get(f"{BASE}/searches/{ID}/responses").json():
            pass
        assert api.client.get(f"{BASE}/searches/{ID}").json()["state"] == "InProgress"
        (question,) = asked(api)
        api.say(hit(question.search, peer="late"), SearchEnded(search=question.search, peers=2, refused=""))
        assert [each["username"] for each in ended(api)["responses"]] == ["peer one", "late"]


def test_a_search_is_stopped_and_keeps_what_it_found() -> None:
    with playing(Daemon(hits=[{}], holding=True)) as (api, daemon):
        begun(api)
        while not api.client.get(f"{BASE}/searches/{ID}/responses").json():
            pass
        assert api.client.put(f"{BASE}/searches/{ID}").status_code == 200
        shown = ended(api)
        assert (shown["state"], shown["fileCount"]) == ("Completed, Cancelled", 1)
        assert api.client.put(f"{BASE}/searches/{ID}").status_code == 200, "once more changes nothing"
        while daemon.left != [question.search for question in asked(api)]:
            pass


def test_a_limit_that_is_reached_stops_the_search_on_the_network_too() -> None:
    with playing(Daemon(hits=[{"path": f"m\\{n}.mp3"} for n in range(4)], holding=True)) as (api, daemon):
        begun(api, fileLimit=3)
        shown = ended(api)
        assert (shown["state"], shown["fileCount"]) == ("Completed, FileLimitReached", 3)
        while daemon.left != [question.search for question in asked(api)]:
            pass


def test_a_deleted_search_is_gone_for_every_call() -> None:
    with playing(Daemon(holding=True)) as (api, _):
        begun(api)
        assert api.client.delete(f"{BASE}/searches/{ID}").status_code == 204
        for method, path in (("GET", ID), ("GET", f"{ID}/responses"), ("PUT", ID), ("DELETE", ID)):
            assert api.client.request(method, f"{BASE}/searches/{path}").status_code == 404
        begun(api)


def test_an_id_is_made_when_none_is_given_and_used_once() -> None:
    with playing() as (api, _):
        first = api.client.post(f"{BASE}/searches", json={"searchText": "explo"}).json()
        assert ended(api, first["id"].upper())["searchText"] == "explo"
        again = api.client.post(f"{BASE}/searches", json={"id": first["id"], "searchText": "x"})
        assert (again.status_code, again.json()) == (400, "a search with this id exists already")


@pytest.mark.parametrize(
    "body",
    [
        {}, {"searchText": ""}, {"searchText": "   "}, {"searchText": None}, {"searchText": 5},
        {"searchText": "x", "fileLimit": 1.5}, {"searchText": "x", "fileLimit": "7"},
        {"searchText": "x" * 251}, {"searchText": "x", "id": "no guid"}, {"searchText": "x", "searchTimeout": 4},
        {"searchText": "x", "fileLimit": 0}, {"searchText": "x", "responseLimit": -1},
        {"searchText": "x", "filterResponses": "perhaps"}, [], "x", None,
    ],
)  # fmt: skip
def test_a_body_that_cannot_be_meant_is_400_with_one_line(idle: Api, body: Any) -> None:
    answer = idle.client.post(f"{BASE}/searches", json=body)
    assert answer.status_code == 400
    assert isinstance(answer.json(), str)
    assert asked(idle) == []


def test_without_a_login_it_is_409() -> None:
    with playing(online=False) as (api, _):
        answer = api.client.post(f"{BASE}/searches", json={"searchText": "x"})
        assert (answer.status_code, answer.json()) == (409, "not logged in to Soulseek: no login")
        api.say(SessionChanged(state="connecting", detail="", final=False))
        while api.gateway.session is None:
            pass
        answer = api.client.post(f"{BASE}/searches", json={"searchText": "x"})
        assert answer.json() == "not logged in to Soulseek: connecting"
        api.say(SessionChanged(state="offline", detail="the server closed the connection", final=False))
        while api.gateway.session.state != "offline":
            pass
        answer = api.client.post(f"{BASE}/searches", json={"searchText": "x"})
        assert (answer.status_code, answer.json()) == (
            409, "not logged in to Soulseek: the server closed the connection",
        )  # fmt: skip


def test_forty_at_once_wait_for_each_other_and_all_end() -> None:
    with playing(Daemon(holding=True)) as (api, _):
        answers = [api.client.post(f"{BASE}/searches", json={"searchText": "x"}) for _ in range(40)]
        assert {(answer.status_code, answer.json()["state"]) for answer in answers} == {(200, "InProgress")}
        for number in range(40):
            while len(asked(api)) <= number:
                pass
            running = len(asked(api)) - number
            assert running <= RUNNING_MAX
            api.say(SearchEnded(search=asked(api)[number].search, peers=0, refused=""))
        assert {ended(api, answer.json()["id"])["state"] for answer in answers} == {"Completed, TimedOut"}


def test_too_many_that_wait_are_429_and_say_when_to_try_again() -> None:
    with playing(Daemon(holding=True)) as (api, _):
        answers = [api.client.post(f"{BASE}/searches", json={"searchText": "x"}) for _ in range(UNENDED_MAX + 1)]
        assert [answer.status_code for answer in answers] == [200] * UNENDED_MAX + [429]
        assert int(answers[-1].headers["Retry-After"]) > 0
        assert isinstance(answers[-1].json(), str)


def test_a_search_that_waits_can_be_stopped() -> None:
    with playing(Daemon(holding=True)) as (api, _):
        ids = [api.client.post(f"{BASE}/searches", json={"searchText": "x"}).json()["id"] for _ in range(20)]
        while len(asked(api)) < RUNNING_MAX:
            pass
        assert api.client.put(f"{BASE}/searches/{ids[-1]}").status_code == 200
        assert ended(api, ids[-1])["state"] == "Completed, Cancelled"
        assert len(asked(api)) == RUNNING_MAX


def test_a_search_over_the_budget_waits_for_it_and_is_in_progress_meanwhile() -> None:
    daemon = Daemon(hits=[{}], refused=[("the search budget is spent", 0.6), ("the search budget is spent", 0.6)])
    with playing(daemon) as (api, _):
        begun(api)
        over = ended(api)
        assert (over["state"], over["fileCount"]) == ("Completed, TimedOut", 1)
        assert len(asked(api)) == 3


def test_a_search_that_is_refused_for_good_is_errored() -> None:
    with playing(Daemon(refused=[("no possible search term", 0.0)])) as (api, _):
        begun(api)
        assert ended(api)["state"] == "Completed, Errored"


def test_a_session_that_dies_ends_its_searches() -> None:
    with playing(Daemon(hits=[{}], holding=True)) as (api, _):
        begun(api)
        while not api.client.get(f"{BASE}/searches/{ID}/responses").json():
            pass
        api.say(ProcessLost(process="soulseek", detail="killed by SIGKILL", restart_s=1.0))
        shown = ended(api)
        assert (shown["state"], shown["fileCount"]) == ("Completed, Errored", 1)
        assert api.client.post(f"{BASE}/searches", json={"searchText": "x"}).status_code == 409
