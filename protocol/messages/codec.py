"""Messages as bytes: a frame is the msgpack array ``(tag, *fields)``.

`encode` and `decode` are each other's inverse for every message. A frame from outside is not trusted: count and type of
every field are checked and anything else is one error, `BadFrame`. A whole number in a field of type float is made a
float.
"""

import functools
import operator
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

import msgpack
import msgspec

import protocol.messages
from protocol.messages.base import Message
from protocol.model.value import Value

FRAME_BYTES_MAX: Final = 60_000
"""A frame fits one datagram of a link on every kernel's default buffers; what is longer is split into several."""

_LONG_ARRAY: Final = 0xDC
_LONG_NUMBER: Final = 0xCC
"""Of msgpack: an array of more than 15 members, whose count takes two bytes; a number above 127, which takes one."""


class BadFrame(Exception):  # noqa: N818
    """These bytes are no message of ours: wrong tag, count or type, trailing bytes, too long."""


def _subclasses(cls: type[Message]) -> Iterator[type[Message]]:
    for each in cls.__subclasses__():
        yield each
        yield from _subclasses(each)


MESSAGES: Final[dict[int, type[Message]]] = {
    tag: cls
    for cls in _subclasses(protocol.messages.Message)
    if (tag := operator.attrgetter("__struct_config__.tag")(cls)) is not None
}
"""Tag -> class."""
_encoder: Final = msgspec.msgpack.Encoder()


class _Format(NamedTuple):
    """Decoder of the messages of one class."""

    prefix: bytes
    """The first bytes of each frame: count of fields, tag. msgspec alone lets fields with defaults be absent."""
    decode: Callable[[bytes], Message]
    embeds: bool
    """Whether another value is a field, as in few and rare ones: a job specification."""


@functools.cache
def _format_of(tag: int) -> _Format:
    """Return the format of a class, made when its first message comes: a process gets few of them, all cost 12 ms."""
    cls = MESSAGES[tag]
    count = len(cls.__struct_fields__)
    kinds = (kind for base in cls.__mro__ for kind in vars(base).get("__annotations__", {}).values())
    embeds = any(isinstance(kind, type) and issubclass(kind, Value) for kind in kinds)
    packer = msgpack.Packer()
    return _Format(packer.pack_array_header(1 + count) + packer.pack(tag), msgspec.msgpack.Decoder(cls).decode, embeds)


def prepare(classes: Iterable[type[Message]]) -> None:
    """Make ready to decode messages of these classes, where a moment later would be a worse one."""
    for cls in classes:
        _format_of(operator.attrgetter("__struct_config__.tag")(cls))


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
        at = 3 if frame[0] == _LONG_ARRAY else 1
        prefix, decode_fields, embeds = _format_of(frame[at] if frame[at] != _LONG_NUMBER else frame[at + 1])
    except LookupError:
        raise BadFrame("no message has this tag") from None
    if not frame.startswith(prefix):
        raise BadFrame("wrong count of fields")
    try:
        message = decode_fields(frame)
    except (ValueError, RecursionError) as error:
        raise BadFrame(str(error)) from error
    if embeds and not _is_whole(msgpack.unpackb(frame), message):
        raise BadFrame(f"{type(message).__name__}: wrong count of fields")
    return message


def _is_whole(row: list[Any], value: Value) -> bool:
    """Whether the array of a value has all its fields, and those of the values in it."""
    fields = row[1:] if isinstance(value, Message) else row
    held = [getattr(value, name) for name in value.__struct_fields__]
    return len(fields) == len(held) and all(
        _is_whole(field, each) for field, each in zip(fields, held, strict=True) if isinstance(each, Value)
    )
