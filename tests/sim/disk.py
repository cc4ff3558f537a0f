"""A disk with a will of its own, under the real storage code: it fills, breaks, tears writes and forgets what was not
synced. The files are real ones in a folder of this run; what is faked is the edge, the system calls of durable writes.
"""

import errno
import math
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import storage.durable

PLENTY: Final = 1 << 40


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskScript:
    """What the disk does. Writes are counted from 1, amounts are bytes really written (records too).

    `space_left`: then it is full (a write that does not fit is torn), until `mends_after_s` later there is room.
    `torn_at`: these writes are cut in the middle and fail with EIO, as all do until `mends_after_s` later.
    `forgets`: at such a fault, and when the machine dies, each unsynced write is lost with this probability.
    `flips`: a given number of bits of the part file and of the records are flipped then.
    `dies_at_s`: the machine dies, and the same command is given again. `dies_at_step`: so it does right behind this
    step of sealing, the last of which is that the file is sealed and no one has heard of it yet.
    """

    space_left: int | None = None
    torn_at: tuple[int, ...] = ()
    mends_after_s: float = 1.0
    forgets: float = 0.0
    flips: int = 0
    dies_at_s: float | None = None
    dies_at_step: str = ""


class MachineDied(Exception):  # noqa: N818
    """Nothing of this run goes on."""


class Disk:
    """Stands for `os` in `storage.durable` while it is mounted. `now_s` is kept by its owner."""

    def __init__(self, script: DiskScript, folder: Path, seed: int) -> None:
        self.folder, self.now_s = folder, 0.0
        self.script = script
        self._space = script.space_left
        self._rng = random.Random(seed)
        self._dies_at_step = script.dies_at_step
        self._writes = 0
        self._broken: OSError | None = None
        self._heals_s = 0.0
        self._grows_s = math.inf
        self._faults = 0
        self._unsynced: list[tuple[int, int, bytes]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    @contextmanager
    def mounted(self) -> Iterator[None]:
        vars(storage.durable)["os"] = self
        try:
            yield
        finally:
            vars(storage.durable)["os"] = os

    def pwrite(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        self._heal()
        if self._broken is not None:
            raise self._broken
        self._writes += 1
        size = len(data)
        if self._writes in self.script.torn_at:
            self._put(fd, data[: size // 2], offset)
            self._break(errno.EIO)
        if self._space is not None and size > self._space:
            self._put(fd, data[: self._space], offset)
            self._break(errno.ENOSPC)
        self._put(fd, data, offset)
        return size

    def fstatvfs(self, _fd: int) -> Any:
        self._heal()
        if self._space is not None and self._faults:  # who asks after a fault sees how little there is, and waits
            self._grows_s = min(self._grows_s, self.now_s + self.script.mends_after_s)
        return SimpleNamespace(f_bavail=PLENTY if self._space is None else self._space, f_frsize=1)

    def synced(self) -> None:
        """A group commit went through."""
        if self._broken is None:
            self._unsynced.clear()

    def dies_behind(self, step: str) -> bool:
        """Whether the machine dies at this moment; it does so once at most, see `die`."""
        return step == self._dies_at_step

    def die(self) -> None:
        """The machine dies."""
        self._dies_at_step = ""
        self.lose()

    def lose(self) -> None:
        """What was not synced may be gone, and bits are flipped that no one touched."""
        paths = {path.stat().st_ino: path for path in self.folder.iterdir()}
        for inode, offset, before in reversed(self._unsynced):
            if inode in paths and self._rng.random() < self.script.forgets:
                _overwrite(paths[inode], offset, before)
        self._unsynced.clear()
        for path in sorted(paths.values()) if self.script.flips else ():
            for _ in range(self.script.flips):
                _flip(path, self._rng)

    def _put(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        before = os.pread(fd, len(data), offset)
        self._unsynced.append((os.fstat(fd).st_ino, offset, before.ljust(len(data), b"\0")))
        if self._space is not None:
            self._space -= len(data)
        os.pwrite(fd, data, offset)

    def _break(self, number: int) -> None:
        self._broken, self._heals_s = OSError(number, os.strerror(number)), self.now_s + self.script.mends_after_s
        self._faults += 1
        if number == errno.ENOSPC:
            self._grows_s = min(self._grows_s, self._heals_s)
        self.lose()
        raise self._broken

    def _heal(self) -> None:
        if self._broken is not None and self.now_s >= self._heals_s:
            self._broken = None
        if self.now_s >= self._grows_s:
            self._space = None


def _overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def _flip(path: Path, rng: random.Random) -> None:
    size = path.stat().st_size
    if size:
        at = rng.randrange(size)
        with path.open("r+b") as file:
            file.seek(at)
            byte = file.read(1)[0]
            _overwrite(path, at, bytes([byte ^ 1 << rng.randrange(8)]))
