"""Files of a daemon go where its template puts them, and the API says where; a new template holds after SIGHUP."""

import signal
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from mutagen import flac as tagging

from tests.e2e.daemon.daemons import Daemon, eventually, running, started
from tests.e2e.program import Shoal
from tests.wild.server import File, WildServer

pytestmark = pytest.mark.long

CONFIG = """\
[daemon]
allow_private_sources = true
output = "{artist}/{album}/{track} {title}{ext}"
file_mode = "0640"
folder_mode = "0750"
"""


def flac(folder: Path, **tags: str) -> bytes:
    path = folder / "made.flac"
    command = ["flac", "--silent", "--force-raw-format", "--endian=little", "--sign=signed", "--channels=1", "--bps=16"]
    subprocess.run(
        [*command, "--sample-rate=8000", "-f", "-o", str(path), "-"], input=bytes(64_000), check=True, timeout=30
    )
    open_tagged: Any = tagging.FLAC
    tagged = open_tagged(path)
    for name, value in tags.items():
        tagged[name] = value
    tagged.save()
    return path.read_bytes()


def sealed_path(daemon: Daemon, url: str, name: str, **members: object) -> Path:
    body = {"filename": name, "fileSize": None, "sources": [{"url": url}], **members}
    made = daemon.client.post("/api/v0/multisource/download", json=body)
    assert made.status_code == 202, made.text
    where = f"/api/v0/multisource/jobs/{made.json()['id']}"
    eventually(lambda: daemon.get(where)["state"] == "sealed", wait_s=40)
    return Path(daemon.get(where)["path"])


def test_finished_files_go_where_the_template_says_and_others_are_left(shoal: Shoal) -> None:
    downloads = shoal.folder.parent / "downloads"
    data = flac(shoal.folder, artist="Quar/tet", album="..", title="Ebb", tracknumber="3/12")
    server = WildServer(File(data))
    try:
        with running(shoal, config=CONFIG) as daemon:
            first = sealed_path(daemon, server.url(), "x.flac")
            assert first == downloads / "Quar_tet" / "Unknown album" / "03 Ebb.flac"
            assert first.read_bytes() == data
            assert stat.S_IMODE(first.stat().st_mode) == 0o640
            assert stat.S_IMODE(first.parent.stat().st_mode) == 0o750
            eventually(lambda: not (downloads / "x.flac").exists())
            assert sealed_path(daemon, server.url(), "x.flac").name == "03 Ebb (1).flac"
            assert sealed_path(daemon, server.url(), "y.flac", folder="mine") == downloads / "mine" / "y.flac"
            (shoal.folder / "shoal.toml").write_text(CONFIG.replace("{artist}/{album}", "{host}"))
            daemon.process.signal(signal.SIGHUP)
            due = downloads / "127.0.0.1" / "03 Ebb.flac"
            eventually(lambda: sealed_path(daemon, server.url(), "z.flac") == due or due.exists(), wait_s=40)
            left = {path.name for path in downloads.rglob("*") if path.is_file()}
            assert not {name for name in left if name.endswith((".part", ".records"))}
    finally:
        server.close()


def test_a_template_that_cannot_be_used_ends_the_start_with_file_line_and_key(shoal: Shoal) -> None:
    with started(shoal, config='[daemon]\noutput = "{artits}/{name}{ext}"\n') as daemon:
        done = daemon.process.finish()
    assert done.code == 2
    assert done.stderr.startswith("error: ./shoal.toml:2: ") or ":2: output" in done.stderr
    assert "has no field {artits}" in done.stderr
