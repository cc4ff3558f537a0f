"""A folder that one node keeps: parts of the others are read from them, over real sockets and a real broker."""

import asyncio
import hashlib
import http.client
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from actors.core.fleet import vocabulary as v
from actors.core.fleet.vocabulary import StoreFault
from actors.fleet.brokers import Brokers
from actors.fleet.bus import BusSettings, connected
from actors.fleet.destination import StoreError
from actors.fleet.pull import CONNECTIONS_MAX, KeptFolder, PartServer, keeper_of
from actors.fleet.settings import StoreAccess
from actors.fleet.store import Store, performed
from protocol.model.fleet.names import multipart_etag
from protocol.model.fleet.rows import PartRow
from tests.actors.fleet.pieces import pieces_of, written

PART = 1 << 20
SIZE = 2 * PART + 1000


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return written(tmp_path, SIZE)


@pytest.fixture
def server() -> Iterator[PartServer]:
    made = PartServer("127.0.0.1", 0, towards="")
    yield made
    made.close()


def read(address: str) -> tuple[int, bytes]:
    parts = urlsplit(address)
    line = http.client.HTTPConnection(parts.netloc, timeout=10)
    line.request("GET", parts.path)
    answer = line.getresponse()
    body = answer.read()
    line.close()
    return answer.status, body


def test_a_part_is_read_at_its_address_while_it_is_offered(server: PartServer, data: Path) -> None:
    one, two = (server.offer(str(data), at, 1000) for at in (0, PART))
    assert read(two) == (200, data.read_bytes()[PART : PART + 1000])
    server.withdraw(two)
    assert read(two)[0] == 404
    assert read(one)[0] == 200
    for guess in ("/", "/part/", "/part/../../etc/passwd", f"/part/{'x' * 43}", str(data)):
        assert read(f"http://{urlsplit(one).netloc}{guess}")[0] == 404


def test_too_many_connections_are_closed_and_none_for_ever(server: PartServer, data: Path) -> None:
    address = server.offer(str(data), 0, 1000)
    place = (urlsplit(address).hostname or "", urlsplit(address).port or 0)
    idle = [socket.create_connection(place) for _ in range(CONNECTIONS_MAX)]
    try:
        with pytest.raises((OSError, http.client.HTTPException)):
            read(address)
    finally:
        for each in idle:
            each.close()
    while True:  # a place is free when the server has seen that one is gone
        try:
            assert read(address)[0] == 200
            break
        except (OSError, http.client.HTTPException):
            continue


def test_what_a_node_offers_is_written_only_where_it_is_as_announced(
    server: PartServer, data: Path, tmp_path: Path
) -> None:
    kept = KeptFolder(str(tmp_path / "kept"), server)
    upload = kept.create("file", SIZE)
    first = pieces_of(data, PART)[0]

    def fault(address: str, length: int = first.length, md5: str = first.md5) -> StoreFault:
        with pytest.raises(StoreError) as found:
            kept.pull("file", upload, 0, address, 0, length, md5)
        return found.value.fault

    whole = server.offer(str(data), 0, PART)
    assert fault(whole, md5="0" * 32) is StoreFault.CHECKSUM
    assert fault(server.offer(str(data), 0, PART - 1)) is StoreFault.UNREACHABLE
    assert fault(server.offer(str(data), 0, PART + 1)) is StoreFault.CHECKSUM
    assert fault("http://127.0.0.1:1/part/" + "x" * 43) is StoreFault.UNREACHABLE
    assert fault(f"http://{urlsplit(whole).netloc}/admin") is StoreFault.SERVER
    assert fault(str(data)) is StoreFault.SERVER
    assert kept.pull("file", upload, 0, whole, 0, PART, first.md5) == first.md5
    assert kept.pull("file", upload, 0, whole, 0, PART, first.md5) == first.md5


def test_a_destination_names_its_keeper() -> None:
    assert keeper_of("node://n1/srv/files") == ("n1", "/srv/files")
    assert keeper_of("/srv/files") == keeper_of("s3://bucket/n1") == ("", "")


class Machines:
    """Stores of nodes of one fleet: n1 keeps the folder."""

    def __init__(self, urls: tuple[str, ...], folder: Path) -> None:
        self.urls, self.address = urls, f"node://n1{folder}"

    @asynccontextmanager
    async def node(self, name: str) -> AsyncIterator[Store]:
        bus = await connected(BusSettings(servers=self.urls, fleet="f", node=name))
        store = Store(StoreAccess(address=self.address, node=name, broker=self.urls[0]), "shoal.f.store", lambda: bus)
        try:
            if store.lends:
                await bus.serve("shoal.f.store", store.lend, queue="store")
            yield store
        finally:
            store.close()
            await bus.close()


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, ...]]:
    with Brokers(tmp_path_factory.mktemp("broker")).start() as brokers:
        yield brokers.urls


@pytest.mark.long
def test_a_node_without_the_folder_stores_completes_and_compares(
    urls: tuple[str, ...], data: Path, tmp_path: Path
) -> None:
    machines = Machines(urls, tmp_path / "kept")
    right = hashlib.sha256(data.read_bytes()).hexdigest()

    async def play() -> None:
        async with machines.node("n1") as keeper, machines.node("n2") as other:
            assert (keeper.lends, other.lends) == (True, False)
            made = await performed(other, v.CreateUpload("j", 0, "deep/file", SIZE), "")
            assert isinstance(made, v.UploadCreated)
            rows = []
            for part, piece in enumerate(pieces_of(data, PART)):
                etag = await (keeper if part == 1 else other).put("deep/file", made.upload, part, piece)
                rows.append(PartRow(part=part, etag=etag, digest="", node="n"))
            for wrong, checksum in ((True, f"sha256:{'0' * 64}"), (False, f"sha256:{right}")):
                complete = v.CompleteUpload("j", 0, made.upload, "deep/file", tuple(rows), checksum)
                event = await performed(other, complete, "")
                assert isinstance(event, v.UploadFailed if wrong else v.UploadCompleted), event
                if wrong:  # it was removed: all of it is stored again
                    again = await performed(other, v.CreateUpload("j", 0, "deep/file", SIZE), "")
                    assert isinstance(again, v.UploadCreated)
                    made = again
                    for part, piece in enumerate(pieces_of(data, PART)):
                        await other.put("deep/file", made.upload, part, piece)
            seen = await performed(other, v.CheckObject("j", 0, "deep/file", "", PART), "")
            assert seen == v.ObjectSeen("j", 0, multipart_etag([row.etag for row in rows]), SIZE)

    asyncio.run(play())
    assert (tmp_path / "kept/deep/file").read_bytes() == data.read_bytes()


@pytest.mark.long
def test_without_the_keeper_parts_wait_with_a_reason(urls: tuple[str, ...], data: Path, tmp_path: Path) -> None:
    async def play() -> None:
        async with Machines(urls, tmp_path / "kept").node("n2") as other:
            with pytest.raises(StoreError, match="no node answers that has the folder") as found:
                await other.put("file", "upload", 0, pieces_of(data, PART)[0])
            assert found.value.fault is StoreFault.UNREACHABLE

    asyncio.run(play())
