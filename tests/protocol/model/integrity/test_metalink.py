"""Metalink documents in the styles that are served, and those that mean harm."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.model.integrity import metalink
from protocol.model.integrity.metalink import BadMetalink, Pieces, is_metalink, read_metalink, write_metalink
from protocol.model.source_url import looks_like_metalink
from tests.protocol.model.integrity.test_metalink_styles import FEDORA, OPENSUSE

SHA256 = hashlib.sha256(b"a").hexdigest()
SHA1 = hashlib.sha1(b"a").hexdigest()


def v4(inside: str, name: str = "a") -> bytes:
    return f'<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="{name}">{inside}</file></metalink>'.encode()


def test_what_cannot_be_used_is_noted() -> None:
    twice = read_metalink(v4("<url>http://a/x</url><url>http://A:80/x</url><url>http://[</url>"))
    assert twice.files[0].urls == ("http://a/x",)
    assert "address that is there twice" in " ".join(twice.notes)
    assert "malformed address" in " ".join(twice.notes)
    assert "unknown kind (sm3)" in " ".join(read_metalink(v4('<hash type="sm3">00</hash>')).notes)


def test_several_files_in_folders() -> None:
    text = (
        '<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="d/a"><url>http://a/a</url></file>'
        '<file name="d/b"><url>b</url></file></metalink>'
    )
    files = read_metalink(text.encode(), base="http://m.example/x/list.meta4").files
    assert [(file.name, file.urls) for file in files] == [
        ("d/a", ("http://a/a",)),
        ("d/b", ("http://m.example/x/b",)),
    ]


def test_a_document_about_the_file_is_noted() -> None:
    inside = '<metaurl mediatype="application/metalink4+xml">http://a/x.meta4</metaurl>'
    assert read_metalink(v4(inside)).files[0].described_at == ("http://a/x.meta4",)


BOMB = (
    '<!DOCTYPE m [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    '<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="&b;"/></metalink>'
)
EXTERNAL = (
    '<!DOCTYPE m [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
    '<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="&a;"/></metalink>'
)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (BOMB.encode(), "document type"),
        (EXTERNAL.encode(), "document type"),
        (v4("", name="../../etc/passwd"), "leads out of the folder"),
        (v4("", name="a/../../b"), "leads out of the folder"),
        (v4("", name="/etc/passwd"), "leads out of the folder"),
        (v4("", name="C:\\x"), "leads out of the folder"),
        (v4("", name="a\\..\\b"), "leads out of the folder"),
        (v4("", name="~root"), "leads out of the folder"),
        (v4("", name="a//b"), "leads out of the folder"),
        (v4("", name="."), "leads out of the folder"),
        (v4("", name=""), "has no name"),
        (v4("", name="a&#x1b;[2J"), "not XML"),
        (v4("", name="a&#x202e;b"), "control characters"),
        (v4("", name="x" * 1001), "too long"),
        (v4("<size>1</size><size>2</size>"), "two sizes: 1 and 2"),
        (v4("<size>-1</size>"), "is no number"),
        (v4("<size>1e9</size>"), "is no number"),
        (v4(f"<size>{'9' * 30}</size>"), "is no number"),
        (v4(f'<hash type="sha-256">{SHA256[:-2]}</hash>'), "62 hexadecimal digits, not 64"),
        (v4(f'<hash type="sha-256">{SHA256[:-1]}g</hash>'), "not a hexadecimal number"),
        (v4(f'<hash type="sha-256">{SHA256}</hash><hash type="sha-256">{"0" * 64}</hash>'), "two different sha256"),
        (v4(f'<size>9</size><pieces length="4" type="sha-1"><hash>{SHA1}</hash></pieces>'), "do not cover"),
        (v4('<pieces length="0" type="sha-1"></pieces>'), "pieces of a of '0' bytes"),
        (v4(f'<pieces length="{1 << 31}" type="sha-1"></pieces>'), "bytes"),
        (v4('<pieces length="4" type="sha-1"><hash>00</hash></pieces>'), "2 hexadecimal digits, not 40"),
        (v4("<x>" * 40 + "</x>" * 40), "nested deeper"),
        (v4(f"<url>{'x' * 10_001}</url>"), "more than 10000 characters"),
        (b"", "not XML"),
        (b"<html><body>login</body></html>", "no Metalink document"),
        (b'<metalink xmlns="http://elsewhere/"/>', "no Metalink document"),
        (b'<metalink xmlns="urn:ietf:params:xml:ns:metalink"/>', "describes no file"),
        (b'<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="a">', "not XML"),
        (b'<?xml version="1.0" encoding="nonsense"?><metalink/>', "not XML"),
    ],
)
def test_hostile_documents_end_with_words(document: bytes, words: str) -> None:
    with pytest.raises(BadMetalink, match=words):
        read_metalink(document)


def test_two_files_of_one_name_are_refused() -> None:
    text = '<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="a"/><file name="a"/></metalink>'
    with pytest.raises(BadMetalink, match="two files are called a"):
        read_metalink(text.encode())


def test_a_million_mirrors_are_too_many() -> None:
    many = "".join(f"<url>http://h{number}.example/x</url>" for number in range(30_000))
    read = read_metalink(v4(many))
    assert len(read.files[0].urls) == 2000
    assert "beyond the best 2000" in " ".join(read.notes)
    assert "beyond the first 20000" in " ".join(read.notes)
    with pytest.raises(BadMetalink, match="longer than 32 MiB"):
        read_metalink(b"<" * (metalink.DOCUMENT_BYTES_MAX + 1))


def test_too_many_files_are_refused() -> None:
    files = "".join(f'<file name="{number}"/>' for number in range(1001))
    with pytest.raises(BadMetalink, match="more than 1000 files"):
        read_metalink(f'<metalink xmlns="urn:ietf:params:xml:ns:metalink">{files}</metalink>'.encode())


def test_a_written_document_is_read_back() -> None:
    pieces = Pieces("sha256", 262144, bytes.fromhex(SHA256) * 4)
    urls = ("http://a.example/x?a=1&b=2", "https://b.example/'\"<x>".replace("<", "%3C").replace(">", "%3E"))
    text = write_metalink('ä & <b>"', 1_000_000, checksums=[f"sha256:{SHA256}"], pieces=pieces, urls=urls)
    (file,) = read_metalink(text.encode()).files
    assert (file.name, file.size_bytes, file.checksum) == ('ä & <b>"', 1_000_000, f"sha256:{SHA256}")
    assert (file.pieces, file.urls) == (pieces, urls)


def words_of(document: bytes) -> str:
    try:
        return " ".join(read_metalink(document).notes)
    except BadMetalink as error:
        return str(error)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_document_or_words(data: bytes) -> None:
    assert "\n" not in words_of(data)


@given(st.integers(0, len(OPENSUSE) - 1), st.sampled_from(["<", ">", "&", "\x00", "é", ""]))
def test_a_changed_document_is_read_or_refused(at: int, change: str) -> None:
    assert "\n" not in words_of((OPENSUSE[:at] + change + OPENSUSE[at + 1 :]).encode())


def test_documents_are_known_by_beginning_and_address() -> None:
    assert is_metalink(OPENSUSE.encode())
    assert is_metalink(FEDORA.encode())
    assert not is_metalink(b"<html>")
    assert not is_metalink(b"\x7fELF metalink ")
    assert looks_like_metalink("http://a/x.iso.meta4")
    assert looks_like_metalink("http://a/x.metalink?mirror=1")
    assert looks_like_metalink("https://get.example.org/vlc.tar.xz?meta4")
    assert not looks_like_metalink("http://a/x.iso?x=meta4")
    assert not looks_like_metalink("http://meta4/x.iso")
