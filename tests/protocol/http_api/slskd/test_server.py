"""The login as slskd's clients see it and ask for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from protocol.config.settings import AccountShown
from protocol.messages import LogIn, LogOut, ProcessLost, ScanShares, SessionChanged
from tests.protocol.http_api.slskd.fake_daemon import BASE, ONLINE, Daemon, playing, shared_folder

UPLOAD = "f857d550-e646-11f1-94e2-02fc00000001"


@pytest.mark.parametrize(
    ("state", "shown", "connected"),
    [("online", "Connected, LoggedIn", True), ("connecting", "Connecting", False), ("kicked", "Disconnected", False)],
)
def test_the_login_is_reported_with_its_reason(state: str, shown: str, connected: bool) -> None:
    with playing() as (api, _):
        api.say(SessionChanged(state=state, detail="why", final=False))
        while api.client.get(f"{BASE}/server").json()["detail"] != "why":
            pass
        server = api.client.get(f"{BASE}/server").json()
        assert (server["state"], server["isConnected"], server["isLoggedIn"]) == (shown, connected, connected)
        assert (server["address"], server["username"]) == ("server.example", "me")
        assert api.client.get(f"{BASE}/application").json()["server"] == server


def test_a_login_and_a_logout_are_asked_of_the_session() -> None:
    with playing() as (api, _):
        assert api.client.delete(f"{BASE}/server").status_code == 204
        assert api.client.put(f"{BASE}/server").status_code == 200
        assert [message for to, message in api.posted if to == "soulseek/session"] == [LogOut(), LogIn()]


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


def test_what_is_shared_is_counted_and_listed() -> None:
    daemon = Daemon(shares=[shared_folder("/music", folders=3, files=40), shared_folder("/books", folders=1, files=2)])
    with playing(daemon) as (api, _):
        counts = api.client.get(f"{BASE}/application").json()["shares"]
        assert (counts["directories"], counts["files"], counts["scanning"], counts["ready"]) == (4, 42, False, True)
        music, books = api.client.get(f"{BASE}/shares").json()["local"]
        assert (music["localPath"], music["directories"], music["files"]) == ("/music", 3, 40)
        assert api.client.get(f"{BASE}/shares/{books['id']}").json() == books
        assert api.client.get(f"{BASE}/shares/none").status_code == 404


def test_without_a_session_nothing_is_shared() -> None:
    with playing() as (api, _):
        api.say(ProcessLost(process="soulseek", detail="killed by SIGKILL", restart_s=1.0))
        while not api.gateway.away:
            pass
        assert api.client.get(f"{BASE}/shares").json() == {"local": []}
        assert api.client.get(f"{BASE}/application").json()["shares"]["files"] == 0


def test_the_options_hold_folders_and_no_secret() -> None:
    with playing() as (api, _):
        shown = api.client.get(f"{BASE}/options")
        assert shown.json() == {"directories": {"downloads": "/data/downloads", "incomplete": "/data/downloads"}}
        assert api.client.get(f"{BASE}/options/startup").json() == shown.json()


def test_no_one_ends_the_daemon_over_this_api() -> None:
    with playing() as (api, _):
        for method in ("PUT", "DELETE"):
            answer = api.client.request(method, f"{BASE}/application")
            assert answer.status_code == 403
            assert isinstance(answer.json(), str)


def test_a_good_session_is_an_empty_answer() -> None:
    with playing() as (api, _):
        answer = api.client.get(f"{BASE}/session")
        assert (answer.status_code, answer.content) == (200, b"")


def test_a_scan_is_passed_on_and_what_is_not_here_says_so() -> None:
    with playing() as (api, _):
        assert api.client.put(f"{BASE}/shares").status_code == 200
        assert [message for to, message in api.posted if to == "soulseek/session"] == [ScanShares()]
        for method, path, status in (
            ("DELETE", "shares", 404), ("GET", "rooms/joined/a", 404), ("POST", "rooms/joined", 405),
            ("POST", "conversations/ann", 403), ("GET", "conversations/ann/messages", 404), ("PUT", "relay/agent", 403),
            ("GET", f"transfers/uploads/ann/{UPLOAD}", 404), ("DELETE", f"transfers/uploads/a b/{UPLOAD}", 404),
            ("POST", "publicchat", 403), ("DELETE", "publicchat", 403), ("GET", "shares/none/contents", 404),
        ):  # fmt: skip
            answer = api.client.request(method, f"{BASE}/{path}")
            assert (answer.status_code, isinstance(answer.json(), str)) == (status, True), path
        allowed = api.client.options(f"{BASE}/transfers/uploads/all/completed").headers["allow"]
        assert allowed == "DELETE"  # no name of a user, though it looks like one
        for path in ("rooms/available", "rooms/joined", "conversations", "shares/contents"):
            assert api.client.get(f"{BASE}/{path}").json() == []
        assert api.client.post(f"{BASE}/application/gc").status_code == 200
