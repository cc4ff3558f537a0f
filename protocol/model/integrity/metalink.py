"""Metalink documents, version 4 (RFC 5854) and 3: read with every promise kept small, and written.

Whatever a document says is of strangers: no document type and so no entities, a bound on everything, names that stay
below the folder of the download, digests of the right length, sizes that agree. What breaks a rule is a `BadMetalink`
with one line for people; what merely cannot be used (an ftp address, an unknown digest) is left out and noted.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final
from urllib.parse import urljoin

from protocol.model.integrity.checksums import algorithm_of, checked_digest, strongest
from protocol.model.limits import HEX_DIGITS, SOURCES_MAX
from protocol.model.printable import count_of, printable
from protocol.model.source_url import check_url, same_url_key
from protocol.model.value import Struct, field

DOCUMENT_BYTES_MAX: Final = 32 << 20
"""A list of a million mirrors is longer; a real one has a few hundred, and pieces of 50 bytes each."""
FILES_MAX: Final = 1000
DEPTH_MAX: Final = 32
NAME_CHARS_MAX: Final = 1000
TEXT_CHARS_MAX: Final = 10_000
HASHES_MAX: Final = 20
PIECES_MAX: Final = 1 << 20
PIECE_BYTES_MAX: Final = 1 << 30
URLS_READ_MAX: Final = 20_000
"""Of one file; those that go before the others by their priority are used, at most `SOURCES_MAX`."""
PRIORITY_MAX: Final = 999_999
MEDIA_TYPES: Final = ("application/metalink4+xml", "application/metalink+xml")
_V4: Final = "urn:ietf:params:xml:ns:metalink"
_V3: Final = "http://www.metalinker.org/"
_NUMBER: Final = re.compile(r"[0-9]{1,18}")
_DRIVE: Final = re.compile(r"[A-Za-z]:")
_SAID: Final = {"alternates": "list of other versions of the file, which mirrors may still have"}
"""Elements of other namespaces that bear on a file: MirrorManager's."""
_WIRE_NAMES: Final = {"sha1": "sha-1", **{f"sha{bits}": f"sha-{bits}" for bits in (224, 256, 384, 512)}}


class BadMetalink(ValueError):  # noqa: N818  (says whose fault, like the other faults)
    """The document cannot be used. The text is one line for people."""


class Pieces(Struct, frozen=True):
    """Digests of consecutive equal pieces of a file, the last one may be short. `digests`: raw, one after another."""

    algorithm: str
    piece_bytes: int
    digests: bytes

    @property
    def digest_bytes(self) -> int:
        return HEX_DIGITS[self.algorithm] // 2

    @property
    def count(self) -> int:
        return len(self.digests) // self.digest_bytes


class MetalinkFile(Struct, frozen=True):
    """One file of a document.

    `name` may have folders, with slashes. `checksums`: one for each algorithm. `urls`: what can be fetched, the best
    first. `described_at`: addresses of Metalink documents about this file.
    """

    name: str
    size_bytes: int = -1
    checksums: tuple[str, ...] = ()
    pieces: Pieces | None = None
    urls: tuple[str, ...] = ()
    described_at: tuple[str, ...] = ()

    @property
    def checksum(self) -> str:
        """The strongest; empty: none."""
        return strongest(self.checksums)


class Metalink(Struct, frozen=True):
    """Contents of a document. `notes`: what was left out, a line each."""

    files: tuple[MetalinkFile, ...]
    notes: tuple[str, ...] = ()


class _File(Struct):
    """File being read. `found`: priority, order of appearance and address of each one that can be used."""

    name: str
    sizes: set[int] = field(default_factory=set)
    checksums: dict[str, str] = field(default_factory=dict)
    pieces: dict[str, Pieces] = field(default_factory=dict)
    found: list[tuple[int, int, str]] = field(default_factory=list)
    described_at: list[str] = field(default_factory=list)
    seen: set[tuple[str, ...]] = field(default_factory=set)
    urls_read: int = 0


class _Pieces(Struct):
    """List of piece digests being read. `numbers`: as version 3 gives them, perhaps out of order."""

    algorithm: str
    piece_bytes: int
    digests: list[bytes] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)


def is_metalink(head: bytes) -> bool:
    """Return whether a file that begins so may be a Metalink document."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:4096]
    return text.startswith(b"<") and re.search(rb"<(\w+:)?metalink[\s>]", text) is not None


def read_metalink(data: bytes, *, base: str = "") -> Metalink:
    """Return what a document says. `base`: its address, for addresses that are relative to it. Raises `BadMetalink`."""
    from xml.parsers import expat  # for documents only, which few downloads begin with

    if len(data) > DOCUMENT_BYTES_MAX:
        raise BadMetalink(f"longer than {DOCUMENT_BYTES_MAX >> 20} MiB")
    reader = _Reader(base)
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(data.lstrip(b" \t\r\n"), True)  # some servers begin with an empty line
    except expat.ExpatError as error:
        raise BadMetalink(f"not XML: {expat.ErrorString(error.code)} in line {error.lineno}") from None
    except (LookupError, UnicodeError) as error:
        raise BadMetalink(f"not XML: {error}") from None
    return reader.result()


def _refuse_doctype(*_: object) -> None:
    raise BadMetalink("it declares a document type, which no Metalink needs and which can hide bombs")


class _Reader:
    """Handlers of the parser. Elements of other namespaces are skipped with all that is in them."""

    def __init__(self, base: str) -> None:
        self._base = base
        self._path: list[str] = []
        self._skipped = 0
        self._namespace = ""
        self._attributes: list[dict[str, str]] = []
        self._text: list[str] = []
        self._chars = 0
        self._file: _File | None = None
        self._pieces: _Pieces | None = None
        self._files: list[MetalinkFile] = []
        self._left_out: Counter[str] = Counter()
        self._ends: dict[str, Callable[[str, dict[str, str]], None]] = {
            "file": self._end_file,
            "size": self._size,
            "hash": self._hash,
            "pieces": self._end_pieces,
            "url": self._url,
            "metaurl": self._metaurl,
            "signature": self._signature,
        }

    def result(self) -> Metalink:
        if not self._files:
            raise BadMetalink("it describes no file" if self._namespace else "it is no Metalink document")
        names = Counter(file.name for file in self._files)
        twice = next((name for name, count in names.items() if count > 1), None)
        if twice is not None:
            raise BadMetalink(f"two files are called {printable(twice)}")
        notes = [f"left out of the Metalink: {count_of(count, what)}" for what, count in self._left_out.items()]
        return Metalink(tuple(self._files), tuple(notes))

    # -- the parser's calls

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        namespace, _, name = tag.rpartition(" ")
        if not self._path:
            if name != "metalink" or namespace not in (_V4, _V3):
                raise BadMetalink(f"it begins with <{printable(name)[:40]}>: it is no Metalink document")
            self._namespace = namespace
        if self._skipped or namespace != self._namespace:
            if not self._skipped and name in _SAID:
                self._left_out[_SAID[name]] += 1
            self._skipped += 1
            return
        if len(self._path) >= DEPTH_MAX:
            raise BadMetalink(f"its elements are nested deeper than {DEPTH_MAX}")
        self._path.append(name)
        self._attributes.append(attributes)
        self._text, self._chars = [], 0
        if name == "file":
            self._begin_file(attributes)
        elif name == "pieces" and self._file is not None:
            self._begin_pieces(self._file, attributes)

    def end(self, _tag: str) -> None:
        if self._skipped:
            self._skipped -= 1
            return
        name, attributes = self._path.pop(), self._attributes.pop()
        text, self._text = "".join(self._text).strip(), []
        act = self._ends.get(name)
        if act is not None and self._file is not None:
            act(text, attributes)

    def text(self, data: str) -> None:
        if self._skipped or not self._path or self._path[-1] not in ("size", "hash", "url", "metaurl"):
            return
        self._chars += len(data)
        if self._chars > TEXT_CHARS_MAX:
            raise BadMetalink(f"a <{self._path[-1]}> has more than {TEXT_CHARS_MAX} characters")
        self._text.append(data)

    # -- a file

    def _begin_file(self, attributes: dict[str, str]) -> None:
        if self._file is not None:
            raise BadMetalink("a <file> inside of a <file>")
        if len(self._files) >= FILES_MAX:
            raise BadMetalink(f"it describes more than {FILES_MAX} files")
        self._file = _File(_checked_name(attributes.get("name", "")))

    def _end_file(self, _text: str, _attributes: dict[str, str]) -> None:
        file, self._file = self._file, None
        assert file is not None
        shown = printable(file.name)
        if len(file.sizes) > 1:
            raise BadMetalink(f"it gives {shown} two sizes: {' and '.join(map(str, sorted(file.sizes)))}")
        size_bytes = file.sizes.pop() if file.sizes else -1
        for pieces in file.pieces.values():
            if size_bytes >= 0 and pieces.count != -(-size_bytes // pieces.piece_bytes):
                raise BadMetalink(
                    f"{shown} has {size_bytes} bytes, which {pieces.count} pieces of {pieces.piece_bytes} do not cover"
                )
        if file.urls_read and not file.found and not file.described_at:
            self._left_out[f"file without an address that can be fetched ({shown})"] += 1
        if len(file.found) > SOURCES_MAX:
            self._left_out[f"mirror of {shown}, beyond the best {SOURCES_MAX}"] += len(file.found) - SOURCES_MAX
        best = strongest(f"{algorithm}:" for algorithm in file.pieces).rstrip(":")
        self._files.append(
            MetalinkFile(
                file.name,
                size_bytes,
                tuple(file.checksums.values()),
                file.pieces[best] if size_bytes >= 0 and best else None,
                tuple(url for _, _, url in sorted(file.found)[:SOURCES_MAX]),
                tuple(file.described_at),
            )
        )

    def _size(self, text: str, _attributes: dict[str, str]) -> None:
        if self._path[-1] != "file":
            return
        assert self._file is not None
        if _NUMBER.fullmatch(text) is None:
            raise BadMetalink(f"the size of {printable(self._file.name)} is no number: {printable(text[:40])!r}")
        self._file.sizes.add(int(text))

    def _hash(self, text: str, attributes: dict[str, str]) -> None:
        assert self._file is not None
        if self._pieces is not None:
            self._piece(self._pieces, text, attributes)
            return
        algorithm = algorithm_of(attributes.get("type", ""))
        if not algorithm:
            self._left_out[f"digest of an unknown kind ({printable(attributes.get('type', ''))[:20]})"] += 1
            return
        if len(self._file.checksums) >= HASHES_MAX:
            raise BadMetalink(f"it gives {printable(self._file.name)} more than {HASHES_MAX} digests")
        checksum = self._digest(algorithm, text)
        if self._file.checksums.setdefault(algorithm, checksum) != checksum:
            raise BadMetalink(f"it gives {printable(self._file.name)} two different {algorithm} digests")

    def _digest(self, algorithm: str, text: str) -> str:
        assert self._file is not None
        try:
            return checked_digest(algorithm, text)
        except ValueError as error:
            raise BadMetalink(f"{printable(self._file.name)}: {error}") from None

    # -- pieces

    def _begin_pieces(self, file: _File, attributes: dict[str, str]) -> None:
        length = attributes.get("length", "")
        if _NUMBER.fullmatch(length) is None or not 0 < int(length) <= PIECE_BYTES_MAX:
            raise BadMetalink(f"pieces of {printable(file.name)} of {printable(length[:20])!r} bytes")
        algorithm = algorithm_of(attributes.get("type", ""))
        if algorithm in file.pieces:
            raise BadMetalink(f"it gives {printable(file.name)} two lists of {algorithm} pieces")
        self._pieces = _Pieces(algorithm, int(length))

    def _piece(self, pieces: _Pieces, text: str, attributes: dict[str, str]) -> None:
        if len(pieces.digests) >= PIECES_MAX:
            raise BadMetalink(f"more than {PIECES_MAX} pieces")
        if not pieces.algorithm:
            pieces.digests.append(b"")
            return
        pieces.digests.append(bytes.fromhex(self._digest(pieces.algorithm, text).partition(":")[2]))
        if "piece" in attributes:
            number = attributes["piece"]
            pieces.numbers.append(int(number) if _NUMBER.fullmatch(number) else -1)

    def _end_pieces(self, _text: str, _attributes: dict[str, str]) -> None:
        pieces, self._pieces = self._pieces, None
        assert self._file is not None
        if pieces is None or not pieces.digests:
            return
        if not pieces.algorithm:
            self._left_out["list of pieces with digests of an unknown kind"] += 1
            return
        digests = pieces.digests
        if pieces.numbers:
            if sorted(pieces.numbers) != list(range(len(digests))):
                raise BadMetalink(f"the pieces of {printable(self._file.name)} are not numbered from 0 on, each once")
            digests = [digest for _, digest in sorted(zip(pieces.numbers, digests, strict=True))]
        self._file.pieces[pieces.algorithm] = Pieces(pieces.algorithm, pieces.piece_bytes, b"".join(digests))

    # -- addresses

    def _url(self, text: str, attributes: dict[str, str]) -> None:
        assert self._file is not None
        if self._path[-1] not in ("file", "resources"):
            return  # of the publisher
        kind = attributes.get("type", "")
        if self._namespace == _V3 and kind.lower() == "bittorrent":
            self._left_out["torrent"] += 1
            return
        url = self._usable(text)
        if url:
            priority = _priority(attributes, v3=self._namespace == _V3)
            self._file.found.append((priority, len(self._file.found), url))

    def _metaurl(self, text: str, attributes: dict[str, str]) -> None:
        """Take the address of a document about the file; those of torrents cannot be used."""
        assert self._file is not None
        if attributes.get("mediatype", "").lower() not in MEDIA_TYPES:
            self._left_out[printable(attributes.get("mediatype", ""))[:40] or "document of an unknown kind"] += 1
            return
        url = self._usable(text)
        if url:
            self._file.described_at.append(url)

    def _signature(self, _text: str, _attributes: dict[str, str]) -> None:
        self._left_out["signature, which is not compared"] += 1

    def _usable(self, text: str) -> str:
        """Return the address, empty for one that cannot be fetched or was there already."""
        assert self._file is not None
        self._file.urls_read += 1
        if self._file.urls_read > URLS_READ_MAX:
            self._left_out[f"mirror beyond the first {URLS_READ_MAX}"] += 1
            return ""
        url = absolute(self._base, text) if self._base and "://" not in text else text
        scheme = url.partition("://")[0].lower() if "://" in url else ""
        if scheme not in ("http", "https"):
            self._left_out[f"address of a kind that is not fetched ({printable(scheme)[:12] or 'unknown'})"] += 1
            return ""
        try:
            check_url(url)
        except ValueError:
            self._left_out["malformed address"] += 1
            return ""
        key = same_url_key(url)
        if key in self._file.seen:
            self._left_out["address that is there twice"] += 1
            return ""
        self._file.seen.add(key)
        return url


def absolute(base: str, url: str) -> str:
    """Return an address that may be relative to another one; empty where it can be none."""
    try:
        return urljoin(base, url)
    except ValueError:
        return ""


def _priority(attributes: dict[str, str], *, v3: bool) -> int:
    """Return a place in the order of mirrors, the lowest first; version 3 has preferences, the highest first."""
    text = attributes.get("preference" if v3 else "priority", "")
    if _NUMBER.fullmatch(text) is None:
        return PRIORITY_MAX
    return max(0, 1000 - int(text)) if v3 else min(int(text), PRIORITY_MAX)


def _checked_name(name: str) -> str:
    """Return a file's name, which may have folders below that of the download. Raises `BadMetalink`."""
    shown = printable(name[:80])
    parts = name.split("/")
    if not name or len(name) > NAME_CHARS_MAX:
        raise BadMetalink("a file has no name" if not name else f"the name of a file is too long: {shown}...")
    if name.startswith(("/", "\\", "~")) or _DRIVE.match(name):
        raise BadMetalink(f"the name of a file leads out of the folder: {shown}")
    if any(part in ("", ".", "..") for part in parts) or "\\" in name:
        raise BadMetalink(f"the name of a file leads out of the folder: {shown}")
    if not name.isprintable():
        raise BadMetalink(f"the name of a file has control characters: {shown}")
    return name


def write_metalink(
    name: str, size_bytes: int, *, checksums: Iterable[str], pieces: Pieces | None, urls: Iterable[str]
) -> str:
    """Return a version 4 document about one file; `urls` the best first. Only algorithms that it has names for."""
    from xml.sax.saxutils import escape, quoteattr  # loads urllib.request, a tenth of a start

    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f'<metalink xmlns="{_V4}">']
    lines += ["  <generator>Shoal</generator>", f"  <file name={quoteattr(name)}>", f"    <size>{size_bytes}</size>"]
    for checksum in checksums:
        algorithm, _, digest = checksum.partition(":")
        if algorithm in (*_WIRE_NAMES, "md5"):
            lines.append(f'    <hash type="{_WIRE_NAMES.get(algorithm, algorithm)}">{digest}</hash>')
    if pieces is not None:
        width = pieces.digest_bytes
        kind = _WIRE_NAMES[pieces.algorithm]
        lines.append(f'    <pieces length="{pieces.piece_bytes}" type="{kind}">')
        hexes = (pieces.digests[at : at + width].hex() for at in range(0, len(pieces.digests), width))
        lines += [f"      <hash>{digest}</hash>" for digest in hexes]
        lines.append("    </pieces>")
    for priority, url in enumerate(urls, 1):
        lines.append(f'    <url priority="{priority}">{escape(url)}</url>')
    return "\n".join([*lines, "  </file>", "</metalink>", ""])
