"""Decoder of search replies, which come by thousands in a second and are as long as their senders like.

aioslsk decodes every field of every file. Here a reply that no search waits for is not unpacked, and of a long one the
first files only are made.
"""

import struct
import zlib
from collections.abc import Callable
from typing import Any, Final

from aioslsk.protocol.messages import PeerSearchReply  # type: ignore[import-untyped,unused-ignore]

from actors.soulseek.input_limits import ARRAY_ITEMS_MAX, unpack_rest
from actors.soulseek.ports import FoundFile

FILES_MAX: Final = 1000
"""Files of a reply that are looked at; programs send 50 to 500."""
ATTRIBUTES_MAX: Final = 8
HEAD_BYTES: Final = 1024
"""Unpacked first: name and ticket are in it."""
_FRAME_BYTES: Final = 8
"""Length and message code."""
_COUNT: Final = struct.Struct("<I")
_FILE: Final = struct.Struct("<BI")
_SIZE: Final = struct.Struct("<QI")
_ATTRIBUTE: Final = struct.Struct("<II")
_UPLOADER: Final = struct.Struct("<BIII")


def is_search_reply(message: bytes) -> bool:
    """Return whether this frame of a peer's connection is a search reply."""
    return message[4:_FRAME_BYTES] == _COUNT.pack(PeerSearchReply.Request.MESSAGE_ID)


def decode_search_reply(message: bytes, is_awaited: Callable[[int], bool]) -> Any:
    """Return the frame as aioslsk's message; its files are `FoundFile`, and none when its ticket is not awaited.

    Raises `zlib.error`, `struct.error` and ValueError for what cannot be read.
    """
    unpacker = zlib.decompressobj()
    data = unpacker.decompress(message[_FRAME_BYTES:], HEAD_BYTES)
    at = _COUNT.size + _COUNT.unpack_from(data)[0]
    (ticket,) = _COUNT.unpack_from(data, at)
    name = _text(data[_COUNT.size : at])
    if not is_awaited(ticket):
        return PeerSearchReply.Request(name, ticket, [], False, 0, 0)
    data = unpack_rest(unpacker, unpacker.unconsumed_tail, data)
    at, files = _files(data, at + _COUNT.size, locked=False)
    free, speed, queue, _ = _UPLOADER.unpack_from(data, at)
    at += _UPLOADER.size
    if at < len(data):
        files += _files(data, at, locked=True)[1]
    return PeerSearchReply.Request(name, ticket, files, bool(free), speed, queue)


def _files(data: bytes, at: int, *, locked: bool) -> tuple[int, list[FoundFile]]:
    """Return where the list that begins at `at` ends, and its first files; without those whose name is no text."""
    (count,) = _COUNT.unpack_from(data, at)
    at += _COUNT.size
    if count > ARRAY_ITEMS_MAX:
        raise ValueError(f"an array of {count} items")
    found = []
    for index in range(count):
        begin = at + _FILE.size
        at = begin + _FILE.unpack_from(data, at)[1]
        name = data[begin:at]
        size, extension = _SIZE.unpack_from(data, at)
        at += _SIZE.size + extension
        (attributes,) = _COUNT.unpack_from(data, at)
        begin = at + _COUNT.size
        at = begin + _ATTRIBUTE.size * attributes
        if index >= FILES_MAX or at > len(data):
            continue
        pairs = data[begin : min(at, begin + _ATTRIBUTE.size * ATTRIBUTES_MAX)]
        try:
            path = _text(name)
        except UnicodeDecodeError:
            continue
        made = tuple(_ATTRIBUTE.iter_unpack(pairs))
        found.append(FoundFile(path=path, size_bytes=size, locked=locked, attributes=made))
    return at, found


def _text(raw: bytes) -> str:
    """Decode as aioslsk does: what is no UTF-8 is the code page of western Windows."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("cp1252")
