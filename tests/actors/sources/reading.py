"""What tests do with a reader: read a span to its end within a bounded number of slices."""

import time

from actors.sources import Reader

READ_S_MAX = 15.0


def read_on(reader: Reader, *, view_bytes: int = 4096) -> bytes:
    """Everything until `ended`. Fails when it takes too long."""
    view = memoryview(bytearray(view_bytes))
    got = bytearray()
    until_s = time.monotonic() + READ_S_MAX
    while not reader.ended:
        assert time.monotonic() < until_s, f"no end after {len(got)} bytes"
        got += view[: reader.read_into(view)]
    return bytes(got)


def read_span(reader: Reader, start: int, stop: int | None, *, size_bytes: int) -> bytes:
    reader.open(start, stop, size_bytes=size_bytes)
    return read_on(reader)


def begun(reader: Reader, start: int, stop: int, *, size_bytes: int, until: int) -> None:
    """Open a body and read to byte `until` of the file."""
    reader.open(start, stop, size_bytes=size_bytes)
    while reader.position < until:
        reader.read_into(memoryview(bytearray(until - reader.position)))
