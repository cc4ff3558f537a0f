"""What peers may send, at random: decoding is bounded, and a talk survives every order of events without leaking."""

import asyncio
import itertools
import os
import struct
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from actors.demo.soulseek.wire import messages, primitives
from actors.soulseek import aioslsk_patches
from actors.soulseek.file_connections import FileDoor
from actors.soulseek.input_limits import ARRAY_ITEMS_MAX, UNPACKED_BYTES_MAX, BoundedZlib, Once
from actors.soulseek.negotiation import Negotiation
from actors.soulseek.ports import FoundFile, PeerAway, Reply
from actors.soulseek.queue_entry import Offered
from actors.soulseek.refusals import fault_of, shown
from actors.soulseek.searches import HITS_OF_PEER_MAX, Budget, Searches, makes_sense
from actors.soulseek.settings import TalkTimes
from protocol.messages import (
    ConnectionReady,
    EnqueueRefused,
    Message,
    QueuePlaceChanged,
    SearchHit,
    StartSearch,
    UploadFailed,
    UploadOffered,
)
from protocol.messages.codec import decode, encode
from protocol.model.faults import FaultKind

aioslsk_patches.bound_aioslsk()

SOON = TalkTimes(
    connect_s_max=0.01, upload_failed_s_max=0.003, finished_s=0.001, repeat_s=(0.002,), repeat_every_s=0.01,
    place_first_s=0.001, place_every_s=0.003, answer_s_max=0.004, file_s_max=0.004, failed_s_max=0.002,
    last_word_s_max=0.002, owed_s_max=0.01,
)  # fmt: skip


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
    if not makes_sense(peer, path, size):
        return
    hit = SearchHit(
        search=1, peer=peer, path=path, size_bytes=size, slots_free=True, speed_bytes_s=1, queue_length=0, locked=False
    )
    assert decode(encode(hit)) == hit
    assert ".." not in path.split("\\")


@given(st.text(max_size=500))
def test_every_refusal_has_a_fault_and_can_be_shown(reason: str) -> None:
    kind = fault_of(reason)
    assert kind is None or isinstance(kind, FaultKind)
    assert shown(reason).isprintable()


def test_one_peer_fills_no_more_than_its_part_of_a_search() -> None:
    class Net:
        async def search(self, term: str) -> int:
            return 7

        def forget_search(self, ticket: int) -> None: ...

    async def ready() -> bool:
        return True

    async def run() -> list[Message]:
        posted: list[Message] = []
        searches = Searches(
            Net(), Budget(1, 1.0), Once(), post=lambda _to, message: posted.append(message), ready=ready
        )
        searches.ask(StartSearch(search=1, term="x", wait_s=0.05, reply_to="hub/pool"))
        await asyncio.sleep(0.01)
        for peer in ("a", "b"):
            files = (FoundFile(path=f"m\\{number}.mp3", size_bytes=5) for number in itertools.count())  # without end
            searches.reply(Reply(ticket=7, peer=peer, files=files, slots_free=True, speed_bytes_s=1, queue_length=0))
        searches.reply(
            Reply(
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


# A talk, and every order of events.


class FakeLines:
    """The socket edge: what is said is counted, and every so often there is no way."""

    def __init__(self, away: list[bool]) -> None:
        self._away = itertools.cycle(away or [False])
        self.said = 0

    async def line(self, peer: str) -> Any:
        await asyncio.sleep(0)
        if next(self._away):
            raise PeerAway(FaultKind.PEER_UNREACHABLE, "no way")
        return object()

    async def queue_upload(self, line: Any, path: str) -> None:
        self.said += 1

    async def ask_place(self, line: Any, path: str) -> None:
        self.said += 1

    async def answer(self, line: Any, ticket: int, *, allowed: bool) -> None:
        self.said += 1


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "ask",
                "leave",
                "take",
                "decline",
                "end",
                "stop",
                "offer",
                "deny",
                "failed",
                "told",
                "came",
                "login",
                "wait",
            ]
        ),
        st.integers(1, 2),
        st.integers(1, 3),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS, st.lists(st.booleans(), max_size=4))
def test_a_talk_survives_every_order_of_events_and_leaks_no_descriptor(
    steps: list[tuple[str, int, int]], away: list[bool]
) -> None:
    asyncio.run(_talk_through(steps, away))


async def _talk_through(steps: list[tuple[str, int, int]], away: list[bool]) -> None:
    told: list[Message] = []
    given_fds: list[int] = []
    handed: list[int] = []

    def hand(_worker: str, _message: ConnectionReady, fd: int) -> None:
        handed.append(fd)
        os.close(fd)

    async def detach(_connection: Any) -> int:
        return -1

    door = FileDoor(detach, Once(), ticket_s_max=0.01)
    talk = Negotiation(
        "u", FakeLines(away), door, SOON, tell=lambda _job, message: told.append(message), hand=hand,
        tokens=itertools.count(),
    )  # fmt: skip
    for step, source, ticket in steps:
        path = f"m\\{source}"
        match step:
            case "ask":
                talk.ask(1, source, path, "fetch-1/w")
            case "leave":
                talk.leave(1, source)
            case "take" | "decline":
                talk.answer(1, source, ticket, taken=step == "take")
            case "end" | "stop":
                talk.ended(1, source, ticket, stopped=step == "stop")
            case "offer":
                talk.offered(path, Offered(ticket, 1000, object()))
            case "deny":
                talk.denied(path, "Too many files" if ticket == 1 else "Queued")
            case "failed":
                talk.upload_failed(path)
            case "told":
                talk.place_told(path, ticket)
            case "came":
                claim = door._claims.get(("u", ticket))
                if claim is not None:
                    fd = os.open(os.devnull, os.O_RDONLY)
                    given_fds.append(fd)
                    claim(fd)
            case "login":
                talk.logged_in()
        await asyncio.sleep(0.002 if step == "wait" else 0)
    talk.leave_job(1)
    deadline_s = asyncio.get_running_loop().time() + 5
    while not talk.idle:
        assert asyncio.get_running_loop().time() < deadline_s, "it never comes to rest"
        await asyncio.sleep(0.001)
    assert not door._claims, "no ticket is waited for any more"
    assert {type(message) for message in told} <= {QueuePlaceChanged, EnqueueRefused, UploadFailed, UploadOffered}
    for fd in set(given_fds) - set(handed):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
