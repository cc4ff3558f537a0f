"""Piece checks of the open part files: pieces are hashed in a thread beside the Assembler as they become complete.

What a piece hash says is reported to the job's dispatcher, which decides what is fetched again. Used in the
Assembler's thread only; a result comes back to it as its own message `PieceHashed`.
"""

import os
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial

from actors.runtime.message_bus import MessageBus
from protocol.messages import PieceChecked, PieceHashed, PiecesUnusable
from protocol.messages.addresses import ASSEMBLER
from protocol.model.chunk_ranges import ChunkRange
from protocol.model.job_spec import PieceHashes
from protocol.model.value import Struct
from storage.part_file import PartFile
from storage.pieces import BadPieceList, PieceCheck, Pieces


class _Open(Struct, frozen=True):
    """Pieces of one job's part file, and where their results are reported."""

    dispatcher: str
    part: PartFile
    pieces: Pieces


class PieceChecker:
    """Piece checks of all jobs. One thread hashes: the disk and the other core are left to the download."""

    def __init__(self, bus: MessageBus) -> None:
        self._bus = bus
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="pieces")
        self._open: dict[int, _Open] = {}

    def begin(self, job: int, dispatcher: str, part: PartFile, hashes: PieceHashes) -> None:
        """Check the pieces of an opened part file, those that are complete at once."""
        self.end(job)
        if not hashes.algorithm:
            return
        try:
            self._open[job] = _Open(dispatcher, part, part.pieces(hashes))
        except (BadPieceList, OSError, ValueError) as error:
            self._bus.post(dispatcher, PiecesUnusable(job=job, detail=str(error)))
            return
        self.stored(job, part.stored)

    def stored(self, job: int, ranges: Iterable[ChunkRange]) -> None:
        """Chunks were stored, or may not be missing after all."""
        opened = self._open.get(job)
        if opened is None:
            return
        for first, stop in ranges:
            for check in opened.pieces.due(first, stop, opened.part.has_all):
                self._thread.submit(check).add_done_callback(partial(self._hashed, job, check))

    def dropped(self, job: int, ranges: Iterable[ChunkRange]) -> None:
        """Chunks are missing again; those that were kept are checked once more."""
        opened = self._open.get(job)
        if opened is not None:
            ranges = list(ranges)
            for first, stop in ranges:
                opened.pieces.forget(first, stop)
            self.stored(job, ranges)

    def take(self, message: PieceHashed) -> None:
        """Take the result of a check, and report what it says."""
        opened = self._open.get(message.job)
        if opened is None:
            return
        if message.failed:
            self._bus.post(
                opened.dispatcher, PiecesUnusable(job=message.job, detail="the part file could not be read again")
            )
            return
        ranges = opened.pieces.take(message.number, message.serial, good=message.good)
        for first, stop in ranges or ():
            self._bus.post(opened.dispatcher, PieceChecked(job=message.job, first=first, stop=stop, good=message.good))

    def end(self, job: int) -> None:
        """Forget a job; the checks that are under way come to nothing."""
        opened = self._open.pop(job, None)
        if opened is not None:
            with suppress(RuntimeError):  # the thread has ended, and with it the process does
                self._thread.submit(os.close, opened.pieces.fd)

    def close(self) -> None:
        """Forget all jobs and wait for the thread."""
        for job in list(self._open):
            self.end(job)
        self._thread.shutdown(wait=True)

    def _hashed(self, job: int, check: PieceCheck, future: "Future[bool]") -> None:
        failed = future.exception() is not None
        good = not failed and future.result()
        self._bus.post(
            ASSEMBLER, PieceHashed(job=job, number=check.number, serial=check.serial, good=good, failed=failed)
        )
