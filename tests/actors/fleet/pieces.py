"""A file of random bytes and its pieces, as nodes hand them to a destination."""

import hashlib
import os
from pathlib import Path

from actors.fleet.destination import Piece


def written(folder: Path, size: int) -> Path:
    path = folder / "data"
    path.write_bytes(os.urandom(size))
    return path


def pieces_of(data: Path, part_bytes: int) -> list[Piece]:
    content = data.read_bytes()
    return [
        Piece(
            path=str(data), offset=at, length=len(part), at=at, md5=hashlib.md5(part, usedforsecurity=False).hexdigest()
        )
        for at in range(0, len(content), part_bytes)
        for part in [content[at : at + part_bytes]]
    ]
