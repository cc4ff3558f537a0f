"""What slskd's web interface reads besides transfers: reports, events, log, files, configuration."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.protocol.http_api.serving import Api
from tests.protocol.http_api.slskd.fake_daemon import BASE, Daemon, playing, snapshot

REPORTS = f"{BASE}/telemetry/reports/transfers"
WEEK = {"start": "2025-11-20T00:00:00Z", "end": "2025-11-25T00:00:00Z"}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("data")
    (folder / "downloads" / "Album").mkdir(parents=True)
    (folder / "downloads" / "Album" / "01.flac").write_bytes(b"12345")
    (folder / "secret").write_text("x")
    daemon = Daemon()
    for number, user in enumerate(["ann", "ann", "bob"]):
        id = f"00000000-0000-0000-0000-00000000000{number}"
        daemon.jobs[id] = snapshot(id=id, user=user, started_ms=1_763_794_801_123, stored_bytes=0)
    first, second, third = daemon.jobs
    daemon.seal(first)
    daemon.fail(second)
    daemon.seal(third)
    with playing(daemon, folder=str(folder)) as (served, _):
        yield served


def got(api: Api, path: str, **params: Any) -> Any:
    answer = api.client.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_summary_counts_by_direction_and_final_state(api: Api) -> None:
    summary = got(api, f"{REPORTS}/summary", **WEEK)
    assert summary["Upload"] == {}
    assert {state: each["count"] for state, each in summary["Download"].items()} == {"Succeeded": 2, "Errored": 1}
    succeeded = summary["Download"]["Succeeded"]
    assert (succeeded["totalBytes"], succeeded["distinctUsers"], succeeded["averageWait"]) == (40_000_002, 2, 1.0)
    assert got(api, f"{REPORTS}/summary", **WEEK, direction="Upload")["Download"] == {}
    assert got(api, f"{REPORTS}/summary", **WEEK, username="bob")["Download"]["Succeeded"]["count"] == 1
    assert api.client.get(f"{REPORTS}/summary", params={"start": WEEK["end"], "end": WEEK["start"]}).status_code == 400


def test_a_histogram_has_every_bucket(api: Api) -> None:
    histogram = got(api, f"{REPORTS}/histogram", **WEEK, buckets=5)
    assert len(histogram) == 5
    counts = [sum(each["count"] for each in bucket["Download"].values()) for bucket in histogram.values()]
    assert (sum(counts), max(counts)) == (3, 3)


def test_lists_of_users_failures_and_folders(api: Api) -> None:
    board = got(api, f"{REPORTS}/leaderboard", direction="Download", sortBy="TotalBytes")
    assert sorted((row["username"], row["count"]) for row in board) == [("ann", 1), ("bob", 1)]
    (failure,) = got(api, f"{REPORTS}/exceptions", direction="Download")
    assert (failure["state"], failure["exception"]) == ("Completed, Errored", "no source can deliver")
    assert got(api, f"{REPORTS}/exceptions/pareto", direction="Download") == [
        {"exception": "no source can deliver", "count": 1, "distinctUsers": 1}
    ]
    assert got(api, f"{REPORTS}/directories") == []
    of_ann = got(api, f"{REPORTS}/users/ann")["Download"]["statistics"]
    assert of_ann == {"total": 2, "successful": 1, "errored": 1, "cancelled": 0}


def test_events_are_as_slskds_page_reads_them(api: Api) -> None:
    answer = api.client.get(f"{BASE}/events", params={"offset": 0, "limit": 10})
    assert answer.headers["X-Total-Count"] == "2"
    for event in answer.json():
        assert set(event) == {"timestamp", "type", "data", "id"}
        assert isinstance(json.loads(event["data"]), dict)
    assert {event["type"] for event in answer.json()} == {"DownloadFileComplete", "job.failed"}
    complete = next(json.loads(event["data"]) for event in answer.json() if event["type"] == "DownloadFileComplete")
    assert (complete["localFilename"], complete["transfer"]["username"]) == ("/data/x", "ann")
    native = got(api, f"{BASE}/multisource/events")
    assert isinstance(native[0]["data"], dict)


def test_the_log_has_its_members(api: Api) -> None:
    for line in got(api, f"{BASE}/logs"):
        assert set(line) == {"timestamp", "context", "level", "message"}


def test_the_download_folder_is_listed_and_nothing_outside(api: Api) -> None:
    for kind in ("downloads", "incomplete"):
        top = got(api, f"{BASE}/files/{kind}/directories")
        assert [each["name"] for each in top["directories"]] == ["Album"]
        below = got(api, f"{BASE}/files/{kind}/directories/{base64.b64encode(b'Album').decode()}")
        assert [(each["name"], each["fullName"], each["length"]) for each in below["files"]] == [
            ("01.flac", "Album/01.flac", 5)
        ]
    whole = got(api, f"{BASE}/files/downloads/directories", recursive="true")
    assert whole["directories"][0]["files"][0]["name"] == "01.flac"
    for name, status in ((b"..", 403), (b"../secret", 403), (b"none", 404)):
        path = base64.b64encode(name).decode()
        assert api.client.get(f"{BASE}/files/downloads/directories/{path}").status_code == status
    assert api.client.get(f"{BASE}/files/downloads/directories/*").status_code == 400
    assert api.client.delete(f"{BASE}/files/downloads/files/{base64.b64encode(b'Album').decode()}").status_code == 403


def test_the_configuration_is_shown_without_secrets_and_not_changed_here(api: Api, tmp_path: Path) -> None:
    text = got(api, f"{BASE}/options/yaml")
    assert 'username: "me"' in text
    assert "password" not in text
    assert "keys" not in text
    for method, path in (
        ("PUT", "yaml"),
        ("POST", "yaml"),
        ("GET", "yaml/location"),
        ("POST", "yaml/validate"),
        ("GET", "debug"),
    ):
        assert api.client.request(method, f"{BASE}/options/{path}", json="x").status_code == 403
