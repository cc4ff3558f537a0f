"""Metalinks through the real daemon: piece hashes are compared there, also after it died; files of one are a group."""

from __future__ import annotations

import hashlib
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from protocol.model.integrity.metalink import Pieces, write_metalink
from tests.e2e.daemon.daemons import Daemon, eventually, pid_of, running, started
from tests.e2e.program import Shoal
from tests.http_mirrors.box import Box, Character, Content, mirrors

pytestmark = pytest.mark.long

CONTENT = Content(6_000_000, seed=81)
PIECE = 256 << 10
FLIPS = 1_000_000
PRIVATE = "[daemon]\nallow_private_sources = true\n"
ROOT = "/api/v0/multisource"


def pieces_of(content: Content) -> Pieces:
    whole = content.whole()
    digests = b"".join(hashlib.sha256(whole[at : at + PIECE]).digest() for at in range(0, len(whole), PIECE))
    return Pieces("sha256", PIECE, digests)


def described(box: Box, name: str = "file.bin") -> str:
    return write_metalink(name, CONTENT.size, checksums=[], pieces=pieces_of(CONTENT), urls=box.urls)


def job(daemon: Daemon, id: str) -> dict[str, Any]:
    shown: dict[str, Any] = daemon.get(f"{ROOT}/jobs/{id}")
    return shown


def ordered(daemon: Daemon, **body: Any) -> dict[str, Any]:
    response = daemon.client.post(f"{ROOT}/metalink", json=body)
    assert response.status_code == 202, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_pieces_are_compared_after_a_death_and_the_odd_mirror_costs_nothing(shoal: Shoal) -> None:
    odd = Character(rate_bytes_s=400_000, flip_every=FLIPS)
    honest = Character(rate_bytes_s=400_000)
    with mirrors({"odd": odd, "honest": honest}, CONTENT) as box:
        with started(shoal, config=PRIVATE) as daemon:
            daemon.ready()
            (made,) = ordered(daemon, document=described(box))["files"]
            eventually(lambda: job(daemon, made["id"])["storedBytes"] > 1_500_000)
            with shoal.killed(daemon.process):
                daemon.process.kill_all()
        box.become("odd", Character(rate_bytes_s=3e6, flip_every=FLIPS))
        box.become("honest", Character(rate_bytes_s=3e6))
        with running(shoal, config=PRIVATE) as daemon:
            eventually(lambda: job(daemon, made["id"])["state"] == "sealed", wait_s=40.0)
            shown = job(daemon, made["id"])
            assert CONTENT.matches(Path(shown["path"]))
            assert shown["claim"] == "pieces"
            assert shown["identity"]["checksDisagreed"] > 0, "the odd mirror sent bad pieces"


def test_several_files_of_a_document_at_an_address_are_one_group(shoal: Shoal, tmp_path: Path) -> None:
    place = tmp_path / "two.meta4"
    with mirrors([Character()] * 2, CONTENT) as box:
        head, _, first = described(box, "set/one.bin").partition("  <file")
        _, _, second = described(box, "set/two.bin").partition("  <file")
        place.write_text(f"{head}  <file{first.rpartition('</metalink>')[0]}  <file{second}")
        with mirrors([Character()], place, file_name="two.meta4") as server, running(shoal, config=PRIVATE) as daemon:
            made = ordered(daemon, url=server.urls[0])
            eventually(lambda: daemon.get(f"{ROOT}/folders/{made['group']}")["state"] == "sealed")
            group = daemon.get(f"{ROOT}/folders/{made['group']}")
            assert [Path(file["path"]).name for file in group["files"]] == ["one.bin", "two.bin"]
            assert all(CONTENT.matches(Path(file["path"])) for file in group["files"])
            assert {file["claim"] for file in group["files"]} == {"pieces"}


def test_a_plain_order_of_a_documents_address_is_an_order_of_its_file(shoal: Shoal, tmp_path: Path) -> None:
    place = tmp_path / "x.meta4"
    with mirrors([Character(rate_bytes_s=4e6)] * 2, CONTENT) as box:
        place.write_text(described(box))
        plain = [Character(content_type="text/plain")]
        with mirrors(plain, place, file_name="x.meta4") as server, running(shoal, config=PRIVATE) as daemon:
            order = {"filename": "x.meta4", "fileSize": None, "sources": [{"url": server.urls[0]}]}
            made = daemon.client.post(f"{ROOT}/download", json=order).json()
            eventually(lambda: job(daemon, made["id"])["state"] == "sealed")
            shown = job(daemon, made["id"])
            assert Path(shown["path"]).name == "file.bin"
            assert CONTENT.matches(Path(shown["path"]))
            assert shown["claim"] == "pieces"


def test_a_document_added_to_a_job_brings_its_mirrors(shoal: Shoal, tmp_path: Path) -> None:
    place = tmp_path / "x.meta4"
    with mirrors([Character(rate_bytes_s=100_000)], CONTENT) as slow, mirrors([Character()], CONTENT) as box:
        place.write_text(described(box))
        plain = [Character(content_type="text/plain")]
        with mirrors(plain, place, file_name="x.meta4") as server, running(shoal, config=PRIVATE) as daemon:
            order = {"filename": "file.bin", "fileSize": CONTENT.size, "sources": [{"url": slow.urls[0]}]}
            made = daemon.client.post(f"{ROOT}/download", json=order).json()
            eventually(lambda: job(daemon, made["id"])["storedBytes"] > 0)
            daemon.client.post(f"{ROOT}/jobs/{made['id']}/sources", json={"sources": [{"url": server.urls[0]}]})
            eventually(lambda: job(daemon, made["id"])["state"] == "sealed")
            shown = job(daemon, made["id"])
            assert CONTENT.matches(Path(shown["path"]))
            assert shown["claim"] == "pieces", "they are compared though the job began without them"
            assert box.urls[0] in {source["url"] for source in shown["sources"] if source["bytesStored"]}


def test_get_of_a_document_goes_through_the_daemon_with_its_pieces(shoal: Shoal) -> None:
    characters = {"odd": Character(rate_bytes_s=4e6, flip_every=FLIPS), "honest": Character(rate_bytes_s=4e6)}
    with mirrors(characters, CONTENT) as box, running(shoal, config=PRIVATE) as daemon:
        (shoal.folder / "x.meta4").write_text(described(box))
        env = {"SHOAL_URL": daemon.url, "SHOAL_STATE": str(daemon.state), "XDG_CONFIG_HOME": "/nowhere"}
        done = shoal.start("get", "x.meta4", "--daemon", "--require", "pieces", env=env).finish()
        assert done.code == 0, done.stderr
        (shown,) = daemon.get(f"{ROOT}/jobs")
        assert shown["claim"] == "pieces"
        assert CONTENT.matches(Path(shown["path"]))


def test_lists_of_documents_that_sources_name_go_with_their_job_and_with_a_process_that_died(
    shoal: Shoal, tmp_path: Path
) -> None:
    """Two mirrors name one, of which one is adopted. A fetch process that comes after another tidies up after it."""
    place = tmp_path / "x.meta4"
    pieces = pieces_of(CONTENT)
    place.write_text(write_metalink("content.bin", CONTENT.size, checksums=[], pieces=pieces, urls=[]))

    def lists() -> set[Path]:
        return set(shoal.temp.rglob("*.pieces"))

    with mirrors([Character(content_type="application/metalink4+xml")], place, file_name="x.meta4") as server:
        link = f'<{server.urls[0]}>; rel=describedby; type="application/metalink4+xml"'
        named = Character(rate_bytes_s=300_000, fields=(("Link", link),))
        with mirrors([named] * 2, CONTENT) as box, running(shoal, config=PRIVATE) as daemon:
            order = {"filename": "content.bin", "fileSize": None, "sources": [{"url": url} for url in box.urls]}
            made = daemon.client.post(f"{ROOT}/download", json=order).json()
            eventually(lambda: len(lists()) == 2)
            before = lists()
            for name in sorted({path.name.rpartition("-")[0] for path in before}):
                os.kill(pid_of(daemon, name), signal.SIGKILL)
            eventually(lambda: not lists() & before)
            eventually(lambda: job(daemon, made["id"])["storedBytes"] > 1_000_000)
            daemon.client.delete(f"{ROOT}/jobs/{made['id']}")
            eventually(lambda: not lists())
