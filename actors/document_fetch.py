"""Small documents fetched over HTTP: Metalinks and checksum files, bounded in bytes and in time."""

import time
from typing import Final

from actors.sources import USER_AGENT, HttpSettings, open_reader
from protocol.messages import SourceDescribed
from protocol.model.errors import NoDocument
from protocol.model.faults import SourceFault
from protocol.model.filenames import unhidden_name
from protocol.model.integrity.metalink import BadMetalink, Pieces, read_metalink
from protocol.model.job_spec import HttpOptions, PieceHashes
from protocol.model.printable import count_of, printable
from protocol.model.source_url import name_from_url, public_url
from storage.pieces import write_pieces

DOCUMENT_S_MAX: Final = 60.0
SILENT_S_MAX: Final = 15.0
DESCRIPTION_BYTES_MAX: Final = 8 << 20
MIRRORS_MAX: Final = 50
ADDRESS_CHARS_MAX: Final = 400
"""Of one mirror: all of them travel in one message."""
_BLOCK_BYTES: Final = 64 << 10


def describe(
    url: str, file_url: str, http: HttpOptions, *, private_ok: bool, is_source: bool, list_path: str
) -> tuple[SourceDescribed, str]:
    """Return what the Metalink document at `url` says of the file at `file_url`, and why no file comes from there.

    `is_source`: the document is what that address has, so it must describe one file; else the one of that name counts.
    `list_path`: where the list of its piece hashes is written.
    """
    shown = printable(public_url(url))
    nothing = SourceDescribed(job=0, source=0)
    try:
        read = read_metalink(fetch_document(url, http, DESCRIPTION_BYTES_MAX, private_ok=private_ok), base=url)
    except (NoDocument, BadMetalink) as error:
        words = f"the Metalink {shown} is not used: {error}"
        return nothing.but(notes=() if is_source else (words,)), words
    name = name_from_url(file_url)
    files = [file for file in read.files if len(read.files) == 1 or file.name.rpartition("/")[2] == name]
    if len(files) != 1 or (is_source and len(read.files) > 1):
        words = f"the Metalink {shown} describes {count_of(len(read.files), 'file')}: save it and give it to get"
        return nothing.but(notes=() if is_source else (words,)), words
    file = files[0]
    notes, pieces = read.notes, PieceHashes()
    if file.pieces is not None:
        try:
            pieces = _listed(file.pieces, list_path)
        except OSError as error:
            notes += (f"the piece hashes in {shown} are not compared: {error.strerror}",)
    mirrors = [each for each in file.urls if len(each) <= ADDRESS_CHARS_MAX][:MIRRORS_MAX]
    said = SourceDescribed(
        job=0,
        source=0,
        checksums=file.checksums,
        mirrors=tuple(mirrors),
        notes=notes,
        document=is_source,
        name=unhidden_name(file.name) if is_source else "",
        size_bytes=file.size_bytes if is_source else -1,
        pieces=pieces,
    )
    return said, f"is a Metalink document: the {count_of(len(mirrors), 'mirror')} in it are used"


def _listed(pieces: Pieces, path: str) -> PieceHashes:
    """Write the list of these hashes. Raises OSError."""
    write_pieces(path, pieces.digests)
    return PieceHashes(piece_algorithm=pieces.algorithm, piece_bytes=pieces.piece_bytes, piece_file=path)


def fetch_document(url: str, http: HttpOptions, bytes_max: int, *, private_ok: bool = True) -> bytes:
    """Return the body at an address, redirects followed. Raises `NoDocument` with one line for people."""
    settings = HttpSettings(private_ok=private_ok, options=http)
    try:
        reader = open_reader(url, user_agent=http.user_agent or USER_AGENT, settings=settings)
    except SourceFault as fault:
        raise NoDocument(fault.detail) from None
    view, found = memoryview(bytearray(_BLOCK_BYTES)), bytearray()
    until_s = time.monotonic() + DOCUMENT_S_MAX
    heard_s = time.monotonic()
    try:
        reader.probe(begin_at=0)
        reader.open(0, None, size_bytes=-1)
        while not reader.ended:
            count = reader.read_into(view)
            found += view[:count]
            now_s = time.monotonic()
            heard_s = now_s if count else heard_s
            if len(found) > bytes_max:
                raise NoDocument(f"longer than {bytes_max >> 20} MiB")
            if now_s > until_s or now_s - heard_s > SILENT_S_MAX:
                raise NoDocument("it did not come in time")
    except SourceFault as fault:
        raise NoDocument(fault.detail) from None
    finally:
        reader.close()
    return bytes(found)
