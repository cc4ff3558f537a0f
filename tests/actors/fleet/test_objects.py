"""Destinations: a shared folder, and S3 as a real server speaks it. One part is one call, every fault has its kind."""

import asyncio
import hashlib
import http.client
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from actors.core.fleet import vocabulary as v
from actors.core.fleet.vocabulary import StoreFault
from actors.fleet.brokers import BucketServer
from actors.fleet.destination import Destination, Piece, StoreError
from actors.fleet.objects import Bucket, put
from actors.fleet.settings import StoreAccess
from actors.fleet.shared_folder import SharedFolder
from actors.fleet.store import Store, destination_of, performed
from protocol.model.fleet.names import multipart_etag
from protocol.model.fleet.rows import PartRow
from tests.actors.fleet.pieces import pieces_of, written

PART = 5 << 20
SIZE = 2 * PART + 1000


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return written(tmp_path, SIZE)


def piece(data: Path, part: int) -> Piece:
    return pieces_of(data, PART)[part]


def stored(where: Destination, name: str, upload: str, data: Path, parts: range = range(3)) -> list[PartRow]:
    rows = []
    for part in reversed(parts):
        one = piece(data, part)
        etag = put(where.address(name, upload, part, one.md5), one)
        rows.append(PartRow(part=part, etag=etag, digest="", node="n"))
    return rows[::-1]


def fault_of(call: Any, *arguments: Any) -> StoreFault:
    with pytest.raises(StoreError) as found:
        call(*arguments)
    assert "\n" not in str(found.value)
    return found.value.fault


def test_a_folder_gets_the_file_once_it_is_whole(tmp_path: Path, data: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    where = SharedFolder(str(folder))
    upload = where.create("deep/file", SIZE)
    rows = stored(where, "deep/file", upload, data)
    assert where.seen("deep/file") is None
    etag = where.complete("deep/file", upload, rows)
    assert etag == multipart_etag([row.etag for row in rows])
    assert where.seen("deep/file") == (etag, SIZE)
    assert (folder / "deep/file").read_bytes() == data.read_bytes()
    assert fault_of(where.complete, "deep/file", upload, rows) is StoreFault.NO_UPLOAD
    assert fault_of(where.parts, "deep/file", upload) is StoreFault.NO_UPLOAD


def test_a_folder_never_replaces_a_file_and_tells_it_from_ours(tmp_path: Path, data: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    (folder / "file").write_text("another's")
    where = SharedFolder(str(folder))
    upload = where.create("file", SIZE)
    rows = stored(where, "file", upload, data)
    assert fault_of(where.complete, "file", upload, rows) is StoreFault.EXISTS
    found = where.seen("file")
    assert found is not None
    assert found.etag != multipart_etag([row.etag for row in rows])
    where.abort("file", upload)
    where.abort("file", upload)
    assert (folder / "file").read_text() == "another's"


def test_a_finished_file_with_another_digest_than_the_order_says_is_removed(tmp_path: Path, data: Path) -> None:
    """No node has all of it, so it is read back."""
    (tmp_path / "shared").mkdir()
    store = Store(StoreAccess(address=str(tmp_path / "shared")), "", lambda: None)
    where = SharedFolder(str(tmp_path / "shared"))
    right = f"sha256:{hashlib.sha256(data.read_bytes()).hexdigest()}"

    async def play(checksum: str, *, looked: bool) -> v.Event:
        upload = where.create("file", SIZE)
        rows = stored(where, "file", upload, data)
        if looked:
            where.complete("file", upload, rows)
            command: v.Command = v.CheckObject("j", 0, "file", whole_etag(rows), PART, checksum)
        else:
            command = v.CompleteUpload("j", 0, upload, "file", tuple(rows), checksum)
        event = await performed(store, command, "file")
        assert event is not None
        return event

    for looked in (False, True):
        spoilt = asyncio.run(play(f"sha256:{'0' * 64}", looked=looked))
        assert isinstance(spoilt, v.UploadFailed)
        assert spoilt.fault is StoreFault.CONTENT
        assert where.seen("file") is None
        event = asyncio.run(play(right, looked=looked))
        assert isinstance(event, v.ObjectSeen if looked else v.UploadCompleted)
        assert where.seen("file") is not None
        (tmp_path / "shared/file").unlink()
    store.close()


@pytest.mark.long
def test_a_server_with_etags_of_its_own_is_asked_for_the_bytes(tmp_path: Path, data: Path) -> None:
    """After a death between completion and the row: its ETag says nothing, so the object is read."""
    with BucketServer(tmp_path / "s3", "bucket").start() as server:
        access = StoreAccess(address="s3://bucket", endpoint=server.url, key_id="k", secret="s")
        store = Store(access, "", lambda: None)
        where = destination_of("s3://bucket", endpoint=server.url, key_id="k", secret="s")
        upload = where.create("file", SIZE)
        rows = stored(where, "file", upload, data)
        assert where.complete("file", upload, rows) != whole_etag(rows)
        looking = v.CheckObject("j", 0, "file", whole_etag(rows), PART)
        assert asyncio.run(performed(store, looking, "file")) == v.ObjectSeen("j", 0, whole_etag(rows), SIZE)
        (server.folder / "file").write_bytes(bytes(SIZE))
        other = asyncio.run(performed(store, looking, "file"))
        assert isinstance(other, v.ObjectSeen)
        assert other.etag not in ("", whole_etag(rows))
        store.close()


def whole_etag(rows: list[PartRow]) -> str:
    return multipart_etag([row.etag for row in rows])


def test_a_folder_says_what_is_wrong(tmp_path: Path, data: Path) -> None:
    gone = SharedFolder(str(tmp_path / "not mounted"))
    assert fault_of(gone.create, "file", 1) is StoreFault.DENIED
    assert fault_of(gone.seen, "file") is StoreFault.DENIED
    folder = tmp_path / "shared"
    folder.mkdir()
    where = SharedFolder(str(folder))
    assert fault_of(where.create, "../../etc/file", 1) is StoreFault.DENIED
    upload = where.create("file", SIZE)
    one = piece(data, 0)
    spoilt = Piece(path=one.path, offset=one.offset, length=one.length, at=0, md5="0" * 32)
    assert fault_of(put, where.address("file", upload, 0, one.md5), spoilt) is StoreFault.CHECKSUM
    where.abort("file", upload)
    assert fault_of(put, where.address("file", upload, 0, one.md5), one) is StoreFault.NO_UPLOAD


@pytest.fixture(scope="module")
def moto() -> Iterator[Bucket]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    where = destination_of("s3://bucket/deep", endpoint=f"http://{host}:{port}", key_id="k", secret="s")
    assert isinstance(where, Bucket)
    line = http.client.HTTPConnection(host, port)
    line.request("PUT", "/bucket")
    assert line.getresponse().status == 200
    yield where
    server.stop()


@pytest.mark.long
def test_a_bucket_gets_the_object_once(moto: Bucket, data: Path) -> None:
    upload = moto.create("file", SIZE)
    rows = stored(moto, "file", upload, data)
    assert moto.parts("file", upload) == [(row.part, row.etag) for row in rows]
    stored(moto, "file", upload, data, range(1, 2))  # PUT again: it takes the place of the first
    assert moto.seen("file") is None
    etag = moto.complete("file", upload, rows)
    assert etag == multipart_etag([row.etag for row in rows])
    assert moto.seen("file") == (etag, SIZE)
    another = moto.create("file", SIZE)
    again = stored(moto, "file", another, data)
    assert fault_of(moto.complete, "file", another, again) is StoreFault.EXISTS


@pytest.mark.long
def test_a_bucket_says_what_is_wrong(moto: Bucket, data: Path) -> None:
    upload = moto.create("odd", SIZE)
    assert fault_of(moto.address, "odd", upload, 10_000, "0" * 32) is StoreFault.TOO_MANY_PARTS
    one = piece(data, 0)
    spoilt = Piece(path=one.path, offset=one.offset, length=one.length, at=0, md5="0" * 32)
    assert fault_of(put, moto.address("odd", upload, 0, one.md5), spoilt) is StoreFault.CHECKSUM
    rows = [PartRow(part=0, etag="0" * 32, digest="", node="n")]
    assert fault_of(moto.complete, "odd", upload, rows) is StoreFault.BAD_PART
    moto.abort("odd", upload)
    moto.abort("odd", upload)
    parts = urlsplit(moto.address("odd", upload, 0, one.md5))
    elsewhere = destination_of("s3://none", endpoint=f"http://{parts.netloc}", key_id="k", secret="s")
    assert fault_of(elsewhere.create, "odd", 1) is StoreFault.DENIED
    nowhere = destination_of("s3://none", endpoint="http://127.0.0.1:9", key_id="k", secret="s")
    assert fault_of(nowhere.create, "odd", 1) is StoreFault.UNREACHABLE
    gone = f"http://127.0.0.1:9/{parts.path}?{parts.query}"
    assert fault_of(put, gone, one) is StoreFault.UNREACHABLE


@pytest.mark.long
def test_an_upload_survives_the_death_of_the_server(tmp_path: Path, data: Path) -> None:
    with BucketServer(tmp_path / "s3", "bucket").start() as server:
        where = destination_of("s3://bucket", endpoint=server.url, key_id="k", secret="s")
        upload = where.create("file", SIZE)
        rows = stored(where, "file", upload, data, range(2))
        server.service.kill()
        assert fault_of(where.create, "file", SIZE) is StoreFault.UNREACHABLE
        server.service.start()
        assert where.parts("file", upload) is None  # this server cannot list them
        rows += stored(where, "file", upload, data, range(2, 3))
        where.complete("file", upload, rows)
        assert (server.folder / "file").read_bytes() == data.read_bytes()
        assert fault_of(where.complete, "file", upload, rows) is StoreFault.NO_UPLOAD


@pytest.mark.parametrize(
    ("status", "code", "message", "fault"),
    [
        (400, "BadDigest", "", StoreFault.CHECKSUM),
        (403, "AccessDenied", "Request has expired", StoreFault.EXPIRED),
        (403, "AccessDenied", "Access Denied", StoreFault.DENIED),
        (403, "SignatureDoesNotMatch", "", StoreFault.DENIED),
        (404, "NoSuchUpload", "", StoreFault.NO_UPLOAD),
        (404, "NoSuchBucket", "", StoreFault.DENIED),
        (405, "MethodNotAllowed", "", StoreFault.DENIED),
        (412, "PreconditionFailed", "", StoreFault.EXISTS),
        (409, "ConditionalRequestConflict", "", StoreFault.SERVER),
        (507, "", "", StoreFault.FULL),
        (400, "XMinioStorageFull", "", StoreFault.FULL),
        (400, "InvalidArgument", "Part number must be an integer between 1 and 10000", StoreFault.TOO_MANY_PARTS),
        (503, "SlowDown", "", StoreFault.SERVER),
        (500, "", "", StoreFault.SERVER),
    ],
)
def test_a_code_of_s3_means_one_fault(status: int, code: str, message: str, fault: StoreFault) -> None:
    from actors.fleet.objects import fault_of as meant

    assert meant(status, code, message) is fault
