"""Messages as bytes: a frame is the msgpack array ``(tag, *fields)``.

`encode` and `decode` are each other's inverse for every message. A frame from outside is not trusted: count and type of
every field are checked and anything else is one error, `BadFrame`. A whole number in a field of type float is made a
float.
"""

import functools
import operator
from collections.abc import Iterator
from typing import Any, Final

import msgpack
import msgspec

import protocol.messages
from protocol.messages.base import Message
from protocol.model.value import Value

FRAME_BYTES_MAX: Final = 60_000
"""A frame fits one datagram of a link on every kernel's default buffers; what is longer is split into several."""


class BadFrame(Exception):  # noqa: N818
    """These bytes are no message of ours: wrong tag, count or type, trailing bytes, too long."""


def _subclasses(cls: type[Message]) -> Iterator[type[Message]]:
    for each in cls.__subclasses__():
        yield each
        yield from _subclasses(each)


_CLASSES: Final = tuple(
    cls
    for cls in _subclasses(protocol.messages.Message)
    if operator.attrgetter("__struct_config__.tag")(cls) is not None
)
MESSAGES: Final[dict[int, type[Message]]] = {operator.attrgetter("__struct_config__.tag")(cls): cls for cls in _CLASSES}
"""Tag -> class."""
_HEADERS: Final[dict[type[Message], bytes]] = {
    cls: msgpack.Packer().pack_array_header(1 + len(cls.__struct_fields__)) for cls in MESSAGES.values()
}
"""The first bytes of a frame of each class. msgspec alone would let trailing fields with defaults be absent."""
_EMBEDDING: Final = {
    cls
    for cls in MESSAGES.values()
    for kind in (kind for base in cls.__mro__ for kind in vars(base).get("__annotations__", {}).values())
    if isinstance(kind, type) and issubclass(kind, Value)
}
"""Messages with another value as a field, few and rare: a job specification."""
_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final[msgspec.msgpack.Decoder[Message]] = msgspec.msgpack.Decoder(functools.reduce(operator.or_, _CLASSES))
"""Made of all classes, so that two with the same tag are an error at the start."""


def encode(message: Message) -> bytes:
    """Return the frame of a message. Raises `BadFrame` when it would not fit a link."""
    frame = _encoder.encode(message)
    if len(frame) > FRAME_BYTES_MAX:
        raise BadFrame(f"{type(message).__name__}: {len(frame)} bytes, at most {FRAME_BYTES_MAX}")
    return frame


def decode(frame: bytes) -> Message:
    """Return the message of a frame; `BadFrame` for anything that `encode` would not have made."""
    if len(frame) > FRAME_BYTES_MAX:
        raise BadFrame(f"{len(frame)} bytes, at most {FRAME_BYTES_MAX}")
    try:
        message = _decoder.decode(frame)
    except (ValueError, RecursionError) as error:
        raise BadFrame(str(error)) from error
    cls = type(message)
    if not frame.startswith(_HEADERS[cls]) or (cls in _EMBEDDING and not _is_whole(msgpack.unpackb(frame), message)):
        raise BadFrame(f"{cls.__name__}: wrong count of fields")
    return message


def _is_whole(row: list[Any], value: Value) -> bool:
    """Whether the array of a value has all its fields, and those of the values in it."""
    fields = row[1:] if isinstance(value, Message) else row
    held = [getattr(value, name) for name in value.__struct_fields__]
    return len(fields) == len(held) and all(
        _is_whole(field, each) for field, each in zip(fields, held, strict=True) if isinstance(each, Value)
    )
