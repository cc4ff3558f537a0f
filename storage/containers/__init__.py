"""Checks that container formats bring along (FLAC, Ogg, zip, gzip, bzip2, xz, zstd, MP3).

Of whole files, and of places where two sources' bytes meet. Pure readers: all bytes come through a `Read` function.
"""

from typing import Final

_BEGINNINGS: Final = (b"fLaC", b"ID3", b"OggS", b"PK", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
BEGINNING_BYTES: Final = 5


def may_be_container(beginning: bytes) -> bool:
    """Return whether a file that begins so may be one whose name does not tell it: else no format need be loaded."""
    return beginning.startswith(_BEGINNINGS)
