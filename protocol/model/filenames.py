"""Safe file names from names that come from outside.

Sources propose names, so a name is hostile until it went through `safe_name`: afterwards it names a file directly in
the folder it is joined to, on every system a user may copy it to, with room for the suffixes of a part file.
"""

import functools
import os.path
import re
import unicodedata
from collections.abc import Iterator
from typing import Final

NAME_BYTES_MAX: Final = 238
"""Of 255: the longest suffix of a part file's companions fits behind it (`storage.layout`)."""

FOLDER_BYTES_MAX: Final = 255
LAST_RESORT: Final = "download"

_DRIVE = re.compile(r"^[A-Za-z]:")
_RESERVED = re.compile(r"^(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])\s*(\.|$)", re.IGNORECASE)
_BIDI: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Marks of writing direction: they make ``gpj.exe`` look like ``exe.jpg``."""


def base_name(path: str) -> str:
    """The last part of a remote path; peers write backslashes, some write slashes."""
    return path.replace("/", "\\").rpartition("\\")[2]


def safe_name(name_from_outside: str, fallback: str) -> str:
    """Return a file name from the last part of a path from outside, else from `fallback`, else "download".

    Never empty, at most `NAME_BYTES_MAX` bytes. Safe names stay as they are.
    """
    for proposal in (name_from_outside, fallback):
        name = _cleaned(proposal)
        if name:
            return name
    return LAST_RESORT


def proposed_name(name_from_outside: str, fallback: str) -> str:
    """Return it as `safe_name` does, never hidden: a server that chooses names must not plant a ``.profile``."""
    return safe_name(_cleaned(name_from_outside).lstrip(". "), _cleaned(fallback).lstrip(". "))


def unhidden_name(name_from_outside: str) -> str:
    """Return it as `proposed_name` does, without a fallback: empty when nothing is left."""
    text = _cleaned(name_from_outside).lstrip(". ")
    return safe_name(text, "") if text else ""


def placed_name(name_from_outside: str) -> str:
    """Return it as `safe_name` does, but changed as little as safety allows, for clients that expect exactly this name.

    One leading dot goes (``.profile``); more than one belong to a title (``...And Justice``) and hide nothing known.
    """
    name = safe_name(name_from_outside, "")
    return proposed_name(name, "") if name.startswith(".") and not name.startswith("..") else name


def placed_folder(name_from_outside: str) -> str:
    """Return the name of a folder directly in another, changed as little as safety allows; empty: nothing is left.

    Dots and blanks at its end stay: clients that look for the folder expect them.
    """
    name = "".join(char for char in name_from_outside if _allowed(char) and char not in "/\\")
    if not name.strip(". "):
        return ""
    if name.startswith(".") and not name.startswith(".."):
        name = name[1:]
    return name.encode()[:FOLDER_BYTES_MAX].decode("utf-8", "ignore")


def numbered(name: str) -> Iterator[str]:
    """Yield ``a.tar.gz``, ``a (1).tar.gz``, ``a (2).tar.gz`` ... up to 9999."""
    stem, extension = _split(name)
    yield name
    for number in range(1, 10_000):
        yield f"{stem} ({number}){extension}"


def _cleaned(proposal: str) -> str:
    text = "".join(char for char in proposal if _allowed(char))
    parts = [_stripped(_DRIVE.sub("", part.strip())) for part in re.split(r"[/\\]", text)]
    name = next((part for part in reversed(parts) if part), "")
    if _RESERVED.match(name):
        name = "_" + name
    return _shortened(name)


def _allowed(char: str) -> bool:
    return unicodedata.category(char) not in ("Cc", "Cs", "Zl", "Zp") and char not in _BIDI


def _stripped(part: str) -> str:
    """Windows drops trailing dots and blanks silently; a name of dots only is a path."""
    return part.strip().rstrip(". \t")


def _shortened(name: str) -> str:
    if len(name.encode()) <= NAME_BYTES_MAX:
        return name
    stem, extension = _split(name)
    room = NAME_BYTES_MAX - len(extension.encode())
    return _stripped(stem.encode()[:room].decode("utf-8", "ignore") + extension)


def _split(name: str) -> tuple[str, str]:
    """Stem and extension; ``.tar.gz`` is one extension, what is long or has a blank in it is none."""
    stem, extension = os.path.splitext(name)
    if stem.lower().endswith(".tar") and len(stem) > len(".tar"):
        stem, extension = stem[:-4], stem[-4:] + extension
    if len(extension.encode()) > 16 or " " in extension:
        return name, ""
    return stem, extension


CONTAINER_SUFFIXES: Final = {
    "FLAC": (".flac",),
    "Ogg": (".ogg", ".oga", ".ogv", ".opus", ".spx"),
    "zip": (".zip", ".cbz", ".epub", ".jar", ".apk", ".docx", ".xlsx", ".odt"),
    "gzip": (".gz", ".tgz"),
    "bzip2": (".bz2", ".tbz2"),
    "xz": (".xz", ".txz"),
    "zstd": (".zst", ".tzst"),
    "MP3": (".mp3",),
}
"""Endings of the names of files whose container has digests of its content."""


@functools.lru_cache(maxsize=256)
def container_format(name: str) -> str:
    """Return the container format that a file's name claims, "" for none."""
    return next((kind for kind, endings in CONTAINER_SUFFIXES.items() if name.lower().endswith(endings)), "")
