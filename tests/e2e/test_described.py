"""What servers say of a file besides its bytes: digests are compared, mirrors and Metalink documents followed."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest

from protocol.model.integrity.metalink import Pieces, write_metalink
from tests.e2e.program import Shoal
from tests.http_mirrors.box import Character, Content, mirrors

CONTENT = Content(2_500_001, seed=41)
MEDIA_TYPE = "application/metalink4+xml"
RATE = 4e6
PIECE = 256 << 10


def in_base64(hexadecimal: str) -> str:
    return base64.b64encode(bytes.fromhex(hexadecimal)).decode()


def named(hexadecimal: str, **more: object) -> Character:
    return Character(rate_bytes_s=RATE, fields=(("Repr-Digest", f"sha-256=:{in_base64(hexadecimal)}:"),), **more)  # type: ignore[arg-type]


def test_a_digest_that_a_mirror_names_is_compared(shoal: Shoal) -> None:
    with mirrors([named(CONTENT.sha256), Character(rate_bytes_s=RATE)], CONTENT) as box:
        done = shoal.get(*box.urls)
    assert (done.code, done.ended["identity"]["kind"]) == (0, "digest")
    assert CONTENT.matches(shoal.folder / "content.bin")


@pytest.mark.long
def test_without_a_digest_none_is_claimed(shoal: Shoal) -> None:
    with mirrors([Character(rate_bytes_s=RATE)] * 2, CONTENT) as box:
        done = shoal.get(*box.urls)
    assert done.ended["identity"]["kind"] != "digest"


def test_a_wrong_digest_of_the_only_mirror_is_no_silent_success(shoal: Shoal) -> None:
    with mirrors([named("ab" * 32)], CONTENT) as box:
        done = shoal.get(*box.urls)
    assert done.code == 4
    assert "names another digest" in done.ended["reason"]
    assert done.ended["identity"]["kind"] != "digest"
    assert shoal.files == ["content.bin.part", "content.bin.part.records"]


def test_mirrors_that_name_another_digest_are_left_out_before_a_byte(shoal: Shoal) -> None:
    other = Content(CONTENT.size, seed=CONTENT.seed + 1_000_003)
    characters = {
        "odd": named(other.sha256, other_content=True),
        "one": named(CONTENT.sha256),
        "two": named(CONTENT.sha256),
    }
    with mirrors(characters, CONTENT) as box:
        done = shoal.get(*box.urls)
    assert done.code == 0
    assert CONTENT.matches(shoal.folder / "content.bin")
    odd = next(row for row in done.ended["sources"] if row["source"] == box.url("odd"))
    assert "its sha256 is another one" in odd["reason"]


@pytest.mark.long
def test_the_users_checksum_decides_between_mirrors(shoal: Shoal) -> None:
    other = Content(CONTENT.size, seed=CONTENT.seed + 1_000_003)
    characters = {
        "odd": named(other.sha256, other_content=True),
        "odd too": named(other.sha256, other_content=True),
        "right": named(CONTENT.sha256),
    }
    with mirrors(characters, CONTENT) as box:
        done = shoal.get(*box.urls, "--checksum", f"sha256:{CONTENT.sha256}")
    assert done.code == 0
    assert CONTENT.matches(shoal.folder / "content.bin")


@pytest.mark.long
def test_a_malformed_digest_is_left_out_with_a_word(shoal: Shoal) -> None:
    broken = Character(rate_bytes_s=RATE, fields=(("Repr-Digest", "sha-256=:AAAA:"), ("Content-MD5", "?")))
    with mirrors([broken, Character(rate_bytes_s=RATE)], CONTENT) as box:
        done = shoal.get(*box.urls)
    assert done.code == 0
    notes = [event["text"] for event in done.events if event["event"] == "note"]
    assert any("its Repr-Digest is not used" in note for note in notes), notes


@pytest.mark.long
def test_mirrors_that_a_server_names_are_used(shoal: Shoal) -> None:
    with mirrors([Character(rate_bytes_s=RATE)] * 2, CONTENT) as box:
        link = ", ".join(f"<{url}>; rel=duplicate; pri={at}" for at, url in enumerate(box.urls, 1))
        with mirrors([Character(rate_bytes_s=1e6, fields=(("Link", link),))], CONTENT) as origin:
            done = shoal.get(*origin.urls)
    assert done.code == 0
    assert set(done.given) == {*origin.urls, *box.urls}
    assert all(done.given[url] for url in box.urls)
    assert CONTENT.matches(shoal.folder / "content.bin")


def test_a_document_that_a_server_names_is_followed(shoal: Shoal, tmp_path: Path) -> None:
    with mirrors([Character(rate_bytes_s=RATE)] * 2, CONTENT) as box:
        place = tmp_path / "x.meta4"
        place.write_text(
            write_metalink(
                "content.bin", CONTENT.size, checksums=[f"sha256:{CONTENT.sha256}"], pieces=None, urls=box.urls
            )
        )
        with mirrors([Character(content_type=MEDIA_TYPE)], place, file_name="x.meta4") as server:
            link = f'<{server.urls[0]}>; rel=describedby; type="{MEDIA_TYPE}"'
            with mirrors([Character(rate_bytes_s=2e5, fields=(("Link", link),))], CONTENT) as origin:
                done = shoal.get(*origin.urls)
    assert (done.code, done.ended["identity"]["kind"]) == (0, "digest")
    assert all(done.given[url] for url in box.urls)


@pytest.mark.long
def test_piece_hashes_of_a_document_that_the_first_server_names_are_compared(shoal: Shoal, tmp_path: Path) -> None:
    """It is read while the download runs: what was stored before is compared too."""
    whole = CONTENT.whole()
    digests = b"".join(hashlib.sha256(whole[at : at + PIECE]).digest() for at in range(0, CONTENT.size, PIECE))
    place = tmp_path / "x.meta4"
    pieces = Pieces("sha256", PIECE, digests)
    place.write_text(write_metalink("content.bin", CONTENT.size, checksums=[], pieces=pieces, urls=[]))
    with mirrors([Character(content_type=MEDIA_TYPE)], place, file_name="x.meta4") as server:
        link = f'<{server.urls[0]}>; rel=describedby; type="{MEDIA_TYPE}"'
        characters = [
            Character(rate_bytes_s=1e6, fields=(("Link", link),)),
            Character(rate_bytes_s=1e6, flip_every=PIECE),
        ]
        with mirrors(characters, CONTENT) as box:
            done = shoal.get(*box.urls)
    assert (done.code, done.ended["identity"]["kind"]) == (0, "pieces")
    assert CONTENT.matches(shoal.folder / "content.bin")


@pytest.mark.long
def test_an_answer_that_is_a_metalink_stands_for_its_file(shoal: Shoal, tmp_path: Path) -> None:
    with mirrors([Character(rate_bytes_s=RATE)] * 2, CONTENT) as box:
        place = tmp_path / "x.meta4"
        place.write_text(
            write_metalink(
                "content.bin", CONTENT.size, checksums=[f"sha256:{CONTENT.sha256}"], pieces=None, urls=box.urls
            )
        )
        with mirrors([Character(content_type=MEDIA_TYPE)], place, file_name="download") as server:
            done = shoal.get(*server.urls)
    assert (done.code, done.ended["identity"]["kind"]) == (0, "digest")
    assert shoal.files == ["content.bin"]
    assert CONTENT.matches(shoal.folder / "content.bin")


@pytest.mark.long
def test_a_hostile_document_in_place_of_the_file_ends_with_a_word(shoal: Shoal, tmp_path: Path) -> None:
    place = tmp_path / "x"
    place.write_text('<!DOCTYPE a [<!ENTITY b "c">]><metalink>&b;</metalink>')
    with mirrors([Character(content_type=MEDIA_TYPE)], place, file_name="download") as server:
        done = shoal.get(*server.urls)
    assert done.code == 3
    assert "document type" in done.ended["reason"]


@pytest.mark.long
def test_logins_do_not_go_to_mirrors_that_a_server_names(shoal: Shoal) -> None:
    secret = "ann:secret"
    with mirrors([Character(rate_bytes_s=RATE, auth=secret)], CONTENT) as box:
        link = f"<{box.url('m0', login=False)}>; rel=duplicate"
        login = base64.b64encode(secret.encode()).decode()
        with mirrors([Character(rate_bytes_s=1e6, fields=(("Link", link),))], CONTENT) as origin:
            done = shoal.get(*origin.urls, "--header", f"Authorization: Basic {login}")
    assert done.code == 0
    assert done.given[box.url("m0", login=False)] == 0, "it would have sent bytes for the login"


@pytest.mark.long
def test_the_digest_of_a_body_in_md5_is_compared_too(shoal: Shoal) -> None:
    md5 = base64.b64encode(hashlib.md5(CONTENT.whole()).digest()).decode()
    with mirrors([Character(ranges=False, fields=(("Content-MD5", md5),))], CONTENT) as box:
        done = shoal.get(*box.urls)
    assert (done.code, done.ended["identity"]["kind"]) == (0, "digest")
