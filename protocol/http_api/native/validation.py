"""Validation of job requests: names, addresses, folders and digests.

Everything wrong is a `RefusedError` that names the member as the client wrote it: ``invalid``, ``forbidden`` where the
configuration would have to allow it, ``conflict`` where two members say different things. Nothing is created, no
address is tried, no name is resolved.
"""

import ipaddress
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from protocol.config.settings import DaemonSettings
from protocol.http_api.gateway import RefusedError
from protocol.http_api.native.order_schemas import DownloadOrder, JobOrder, SwarmOrder, UrlSource, UserSource
from protocol.http_api.schema_base import BARE_HASHES
from protocol.model.filenames import base_name
from protocol.model.integrity.checksums import checked_digest, checksum_for, read_checksum_file
from protocol.model.integrity.metalink import Pieces
from protocol.model.limits import PATH_BYTES_MAX
from protocol.model.public_addresses import is_public
from protocol.model.source_url import check_url, is_slsk, looks_like_metalink, same_url_key, slsk_url

ORIGIN: Final = "multisource"
BATCH_BYTES_MAX: Final = 20_000
"""Of the addresses in one message: with a name and a folder it fits a frame."""
PRIVATE: Final = "this address is inside a private network (allow_private_sources is not set)"
PART_BYTES_MAX: Final = 255
"""Of one part of a path, on every usual file system."""


def addresses(sources: Sequence[UserSource | UrlSource], *, private_ok: bool) -> list[str]:
    """Return an address for each source. Refuses unusable and repeated ones."""
    known: dict[tuple[str, ...], int] = {}
    urls = []
    for index, source in enumerate(sources):
        member = "url" if isinstance(source, UrlSource) else "fullPath"
        field = f"sources.{index}.{member}"
        url = source.url if isinstance(source, UrlSource) else slsk_url(source.username, source.full_path)
        try:
            check_url(url)
        except ValueError as error:
            raise RefusedError("invalid", field, str(error)) from None
        if not private_ok and is_private(url):
            raise RefusedError("forbidden", field, PRIVATE)
        first = known.setdefault(same_url_key(url), index)
        if first != index:
            raise RefusedError("conflict", f"sources.{index}", f"the same as sources.{first}")
        urls.append(url)
    return urls


def batches(urls: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield the addresses in batches that fit a message; at least one batch."""
    batch: list[str] = []
    size = 0
    for url in urls:
        length = len(url.encode())
        if batch and size + length > BATCH_BYTES_MAX:
            yield tuple(batch)
            batch, size = [], 0
        batch.append(url)
        size += length
    yield tuple(batch)


def file_name(filename: str) -> str:
    """Return the last part of what may be a path. Its spelling on disk is decided where it is written."""
    name = base_name(filename).strip()
    if not name.strip(". "):
        raise RefusedError("invalid", "filename", "there is no name in it")
    return name


def folder(wanted: str | None, daemon: DaemonSettings) -> str:
    """Return the absolute folder of the file. Refuses one outside the configured folders, links followed."""
    if wanted is None:
        return daemon.downloads
    path = Path(daemon.downloads, wanted)
    if ".." in path.parts:
        raise RefusedError("forbidden", "folder", "a folder is not written with ..")
    if any(len(part.encode()) > PART_BYTES_MAX for part in path.parts) or len(str(path).encode()) > PATH_BYTES_MAX // 2:
        raise RefusedError("invalid", "folder", "this path is too long")
    real = path.resolve()
    if not any(real.is_relative_to(Path(root).resolve()) for root in (daemon.downloads, *daemon.more_folders)):
        raise RefusedError("forbidden", "folder", "it is not inside the download folder or another that is configured")
    return str(path)


def template_root(order: JobOrder, daemon: DaemonSettings) -> str:
    """Return the folder below which the configured template puts the file; empty where the order names a folder."""
    return daemon.downloads if order.folder is None else ""


def checksum(order: DownloadOrder | SwarmOrder) -> str:
    """Return ``algorithm:hex`` in lower case, empty without one."""
    given = (order.checksum or "").lower()
    if isinstance(order, DownloadOrder) and order.checksum_file:
        try:
            lines = read_checksum_file(order.checksum_file)
            named = checksum_for(lines, [file_name(order.filename)], shown="the checksum file")
        except ValueError as error:
            raise RefusedError("invalid", "checksumFile", str(error)) from None
        if given and given != named:
            raise RefusedError("conflict", "checksumFile", "checksum says something else")
        given = named
    bare = (order.expected_hash or "").lower()
    if not bare:
        return given
    implied = f"{BARE_HASHES[len(bare)]}:{bare}"
    if given and given != implied:
        raise RefusedError("conflict", "expectedHash", "checksum says something else")
    return implied


def pieces(order: DownloadOrder) -> Pieces | None:
    """Return the digests of the pieces; None without any. Refuses digests and numbers that do not fit the file."""
    given = order.pieces
    if given is None:
        return None
    if order.file_size is None:
        raise RefusedError("invalid", "fileSize", "is needed where pieces are given")
    count = -(-order.file_size // given.piece_size)
    if len(given.hashes) != count:
        detail = f"{order.file_size} bytes have {count} pieces of {given.piece_size}, not {len(given.hashes)}"
        raise RefusedError("invalid", "pieces.hashes", detail)
    try:
        found = [checked_digest(given.algorithm, each).partition(":")[2] for each in given.hashes]
    except ValueError as error:
        raise RefusedError("invalid", "pieces.hashes", str(error)) from None
    return Pieces(given.algorithm, given.piece_size, bytes.fromhex("".join(found)))


def words_of(filename: str) -> str:
    """Return the words of a file name, without dots and dashes, as a search term."""
    return " ".join(re.findall(r"\w+", file_name(filename), re.UNICODE))


def document_among(urls: Sequence[str]) -> int:
    """Return the index of the Metalink document among an order's addresses; -1: none. Two are refused."""
    documents = [at for at, url in enumerate(urls) if not is_slsk(url) and looks_like_metalink(url)]
    if len(documents) > 1:
        detail = f"{len(documents)} Metalink documents: each is an order of its own"
        raise RefusedError("conflict", f"sources.{documents[1]}.url", detail)
    return documents[0] if documents else -1


def is_private(url: str) -> bool:
    """Return whether the address itself is private. What a name resolves or redirects to is checked at the fetch."""
    if is_slsk(url):
        return False
    host = (urlsplit(url).hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return not is_public(host)
