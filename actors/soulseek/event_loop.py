"""The session's event loop, in a thread of its own: aioslsk's client and what is built on it.

Messages come in from the actor's thread, answers go straight to the message bus. Everything else in this room is called
in the loop's thread only.
"""

import asyncio
import logging
import resource
import threading
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final, assert_never

from actors.core.jobs.transaction import answers
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
    | Ticked
)

_logger = logging.getLogger(__name__)

FILES_MAX: Final = 4096
"""Descriptors this process may have: hundreds of peers answer a search at the same time."""
STOP_S_MAX: Final = 5.0


class EventLoop:
    """Started by the session actor, which owns it. `failed(error)` is called in the loop's thread, as its last act."""

    def __init__(self, bus: MessageBus, settings: SessionSettings, *, failed: Callable[[BaseException], None]) -> None:
        self._bus = bus
        self._settings = settings
        self._failed = failed
        self._troubles = TroubleLog()
        self._early: list[SessionInbox] = []
        self._early_lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="soulseek", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def post(self, message: SessionInbox) -> None:
        """From any thread. What comes before the loop runs waits for it."""
        with self._early_lock:
            if self._loop is None:
                self._early.append(message)
                return
        self._call(self._handle, message)

    def stop(self) -> None:
        """From any thread. Returns when the loop has ended, or is late."""
        with self._early_lock:
            self._stopping = True
            stop = self._stop
        if stop is not None:
            self._call(stop.set)
        self._thread.join(timeout=STOP_S_MAX)

    def _call(self, function: Callable[..., object], *arguments: object) -> None:
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(function, *arguments)

    # In the loop's thread.

    def _run(self) -> None:
        try:
            _allow_files()
            with asyncio.Runner(loop_factory=self._new_loop) as runner:
                runner.run(self._main())
        except BaseException as error:
            _logger.exception("the session's loop failed")
            self._failed(error)

    def _new_loop(self) -> asyncio.AbstractEventLoop:
        if not (self._settings.interface or self._settings.proxy):
            return asyncio.new_event_loop()
        from actors.soulseek.bound_loop import BoundLoop

        return BoundLoop(self._settings.interface, self._settings.proxy)

    async def _main(self) -> None:
        from actors.soulseek.network import SoulseekNetwork, detach  # takes a second to load, here nothing waits for it

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
            network, settings.retry_s, changed=self._session_changed, logged_in=self._negotiations.logged_in
        )
        network.interface_back = self._login.hurry
        await network.start()
        stop = self._open_gate()
        try:
            # A login that is over leaves the transfers, and an answer to every request.
            await _first_of(self._login.run(), stop.wait())
        finally:
            self._searches.close()
            self._queries.close()
            self._negotiations.close()
            self._connections.close()
            await network.stop()

    def _open_gate(self) -> asyncio.Event:
        with self._early_lock:
            self._stop = asyncio.Event()
            if self._stopping:
                self._stop.set()
            self._loop = asyncio.get_running_loop()
            early, self._early = self._early, []
        for message in early:
            self._handle(message)
        return self._stop

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
