"""A small target on a real folder, and hands to fill it, for the tests of this room."""

import random
from pathlib import Path

from protocol.model.chunk_ranges import RangeSet
from storage.digests import digests_of
from storage.part_file import Opened, PartFile, Written

CHUNK = 16
NAME = "file.bin"


def content(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def opened(
    folder: Path | str,
    size: int,
    *,
    chunk: int = CHUNK,
    name: str = NAME,
    sync: str = "none",
    preallocate: bool = False,
) -> Opened:
    return PartFile.open(str(folder), name, size_bytes=size, chunk_size=chunk, preallocate=preallocate, sync=sync)


def put(target: PartFile, data: bytes, first: int, stop: int, *, chunk: int = CHUNK, source: int = 1) -> Written:
    """Hand over chunks ``[first, stop)`` of the whole content `data`."""
    view = memoryview(data)[first * chunk : stop * chunk]
    return target.write(first, view, digests_of(view, len(view), chunk), source)


def count(data: bytes, chunk: int = CHUNK) -> int:
    return -(-len(data) // chunk)


def leave_part(folder: Path | str, data: bytes, runs: list[tuple[int, int]], *, chunk: int = CHUNK) -> None:
    """What an interrupted run leaves behind: these runs stored."""
    target = opened(folder, len(data), chunk=chunk).part
    for first, stop in runs:
        put(target, data, first, stop, chunk=chunk)
    target.close()


def chunks(of: RangeSet) -> set[int]:
    return {chunk for first, stop in of for chunk in range(first, stop)}


def finish(run: Opened, data: bytes, *, chunk: int = CHUNK) -> Path:
    """Fetch what is missing, seal, close; the file's path. Its bytes are checked here."""
    for first, stop in run.part.missing():
        put(run.part, data, first, stop, chunk=chunk)
    path = Path(run.part.seal().path)
    run.part.close()
    assert path.read_bytes() == data
    return path
