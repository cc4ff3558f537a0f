"""Metalinks and piece hashes in orders: which jobs are made of them, and what is refused before one is."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.order_documents import OrderDocuments
from protocol.messages import AddSources, CreateJob
from protocol.model.errors import NoDocument
from protocol.model.integrity.metalink import Pieces, write_metalink
from protocol.model.job_spec import HttpOptions
from tests.protocol.http_api.fake_daemon import Played
from tests.protocol.http_api.serving import Api, open_settings, serving

ROOT = "/api/v0/multisource"
ROUTE = f"{ROOT}/metalink"
SHA = hashlib.sha256(b"whole").hexdigest()
PIECES = Pieces("sha256", 65536, hashlib.sha256(b"1").digest() + hashlib.sha256(b"2").digest())
MIRRORS = ("https://a.example/x.iso", "https://b.example/x.iso")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("daemon")


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Api]:
    with serving(Played(), open_settings(str(folder)), documents=OrderDocuments()) as api:
        yield api


@pytest.fixture
def api(served: Api) -> Api:
    served.posted.clear()
    return served


def document(name: str = "x.iso", *, pieces: Pieces | None = PIECES, urls: tuple[str, ...] = MIRRORS) -> str:
    return write_metalink(name, 100_000, checksums=[f"sha256:{SHA}"], pieces=pieces, urls=urls)


def of_files(*texts: str) -> str:
    head, _, first = texts[0].partition("  <file")
    rest = "".join(f"  <file{text.partition('  <file')[2].rpartition('</metalink>')[0]}" for text in texts[1:])
    return head + "  <file" + first.rpartition("</metalink>")[0] + rest + "</metalink>"


def placed(api: Api) -> list[CreateJob]:
    return [message for _, message in api.posted if isinstance(message, CreateJob)]


def test_a_document_becomes_a_job_with_its_digests_pieces_and_mirrors(api: Api, folder: Path) -> None:
    answer = api.client.post(ROUTE, json={"document": document(), "require": "pieces", "priority": 3})
    assert answer.status_code == 202, answer.text
    assert (answer.json()["group"], len(answer.json()["files"]), answer.json()["notes"]) == (None, 1, [])
    (order,) = placed(api)
    spec = order.spec
    assert order.sources == MIRRORS
    assert (spec.name, spec.size_bytes, spec.checksum) == ("x.iso", 100_000, f"sha256:{SHA}")
    assert (spec.require, spec.priority, spec.folder_id, spec.chunk_size) == ("pieces", 3, "", 0)
    assert (spec.pieces.algorithm, spec.pieces.piece_bytes) == ("sha256", 65536)
    assert Path(spec.pieces.piece_file).read_bytes() == PIECES.digests
    assert Path(spec.pieces.piece_file).parent == folder / "state" / "pieces"


def test_several_files_are_one_group_and_keep_their_folders(api: Api, folder: Path) -> None:
    text = of_files(document("set/one.iso"), document("set/two.iso"))
    answer = api.client.post(ROUTE, json={"document": text}).json()
    orders = placed(api)
    assert [order.spec.name for order in orders] == ["one.iso", "two.iso"]
    assert {order.spec.folder for order in orders} == {str(folder / "downloads" / "set")}
    assert answer["group"]
    assert {order.spec.folder_id for order in orders} == {answer["group"]}
    lists = [order.spec.pieces.piece_file for order in orders]
    assert len(set(lists)) == 2, "each job has a list of its own, so that one can be removed without the other"


def test_the_same_key_names_the_same_jobs(api: Api) -> None:
    body = {"document": of_files(document("one"), document("two"))}
    answers = [api.client.post(ROUTE, json=body, headers={"Idempotency-Key": "k"}).json() for _ in range(2)]
    keys = [(order.key, order.digest) for order in placed(api)]
    assert keys[:2] == keys[2:]
    assert len(set(keys)) == 2
    assert answers[0]["group"] == answers[1]["group"]


def test_logins_do_not_go_to_the_mirrors_of_a_document(api: Api) -> None:
    http = {"headers": ["Authorization: Bearer s3cr3t", "X-Kind: open"], "userAgent": "me"}
    assert api.client.post(ROUTE, json={"document": document(), "http": http}).status_code == 202
    (order,) = placed(api)
    assert (order.spec.http.headers, order.spec.http.user_agent) == (("X-Kind: open",), "me")


def test_more_mirrors_than_an_order_takes_are_cut_to_the_best(api: Api) -> None:
    urls = tuple(f"https://m{number}.example/{'x' * 200}" for number in range(2100))
    answer = api.client.post(ROUTE, json={"document": document(urls=urls)}).json()
    (order,) = placed(api)
    more = [message for _, message in api.posted if isinstance(message, AddSources)]
    assert [*order.sources, *(url for each in more for url in each.urls)] == list(urls[:256])
    assert any("1744 mirrors of x.iso left out" in note for note in answer["notes"])
    assert any("beyond the best 2000" in note for note in answer["notes"])


def test_private_mirrors_are_left_out_and_a_document_of_nothing_else_is_refused(api: Api) -> None:
    mixed = document(urls=(*MIRRORS, "http://192.168.1.1/x.iso"))
    assert "private network" in api.client.post(ROUTE, json={"document": mixed}).json()["notes"][0]
    assert placed(api)[0].sources == MIRRORS
    api.posted.clear()
    refused = api.client.post(ROUTE, json={"document": document(urls=("http://127.0.0.1/x.iso",))})
    assert (refused.status_code, refused.json()["error"]["field"]) == (403, "document")
    assert api.client.post(ROUTE, json={"url": "http://10.0.0.1/x.meta4"}).status_code == 403
    assert not placed(api)


BOMB = '<!DOCTYPE a [<!ENTITY b "bbbbbbbb"><!ENTITY c "&b;&b;&b;">]><metalink>&c;</metalink>'


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "one of document and url"),
        ({"document": document(), "url": "https://a.example/x.meta4"}, "one of document and url"),
        ({"document": "no xml"}, "not XML"),
        ({"document": "<a/>"}, "no Metalink"),
        ({"document": BOMB}, "document type"),
        ({"document": document("../x")}, "leads out of the folder"),
        ({"document": document("/etc/passwd")}, "leads out of the folder"),
        ({"document": document("a\\..\\x")}, "leads out of the folder"),
        ({"document": document(urls=())}, "no mirror of x.iso"),
        ({"document": document(urls=("ftp://a.example/x",))}, "no mirror of x.iso"),
        ({"document": document().replace(SHA, SHA[:-2])}, "62 hexadecimal digits"),
        ({"document": document().replace("100000</size>", "100000</size><size>7</size>")}, "two sizes"),
        ({"document": document().replace("100000</size>", "1000000</size>")}, "do not cover"),
    ],
)
def test_a_document_that_breaks_a_rule_is_refused_whole(api: Api, body: dict[str, Any], words: str) -> None:
    refused = api.client.post(ROUTE, json=body)
    assert refused.status_code == 400
    assert words in refused.json()["error"]["detail"]
    assert not placed(api)


# Addresses of documents in plain orders.


class Web(OrderDocuments):
    """Documents by address, as if they had been fetched."""

    def __init__(self, **texts: str) -> None:
        self.texts = texts

    def fetch(self, url: str, http: HttpOptions, bytes_max: int, *, private_ok: bool) -> bytes:
        name = url.rpartition("/")[2].partition(".")[0]
        if name not in self.texts:
            raise NoDocument("HTTP 404")
        return self.texts[name].encode()


@pytest.fixture(scope="module")
def web(folder: Path) -> Iterator[Api]:
    documents = Web(x=document(), two=of_files(document("one"), document("two")), no="<html>")
    with serving(Played(), open_settings(str(folder)), documents=documents) as api:
        yield api


def of_document(name: str = "x.meta4", **more: Any) -> dict[str, Any]:
    sources = [{"url": f"https://d.example/{name}"}, *more.pop("others", [])]
    return {"filename": "x.meta4", "fileSize": None, "sources": sources, **more}


def test_a_documents_address_in_a_plain_order_stands_for_its_file(web: Api) -> None:
    http = {"headers": ["Authorization: Bearer s3cr3t"]}
    others = [{"url": MIRRORS[1]}, {"url": "https://c.example/x.iso"}]
    answer = web.client.post(f"{ROOT}/download", json=of_document(others=others, http=http))
    assert answer.status_code == 202, answer.text
    order = placed(web)[-1]
    spec = order.spec
    assert order.sources == (*MIRRORS, "https://c.example/x.iso")
    assert (spec.name, spec.size_bytes, spec.checksum) == ("x.iso", 100_000, f"sha256:{SHA}")
    assert (spec.http.headers, spec.chunk_size) == ((), 0)
    assert Path(spec.pieces.piece_file).read_bytes() == PIECES.digests


def test_what_the_order_says_goes_before_what_the_document_says(web: Api) -> None:
    given: dict[str, Any] = {"filename": "mine.iso", "checksum": f"md5:{'0' * 32}", "fileSize": 100_000}
    assert web.client.post(f"{ROOT}/download", json=of_document(**given)).status_code == 202
    spec = placed(web)[-1].spec
    assert (spec.name, spec.checksum) == ("mine.iso", f"md5:{'0' * 32}")


@pytest.mark.parametrize(
    ("order", "field", "words"),
    [
        (of_document("two.meta4"), "sources.0.url", "describes 2 files"),
        (of_document("no.metalink"), "sources.0.url", "no Metalink document"),
        (of_document("away.meta4"), "sources.0.url", "404"),
        (of_document(fileSize=7), "fileSize", "has 100000 bytes"),
        (of_document(others=[{"url": "https://d.example/y?meta4"}]), "sources.1.url", "an order of its own"),
    ],
)
def test_a_document_that_is_not_of_the_one_file_is_refused(web: Api, order: Any, field: str, words: str) -> None:
    before = len(placed(web))
    refused = web.client.post(f"{ROOT}/download", json=order)
    assert (refused.status_code, refused.json()["error"]["field"]) == (409, field)
    assert words in refused.json()["error"]["detail"]
    assert len(placed(web)) == before


# Piece hashes as members of an order.


def order(**more: Any) -> dict[str, Any]:
    hashes = [PIECES.digests[:32].hex(), PIECES.digests[32:].hex().upper()]
    pieces = {"algorithm": "sha256", "pieceSize": 65536, "hashes": hashes}
    return {"filename": "x.iso", "fileSize": 100_000, "sources": [{"url": MIRRORS[0]}], "pieces": pieces, **more}


def test_piece_hashes_of_an_order_are_kept_and_go_with_the_job(api: Api) -> None:
    group = "0b7c1f0e-6a2b-4b44-9d5c-0d9a3c1e7f00"
    assert api.client.post(f"{ROOT}/download", json=order(group=group.upper())).status_code == 202
    assert api.client.post(f"{ROOT}/download", json=order(chunkSize=131072)).status_code == 202
    first, second = (each.spec for each in placed(api))
    assert Path(first.pieces.piece_file).read_bytes() == PIECES.digests
    assert (first.chunk_size, first.folder_id, second.chunk_size) == (0, group, 131072)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"fileSize": None}, "fileSize"),
        ({"fileSize": 200_000}, "pieces.hashes"),
        ({"pieces": {"algorithm": "sha256", "pieceSize": 65536, "hashes": ["ab" * 32, "ab" * 20]}}, "pieces.hashes"),
        ({"pieces": {"algorithm": "crc32", "pieceSize": 65536, "hashes": ["ab" * 32]}}, "pieces.algorithm"),
        ({"pieces": {"algorithm": "sha256", "pieceSize": 0, "hashes": ["ab" * 32]}}, "pieces.pieceSize"),
    ],
)
def test_piece_hashes_that_do_not_fit_the_file_are_refused(api: Api, change: dict[str, Any], field: str) -> None:
    refused = api.client.post(f"{ROOT}/download", json=order(**change))
    assert (refused.status_code, refused.json()["error"]["field"]) == (400, field)
    assert not placed(api)
