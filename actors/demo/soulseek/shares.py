"""Shared files of an uploader: the file under a path of its own, decoys beside it, and search by words."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import PureWindowsPath

from actors.demo.content import BLOCK_BYTES, Content

FOLDER = "music\\Box Quartet\\Loopback (2022)"
WORD = re.compile(r"[^\W_]+")
FLAC_ATTRIBUTES = ((1, 321), (4, 44_100), (5, 16))  # seconds, Hz, bits: keys as AttributeKey of the protocol


def remote_path(user: str, file_name: str) -> str:
    r"""Where `user` has the file: `@@abcde\music\Artist\Album\file`, another root for every user."""
    digest = hashlib.sha256(user.encode()).digest()
    root = "".join(chr(ord("a") + byte % 26) for byte in digest[:5])
    return f"@@{root}\\{FOLDER}\\{file_name}"


def term_for(file_name: str) -> str:
    """Words that find the file at every uploader, and its decoys with it."""
    words = WORD.findall(PureWindowsPath(file_name).stem)
    return " ".join(["box", "quartet", *(word.lower() for word in words if not word.isdigit())])


class Blocks:
    """File content as views of BLOCK_BYTES, the last one perhaps shorter; made when first read."""

    def __init__(self, size: int, views: Callable[[], Iterable[memoryview]]) -> None:
        self.size = size
        self._make = views

    @classmethod
    def of(cls, content: Content) -> Blocks:
        return cls(content.size, content.blocks)

    @cached_property
    def views(self) -> tuple[memoryview, ...]:
        return tuple(self._make())

    def span(self, start: int, stop: int) -> Iterator[memoryview]:
        """The bytes `[start, stop)` in order, in views that end with their block."""
        while start < min(stop, self.size):
            index, inner = divmod(start, BLOCK_BYTES)
            view = self.views[index][inner : inner + stop - start]
            yield view
            start += len(view)


@dataclass(frozen=True)
class Shared:
    """One file on offer."""

    path: str
    blocks: Blocks
    attributes: tuple[tuple[int, int], ...] = ()

    @property
    def size(self) -> int:
        return self.blocks.size

    def answers(self, query: str) -> bool:
        """Whether a search finds it: every word in its path, none with `-` before it; `*part` is any word's end."""
        words = {word.lower() for word in WORD.findall(self.path)}
        for asked in query.lower().split():
            wanted = WORD.findall(asked)
            if asked.startswith("*") and wanted:
                found = any(word.endswith(wanted[0]) for word in words)
            else:
                found = all(word in words for word in wanted)
            if found == asked.startswith("-"):
                return False
        return True


class Shelf:
    """All files of one uploader, by remote path; `main` is the one that every uploader has."""

    def __init__(self, user: str, file_name: str, blocks: Blocks) -> None:
        path = PureWindowsPath(remote_path(user, file_name))
        self.main = Shared(str(path), blocks, FLAC_ATTRIBUTES)
        self.files = {self.main.path: self.main}
        size = max(blocks.size, 16)
        self._add(path.with_stem(f"{path.stem} (live)"), size + size // 16)
        self._add(path.with_stem(f"{path.stem} (demo)"), size - size // 16)
        self._add(path.with_suffix(".mp3"), size // 4)
        self._add(path.with_suffix(".jpg"), 20_000 + len(user))

    def found(self, query: str) -> list[Shared]:
        return [shared for shared in self.files.values() if shared.answers(query)]

    def _add(self, path: PureWindowsPath, size: int) -> None:
        self.files[str(path)] = Shared(str(path), Blocks.of(Content(size, seed=size)))
