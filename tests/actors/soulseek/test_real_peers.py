"""The session against programs that people really run: Nicotine+ and aioslsk as uploaders."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.demo.content import Content
from protocol.messages import QueuePlaceChanged, SearchEnded, SearchHit, StartSearch
from tests.actors.soulseek.rig import Rig, read_body
from tests.real_peers import aioslsk_peer, nicotine
from tests.soulseek_network.network import Network, network

pytestmark = [pytest.mark.long, pytest.mark.timeout(180)]

SIZE = 32 << 20
NAME = "Real Song.bin"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("music")
    with (folder / NAME).open("wb") as file:
        Content(SIZE).write_to(file)
    return folder


@pytest.fixture
def box() -> Iterator[Network]:
    with network({}) as made:
        yield made


@pytest.fixture
def rig(box: Network) -> Iterator[Rig]:
    with Rig(box.server_port) as made:
        yield made.online()


@pytest.fixture(params=["nicotine", "aioslsk"])
def peer(request: pytest.FixtureRequest, box: Network, folder: Path) -> Iterator[tuple[str, bool]]:
    """``(name, whether it tells our place)``. A new one for every test: an uploader remembers what a test broke off,
    offers it again to the next one's session, and that declines it."""
    if request.param == "nicotine":
        if not nicotine.installed():
            pytest.skip("nicotine-plus is not installed: pip install --no-deps nicotine-plus")
        with nicotine.nicotine(box, "n1", folder) as real:
            yield real.name, True
    else:
        with aioslsk_peer.aioslsk_peer(box, "a1", folder) as other:
            assert box.shares(other.name)
            yield other.name, False


def found(rig: Rig, peer: str) -> SearchHit:
    rig.say(StartSearch(search=1, term="real song", wait_s=3.0, reply_to="hub/pool"))
    while True:
        heard = rig.hear(SearchHit, SearchEnded)
        if isinstance(heard, SearchHit) and heard.peer == peer:
            rig.hear(SearchEnded)
            return heard
        assert isinstance(heard, SearchHit), "it was not found"


def test_a_real_peer_is_found_ridden_from_the_middle_stopped_and_asked_again(
    rig: Rig, peer: tuple[str, bool], folder: Path
) -> None:
    name, _tells = peer
    hit = found(rig, name)
    assert hit.size_bytes == SIZE
    content = (folder / NAME).read_bytes()
    for stop in (SIZE // 2, SIZE // 4, SIZE):  # two stops, then a ride to the end
        start = stop - SIZE // 4
        rig.ask(None, name, path=hit.path)
        sock, handed = rig.take_turn()
        with sock:
            assert read_body(sock, start, stop - start) == content[start:stop]
        rig.end(handed, stopped=stop != SIZE)


def test_a_ride_on_a_real_peer_outlives_the_session(box: Network, peer: tuple[str, bool], folder: Path) -> None:
    name, _tells = peer
    rig = Rig(box.server_port, username="short-lived")
    hit = found(rig.online(), name)
    rig.ask(None, name, path=hit.path)
    sock, _handed = rig.take_turn()
    with sock:
        first = read_body(sock, 0, 1000)
        rig.close()
        rest = bytearray()
        while len(rest) < SIZE - 1000:
            piece = sock.recv(1 << 20)
            assert piece
            rest += piece
    whole = hashlib.sha256((folder / NAME).read_bytes()).digest()
    assert hashlib.sha256(first + rest).digest() == whole


def test_a_second_place_at_a_real_peer_waits_for_the_first(rig: Rig, peer: tuple[str, bool]) -> None:
    name, _tells = peer
    hit = found(rig, name)
    rig.ask(None, name, path=hit.path, source=1)
    sock, handed = rig.take_turn()
    rig.ask(None, name, path=hit.path, source=2)
    assert len(read_body(sock, 0, 1000)) == 1000
    sock.close()
    rig.end(handed, stopped=True)
    while rig.hear(QueuePlaceChanged).source != 2:
        pass
    second, handed = rig.take_turn()
    with second:
        assert len(read_body(second, 0, 1000)) == 1000
    rig.end(handed, stopped=True)


def test_an_offset_at_the_end_of_a_real_file_brings_nothing_and_harms_nothing(rig: Rig, peer: tuple[str, bool]) -> None:
    name, _tells = peer
    hit = found(rig, name)
    rig.ask(None, name, path=hit.path)
    sock, handed = rig.take_turn()
    with sock:
        sock.settimeout(0.5)
        with pytest.raises(TimeoutError):
            read_body(sock, SIZE, 1)
    rig.end(handed, stopped=False)
    rig.ask(None, name, path=hit.path)
    sock, _handed = rig.take_turn()
    with sock:
        assert len(read_body(sock, 0, 1000)) == 1000
