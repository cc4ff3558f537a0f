"""Search replies are decoded as aioslsk does, as far as they are looked at; hardly at all when none is awaited."""

import struct
import zlib

import pytest
from aioslsk.network.connection import (  # type: ignore[import-untyped,unused-ignore]
    PeerConnection,
    PeerConnectionState,
)
from aioslsk.protocol.messages import PeerSearchReply  # type: ignore[import-untyped,unused-ignore]
from aioslsk.protocol.primitives import Attribute, FileData  # type: ignore[import-untyped,unused-ignore]

from actors.soulseek.aioslsk_patches import BoundedNetwork, limit_aioslsk
from actors.soulseek.input_limits import ARRAY_ITEMS_MAX, UNPACKED_BYTES_MAX
from actors.soulseek.ports import FoundFile
from actors.soulseek.search_replies import ATTRIBUTES_MAX, FILES_MAX, decode_search_reply, is_search_reply

TICKET = 77


def file(number: int, *, attributes: int = 2) -> FileData:
    sound = [Attribute(key, 100 * key + number) for key in range(attributes)]
    return FileData(1, f"m\\Ünter {number}.mp3", (1 << 33) + number, "mp3", sound)


def found(number: int, *, locked: bool = False, attributes: int = 2) -> FoundFile:
    pairs = tuple((key, 100 * key + number) for key in range(attributes))
    return FoundFile(path=f"m\\Ünter {number}.mp3", size_bytes=(1 << 33) + number, locked=locked, attributes=pairs)


def frame(*files: FileData, locked: tuple[FileData, ...] | None = None) -> bytes:
    packed: bytes = PeerSearchReply.Request(
        "ann", TICKET, list(files), True, 5_000, 9, 0, locked and list(locked)
    ).serialize()
    return packed


def by_hand(body: bytes) -> bytes:
    packed = zlib.compress(body)
    return struct.pack("<II", len(packed) + 4, 9) + packed


def of_file(name: bytes) -> bytes:
    return struct.pack("<BI", 1, len(name)) + name + struct.pack("<QII", 5, 0, 0)


HEAD = struct.pack("<I", 3) + b"ann" + struct.pack("<I", TICKET)
TAIL = struct.pack("<BIII", 0, 1, 2, 0)


def test_an_awaited_reply_has_all_fields() -> None:
    message = decode_search_reply(frame(file(1), file(2, attributes=0), locked=(file(3),)), {TICKET}.__contains__)
    assert (message.username, message.ticket) == ("ann", TICKET)
    assert (message.has_slots_free, message.avg_speed, message.queue_size) == (True, 5_000, 9)
    assert message.results == [found(1), found(2, attributes=0), found(3, locked=True)]
    assert decode_search_reply(frame(), {TICKET}.__contains__).results == []


def test_only_search_replies_are_taken_for_them() -> None:
    assert is_search_reply(frame(file(1)))
    assert not is_search_reply(struct.pack("<II", 4, 10))
    assert not is_search_reply(struct.pack("<II", 4, 9 << 8))


def test_what_no_search_waits_for_is_not_unpacked() -> None:
    packed = zlib.compressobj()
    begin = packed.compress(HEAD + bytes(2048)) + packed.flush(zlib.Z_FULL_FLUSH)
    body = begin + b"rubbish"
    broken = struct.pack("<II", len(body) + 4, 9) + body
    message = decode_search_reply(broken, {TICKET + 1}.__contains__)
    assert (message.ticket, message.results) == (TICKET, [])
    with pytest.raises(zlib.error):
        decode_search_reply(broken, {TICKET}.__contains__)


def test_of_a_long_reply_the_first_files_are_made_and_what_follows_them_is_read() -> None:
    files = [file(number) for number in range(FILES_MAX + 5)]
    message = decode_search_reply(frame(*files, locked=(file(1), file(2))), {TICKET}.__contains__)
    assert message.results == [*map(found, range(FILES_MAX)), found(1, locked=True), found(2, locked=True)]
    assert (message.avg_speed, message.queue_size) == (5_000, 9)


def test_a_file_has_a_bounded_number_of_attributes() -> None:
    (made,) = decode_search_reply(frame(file(1, attributes=ATTRIBUTES_MAX + 9)), {TICKET}.__contains__).results
    assert made == found(1, attributes=ATTRIBUTES_MAX)


def test_names_of_western_windows_are_read_and_a_file_whose_name_is_no_text_is_left_out() -> None:
    body = HEAD + struct.pack("<I", 3) + of_file(b"m\\\xfcnter.mp3") + of_file(b"\x81\xff") + of_file(b"c") + TAIL
    message = decode_search_reply(by_hand(body), {TICKET}.__contains__)
    assert [each.path for each in message.results] == ["m\\ünter.mp3", "c"]
    assert (message.has_slots_free, message.avg_speed, message.queue_size) == (False, 1, 2)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        HEAD[:5],
        HEAD,
        HEAD + struct.pack("<I", 1),
        HEAD + struct.pack("<I", 1) + of_file(b"a")[:-1],
        HEAD + struct.pack("<I", 2) + of_file(b"a") + TAIL,
        HEAD + struct.pack("<I", 1) + of_file(b"a") + TAIL[:-1],
        HEAD + struct.pack("<I", 1) + struct.pack("<BI", 1, 1 << 31) + b"a" + TAIL,
        HEAD + struct.pack("<I", 1) + of_file(b"a")[:-4] + struct.pack("<I", 1 << 31) + TAIL,
        HEAD + struct.pack("<I", ARRAY_ITEMS_MAX + 1) + of_file(b"a") * (ARRAY_ITEMS_MAX + 1) + TAIL,
        HEAD + struct.pack("<I", 0) + TAIL + struct.pack("<I", 1),
        HEAD + struct.pack("<I", 0) + TAIL + bytes(UNPACKED_BYTES_MAX),
        struct.pack("<I", 1 << 31) + b"ann" + struct.pack("<II", TICKET, 0) + TAIL,
    ],
)
def test_what_is_cut_off_or_cannot_be_is_an_error(body: bytes) -> None:
    with pytest.raises((ValueError, struct.error, zlib.error)):
        decode_search_reply(by_hand(body), {TICKET}.__contains__)


def test_other_clients_of_the_library_in_the_same_process_get_their_replies_from_it() -> None:
    limit_aioslsk()
    ours = BoundedNetwork.__new__(BoundedNetwork)
    ours.is_awaited = {TICKET + 1}.__contains__
    for network, results in ((object(), [file(1)]), (ours, [])):
        connection = PeerConnection("127.0.0.1", 1, network)
        connection.connection_state = PeerConnectionState.ESTABLISHED
        assert connection.deserialize_message(frame(file(1))).results == results
