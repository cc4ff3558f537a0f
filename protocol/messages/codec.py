"""Messages as bytes: a frame is the msgpack array ``(tag, *fields)``.

`encode` and `decode` are each other's inverse for every message in `protocol.messages.TAGS`. A frame from outside
is not trusted: count and exact type of every field are checked and anything else is one error, `BadFrame`.
"""

import dataclasses
import operator
import typing
from collections.abc import Callable
from typing import Any, Final

import msgpack
import msgspec

from protocol.messages import TAGS, Message

FRAME_BYTES_MAX: Final = 60_000
"""A frame fits one datagram of a link on every kernel's default buffers. Longer facts are said in several messages."""


class BadFrame(Exception):  # noqa: N818
    """These bytes are no message of ours: wrong tag, count or type, trailing bytes, too long."""


_PLAIN: Final = (int, float, str, bytes, bool)
_ELEMENTS: Final = {tuple[int, ...]: int, tuple[str, ...]: str}


@dataclasses.dataclass(frozen=True, slots=True)
class _Shape:
    """How one message class looks on the wire."""

    make: type
    names: tuple[str, ...]
    types: tuple[type, ...]
    read: Callable[[Any], Any]
    floats: tuple[int, ...]
    tuples: tuple[tuple[int, type], ...]


def _shape(cls: type) -> _Shape:
    hints = typing.get_type_hints(cls)
    names = tuple(field.name for field in msgspec.structs.fields(cls))
    types: list[Any] = []
    tuples: list[tuple[int, type]] = []
    for index, name in enumerate(names):
        hint = hints[name]
        if hint in _ELEMENTS:
            tuples.append((index, _ELEMENTS[hint]))
            types.append(tuple)
        elif hint in _PLAIN:
            types.append(hint)
        else:
            raise TypeError(f"{cls.__name__}.{name}: {hint} does not travel")
    floats = tuple(index for index, kind in enumerate(types) if kind is float)
    read = operator.attrgetter(*names) if names else lambda _message: ()
    return _Shape(cls, names, tuple(types), read, floats, tuple(tuples))


_SHAPES: Final = tuple(_shape(cls) for cls in TAGS)
_TAG_OF: Final = {cls: tag for tag, cls in enumerate(TAGS)}


def encode(message: Message) -> bytes:
    """The frame of a message. Raises `BadFrame` when it would not fit a link."""
    tag = _TAG_OF[type(message)]
    shape = _SHAPES[tag]
    fields = shape.read(message)
    row = [tag, fields] if len(shape.names) == 1 else [tag, *fields]
    for index in shape.floats:
        row[index + 1] = float(row[index + 1])
    # packb makes a Packer a call; one shared Packer is not safe between the threads of a process.
    frame: bytes = msgpack.packb(row)
    if len(frame) > FRAME_BYTES_MAX:
        raise BadFrame(f"{type(message).__name__}: {len(frame)} bytes, at most {FRAME_BYTES_MAX}")
    return frame


def decode(frame: bytes) -> Message:
    """The message of a frame; `BadFrame` for anything that `encode` would not have made."""
    if len(frame) > FRAME_BYTES_MAX:
        raise BadFrame(f"{len(frame)} bytes, at most {FRAME_BYTES_MAX}")
    try:
        row = msgpack.unpackb(frame, use_list=False, strict_map_key=True)
    except (ValueError, msgpack.UnpackException, RecursionError) as error:
        raise BadFrame(f"not msgpack: {error}") from error
    if type(row) is not tuple or not row or type(row[0]) is not int or not 0 <= row[0] < len(_SHAPES):
        raise BadFrame("no known tag")
    shape = _SHAPES[row[0]]
    fields = row[1:]
    if tuple(map(type, fields)) != shape.types:
        raise BadFrame(f"{shape.make.__name__}: wrong fields")
    for index, element in shape.tuples:
        if not all(type(item) is element for item in fields[index]):
            raise BadFrame(f"{shape.make.__name__}.{shape.names[index]}: wrong elements")
    message: Message = shape.make(**dict(zip(shape.names, fields, strict=True)))
    return message
