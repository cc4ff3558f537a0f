"""Peer history, in the store process: what a user did in earlier jobs, and how often it was stopped today."""

import contextlib
import datetime
import logging
import sqlite3
import time
from collections.abc import Sequence
from typing import Final, assert_never

from actors.core.jobs.transaction import answers
from actors.runtime.actor import Actor
from actors.runtime.message_bus import MessageBus
from actors.runtime.process_stats import is_running
from protocol.messages import (
    ListPeers,
    ListStops,
    LoadPeerHistory,
    PeerDelivered,
    PeerFaulted,
    PeerFileDiffers,
    PeerHistoryLoaded,
    PeerUploadClosed,
    PeerUploadNoted,
    PeerUploadOpened,
    PeerUploadSettled,
)
from protocol.messages.addresses import PEER_HISTORY, split_address
from protocol.model.job_views import PeerView, StopCount
from protocol.model.value import Value
from storage.damaged_database import is_damage, rename_damaged
from storage.peer_store import PeerStore

PeerHistoryInbox = (
    LoadPeerHistory
    | PeerDelivered
    | PeerFaulted
    | PeerFileDiffers
    | PeerUploadOpened
    | PeerUploadClosed
    | PeerUploadSettled
    | ListPeers
    | ListStops
)

_logger = logging.getLogger(__name__)
_IN_MEMORY = ":memory:"
_UNUSABLE: Final = (sqlite3.Error, UnicodeDecodeError)
"""The second where SQLite quotes damaged bytes in its error."""
PAGE_MAX: Final = 1000


class PeerHistory(Actor):
    """Owner of the peer store at `path` (empty: it lasts as long as the process).

    A damaged file gets another name and is begun again, once. Where it cannot be used otherwise it logs that once and
    goes on in memory: what this process learns still counts.
    """

    def __init__(self, bus: MessageBus, path: str) -> None:
        super().__init__(split_address(PEER_HISTORY)[1], bus)
        self._path = path
        self._begun_again = False
        self._store: PeerStore | None = None

    def starting(self) -> None:
        try:
            self._store = PeerStore(self._path or _IN_MEMORY)
            self._store.tidy(now_s=time.time())
            self._store.settle_lost(is_running, now_s=time.time(), grace_s=0.0)
        except (*_UNUSABLE, OSError) as error:
            self._go_on_without(error)

    def stopping(self) -> None:
        if self._store is not None:
            self._store.close()

    def handle(self, message: PeerHistoryInbox) -> None:
        try:
            self._act(message)
        except _UNUSABLE as error:
            self._go_on_without(error)
            self._act(message)

    def _act(self, message: PeerHistoryInbox) -> None:
        store, now_s = self._store, time.time()
        assert store is not None
        if isinstance(message, LoadPeerHistory | ListPeers | ListStops):
            store.settle_lost(is_running, now_s=now_s)
        match message:
            case LoadPeerHistory():
                self._load(message, store, now_s)
            case PeerDelivered():
                store.record_delivery(
                    message.peer, rate_bytes_s=message.rate_bytes_s, setup_s=message.setup_s, now_s=now_s
                )
            case PeerFaulted():
                store.record_failure(message.peer, fault=message.fault, offset_ok=message.offset_ok, now_s=now_s)
            case PeerFileDiffers(peer=peer, name=name, size_bytes=size_bytes, differs=differs):
                store.record_content(peer, name, size_bytes, differs=differs, now_s=now_s)
            case PeerUploadOpened(peer=peer, ticket=ticket, pid=pid, reply_to=reply_to):
                store.upload_opened(peer, ticket, pid=pid, ahead=bool(reply_to), now_s=now_s)
                if reply_to:
                    self.bus.post(reply_to, PeerUploadNoted(peer=peer, ticket=ticket))
            case PeerUploadClosed(peer=peer, ticket=ticket, stopped=stopped):
                store.upload_closed(peer, ticket, stopped=stopped, now_s=now_s)
            case PeerUploadSettled(peer=peer, ticket=ticket, failed=failed):
                store.upload_settled(peer, ticket, failed=failed, now_s=now_s)
            case ListPeers():
                total, peers = store.known(offset=message.offset, limit=_page(message.limit), now_s=now_s)
                rows = [
                    PeerView(
                        peer=each.peer,
                        rate_bytes_s=each.rate_bytes_s,
                        setup_s=each.setup_s,
                        offset_ok=each.offset_ok,
                        failures=each.failures,
                        last_fault=each.last_fault,
                        stops_today=each.stops_today,
                        seen_ms=int(each.seen_s * 1000),
                    )
                    for each in peers
                ]
                self._answer(message, rows, total)
            case ListStops():
                total, stops = store.stop_history(message.peer, offset=message.offset, limit=_page(message.limit))
                counts = [StopCount(peer=peer, day=_date(day), count=count) for peer, day, count in stops]
                self._answer(message, counts, total)
            case _:
                assert_never(message)

    def _answer(self, query: ListPeers | ListStops, rows: Sequence[Value], total: int) -> None:
        for part in answers(query.request, rows, total=total):
            self.bus.post(query.reply_to, part)

    def _load(self, query: LoadPeerHistory, store: PeerStore, now_s: float) -> None:
        prior = store.prior(query.peer, now_s=now_s)
        loaded = PeerHistoryLoaded(
            job=query.job,
            source=query.source,
            peer=query.peer,
            rate_bytes_s=prior.rate_bytes_s,
            setup_s=prior.setup_s,
            offset_ok=prior.offset_ok,
            stops_today=prior.stops_today,
            odd=bool(query.name) and store.is_odd(query.peer, query.name, query.size_bytes, now_s=now_s),
        )
        self.bus.post(query.reply_to, loaded)

    def _go_on_without(self, error: Exception) -> None:
        if self._store is not None:
            self._store.close()
        if self._path and is_damage(error) and not self._begun_again:
            self._begun_again = True
            with contextlib.suppress(*_UNUSABLE, OSError):
                renamed = rename_damaged(self._path)
                self._store = PeerStore(self._path)
                _logger.warning("%s is damaged: it is called %s now, and begun again", self._path, renamed)
                return
        _logger.warning("%s cannot be used, peers are remembered for this process only: %s", self._path, error)
        self._store = PeerStore(_IN_MEMORY)


def _page(limit: int) -> int:
    return min(max(limit, 0), PAGE_MAX)


def _date(day: int) -> str:
    """Return the date of a day that is counted since 1970."""
    return (datetime.date(1970, 1, 1) + datetime.timedelta(days=day)).isoformat()
