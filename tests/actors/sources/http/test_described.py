"""Description of a file in the fields of answers, read by the reader as a worker does."""

import base64
import hashlib

import pytest

from actors.sources.http.described import MIRRORS_MAX, description_of, together
from actors.sources.http.head import Head
from actors.sources.reader import Described

SHA256 = hashlib.sha256(b"a").hexdigest()
OTHER = hashlib.sha256(b"b").hexdigest()
MD5 = hashlib.md5(b"a").hexdigest()
URL = "http://h.example/x"


def in_base64(digest: str) -> str:
    return base64.b64encode(bytes.fromhex(digest)).decode()


def described(status: int, **fields: str) -> Described:
    names = {name.replace("_", "-"): value for name, value in fields.items()}
    head = Head(status=status, fields=names, length=0, chunked=False, keep_alive=True)
    return description_of(head, "h.example", URL, coded="content-encoding" in names)


REPR = f"sha-256=:{in_base64(SHA256)}:"


@pytest.mark.parametrize("status", [200, 206])
def test_a_repr_digest_is_of_the_whole_file_also_on_a_part(status: int) -> None:
    assert described(status, repr_digest=REPR).checksums == (f"sha256:{SHA256}",)


def test_content_md5_and_the_older_digest_count_on_whole_answers_only() -> None:
    fields = {"content_md5": in_base64(MD5), "digest": f"SHA-256={in_base64(SHA256)}"}
    assert set(described(200, **fields).checksums) == {f"md5:{MD5}", f"sha256:{SHA256}"}
    assert described(206, **fields).checksums == ()


def test_digests_of_an_encoded_body_are_not_the_files() -> None:
    assert described(200, content_encoding="gzip", repr_digest=REPR).checksums == ()


def test_a_redirect_speaks_of_the_file_only_with_links_to_it() -> None:
    digest = f"SHA-256={in_base64(SHA256)}"
    link = "<http://m.example/x>; rel=duplicate"
    assert described(302, digest=digest).checksums == ()
    found = described(302, digest=digest, link=link)
    assert (found.checksums, found.mirrors) == ((f"sha256:{SHA256}",), ("http://m.example/x",))


def test_links_that_cannot_be_used_are_left_out() -> None:
    many = ", ".join(f"<http://m{number}.example/x>; rel=duplicate" for number in range(MIRRORS_MAX + 9))
    assert len(described(200, link=many).mirrors) == MIRRORS_MAX
    assert described(200, link="<http://[>; rel=duplicate").mirrors == ()
    assert described(200, link=f"<http://m/{'x' * 500}>; rel=duplicate").mirrors == ()


def test_malformed_digests_are_noted_and_the_others_used() -> None:
    found = described(200, repr_digest="sha-256=:AAAA:", content_md5=in_base64(MD5))
    assert found.checksums == (f"md5:{MD5}",)
    assert len(found.notes) == 1
    assert "Repr-Digest is not used" in found.notes[0]


def test_a_document_is_known_by_its_type() -> None:
    assert described(200, content_type="application/metalink4+xml; charset=utf-8").is_document
    assert not described(302, content_type="application/metalink4+xml").is_document
    assert not described(200, content_type="application/octet-stream").is_document


def test_the_first_answer_on_the_way_goes_before_later_ones() -> None:
    first = described(302, repr_digest=REPR, link="<http://m.example/x>; rel=duplicate")
    later = described(200, repr_digest=f"sha-256=:{in_base64(OTHER)}:", content_md5=in_base64(MD5))
    both = together(first, later)
    assert both.checksums == (f"sha256:{SHA256}", f"md5:{MD5}")
    assert both.mirrors == ("http://m.example/x",)
