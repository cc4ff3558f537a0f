"""Container checks of a part file: what is stored of it, read within a time limit, and the decoders that are installed.

The formats are in `storage.containers`. Used in threads of their own, while the part file goes on being written: chunks
that are dropped meanwhile may be read as what comes instead, so who asks compares who had sent them.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib.util import find_spec
from typing import Final

from protocol.model.chunk_ranges import RangeSet
from protocol.model.value import Struct
from storage.containers import flac, formats
from storage.containers.reading import NotStored, Outcome, TimeUp, WholeCheck
from storage.layout import Layout

DECODE_SHARE: Final = 0.6
"""Of the time that is left: what a decoder may take, so that the rest is enough to say where the damage is."""
BROKEN_CHUNKS_MAX: Final = 16
"""A longer frame or member that is broken says nothing of the two sources that meet in it."""
DECODERS: Final = {"FLAC": ("flac", "-t", "-s", "-"), "zstd": ("zstd", "-t", "-q", "-")}
"""Programs that decode their standard input and compare its digest, where they are installed."""
FLAC_DECODER: Final = os.path.join(os.path.dirname(flac.__file__), "flac_decoder.py")
"""The same for FLAC where ``flac`` is not installed, run by the interpreter; its library may be missing."""


class StoredContent:
    """Bytes of a part file that were stored when this was made. Owns a descriptor of its own.

    `cancelled` ends every read, and so every check, with `TimeUp`; so does `limit_s`.
    """

    def __init__(self, fd: int, layout: Layout, stored: RangeSet, cancelled: Callable[[], bool]) -> None:
        self.fd = os.dup(fd)
        self.layout = layout
        self._stored = stored
        self._cancelled = cancelled
        self._until_s = float("inf")

    def limit_s(self, seconds: float) -> None:
        """Let reading end so long after now."""
        self._until_s = time.monotonic() + seconds

    @property
    def left_s(self) -> float:
        return self._until_s - time.monotonic()

    def read(self, offset: int, length: int) -> bytes:
        """Return these bytes. Raises NotStored, TimeUp, OSError."""
        if self._cancelled() or self.left_s <= 0:
            raise TimeUp
        if length <= 0:
            return b""
        size = self.layout.chunk_size
        if offset < 0 or not self._stored.covers(offset // size, -(-(offset + length) // size)):
            raise NotStored
        data = os.pread(self.fd, length, offset)
        if len(data) < length:  # cut short behind our back: the checks of the part file itself say so
            raise NotStored
        return data

    def close(self) -> None:
        os.close(self.fd)


class Boundaries(Struct, frozen=True):
    """Result of checking boundaries. `broken`: ``(chunk, first, stop)`` with the chunks of the broken frame."""

    format: str
    proven: tuple[int, ...]
    broken: tuple[tuple[int, int, int], ...]


def check_boundaries(content: StoredContent, name: str, chunks: Iterable[int]) -> Boundaries:
    """Check the places where chunks `chunk` - 1 and `chunk` meet. What cannot be read is left undecided."""
    size, length = content.layout.chunk_size, content.layout.size_bytes
    try:
        kind, found = formats.check_boundaries(content.read, length, [chunk * size for chunk in chunks], name)
    except (TimeUp, OSError):
        return Boundaries("", (), ())
    spans = [
        (offset // size, each.first // size, -(-each.stop // size))
        for offset, each in found.items()
        if each.outcome is Outcome.BROKEN
    ]
    return Boundaries(
        kind,
        tuple(offset // size for offset, each in found.items() if each.outcome is Outcome.PROVEN),
        tuple(span for span in spans if span[2] - span[1] <= BROKEN_CHUNKS_MAX),
    )


def recognised_format(content: StoredContent) -> str:
    """Return the container format of the first bytes; empty where there is none, or they cannot be read."""
    layout = content.layout
    try:
        found = formats.recognised(content.read, layout.size_bytes if layout.known else layout.chunk_size)
    except (TimeUp, NotStored, OSError):
        return ""
    return found.name if found is not None else ""


class Whole(Struct, frozen=True):
    """Result of checking a whole file.

    `kind`: "decoded" or "frames" where it is right, "" where nothing is proven. ``[first, stop)``: chunks with the
    first damage, empty where there is none. `detail` is for people, "" where there is nothing to say. `digest_open`:
    its beginning names a digest of the content, and no decoder is there to compare it.
    """

    kind: str = ""
    detail: str = ""
    first: int = 0
    stop: int = 0
    digest_open: bool = False


def check_whole(content: StoredContent, name: str) -> Whole:
    """Check a complete file by its container, decoding it where a decoder is installed."""
    size = content.layout.size_bytes
    try:
        found = formats.found_format(content.read, size, name)
        kind = found.name if found is not None else ""
        decoded = _decoded(content, kind)
        if decoded is True:
            return Whole(*_decoded_claim(content, kind))
        _, check = formats.check_whole(content.read, size, name)
    except TimeUp:
        return Whole(detail="its own checks need more time than the download took: not finished")
    except (NotStored, OSError) as fault:
        return Whole(detail=f"its own checks could not be read: {fault}")
    if decoded is False and check.outcome is not Outcome.BROKEN:
        check = WholeCheck(Outcome.BROKEN, f"the {kind} content has another digest", 0, size)
    if check.outcome is Outcome.BROKEN:
        check = _with_range(check)
        chunk, count = content.layout.chunk_size, content.layout.chunk_count
        first = min(check.first // chunk, max(count - 1, 0))
        return Whole("", check.detail, first, max(min(-(-check.stop // chunk), count), first + 1))
    if check.outcome is not Outcome.PROVEN:
        return Whole(detail=check.detail)
    return Whole("frames", check.detail, digest_open=_names_digest(content, kind))


def _names_digest(content: StoredContent, kind: str) -> bool:
    """Whether the beginning names a digest of the decoded content."""
    info = flac.stream_info(content.read, content.layout.size_bytes) if kind == "FLAC" else None
    return info is not None and bool(info.md5)


def _with_range(check: WholeCheck) -> WholeCheck:
    """Return a damage whose words name its first broken range."""
    if "byte" in check.detail:
        return check
    last = max(check.stop, check.first + 1) - 1
    return WholeCheck(check.outcome, f"{check.detail}: bytes {check.first} to {last}", check.first, check.stop)


def _decoded_claim(content: StoredContent, kind: str) -> tuple[str, str]:
    """Return kind and sentence for a file that the decoder found right."""
    if kind != "FLAC":
        checked = content.read(4, 1)[0] & 4  # of the first frame
        return ("frames", f"the {kind} stream has the digest of its content") if checked else ("", "")
    info = flac.stream_info(content.read, content.layout.size_bytes)
    if info is None or not info.md5:
        return "frames", "all FLAC frames are right; the file does not say the MD5 of its audio"
    return "decoded", "the decoded FLAC audio has its MD5"


def _decoded(content: StoredContent, kind: str) -> bool | None:
    """Whether the decoder of this format takes the file; None without one, or where it needs too long."""
    command = _decoder(content, kind)
    if command is None:
        return None
    os.lseek(content.fd, 0, os.SEEK_SET)  # nothing else uses the position: reads and writes say theirs
    with suppress(OSError):
        child = subprocess.Popen(command, stdin=content.fd, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        with child:
            try:
                _wait(child, content)
            finally:
                child.kill()
            assert child.stderr is not None, "it is a pipe"
            said = child.stderr.read()
        if child.returncode == 0:
            return True
        # flac also refuses what players do not mind, like a tag behind the stream: then the frames are looked at.
        return False if child.returncode > 0 and (kind != "FLAC" or b"MD5" in said) else None
    return None


def _decoder(content: StoredContent, kind: str) -> list[str] | None:
    """Return the command of the decoder for this format; None where there is none."""
    name, *options = DECODERS.get(kind, ("",))
    program = shutil.which(name)
    if program is not None:
        return [program, *options]
    info = flac.stream_info(content.read, content.layout.size_bytes) if kind == "FLAC" else None
    if info is None or find_spec("miniaudio") is None:
        return None
    numbers = (info.rate, info.channels, info.bits, info.samples)
    return [sys.executable, "-I", FLAC_DECODER, *map(str, numbers), info.md5]


def _wait(child: "subprocess.Popen[bytes]", content: StoredContent) -> None:
    """Wait for the end of the decoder as long as it may take."""
    until_s = time.monotonic() + DECODE_SHARE * content.left_s
    while time.monotonic() < until_s:
        content.read(0, 1)  # TimeUp when the check was cancelled
        with suppress(subprocess.TimeoutExpired):
            child.wait(min(0.25, max(until_s - time.monotonic(), 0.001)))
            return
