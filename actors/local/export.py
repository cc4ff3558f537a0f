"""Export of a finished file: as a Metalink with its pieces and mirrors, or as a manifest of its chunks and senders."""

import hashlib
import json
import os
import sys
from collections.abc import Iterable
from typing import Final

from actors.core.dispatch.chunk_tracker import chunk_size_of
from protocol.cli.parsing import ExportOptions
from protocol.cli.views.outcome import ExitCode
from protocol.model.integrity.metalink import Pieces, write_metalink
from protocol.model.job_spec import JobSpec
from protocol.model.printable import printable
from storage.digests import digests_of
from storage.existing import read_mirrors

PIECE_BYTES_MIN: Final = 1 << 20
PIECES_WANTED_MAX: Final = 2048
"""Pieces double in length until there are no more than these."""
_READ_BYTES: Final = 1 << 20


def export(options: ExportOptions) -> int:
    """Run ``export`` and return the exit code."""
    path = str(options.path)
    to = options.output or f"{path}.{'manifest.json' if options.manifest else 'meta4'}"
    try:
        with open(path, "rb") as file:
            fd, size_bytes = file.fileno(), os.fstat(file.fileno()).st_size
            urls = options.mirrors or read_mirrors(fd)
            if not urls and not options.manifest:
                sys.stderr.write(f"error: {printable(path)}: no mirror is known: give --mirror URL, or --job ID\n")
                return ExitCode.USAGE
            text = _manifest(fd, size_bytes, options) if options.manifest else _metalink(fd, size_bytes, urls, options)
        with open(1 if to == "-" else to, "w" if to == "-" else "x", encoding="utf-8", closefd=to != "-") as out:
            out.write(text)
    except FileExistsError:
        sys.stderr.write(f"error: {printable(to)} is there already: give another -o\n")
        return ExitCode.DISK
    except OSError as error:
        sys.stderr.write(f"error: {printable(str(error.filename or path))}: {error.strerror}\n")
        return ExitCode.DISK
    if to != "-":
        sys.stderr.write(f"written: {printable(to)}\n")
    return ExitCode.SEALED


def _metalink(fd: int, size_bytes: int, urls: Iterable[str], options: ExportOptions) -> str:
    pieces, checksum = _digests(fd, size_bytes, options.piece_bytes or piece_bytes_for(size_bytes))
    name = os.path.basename(str(options.path))
    return write_metalink(name, size_bytes, checksums=[checksum], pieces=pieces, urls=dict.fromkeys(urls))


def _manifest(fd: int, size_bytes: int, options: ExportOptions) -> str:
    """Return the digests (xxh3_128) of all chunks as JSON, by who sent them; null: not known."""
    size = chunk_size_of(JobSpec(folder="", chunk_size=options.chunk_size), size_bytes)
    ranges = []
    for start, stop, sender in options.ranges or ((0, size_bytes, ""),):
        stop = min(stop, size_bytes)
        parts = ((at, os.pread(fd, min(size, stop - at), at)) for at in range(start, stop, size))
        digests = [digests_of(memoryview(part), len(part), size).hex() for _, part in parts]
        ranges.append({"startByte": start, "stopByte": stop, "source": sender or None, "digests": digests})
    _, checksum = _digests(fd, size_bytes, max(size_bytes, 1))
    algorithm, _, digest = checksum.partition(":")
    whole = {"name": os.path.basename(str(options.path)), "size": size_bytes, algorithm: digest}
    return json.dumps({**whole, "chunkSize": size, "chunkAlgorithm": "xxh3_128", "ranges": ranges}) + "\n"


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
