"""The login as slskd's clients see it and ask for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from protocol.config.settings import AccountShown
from protocol.messages import LogIn, LogOut, ProcessLost, SessionChanged
from tests.protocol.http_api.slskd.fake_daemon import BASE, ONLINE, playing


@pytest.mark.parametrize(
    ("state", "told", "connected"),
    [("online", "Connected, LoggedIn", True), ("connecting", "Connecting", False), ("kicked", "Disconnected", False)],
)
def test_the_login_is_told_with_its_reason(state: str, told: str, connected: bool) -> None:
    with playing() as (api, _):
        api.say(SessionChanged(state=state, detail="why", final=False))
        while api.client.get(f"{BASE}/server").json()["detail"] != "why":
            pass
        server = api.client.get(f"{BASE}/server").json()
        assert (server["state"], server["isConnected"], server["isLoggedIn"]) == (told, connected, connected)
        assert (server["address"], server["username"]) == ("server.example", "me")
        assert api.client.get(f"{BASE}/application").json()["server"] == server


def test_a_login_and_a_logout_are_asked_of_the_session() -> None:
    with playing() as (api, _):
        assert api.client.delete(f"{BASE}/server").status_code == 204
        assert api.client.put(f"{BASE}/server").status_code == 200
        assert [message for to, message in api.told if to == "soulseek/session"] == [LogOut(), LogIn()]


def test_without_an_account_or_a_session_it_is_said_so() -> None:
    with playing(online=False) as (api, _):
        api.say(ProcessLost(process="soulseek", detail="killed by SIGKILL", restart_s=1.0), ONLINE)
        while api.gateway.session is None:
            pass
        assert api.client.put(f"{BASE}/server").status_code == 503
        api.configure(replace(api.gateway.settings, account=AccountShown()))
        refused = api.client.put(f"{BASE}/server")
        assert (refused.status_code, refused.json()) == (409, "no Soulseek account is configured")
        assert api.client.get(f"{BASE}/server").json()["ipEndPoint"] == ""


def test_the_options_hold_folders_and_no_secret() -> None:
    with playing() as (api, _):
        told = api.client.get(f"{BASE}/options")
        assert told.json() == {"directories": {"downloads": "/data/downloads", "incomplete": "/data/downloads"}}
        assert api.client.get(f"{BASE}/options/startup").json() == told.json()


def test_nobody_ends_the_daemon_over_this_api() -> None:
    with playing() as (api, _):
        for method in ("PUT", "DELETE"):
            answer = api.client.request(method, f"{BASE}/application")
            assert answer.status_code == 403
            assert isinstance(answer.json(), str)
