"""What peers may send, at random: decoding is bounded, and one peer fills no more than its part of a search."""

import asyncio
import itertools
import struct
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from actors.core.peers.input_checks import is_possible_file, printable
from actors.core.peers.refusals import Refusal, refusal_of
from actors.demo.soulseek.wire import messages, primitives
from actors.soulseek import aioslsk_patches
from actors.soulseek.input_limits import ARRAY_ITEMS_MAX, UNPACKED_BYTES_MAX, BoundedZlib, TroubleLog
from actors.soulseek.ports import FoundFile, SearchReply
from actors.soulseek.searches import HITS_OF_PEER_MAX, SearchBudget, Searches
from protocol.messages import Message, SearchHit, StartSearch
from protocol.messages.codec import decode, encode

aioslsk_patches.limit_aioslsk()


def framed(code: int, payload: bytes) -> bytes:
    return struct.pack("<II", len(payload) + 4, code) + payload


def read_or_refuse(read: Callable[[bytes], Any], data: bytes) -> None:
    """aioslsk turns every ordinary exception into its own; the others would end more than a message."""
    try:
        read(data)
    except (MemoryError, RecursionError):
        raise
    except Exception:  # noqa: BLE001
        return


@given(st.integers(0, 60), st.binary(max_size=300), st.booleans())
@example(code=9, payload=struct.pack("<I", 0xFFFF_FFFF), packed=True)
def test_no_peer_message_does_more_than_raise(code: int, payload: bytes, packed: bool) -> None:
    read_or_refuse(
        messages.PeerMessage.deserialize_request, framed(code, zlib.compress(payload) if packed else payload)
    )


@given(st.binary(max_size=200))
def test_no_introduction_and_no_server_message_does_more_than_raise(data: bytes) -> None:
    for read in (
        messages.PeerInitializationMessage.deserialize_request,
        messages.DistributedMessage.deserialize_request,
        messages.ServerMessage.deserialize_response,
    ):
        read_or_refuse(read, struct.pack("<I", len(data)) + data)


def test_a_bomb_is_refused_and_an_honest_reply_of_thousands_is_read() -> None:
    with pytest.raises(zlib.error):
        BoundedZlib.decompress(zlib.compress(bytes(UNPACKED_BYTES_MAX + 1)))
    with pytest.raises(zlib.error):
        BoundedZlib.decompress(zlib.compress(b"cut off")[:-3])
    files = [primitives.FileData(1, f"music\\{number}.mp3", 5, "", []) for number in range(5000)]
    reply = messages.PeerSearchReply.Request("u", 1, files, True, 1, 0, locked_results=[])
    assert len(messages.PeerMessage.deserialize_request(reply.serialize()).results) == 5000
    files *= ARRAY_ITEMS_MAX // 5000 + 1
    with pytest.raises(ValueError, match="array"):
        messages.PeerMessage.deserialize_request(
            messages.PeerSearchReply.Request("u", 1, files, True, 1, 0, locked_results=[]).serialize()
        )


@given(st.text(max_size=40), st.text(max_size=3000), st.integers(-(2**70), 2**70))
@example(peer="u", path="music\\..\\x", size=1)
@example(peer="u", path="music\\", size=1)
@example(peer="u", path="a\0b", size=1)
@example(peer="u", path="ä" * 2000, size=1)
def test_what_makes_sense_fits_a_message_and_an_address(peer: str, path: str, size: int) -> None:
    if not is_possible_file(peer, path, size):
        return
    hit = SearchHit(
        search=1, peer=peer, path=path, size_bytes=size, slots_free=True, speed_bytes_s=1, queue_length=0, locked=False
    )
    assert decode(encode(hit)) == hit
    assert ".." not in path.split("\\")


@given(st.text(max_size=500))
def test_every_refusal_has_a_fault_and_can_be_shown(reason: str) -> None:
    assert isinstance(refusal_of(reason), Refusal | None)
    assert printable(reason).isprintable()


def test_one_peer_fills_no_more_than_its_part_of_a_search() -> None:
    class Net:
        async def search(self, term: str) -> int:
            return 7

        def forget_search(self, ticket: int) -> None: ...

    async def ready() -> str:
        return ""

    async def run() -> list[Message]:
        posted: list[Message] = []
        searches = Searches(
            Net(), SearchBudget(1, 1.0), TroubleLog(), post=lambda _to, message: posted.append(message), ready=ready
        )
        searches.ask(StartSearch(search=1, term="x", wait_s=0.05, reply_to="hub/pool"))
        await asyncio.sleep(0.01)
        for peer in ("a", "b"):
            files = (FoundFile(path=f"m\\{number}.mp3", size_bytes=5) for number in itertools.count())  # without end
            searches.reply(
                SearchReply(ticket=7, peer=peer, files=files, slots_free=True, speed_bytes_s=1, queue_length=0)
            )
        searches.reply(
            SearchReply(
                ticket=8,
                peer="c",
                files=[FoundFile(path="m\\x", size_bytes=5)],
                slots_free=True,
                speed_bytes_s=1,
                queue_length=0,
            )
        )
        await asyncio.sleep(0.1)
        return posted

    posted = asyncio.run(run())
    assert sum(isinstance(message, SearchHit) for message in posted) == 2 * HITS_OF_PEER_MAX
    assert posted[-1].peers == 2  # type: ignore[attr-defined]
