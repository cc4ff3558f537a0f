"""Soularr's calls in its order, through the library it pins: nothing of it has to be changed."""

from __future__ import annotations

import time
from pathlib import Path

from tests.protocol.http_api.slskd.fake_daemon import FOLDER, SIZE, Daemon, playing
from tests.protocol.http_api.slskd.libraries import driving

USER = "peer one"


def test_soularrs_eleven_calls(soularrs_library: Path) -> None:
    daemon = Daemon(hits=[{"peer": USER}], shared={USER: {FOLDER: {"01 - Track 1.flac": SIZE}}})
    with playing(daemon) as (api, _), driving(soularrs_library, api.url, api_key="0123456789abcdef") as soularr:
        version = soularr.call("application.version")  # 1
        assert tuple(int(part) for part in version.split(".")[:3]) > (0, 22, 2)

        search = soularr.call(  # 2
            "searches.search_text",
            searchText="Artist Album",
            searchTimeout=5000,
            filterResponses=True,
            maximumPeerQueueLength=50,
            minimumPeerUploadSpeed=0,
        )
        until_s = time.monotonic() + 10
        while soularr.call("searches.state", search["id"], False)["state"] == "InProgress":  # 3
            assert time.monotonic() < until_s
        (response,) = soularr.call("searches.search_responses", search["id"])  # 4
        assert soularr.call("searches.delete", search["id"]) is True  # 5

        folder = response["files"][0]["filename"].rpartition("\\")[0]
        directory = soularr.call("users.directory", username=response["username"], directory=folder)[0]  # 6
        wanted = [{**file, "filename": f"{folder}\\{file['filename']}"} for file in directory["files"]]
        assert soularr.call("transfers.enqueue", username=response["username"], files=wanted) is True  # 7

        shown = soularr.call("transfers.get_downloads", username=response["username"])  # 8
        (listed,) = [each for each in shown["directories"] if each["directory"] == folder]
        (id,) = [file["id"] for file in listed["files"] if file["filename"] == wanted[0]["filename"]]
        assert soularr.call("transfers.get_download", USER, id)["state"] == "Queued, Locally"  # 9
        assert soularr.call("transfers.cancel_download", username=USER, id=id) is True  # 10
        assert soularr.call("transfers.get_download", USER, id)["state"] == "Completed, Cancelled"
        assert soularr.call("transfers.remove_completed_downloads") is True  # 11
        assert soularr.call("transfers.get_all_downloads") == []
