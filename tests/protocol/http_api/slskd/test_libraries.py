"""``slskd-api``, both versions, does with this API what it does with slskd."""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from protocol.config.settings import READ_ONLY, READ_WRITE, ApiKey
from tests.protocol.http_api.slskd.fake_daemon import FOLDER, SIZE, TRACK, Daemon, playing
from tests.protocol.http_api.slskd.libraries import CallError, Library, driving

KEY = ApiKey(name="tool", key="0123456789abcdef-tool", role=READ_WRITE)
WEAK = ApiKey(name="eyes", key="0123456789abcdef-eyes", role=READ_ONLY)
ACCOUNT = {"username": "slskd", "password": "correct horse battery"}
LOCKED: dict[str, Any] = {"authentication": True, "keys": (KEY, WEAK), **ACCOUNT}
pytestmark = pytest.mark.long
USERS = ("peer one", "100%", "a/b", "Ünïcödé ♫", "batches", "all", "a%20b", "x?y#z")


def found(library: Library, id: str) -> dict[str, Any]:
    until_s = time.monotonic() + 10
    while True:
        state: dict[str, Any] = library.call("searches.state", id)
        if state["isComplete"]:
            return state
        assert time.monotonic() < until_s, state


def test_the_library_searches_and_reads_what_was_found(library_folder: Path) -> None:
    with (
        playing(Daemon(hits=[{}]), **LOCKED) as (api, _),
        driving(library_folder, api.url, api_key=KEY.key) as library,
    ):
        begun = library.call("searches.search_text", "artist album", searchTimeout=5000)
        assert begun["state"] == "InProgress"
        assert found(library, begun["id"])["state"] == "Completed, TimedOut"
        responses = library.call("searches.search_responses", begun["id"])
        assert responses[0]["files"][0]["filename"] == TRACK
        assert library.call("searches.state", begun["id"], includeResponses=True)["responses"] == responses
        assert [each["id"] for each in library.call("searches.get_all")] == [begun["id"]]
        assert library.call("searches.stop", begun["id"]) is True
        assert library.call("searches.delete", begun["id"]) is True
        with pytest.raises(CallError, match="404"):
            library.call("searches.state", begun["id"])


def test_the_library_downloads_from_users_of_every_name(library_folder: Path) -> None:
    with playing(**LOCKED) as (api, daemon), driving(library_folder, api.url, api_key=KEY.key) as library:
        for user in USERS:
            file = {"filename": TRACK, "size": SIZE, "code": 1, "isLocked": False, "extension": "flac", "bitDepth": 16}
            assert library.call("transfers.enqueue", user, [file]) is True
            shown = library.call("transfers.get_downloads", user)
            (made,) = shown["directories"][0]["files"]
            assert (shown["username"], shown["directories"][0]["directory"], made["username"]) == (user, FOLDER, user)
            assert library.call("transfers.get_download", user, made["id"]) == made
            assert library.call("transfers.get_queue_position", user, made["id"]) == 0
        assert [job.spec.user for job in daemon.jobs.values()] == list(USERS)
        assert {each["username"] for each in library.call("transfers.get_all_downloads")} == set(USERS)
        for job in list(daemon.jobs.values()):
            assert library.call("transfers.cancel_download", job.spec.user, job.id, remove=False) is True
        assert library.call("transfers.remove_completed_downloads") is True
        assert library.call("transfers.get_all_downloads") == []
        assert len(library.call("transfers.get_all_downloads", includeRemoved=True)) == len(USERS)
        with pytest.raises(CallError, match="404"):
            library.call("transfers.get_download", "all", str(uuid.uuid4()))
        with pytest.raises(CallError, match="404"):
            library.call("transfers.get_downloads", "nobody")


def test_the_library_looks_at_users(library_folder: Path) -> None:
    daemon = Daemon(shared={"peer one": {FOLDER: {"01 - Track 1.flac": SIZE}}}, online={"peer one": "Online"})
    with playing(daemon, **LOCKED) as (api, _), driving(library_folder, api.url, api_key=KEY.key) as library:
        (shown,) = library.call("users.directory", "peer one", FOLDER)
        assert [file["filename"] for file in shown["files"]] == ["01 - Track 1.flac"]
        assert library.call("users.browse", "peer one")["directoryCount"] == 1
        assert library.call("users.status", "peer one") == {"presence": "Online", "isPrivileged": False}
        with pytest.raises(CallError, match="404"):
            library.call("users.directory", "gone", FOLDER)


def test_the_library_looks_at_the_program(library_folder: Path) -> None:
    with playing(**LOCKED) as (api, _), driving(library_folder, api.url, api_key=KEY.key) as library:
        assert library.call("application.version") == "0.25.1"
        state = library.call("application.state")
        assert state["server"]["state"] == "Connected, LoggedIn"
        assert (state["server"]["isConnected"], state["server"]["isLoggedIn"]) == (True, True)
        assert (state["user"]["username"], state["version"]["full"]) == ("me", "0.25.1")
        assert library.call("application.check_updates")["isUpdateAvailable"] is False
        assert library.call("server.state")["ipEndPoint"] == "server.example:2242"
        assert library.call("options.get")["directories"]["downloads"] == "/data/downloads"
        assert library.call("session.auth_valid") is True
        assert library.call("session.security_enabled") is True
        assert library.call("transfers.get_all_uploads") == []
        assert library.call("transfers.remove_completed_uploads") is True
        assert library.call("shares.get_all") == {"local": []}
        assert library.call("rooms.get_all_joined") == []
        assert isinstance(library.call("logs.get"), list)


def test_the_library_logs_in_with_a_password_and_under_a_base(library_folder: Path) -> None:
    with playing(url_base="/slskd", **LOCKED) as (api, _):
        for base in ("/slskd", "slskd", "/slskd/"):
            with driving(library_folder, api.url, url_base=base, **ACCOUNT) as library:
                assert library.call("session.auth_valid") is True
                assert library.call("transfers.get_all_downloads") == []
        with (
            driving(library_folder, api.url, url_base="/slskd", username="slskd", password="wrong") as library,
            pytest.raises(CallError, match="401"),
        ):
            library.call("application.version")


def test_the_library_raises_where_a_key_is_wrong_or_may_not(library_folder: Path) -> None:
    with playing(**LOCKED) as (api, daemon):
        with driving(library_folder, api.url, api_key=WEAK.key) as library:
            assert library.call("transfers.get_all_downloads") == []
            with pytest.raises(CallError, match="403"):
                library.call("transfers.enqueue", "u", [{"filename": TRACK, "size": SIZE}])
        with driving(library_folder, api.url, token=KEY.key) as library:
            assert library.call("application.version") == "0.25.1"
        with (
            driving(library_folder, api.url, api_key="0123456789abcdef-nobodys") as library,
            pytest.raises(CallError, match="401"),
        ):
            library.call("application.version")
        assert daemon.orders == []
