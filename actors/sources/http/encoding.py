"""Content codings: whether a body is the file itself or an encoding of it, and the decoder for the latter.

Every request asks for the identity coding. What a server says nevertheless is most often a mistake about the file: a
.tar.gz is called gzip because it is, a charset stands where a coding should. Such a file is kept as it is sent. Only a
file that is not of that kind itself has really been compressed for the transfer; it is decoded from the start, and its
offsets are not the file's.
"""

import posixpath
import re
import zlib
from typing import Final
from urllib.parse import unquote

from actors.sources.http.body import Body, BrokenBody
from actors.sources.http.disposition import proposed_name
from actors.sources.http.head import Head
from actors.sources.http.settings import plain
from protocol.model.faults import FaultKind, SourceFault

_CODINGS: Final = {
    "gzip": "gzip",
    "x-gzip": "gzip",
    "deflate": "deflate",
    "br": "br",
    "zstd": "zstd",
    "compress": "compress",
    "x-compress": "compress",
}
_DECODABLE: Final = frozenset({"gzip", "deflate"})
_SUFFIXES: Final = {
    "gzip": frozenset({".gz", ".tgz", ".taz", ".svgz", ".emz", ".wmz", ".vgz", ".gzip", ".cpgz", ".adz", ".dz"}),
    "br": frozenset({".br"}),
    "zstd": frozenset({".zst", ".zstd", ".tzst"}),
    "compress": frozenset({".z", ".taz", ".tz"}),
}
_TYPES: Final = {
    "gzip": ("gzip", "x-gzip", "x-tgz", "x-tar-gz", "x-gtar-compressed", "x-compressed", "x-compressed-tar"),
    "zstd": ("zstd",),
    "compress": ("x-compress",),
}
SCRATCH_BYTES: Final = 64 * 1024
_MAGIC: Final = b"\x1f\x8b"
_PARTS: Final = re.compile(r"[?&=]")
"""Some have the file's name in the query."""
_WINDOW_GZIP, _WINDOW_ZLIB, _WINDOW_RAW = 31, 15, -15


def coding_of(head: Head, host: str, paths: tuple[str, ...]) -> str:
    """Return what the body must be decoded from, empty when it is the file as it should be stored.

    `paths`: that were asked for on the way to the file. Raises `SourceFault` ENCODED for a coding that
    cannot be undone here.
    """
    codings = [_CODINGS[token] for token in head.tokens("content-encoding") if token in _CODINGS]
    if not codings or _is_that_kind(codings[-1], head, paths):
        return ""
    if len(codings) > 1 or codings[0] not in _DECODABLE:
        words = plain(", ".join(codings), 40)
        raise SourceFault(FaultKind.ENCODED, f"{host} sends the file encoded as {words}, asked for as it is")
    return codings[0]


def _is_that_kind(coding: str, head: Head, paths: tuple[str, ...]) -> bool:
    """Whether the file itself is of the kind that the coding makes: by its name or by its type."""
    names = (proposed_name(head), *(unquote(part) for path in paths for part in _PARTS.split(path)))
    if any(posixpath.splitext(name.lower())[1] in _SUFFIXES.get(coding, ()) for name in names):
        return True
    kind = head.fields.get("content-type", "").partition(";")[0].strip().lower().partition("/")[2]
    return kind in _TYPES.get(coding, ())


class DecodedBody:
    """Body of a file that was compressed for its transfer; it ends where the coding says so.

    One that is called gzip and does not begin like it is the file itself.
    """

    def __init__(self, body: Body, coding: str) -> None:
        self._body = body
        self._gzip = coding == "gzip"
        self._scratch = memoryview(bytearray(SCRATCH_BYTES))
        self._decoder = zlib.decompressobj(_WINDOW_GZIP if self._gzip else _WINDOW_ZLIB)
        self._input = b""
        self._begun = self._plain = self._raw = self._decoded = False

    @property
    def left(self) -> int | None:
        return None

    @property
    def ended(self) -> bool:
        return not self._input and (self._body.ended if self._plain else self._decoder.eof)

    @property
    def cut(self) -> bool:
        return not self.ended and not self._input and (self._body.ended or self._body.cut)

    def read_into(self, view: memoryview) -> int:
        """Read what comes within a slice and decode it. Raises `OSError` or `BrokenBody`."""
        if not self.ended and (not self._input or (self._gzip and not self._begun)):
            self._input += bytes(self._scratch[: self._body.read_into(self._scratch)])
        if not self._begun:
            if self._gzip and len(self._input) < len(_MAGIC) and not self._body.ended:
                return 0
            self._plain = self._gzip and not self._input.startswith(_MAGIC)
            self._begun = True
        filled = 0
        while filled < len(view) and self._input and self._member():
            data = self._input[: len(view) - filled] if self._plain else self._decode(len(view) - filled)
            view[filled : filled + len(data)] = data
            filled += len(data)
            if self._plain:
                self._input = self._input[len(data) :]
            else:
                self._input = self._decoder.unconsumed_tail or self._decoder.unused_data
        return filled

    def _member(self) -> bool:
        """Whether there is something to decode; begins the next gzip member where one ended, drops padding."""
        if self._plain or not self._decoder.eof:
            return True
        if self._gzip and self._input.startswith(_MAGIC):
            self._decoder = zlib.decompressobj(_WINDOW_GZIP)
            return True
        self._input = b""
        return False

    def _decode(self, room: int) -> bytes:
        try:
            data = self._decoder.decompress(self._input, room)
        except zlib.error:
            if self._raw and not self._decoded:  # it is not compressed at all
                self._plain = True
                return self._input[:room]
            if self._gzip or self._raw:
                raise BrokenBody(f"broken {'gzip' if self._gzip else 'deflate'} data") from None
            self._raw = True  # "deflate" of many servers has no zlib header
            self._decoder = zlib.decompressobj(_WINDOW_RAW)
            return self._decode(room)
        self._decoded = self._decoded or bool(data)
        return data

    def settle(self) -> bool:
        """End the transfer; only a body that was read to its end leaves the connection usable."""
        return self._body.settle()
