"""Segments of a fleet's job: runs of whole parts that one local job fetches; their orders, names and digests."""

import asyncio
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from actors.core.fleet import vocabulary as v
from actors.fleet.destination import Piece, blocks
from actors.sources import HttpSettings, open_reader
from protocol.model.fleet.names import HEAD_BYTES, part_span
from protocol.model.job_records import ManifestRange
from protocol.model.job_spec import JobSpec, PieceHashes
from protocol.model.job_views import SourceView
from protocol.model.limits import HEX_DIGITS
from protocol.model.source_url import Window, is_slsk, public_url, windowed
from storage.digests import stream_hasher
from storage.pieces import write_pieces

ORIGIN: Final = "fleet"
SEGMENT_S: Final = 3.0
SEGMENT_PARTS_MAX: Final = 8
_NAME: Final = re.compile(r"([0-9a-f]+)\.([0-9]+)-([0-9]+)-([0-9]+)(?:\.[0-9]+)?")


@dataclass(slots=True, eq=False)
class Segment:
    """Parts ``[first, stop)`` of a job, fetched as one local file."""

    first: int
    stop: int
    part_bytes: int
    task: "asyncio.Task[None] | None" = None
    id: str = ""
    """Of the job manager's job."""
    path: str = ""
    """Of the finished file."""
    part_path: str = ""
    """Of the file while it is being fetched ..."""
    chunk_bytes: int = 0
    """... its chunk size ..."""
    looked_bytes: int = 0
    """... and how much of it was stored when it was last looked for parts that are whole."""
    pieces: str = ""
    """Path of the hashes of its pieces."""
    sources: tuple[int, ...] = ()
    """Those of the job, by number, that sent it."""
    wanted: set[int] = field(default_factory=set)
    """Parts whose bytes are still needed."""
    ending: bool = False
    """It is in its last second."""

    @property
    def parts(self) -> range:
        """Parts that it holds."""
        return range(self.first, self.stop)


@dataclass(slots=True)
class LocalJob:
    """A job of the fleet that this node works on."""

    spec: JobSpec
    sources: tuple[str, ...]
    numbers: tuple[int, ...] = ()
    """Of these sources in the job's row."""
    digests: bytes = b""
    """Of the pieces that `spec` speaks of."""
    described: "asyncio.Task[None] | None" = None
    window: v.GrantWindow | None = None
    segments: list[Segment] = field(default_factory=list)
    pieces: dict[int, tuple[Piece, v.PartReady]] = field(default_factory=dict)
    """Parts that are ready: where they are, and what was said of them."""
    heads: dict[int, tuple[str, tuple[int, ...]]] = field(default_factory=dict)
    """Digests of the beginnings of parts behind what was fetched, and who sent them."""
    done: set[int] = field(default_factory=set)
    """Parts of the window that were ready and have been dropped: the destination has them."""
    rate_bytes_s: float = 0.0
    tries: int = 0
    """Number of the next name of a segment that is fetched again."""

    def running(self) -> list[Segment]:
        """Return the segments that are not complete."""
        return [each for each in self.segments if not each.path]

    def whole_parts(self, segment: Segment, ranges: Sequence[ManifestRange], size_bytes: int) -> dict[int, int]:
        """Return the parts of an unfinished segment that are stored and come from one source each, with its number."""
        known = {_bare(url): number for url, number in zip(self.sources, self.numbers, strict=False)}
        begin = segment_window(segment, size_bytes, beyond=False).first
        found: dict[int, int] = {}
        for each in ranges:
            if each.source < 0 or (number := known.get(_bare(each.url))) is None:
                continue
            first, stop = begin + each.first * segment.chunk_bytes, begin + each.stop * segment.chunk_bytes
            for part in segment.parts:
                start, end = part_span(part, size_bytes, segment.part_bytes)
                if first <= start and end <= stop:
                    found[part] = number
        return found

    def senders(self, shown: Sequence[SourceView]) -> tuple[int, ...]:
        """Return the numbers of the sources that have sent bytes of a local job that is complete."""
        known = {_bare(url): number for url, number in zip(self.sources, self.numbers, strict=False)}
        sent = {_bare(each.url) for each in shown if each.bytes_stored and each.standing != "banned"}
        return tuple(sorted(known[url] for url in sent if url in known))

    def windowed(self, span: Window, *, users: bool) -> tuple[str, ...]:
        """Return the addresses of a window of its sources."""
        if span.length == span.size_bytes:
            return self.sources
        return tuple(windowed(url, span) for url in self.sources if users or not is_slsk(url))


def _bare(url: str) -> str:
    return public_url(url).partition("#")[0]


def recalled(name: str, id: str, spec: JobSpec) -> tuple[str, Segment] | None:
    """Return job and segment of a local job of this name, which an earlier process began; None: it is none."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    return found[1], Segment(int(found[2]), int(found[3]), int(found[4]), id=id, pieces=spec.pieces.piece_file)


def segment_name(job: str, segment: Segment, again: int) -> str:
    """Return the name of its local job and file."""
    return f"{job}.{segment.first}-{segment.stop}-{segment.part_bytes}" + (f".{again}" if again else "")


def next_segments(job: LocalJob, window: v.GrantWindow, taken: set[int]) -> Iterator[Segment]:
    """Yield the runs of parts that are granted and not begun, each as long as a few seconds bring, or as one."""
    many = max(1, min(SEGMENT_PARTS_MAX, int(job.rate_bytes_s * SEGMENT_S / window.part_bytes)))
    many = window.stop - window.first if window.as_one else many
    first = window.first
    while first < window.stop:
        if first in taken:
            first += 1
            continue
        stop = first + 1
        while stop < window.stop and stop not in taken and stop - first < many:
            stop += 1
        yield Segment(first, stop, window.part_bytes)
        first = stop


def segment_window(segment: Segment, size_bytes: int, *, beyond: bool) -> Window:
    """Return the bytes of a segment; `beyond`: with the head of the part behind it."""
    start, _ = part_span(segment.first, size_bytes, segment.part_bytes)
    _, stop = part_span(segment.stop - 1, size_bytes, segment.part_bytes)
    return Window(start, min(stop + HEAD_BYTES, size_bytes) if beyond else stop, size_bytes)


def segment_spec(job: LocalJob, folder: str, name: str, span: Window, *, private_ok: bool) -> JobSpec:
    """Return the order of a segment: the job's, without what is said of the whole file.

    Writes the hashes of its pieces beside it. Raises OSError.
    """
    own = job.spec.but(
        folder=folder,
        name=name,
        size_bytes=span.length,
        origin=ORIGIN,
        private_ok=private_ok,
        existing="overwrite",
        folder_id="",
        user="",
        remote_path="",
        pieces=_pieces_of(job, span, os.path.join(folder, f"{name}.pieces")),
    )
    if span.length == span.size_bytes:
        return own
    return own.but(checksum="", term="", widen=False, require="")


def _pieces_of(job: LocalJob, span: Window, path: str) -> PieceHashes:
    """Return the hashes of the pieces of a window; none where it does not hold whole pieces."""
    hashes = job.spec.pieces
    if (
        not job.digests
        or span.first % hashes.piece_bytes
        or not (span.stop % hashes.piece_bytes == 0 or span.reaches_end)
    ):
        return PieceHashes()
    width = HEX_DIGITS[hashes.algorithm] // 2
    first, stop = span.first // hashes.piece_bytes, -(-span.stop // hashes.piece_bytes)
    write_pieces(path, job.digests[first * width : stop * width])
    return hashes.but(piece_file=path)


def probed(url: str, settings: HttpSettings) -> tuple[int, bool]:
    """Return ``(size, whether it sends from anywhere)``. Blocks; raises `SourceFault`."""
    reader = open_reader(url, settings=settings)
    try:
        said = reader.probe()
        return said.size_bytes, said.offset_ok
    finally:
        reader.close()


def hashed(path: str, offset: int, length: int) -> tuple[str, str, str]:
    """Return MD5, xxh3-128, and xxh3-128 of the head of bytes of a file, read once. Raises OSError."""
    slow, fast = hashlib.md5(usedforsecurity=False), stream_hasher("xxh3_128")
    head, left = stream_hasher("xxh3_128"), HEAD_BYTES
    for block in blocks(path, offset, length):
        slow.update(block)
        fast.update(memoryview(block))
        if left:
            head.update(memoryview(block)[:left])
            left -= min(left, len(block))
    return slow.hexdigest(), fast.hexdigest(), head.hexdigest()
