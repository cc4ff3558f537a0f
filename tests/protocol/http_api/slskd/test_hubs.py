"""The hubs of slskd's web interface: negotiated, shaken hands with, and sent what changes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from protocol.http_api.slskd.hubs import CONNECTIONS_MAX, HUBS
from protocol.messages import SearchEnded, SessionChanged
from tests.protocol.http_api.serving import Api
from tests.protocol.http_api.slskd.fake_daemon import BASE, Daemon, active, playing, shared_folder

END = "\x1e"


@dataclass
class Hub:
    """A connected client: `next` is the next message that is no ping."""

    frames: Iterator[str]

    def next(self) -> dict[str, Any]:
        while (message := dict(json.loads(next(self.frames)))).get("type") == 6:
            pass
        return message

    def invoked(self, target: str) -> Any:
        """The argument of the next invocation, which is of this target."""
        message = self.next()
        assert (message["type"], message["target"]) == (1, target), message
        (argument,) = message["arguments"]
        return argument


def negotiated(api: Api, hub: str) -> str:
    answer = api.client.post(f"/hub/{hub}/negotiate?negotiateVersion=1")
    assert answer.status_code == 200, answer.text
    shown = answer.json()
    assert shown["availableTransports"] == [{"transport": "ServerSentEvents", "transferFormats": ["Text"]}]
    return str(shown["connectionToken"])


@contextmanager
def connected(api: Api, hub: str) -> Iterator[Hub]:
    token = negotiated(api, hub)
    with httpx.stream("GET", f"{api.client.base_url}/hub/{hub}", params={"id": token}, timeout=20) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = (line.removeprefix("data: ") for line in stream.iter_lines() if line.startswith("data: "))
        frames = (frame for line in lines for frame in line.split(END) if frame)
        hello = json.dumps({"protocol": "json", "version": 1}) + END
        assert api.client.post(f"/hub/{hub}", params={"id": token}, content=hello).status_code == 200
        one = Hub(frames)
        assert one.next() == {}, "the handshake's answer"
        yield one


def test_the_application_hub_sends_state_and_options_and_the_state_again_when_it_changes() -> None:
    with (
        playing(Daemon(shares=[shared_folder("/m", folders=1, files=2)])) as (api, _),
        connected(api, "application") as hub,
    ):
        state = hub.invoked("STATE")
        assert (state["server"]["isLoggedIn"], state["shares"]["files"]) == (True, 2)
        assert state == api.client.get(f"{BASE}/application").json()
        assert hub.invoked("OPTIONS") == api.client.get(f"{BASE}/options").json()
        api.say(SessionChanged(state="kicked", detail="another program", final=False))
        assert hub.invoked("STATE")["server"]["isConnected"] is False


def test_the_search_hub_sends_the_list_and_every_change() -> None:
    with playing(Daemon(hits=[{}], holding=True)) as (api, _):
        old = api.client.post(f"{BASE}/searches", json={"searchText": "old"}).json()["id"]
        with connected(api, "search") as hub:
            (listed,) = hub.invoked("LIST")
            assert (listed["id"], listed["responses"]) == (old, [])
            new = api.client.post(f"{BASE}/searches", json={"searchText": "new"}).json()["id"]
            seen: dict[str, list[Any]] = {}
            numbers = [message.search for _, message in api.posted if type(message).__name__ == "StartSearch"]
            for number in numbers:
                api.say(SearchEnded(search=number, peers=1, refused=""))
            while not (new in seen and seen[new][-1][1]["isComplete"]):
                message = hub.next()
                (search,) = message["arguments"]
                seen.setdefault(search["id"], []).append((message["target"], search))
            assert seen[new][0][0] == "CREATE"
            assert api.client.delete(f"{BASE}/searches/{new}").status_code == 204
            while (message := hub.next())["target"] != "DELETE":
                pass
            assert message["arguments"][0]["id"] == new


def test_metrics_and_logs_come_at_once() -> None:
    daemon = Daemon(jobs={"a": active(rate_bytes_s=5e5)})
    with playing(daemon) as (api, _):
        with connected(api, "metrics") as hub:
            metrics = hub.invoked("Update")
            assert metrics["downloads"]["inProgress"]["files"] == 1
            assert metrics["uploads"]["queued"] == {"files": 0, "users": 0, "bytes": 0}
        with connected(api, "logs") as hub:
            assert [line["level"] for line in hub.invoked("BUFFER")] == ["Information", "Error"]


@pytest.mark.parametrize("hub", HUBS)
def test_a_connection_is_negotiated_first_and_used_once(hub: str) -> None:
    with playing() as (api, _):
        assert api.client.get(f"/hub/{hub}?id=none").status_code == 404
        assert api.client.post(f"/hub/{hub}?id=none", content="{}").status_code == 404
        token = negotiated(api, hub)
        assert api.client.post(f"/hub/{hub}?id={token}", content="nonsense" + END).status_code == 400
        with httpx.stream("GET", f"{api.client.base_url}/hub/{hub}", params={"id": token}, timeout=20):
            assert api.client.get(f"/hub/{hub}?id={token}").status_code == 409


def test_there_are_no_other_hubs_and_not_too_many_connections() -> None:
    with playing() as (api, _):
        assert api.client.post("/hub/relay/negotiate").status_code == 404
        for _ in range(CONNECTIONS_MAX):
            negotiated(api, "search")
        assert api.client.post("/hub/search/negotiate").status_code == 429


def test_a_hub_needs_a_key_or_session_which_may_stand_in_its_address() -> None:
    with playing(authentication=True, username="me", password="password") as (api, _):
        address = str(api.client.base_url)
        assert httpx.post(f"{address}/hub/search/negotiate").status_code == 401
        token = httpx.post(f"{address}{BASE}/session", json={"username": "me", "password": "password"}).json()["token"]
        assert httpx.post(f"{address}/hub/search/negotiate", params={"access_token": token}).status_code == 200
        assert httpx.get(f"{address}{BASE}/searches", params={"access_token": token}).status_code == 401
