"""Cost of coding one message: the codec against plain msgpack with the same checks, in one run.

    python -m tests.bench.codec_cost [rounds]

The opponent packs ``[tag, *fields]`` and checks count and exact types of what it unpacks, in Python, as the codec did
before it was built on msgspec. Each figure is the best of five, in microseconds a message.
"""

import operator
import sys
import time
import timeit
from collections.abc import Callable
from typing import Any

import msgpack
import msgspec

from protocol.messages import (
    ChunksStored,
    ConfigureGateway,
    LeaseGranted,
    Message,
    SlotFilled,
    SourceMeasured,
    SourceProgressed,
)
from protocol.messages.codec import MESSAGES, decode, encode

SAMPLES: tuple[Message, ...] = (
    LeaseGranted(job=1, source=2, lease=3, first=40, stop=90, size_bytes=1 << 30, chunk_size=1 << 17),
    SlotFilled(
        job=1,
        source=2,
        lease=3,
        first=40,
        slot=5,
        length_bytes=1 << 20,
        digests=b"d" * 128,
        source_hash=1 << 31,
        shelf="fetch-1/shelf",
    ),
    ChunksStored(job=1, source=2, lease=3, first=40, count=8, length_bytes=1 << 20),
    SourceMeasured(job=1, source=2, lease=3, received_bytes=1 << 22, rate_bytes_s=4.2e6, setup_s=0.31),
    SourceProgressed(
        job=1,
        source=2,
        name="mirror.example",
        standing="active",
        rate_bytes_s=4.2e6,
        bytes_stored=1 << 22,
        chunks=32,
        leases=2,
        stops=0,
        lease_first=40,
        lease_stop=90,
        reason="",
    ),
    ConfigureGateway(part=b"x" * 4000, last=True),
)


class Plain:
    """Frames made and checked with msgpack and Python alone."""

    def __init__(self) -> None:
        self._tags = {cls: tag for tag, cls in MESSAGES.items()}
        self._types = {
            cls: tuple(tuple if str(field.type).startswith("tuple") else field.type for field in fields)
            for cls, fields in ((cls, msgspec.structs.fields(cls)) for cls in MESSAGES.values())
        }
        self._read: dict[type, Callable[[Any], Any]] = {
            cls: operator.attrgetter(*cls.__struct_fields__) for cls in MESSAGES.values() if cls.__struct_fields__
        }

    def encode(self, message: Message) -> bytes:
        """Return ``[tag, *fields]`` of a message with two fields or more."""
        cls = type(message)
        frame: bytes = msgpack.packb([self._tags[cls], *self._read[cls](message)])
        return frame

    def decode(self, frame: bytes) -> Message:
        """Return the message of a frame, or raise `ValueError`."""
        tag, *fields = msgpack.unpackb(frame, use_list=False)
        cls = MESSAGES[tag]
        if tuple(map(type, fields)) != self._types[cls]:
            raise ValueError(f"{cls.__name__}: wrong fields")
        return cls(**dict(zip(cls.__struct_fields__, fields, strict=True)))


def cost_us(call: Callable[[Any], Any], arguments: tuple[Any, ...], rounds: int) -> float:
    """Return the best of five mean times of a call over all arguments."""

    def once() -> None:
        for argument in arguments:
            call(argument)

    return min(timeit.repeat(once, timer=time.process_time, number=rounds, repeat=5)) / rounds / len(arguments) * 1e6


def main() -> None:
    """Print one line for each direction."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    plain = Plain()
    frames = tuple(encode(message) for message in SAMPLES)
    assert frames == tuple(plain.encode(message) for message in SAMPLES)
    assert [decode(frame) for frame in frames] == [plain.decode(frame) for frame in frames]
    for name, ours, theirs, arguments in (
        ("encode", encode, plain.encode, SAMPLES),
        ("decode", decode, plain.decode, frames),
    ):
        new, old = cost_us(ours, arguments, rounds), cost_us(theirs, arguments, rounds)
        print(f"{name}: {new:.2f} us with the codec, {old:.2f} us with plain msgpack ({old / new:.1f} times)")


if __name__ == "__main__":
    main()
