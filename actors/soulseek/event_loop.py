"""The session's event loop, in a thread of its own: aioslsk's client and what is built on it.

Messages come in from the actor's thread, answers go straight to the message bus. Everything else in this room is called
in the loop's thread only.
"""

import asyncio
import logging
import resource
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final, assert_never

from actors.core.jobs.transaction import answers
from actors.runtime.loop_thread import LoopThread
from actors.runtime.message_bus import MessageBus
from actors.soulseek import finished_shares
from actors.soulseek.file_connections import FileConnections
from actors.soulseek.input_limits import TroubleLog
from actors.soulseek.negotiations import Negotiations
from actors.soulseek.ports import Connection, SearchReply
from actors.soulseek.reconnect import LoginKeeper
from actors.soulseek.searches import SearchBudget, Searches
from actors.soulseek.settings import SessionSettings
from actors.soulseek.user_queries import UserQueries
from protocol.messages import (
    AcceptUpload,
    BrowseUser,
    CancelSearch,
    ConnectionClosed,
    ConnectionReady,
    DeclineUpload,
    DequeueFile,
    EnqueueFile,
    FileFinished,
    GetSearchRation,
    GetUser,
    GetUserAddress,
    GetUserInfo,
    JobClosed,
    ListShares,
    ListUploads,
    LogIn,
    LogOut,
    PeerUploadNoted,
    Request,
    ScanShares,
    SessionChanged,
    StartSearch,
    Ticked,
)
from protocol.messages.addresses import Post
from protocol.messages.codec import BadFrame
from protocol.model.value import Value

SessionInbox = (
    StartSearch
    | CancelSearch
    | GetUser
    | GetUserInfo
    | GetUserAddress
    | BrowseUser
    | ListShares
    | ScanShares
    | GetSearchRation
    | ListUploads
    | EnqueueFile
    | DequeueFile
    | AcceptUpload
    | DeclineUpload
    | ConnectionClosed
    | FileFinished
    | LogIn
    | LogOut
    | JobClosed
    | PeerUploadNoted
    | Ticked
)

_logger = logging.getLogger(__name__)

FILES_MAX: Final = 4096
"""Descriptors this process may have: hundreds of peers answer a search at the same time."""


class EventLoop(LoopThread[SessionInbox]):
    """Started by the session actor, which owns it."""

    def __init__(self, bus: MessageBus, settings: SessionSettings, *, failed: Callable[[BaseException], None]) -> None:
        super().__init__("soulseek", failed=failed)
        self._bus = bus
        self._settings = settings
        self._troubles = TroubleLog()

    def _new_loop(self) -> asyncio.AbstractEventLoop:
        if not (self._settings.interface or self._settings.proxy):
            return super()._new_loop()
        from actors.soulseek.bound_loop import BoundLoop

        return BoundLoop(self._settings.interface, self._settings.proxy)

    async def _main(self) -> None:
        from actors.soulseek.network import SoulseekNetwork, detach  # takes a second to load, here nothing waits for it

        _allow_files()
        settings, post = self._settings, self._bus.post
        self._warn_if_nothing_is_shared()
        self._network = network = SoulseekNetwork(settings, self, self._troubles)
        self._connections = FileConnections(detach, self._troubles, ticket_s_max=settings.times.file_s_max)
        self._negotiations = Negotiations(
            network, self._connections, settings.times, self._troubles, post=self._post, hand=self._hand
        )
        budget = SearchBudget(settings.searches_max, settings.searches_s)
        self._searches = Searches(network, budget, self._troubles, post=post, ready=network.until_online)
        self._queries = UserQueries(network, self._troubles, post=post, ready=network.until_online)
        self._login = LoginKeeper(
            network,
            settings.retry_s,
            changed=self._session_changed,
            logged_in=self._negotiations.logged_in,
            retry_ports=settings.retry_ports,
        )
        network.interface_back = self._login.hurry
        await network.start()
        stop = self._open_inbox()
        try:
            # A login that is over leaves the transfers, and an answer to every request.
            await _first_of(self._login.run(), stop.wait())
        finally:
            self._searches.close()
            self._queries.close()
            self._negotiations.close()
            self._connections.close()
            await network.stop()

    def _handle(self, message: SessionInbox) -> None:
        match message:
            case StartSearch():
                self._searches.ask(message)
            case CancelSearch():
                self._searches.leave(message)
            case GetUser():
                self._queries.get_user(message)
            case GetUserInfo() | GetUserAddress():
                self._queries.ask(message)
            case BrowseUser():
                self._queries.browse(message)
            case ScanShares():
                self._network.scan_shares()
            case ListShares():
                self._answer(message, self._network.shares())
            case ListUploads():
                self._answer(message, self._network.uploads())
            case GetSearchRation():
                self._answer(message, [self._searches.ration()])
            case EnqueueFile() | DequeueFile() | AcceptUpload() | DeclineUpload() | ConnectionClosed() | JobClosed():
                self._negotiations.handle(message)
            case PeerUploadNoted():
                self._negotiations.handle(message)
            case LogIn():
                self._login.want()
            case LogOut():
                self._login.leave()
            case FileFinished(path=path):
                self._share_back(path)
            case Ticked():
                pass
            case _:
                assert_never(message)

    def _answer(self, request: Request, rows: Iterable[Value]) -> None:
        for part in answers(request.request, rows):
            self._bus.post(request.reply_to, part)

    def _share_back(self, path: str) -> None:
        folder = self._settings.finished_folder
        if not self._settings.sharing or not folder:
            return
        try:
            if finished_shares.add(folder, path):
                self._network.share(folder)
        except OSError as error:
            self._troubles.note("finished files cannot be shared back", str(error))

    def _warn_if_nothing_is_shared(self) -> None:
        settings = self._settings
        if not settings.sharing:
            _logger.warning("sharing is switched off: many users ban those who share nothing")
        elif not settings.shared_folders:
            _logger.warning("no folder is shared yet: many users ban those who share nothing")

    # To the other actors.

    def _session_changed(self, changed: SessionChanged) -> None:
        for address in self._settings.heard_by:
            self._bus.post(address, changed)

    def _post(self, post: Post) -> None:
        try:
            self._bus.post(post.to, post.message)
        except BadFrame:
            self._troubles.note("a message was too long to be sent on", type(post.message).__name__)

    def _hand(self, worker: str, ready: ConnectionReady, fd: int) -> bool:
        return self._bus.post_with_fd(worker, ready, fd)

    # PeerEvents

    def offered(self, peer: str, path: str, ticket: int, size_bytes: int, connection: Connection) -> None:
        self._negotiations.offered(peer, path, ticket, size_bytes, connection)

    def denied(self, peer: str, path: str, reason: str) -> None:
        self._negotiations.denied(peer, path, reason)

    def upload_failed(self, peer: str, path: str) -> None:
        self._negotiations.upload_failed(peer, path)

    def place_reported(self, peer: str, path: str, place: int) -> None:
        self._negotiations.place_reported(peer, path, place)

    def search_replied(self, reply: SearchReply) -> None:
        self._searches.reply(reply)

    def file_connected(self, connection: Any) -> None:
        self._connections.admit(connection)

    def is_busy(self, peer: str) -> bool:
        return self._negotiations.is_busy(peer) or self._queries.is_busy(peer)


async def _first_of(*works: Coroutine[Any, Any, Any]) -> None:
    """Return when one has ended, raise what it raised, and end the others."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _allow_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_MAX if hard == resource.RLIM_INFINITY else min(FILES_MAX, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
