"""Export of a finished file as a Metalink: its digest, the digests of its pieces, and the mirrors it came from."""

import hashlib
import os
import sys
from typing import Final

from protocol.cli.parsing import ExportOptions
from protocol.cli.views.outcome import ExitCode
from protocol.model.integrity.metalink import Pieces, write_metalink
from protocol.model.printable import count_of, printable
from storage.existing import read_mirrors

PIECE_BYTES_MIN: Final = 1 << 20
PIECES_WANTED_MAX: Final = 2048
"""Pieces double in length until there are no more than these."""
_READ_BYTES: Final = 1 << 20


def export(options: ExportOptions) -> int:
    """Run ``export`` and return the exit code."""
    path = str(options.path)
    try:
        with open(path, "rb") as file:
            size_bytes = os.fstat(file.fileno()).st_size
            urls = options.mirrors or read_mirrors(file.fileno())
            if not urls:
                sys.stderr.write(f"error: {printable(path)}: no mirror is known: give --mirror URL, or --job ID\n")
                return ExitCode.USAGE
            pieces, checksum = _digests(file.fileno(), size_bytes, options.piece_bytes or piece_bytes_for(size_bytes))
        text = write_metalink(
            os.path.basename(path), size_bytes, checksums=[checksum], pieces=pieces, urls=dict.fromkeys(urls)
        )
        to = options.output or f"{path}.meta4"
        with open(1 if to == "-" else to, "w" if to == "-" else "x", encoding="utf-8", closefd=to != "-") as out:
            out.write(text)
    except FileExistsError:
        sys.stderr.write(f"error: {printable(to)} is there already: give another -o\n")
        return ExitCode.DISK
    except OSError as error:
        sys.stderr.write(f"error: {printable(error.filename or path)!s}: {error.strerror}\n")
        return ExitCode.DISK
    if to != "-":
        what = f"{count_of(pieces.count if pieces else 0, 'piece')}, {count_of(len(urls), 'mirror')}"
        sys.stderr.write(f"{printable(to)}: {what}\n")
    return ExitCode.SEALED


def piece_bytes_for(size_bytes: int) -> int:
    """Return a piece length for a file of this size."""
    length = PIECE_BYTES_MIN
    while length * PIECES_WANTED_MAX < size_bytes and length < 1 << 29:
        length *= 2
    return length


def _digests(fd: int, size_bytes: int, piece_bytes: int) -> tuple[Pieces | None, str]:
    """Read the file once: the digests of its pieces, and of the whole."""
    whole, digests = hashlib.sha256(), bytearray()
    for start in range(0, size_bytes, piece_bytes):
        piece, at, stop = hashlib.sha256(), start, min(start + piece_bytes, size_bytes)
        while at < stop:
            block = os.pread(fd, min(_READ_BYTES, stop - at), at)
            if not block:
                raise OSError(0, "the file became shorter while it was read")
            whole.update(block)
            piece.update(block)
            at += len(block)
        digests += piece.digest()
    pieces = Pieces("sha256", piece_bytes, bytes(digests)) if size_bytes > piece_bytes else None
    return pieces, f"sha256:{whole.hexdigest()}"
