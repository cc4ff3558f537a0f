"""Documents that a ``get`` goes by: Metalinks, which stand for files and their mirrors, and checksum files.

Both are files here or addresses. What is wrong with one is `BadUsage`; one that cannot be fetched is `NoDocument`.
"""

import os
from collections.abc import Callable, Sequence
from typing import Final

from protocol.model.errors import BadUsage, NoDocument
from protocol.model.filenames import placed_folder, placed_name
from protocol.model.integrity.checksums import CHECKSUM_FILE_BYTES_MAX, checksum_for, read_checksum_file
from protocol.model.integrity.metalink import DOCUMENT_BYTES_MAX, BadMetalink, MetalinkFile, is_metalink, read_metalink
from protocol.model.job_spec import HttpOptions
from protocol.model.printable import printable
from protocol.model.source_url import check_url, looks_like_metalink, public_url
from protocol.model.value import Struct

FetchDocument = Callable[[str, HttpOptions, int], bytes]
"""Returns the body at an address, at most that number of bytes. Raises `NoDocument`."""
HEAD_BYTES: Final = 4096


class Described(Struct, frozen=True):
    """Files that Metalink documents describe, and notes about what was left out of them."""

    files: tuple[MetalinkFile, ...]
    notes: tuple[str, ...]


def described(words: Sequence[str], http: HttpOptions, fetch: FetchDocument) -> Described | None:
    """Return the files that these words of a ``get`` stand for; None where none of them is a Metalink document.

    Plain addresses beside a document are further mirrors, of its one file.
    """
    documents = [word for word in words if is_document(word)]
    if not documents:
        return None
    others = tuple(word for word in words if word not in documents)
    files: list[MetalinkFile] = []
    notes: list[str] = []
    for word in documents:
        is_url = "://" in word
        shown = printable(public_url(word))
        data = _fetched(word, http, fetch, DOCUMENT_BYTES_MAX) if is_url else _read(word, DOCUMENT_BYTES_MAX)
        try:
            read = read_metalink(data, base=word if is_url else "")
        except BadMetalink as error:
            raise BadUsage(f"{shown}: {error}") from None
        files += read.files
        notes += read.notes
    if others and len(files) > 1:
        raise BadUsage(f"addresses beside a Metalink that describes {len(files)} files: which one is meant?")
    if others:
        files = [_with_mirrors(files[0], others)]
    for file in files:
        if not file.urls:
            raise BadUsage(f"the Metalink names no mirror that can be used for {printable(file.name)}")
    if len({file.name for file in files}) < len(files):
        raise BadUsage("two Metalink documents describe a file of one name: fetch them one by one")
    return Described(tuple(files), tuple(notes))


def _with_mirrors(file: MetalinkFile, urls: tuple[str, ...]) -> MetalinkFile:
    return MetalinkFile(file.name, file.size_bytes, file.checksums, file.pieces, (*file.urls, *urls))


def is_document(word: str) -> bool:
    """Return whether a word of the command means a Metalink document: by its name, a file here also by its content."""
    if "://" in word:
        return looks_like_metalink(word) and word[:4].lower() == "http"
    try:
        with open(word, "rb") as file:
            return looks_like_metalink(word) or is_metalink(file.read(HEAD_BYTES))
    except (OSError, ValueError):
        return looks_like_metalink(word)


def _read(path: str, bytes_max: int) -> bytes:
    shown = printable(path[:200])
    try:
        with open(path, "rb") as file:
            data = file.read(bytes_max + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no possible path"
        raise BadUsage(f"{shown}: cannot be read: {why}") from None
    if len(data) > bytes_max:
        raise BadUsage(f"{shown}: longer than {bytes_max >> 20} MiB")
    return data


def _fetched(url: str, http: HttpOptions, fetch: FetchDocument, bytes_max: int) -> bytes:
    shown = printable(public_url(url)[:200])
    try:
        check_url(url)
    except ValueError as error:
        raise BadUsage(str(error)) from None
    try:
        return fetch(url, http, bytes_max)
    except NoDocument as error:
        raise NoDocument(f"{shown}: {error}") from None


def checksum_from(place: str, names: Sequence[str], http: HttpOptions, fetch: FetchDocument) -> str:
    """Return the checksum that the checksum file at a path or address has for a file of one of these names."""
    is_url = "://" in place
    shown = printable(public_url(place)[:200])
    most = CHECKSUM_FILE_BYTES_MAX
    data = _fetched(place, http, fetch, most) if is_url else _read(place, most)
    hint = place.partition("?")[0].rpartition("/")[2]
    try:
        return checksum_for(read_checksum_file(data.decode("utf-8", "surrogateescape"), hint=hint), names, shown=shown)
    except ValueError as error:
        raise BadUsage(str(error)) from None


def output_of(file: MetalinkFile, output: str | None, *, alone: bool, here: bool) -> str:
    """Return ``-o`` for a described file: its name, below the folder that the user's own `output` means.

    `alone`: no other file is described, so that the user's may name it. `here`: folders are this machine's, and those
    that the name has are made. Raises `BadUsage`, `OSError`.
    """
    is_folder = not output or output.endswith("/") or (here and os.path.isdir(output))
    if output and not is_folder:
        if not alone:
            raise BadUsage(f"-o {printable(output)}: names one file, and the Metalink describes more: give a folder")
        return output
    *folders, name = file.name.split("/")
    folder = os.path.join(output or "", *map(placed_folder, folders))
    if here and folders:
        os.makedirs(folder, exist_ok=True)
    return os.path.join(folder, placed_name(name))
