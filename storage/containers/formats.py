"""Container format of a file, by its first bytes, and the checks of that format.

A name counts only while the first bytes are not stored, and to say that a file is not what its name claims.
"""

import re
from collections.abc import Callable, Iterable
from typing import Final

from protocol.model.filenames import container_format
from protocol.model.value import Struct
from storage.containers import flac, mp3, ogg, streams, zip_archive
from storage.containers.reading import UNDECIDED, BoundaryCheck, NotStored, Outcome, Read, WholeCheck

CheckBoundary = Callable[[Read, int, int], BoundaryCheck]
CheckWhole = Callable[[Read, int], WholeCheck]


def _reaches_no_boundary(_read: Read, _size: int, _offset: int) -> BoundaryCheck:
    return UNDECIDED


class Format(Struct, frozen=True):
    """Container format, by its name in `protocol.model.filenames.CONTAINER_SUFFIXES`."""

    name: str
    magics: tuple[bytes, ...]
    check_whole: CheckWhole
    check_boundary: CheckBoundary = _reaches_no_boundary


FLAC: Final = Format("FLAC", (flac.MAGIC,), flac.check_whole, flac.check_boundary)
MP3: Final = Format("MP3", (), mp3.check_whole, mp3.check_boundary)
FORMATS: Final = (
    FLAC,
    Format("Ogg", (ogg.MAGIC,), ogg.check_whole, ogg.check_boundary),
    Format("zip", zip_archive.MAGICS, zip_archive.check_whole, zip_archive.check_boundary),
    Format("gzip", (streams.GZIP_MAGIC,), streams.check_gzip),
    Format("bzip2", (streams.BZIP2_MAGIC,), streams.check_bzip2),
    Format("xz", (streams.XZ_MAGIC,), streams.check_xz, streams.check_xz_boundary),
    Format("zstd", (streams.ZSTD_MAGIC,), streams.check_zstd),
    MP3,
)
_LONGER_MAGICS: Final = {
    "gzip": re.compile(rb"\x1f\x8b\x08[\x00-\x1f]"),
    "bzip2": re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"),
}
NO_CONTAINER: Final = WholeCheck(Outcome.UNDECIDED, "")


def claimed_format(name: str) -> Format | None:
    """Return the format that a file's name claims."""
    claimed = container_format(name)
    return next((each for each in FORMATS if each.name == claimed), None)


def found_format(read: Read, size: int, name: str) -> Format | None:
    """Return the format of the content; of the name while the first bytes are not stored."""
    claimed = claimed_format(name)
    try:
        head = read(0, min(size, 16))
        if head[:3] == b"ID3":
            return FLAC if flac.stream_info(read, size) is not None else MP3
    except NotStored:
        return claimed
    if head[:1] == b"\xff" and mp3.frame_at(head + bytes(64), 0) is not None and claimed is MP3:
        return MP3
    return next((each for each in FORMATS if head.startswith(each.magics)), None)


def recognised(read: Read, size: int) -> Format | None:
    """Return the format that the first bytes alone show; two or three equal bytes are no sign of one."""
    found = found_format(read, size, "")
    head = read(0, min(size, 10))
    if found is not None and found.name in _LONGER_MAGICS and _LONGER_MAGICS[found.name].match(head) is None:
        return None
    return found


def check_boundaries(read: Read, size: int, offsets: Iterable[int], name: str) -> tuple[str, dict[int, BoundaryCheck]]:
    """Check boundaries; returns the format's name too, "" where there is none.

    What spans several of them, as a member of an archive does, is read once.
    """
    found = found_format(read, size, name)
    checks: dict[int, BoundaryCheck] = {}
    last = UNDECIDED
    for offset in sorted(offsets):
        if found is not None and not last.first < offset < last.stop:
            last = _checked(found, read, size, offset)
        checks[offset] = last
    return (found.name if found is not None else ""), checks


def _checked(found: Format, read: Read, size: int, offset: int) -> BoundaryCheck:
    try:
        return found.check_boundary(read, size, offset) if 0 < offset < size else UNDECIDED
    except NotStored:
        return UNDECIDED


def check_whole(read: Read, size: int, name: str) -> tuple[str, WholeCheck]:
    """Check a whole file; `NO_CONTAINER` and "" where it is none and does not claim to be one."""
    found, claimed = found_format(read, size, name), claimed_format(name)
    if found is None:
        if claimed is None or not size:
            return "", NO_CONTAINER
        what = _kind_of_text(read(0, min(size, 1024)))
        return "", WholeCheck(Outcome.UNDECIDED, f"it only claims to be {claimed.name}: the content is {what}")
    check = found.check_whole(read, size)
    if claimed is not None and claimed is not found:
        claim = f"the name says {claimed.name}, the content is {found.name}: {check.detail}"
        check = WholeCheck(check.outcome, claim, check.first, check.stop)
    return found.name, check


def _kind_of_text(head: bytes) -> str:
    """Return what a file that is no container begins with, in words."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "an HTML page"
    if text.startswith((b"<?xml", b"{", b"[")):
        return "XML or JSON"
    if not head.strip(b"\0"):
        return "zeros"
    return "plain text" if all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head) else "something else"
