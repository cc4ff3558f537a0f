"""A finished file described for others: the document is accepted by aria2 and by our own ``get``."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from protocol.model.integrity.metalink import read_metalink
from storage.digests import digests_of
from tests.e2e.program import Shoal
from tests.http_mirrors.box import Character, Content, mirrors

CONTENT = Content(5_000_001, seed=51)
ARIA2_S_MAX = 60


def keeps_attributes(folder: Path) -> bool:
    try:
        os.setxattr(folder, "user.shoal.probe", b"1")
        os.removexattr(folder, "user.shoal.probe")
    except OSError:
        return False
    return True


def test_what_was_downloaded_is_described_with_its_mirrors(shoal: Shoal) -> None:
    if not keeps_attributes(shoal.folder):
        pytest.skip("this file system keeps no extended attributes")
    with mirrors([Character(rate_bytes_s=4e6)] * 2, CONTENT) as box:
        assert shoal.get(*box.urls).code == 0
        done = shoal.run("export", "content.bin", "--metalink")
        assert (done.code, done.stdout) == (0, "")
        (file,) = read_metalink((shoal.folder / "content.bin.meta4").read_bytes()).files
        assert (file.name, file.size_bytes, file.checksum) == ("content.bin", CONTENT.size, f"sha256:{CONTENT.sha256}")
        assert set(file.urls) == set(box.urls)
        assert file.pieces is not None
        assert (file.pieces.piece_bytes, file.pieces.count) == (1 << 20, 5)
        again = shoal.get("content.bin.meta4", "-o", "again.bin")
    assert (again.code, again.ended["identity"]["kind"]) == (0, "digest")
    assert CONTENT.matches(shoal.folder / "again.bin")


def test_aria2_downloads_by_what_is_exported(shoal: Shoal, tmp_path: Path) -> None:
    aria2 = shutil.which("aria2c")
    if aria2 is None:
        pytest.skip("aria2c is not installed")
    (shoal.folder / "content.bin").write_bytes(CONTENT.whole())
    # One mirror has flipped bytes: only the piece hashes tell.
    characters = [Character(rate_bytes_s=4e6, flip_every=2 << 20), Character(rate_bytes_s=4e6)]
    with mirrors(characters, CONTENT, own_hosts=True) as box:
        options = [word for url in box.urls for word in ("--mirror", url)]
        assert shoal.run("export", "content.bin", "--piece-size", "256K", *options).code == 0
        folder = tmp_path / "aria2"
        command = [
            aria2,
            "--no-conf",
            "-d",
            str(folder),
            "--min-split-size=1M",
            "-q",
            str(shoal.folder / "content.bin.meta4"),
        ]
        ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=ARIA2_S_MAX)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert CONTENT.matches(folder / "content.bin")


def test_a_manifest_has_the_digest_of_each_chunk(shoal: Shoal) -> None:
    data = CONTENT.whole()[:300_000]
    (shoal.folder / "x").write_bytes(data)
    done = shoal.run("export", "x", "--manifest", "-o", "-")
    manifest = json.loads(done.stdout)
    assert (done.code, manifest["size"], manifest["sha256"]) == (0, 300_000, hashlib.sha256(data).hexdigest())
    (ranges,) = manifest["ranges"]
    size = manifest["chunkSize"]
    assert ranges["digests"] == [
        digests_of(memoryview(data[at : at + size]), len(data[at : at + size]), size).hex()
        for at in range(0, 300_000, size)
    ]
    assert ranges["source"] is None
    assert "exclude each other" in shoal.run("export", "x", "--manifest", "--metalink").the_line


@pytest.mark.long
def test_stdout_and_what_is_wrong(shoal: Shoal) -> None:
    (shoal.folder / "x").write_bytes(b"x" * 10_000)
    done = shoal.run("export", "x", "--mirror", "http://a/x", "--piece-size", "4K", "-o", "-")
    (file,) = read_metalink(done.stdout.encode()).files
    assert file.pieces is not None
    assert (done.code, file.pieces.count, file.urls) == (0, 3, ("http://a/x",))
    (shoal.folder / "y").write_bytes(b"")
    (shoal.folder / "x.meta4").write_text("mine")
    for words, code, said in (
        (["x"], 2, "no mirror is known"),
        (["gone", "--mirror", "http://a/x"], 5, "No such file"),
        (["x", "--mirror", "http://a/x"], 5, "is there already"),
        (["x", "--mirror", "slsk://ann/x"], 2, "--mirror"),
        (["x", "--mirror", "http://ann:secret@a/x"], 2, "without a password"),
        (["x", "--mirror", "http://a/x", "--piece-size", "1"], 2, "--piece-size"),
    ):
        failed = shoal.run("export", *words)
        assert (failed.code, said in failed.the_line) == (code, True), failed.stderr
    assert (shoal.folder / "x.meta4").read_text() == "mine"
    assert shoal.run("export", "y", "--mirror", "http://a/y", "-o", "-").code == 0
