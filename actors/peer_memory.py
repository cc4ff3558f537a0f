"""The memory of peers, in the store process: what a user did before this job, and how often we hung up on it today."""

import logging
import sqlite3
import time

from actors.mailroom import Mailroom
from actors.wire_actor import WireActor
from protocol.messages import MemoryInbox, PeerFaulted, PeerRode, PeerStopped, PriorsAsked, PriorsTold
from protocol.post import MEMORY, split_address
from storage.peer_book import PeerBook

_logger = logging.getLogger(__name__)
_IN_MEMORY = ":memory:"


class PeerMemory(WireActor):
    """One. Owns the book at `path` (empty: it lasts as long as the process). Where the file cannot be used it says so
    once and goes on without: what this run learns and spends still counts."""

    def __init__(self, mailroom: Mailroom, path: str) -> None:
        super().__init__(split_address(MEMORY)[1], mailroom)
        self._path = path
        self._book: PeerBook | None = None

    def starting(self) -> None:
        try:
            self._book = PeerBook(self._path or _IN_MEMORY)
            self._book.tidy(now_s=time.time())
        except (sqlite3.Error, OSError) as error:
            self._go_on_without(error)

    def stopping(self) -> None:
        if self._book is not None:
            self._book.close()

    def handle(self, message: MemoryInbox) -> None:
        try:
            self._keep_or_tell(message)
        except sqlite3.Error as error:
            self._go_on_without(error)
            self._keep_or_tell(message)

    def _keep_or_tell(self, message: MemoryInbox) -> None:
        book, now_s = self._book, time.time()
        assert book is not None
        match message:
            case PriorsAsked():
                self._tell(message, book, now_s)
            case PeerRode():
                book.rode(message.peer, rate_bytes_s=message.rate_bytes_s, setup_s=message.setup_s, now_s=now_s)
            case PeerFaulted():
                book.failed(message.peer, fault=message.fault, offset_ok=message.offset_ok, now_s=now_s)
            case PeerStopped():
                book.stopped(message.peer, now_s=now_s)

    def _tell(self, asked: PriorsAsked, book: PeerBook, now_s: float) -> None:
        (prior,) = book.priors([asked.peer], now_s=now_s)
        told = PriorsTold(
            job=asked.job,
            source=asked.source,
            peer=asked.peer,
            rate_bytes_s=prior.rate_bytes_s,
            setup_s=prior.setup_s,
            offset_ok=prior.offset_ok,
            failures=prior.failures,
            last_fault=prior.last_fault,
            failed_s_ago=max(0.0, now_s - prior.failed_s) if prior.failures else 0.0,
            stops_today=prior.stops_today,
        )
        self.mailroom.post(asked.reply_to, told)

    def _go_on_without(self, error: Exception) -> None:
        _logger.warning("%s cannot be used, peers are remembered for this run only: %s", self._path, error)
        if self._book is not None:
            self._book.close()
        self._book = PeerBook(_IN_MEMORY)
