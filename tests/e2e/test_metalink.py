"""Metalinks and checksum files: read from disk and from servers, their files fetched from all mirrors."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocol.model.integrity.metalink import write_metalink
from tests.e2e.program import Shoal
from tests.http_mirrors.box import Character, Content, mirrors

CONTENT = Content(2_500_001, seed=31)
MEDIA_TYPE = "application/metalink4+xml"


def described(content: Content, urls: list[str], name: str = "file.bin", *, digest: str = "") -> str:
    return write_metalink(name, content.size, checksums=[f"sha256:{digest or content.sha256}"], pieces=None, urls=urls)


def test_a_metalink_here_is_fetched_from_its_mirrors(shoal: Shoal) -> None:
    with mirrors([Character(rate_bytes_s=4e6)] * 3, CONTENT) as box:
        (shoal.folder / "x.meta4").write_text(described(CONTENT, box.urls))
        done = shoal.get("x.meta4")
    assert (done.code, done.stderr) == (0, "")
    assert CONTENT.matches(shoal.folder / "file.bin")
    assert done.ended["identity"]["kind"] == "digest"
    assert all(done.given.values())


def test_a_metalink_on_a_server_and_the_wrong_digest_in_it(shoal: Shoal, tmp_path: Path) -> None:
    with mirrors([Character(), Character()], CONTENT) as box:
        place = tmp_path / "x.meta4"
        place.write_text(described(CONTENT, box.urls))
        with mirrors([Character(content_type=MEDIA_TYPE)], place, file_name="x.meta4") as server:
            assert shoal.get(*server.urls).code == 0
        assert CONTENT.matches(shoal.folder / "file.bin")
        (shoal.folder / "y.meta4").write_text(described(CONTENT, box.urls, "y", digest="0" * 64))
        done = shoal.get("y.meta4")
    assert done.code == 4
    assert "y" not in shoal.files


@pytest.mark.long
def test_a_checksum_file_on_a_server(shoal: Shoal, tmp_path: Path) -> None:
    place = tmp_path / "SHA256SUMS"
    place.write_text(f"{'0' * 64}  other.bin\n{CONTENT.sha256} *content.bin\n")
    with mirrors([Character(), Character()], CONTENT) as box, mirrors([Character()], place) as server:
        done = shoal.get(*box.urls, "--checksum-file", server.urls[0])
    assert (done.code, done.ended["identity"]["kind"]) == (0, "digest")


@pytest.mark.long
@pytest.mark.parametrize("status", [404, 503])
def test_a_document_that_cannot_be_fetched_is_one_line(shoal: Shoal, status: int) -> None:
    with mirrors([Character(status=status)]) as box:
        done = shoal.run("get", f"{box.urls[0]}.meta4")
    assert done.code == 3
    assert done.the_line.startswith("error: http://127.0.0.1")
