"""Digests and links in the fields of answers."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.model.integrity.http_fields import content_md5, legacy_digests, links_of, repr_digests

SHA256 = hashlib.sha256(b"a").digest()
SHA512 = hashlib.sha512(b"a").digest()
MD5 = hashlib.md5(b"a").digest()
IN_BASE64 = base64.b64encode(SHA256).decode()


def test_repr_digest_is_a_dictionary_of_byte_sequences() -> None:
    value = f"sha-256=:{IN_BASE64}:, sha-512=:{base64.b64encode(SHA512).decode()}:;p=1, unixsum=:AAA=:"
    assert repr_digests(value) == [f"sha256:{SHA256.hex()}", f"sha512:{SHA512.hex()}"]
    assert repr_digests("") == []


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (f"sha-256={IN_BASE64}", "not written as"),
        (f"sha-256=:{IN_BASE64}", "not written as"),
        ("sha-256=:!!!!:", "not base64"),
        ("sha-256=:AAAA:", "6 hexadecimal digits, not 64"),
        ("nonsense", "not written as"),
        ("a" * 9000, "longer"),
    ],
)
def test_a_malformed_repr_digest_is_said_to_be(value: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        repr_digests(value)


def test_the_older_fields_are_read() -> None:
    value = f"SHA-256={IN_BASE64},UNIXsum=30637,md5={base64.b64encode(MD5).decode()}"
    assert legacy_digests(value) == [f"sha256:{SHA256.hex()}", f"md5:{MD5.hex()}"]
    assert content_md5(base64.b64encode(MD5).decode()) == [f"md5:{MD5.hex()}"]
    for bad in ("SHA-256", "SHA-256=!", "SHA-256=AAAA"):
        with pytest.raises(ValueError, match=r"digest|not written"):
            legacy_digests(bad)
    with pytest.raises(ValueError, match="md5"):
        content_md5(MD5.hex())


def test_links_to_mirrors_and_descriptions() -> None:
    values = [
        '<http://b/x>; rel=duplicate; pri=2; geo=de, <http://a/x>;rel="duplicate";pri=1, <ftp://c/x>; rel=duplicate',
        '<x.meta4>; rel=describedby; type="application/metalink4+xml", <x.torrent>; rel=describedby; '
        'type="application/x-bittorrent"',
        '</next>; rel="next"; title="a, \\"b\\"", <http://d/x>; REL="Duplicate other"',
    ]
    links = links_of(values, "http://m.example/dir/x")
    assert links.duplicates == ["http://a/x", "http://b/x", "http://d/x"]
    assert links.described_at == ["http://m.example/dir/x.meta4"]


def test_no_more_than_a_hundred_links_are_read() -> None:
    many = ", ".join(f"<http://h{number}/x>; rel=duplicate" for number in range(500))
    assert len(links_of([many], "http://m/x").duplicates) == 100


@given(st.text(alphabet='<>;=",: arel\\\t', max_size=60))
def test_any_link_field_is_read_or_left_alone(value: str) -> None:
    links_of([value], "http://m/x")
