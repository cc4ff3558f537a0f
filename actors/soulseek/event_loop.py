"""The session's loop: aioslsk's client and our talk, in a thread of their own.

Messages come in from the actor's thread, answers go straight to the bus. Everything else in this room is called
in the loop's thread only.
"""

import asyncio
import logging
import resource
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final, assert_never

from actors.runtime.message_bus import MessageBus
from actors.soulseek import finished_shares
from actors.soulseek.file_connections import FileDoor
from actors.soulseek.input_limits import Once
from actors.soulseek.negotiations import Downloads
from actors.soulseek.ports import Line, PeerAway, Reply
from actors.soulseek.reconnect import Login
from actors.soulseek.searches import Budget, Searches
from actors.soulseek.settings import SessionSettings
from actors.soulseek.user_queries import Browsing
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
    GetUser,
    JobClosed,
    LogIn,
    LogOut,
    Message,
    SessionChanged,
    StartSearch,
    Ticked,
)
from protocol.messages.addresses import dispatcher_address
from protocol.messages.codec import BadFrame

SessionInbox = (
    StartSearch
    | CancelSearch
    | GetUser
    | BrowseUser
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
DECLINES_MAX: Final = 64


class EventLoop:
    """Started by the session actor, which owns it. `failed(error)` is called in the loop's thread, as its last act."""

    def __init__(self, bus: MessageBus, settings: SessionSettings, *, failed: Callable[[BaseException], None]) -> None:
        self._bus = bus
        self._settings = settings
        self._failed = failed
        self._once = Once()
        self._early: list[SessionInbox] = []
        self._early_lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._stopping = False
        self._declining: set[asyncio.Task[None]] = set()
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

    # the loop's thread

    def _run(self) -> None:
        try:
            _allow_files()
            asyncio.run(self._main())
        except BaseException as error:
            _logger.exception("the session's loop failed")
            self._failed(error)

    async def _main(self) -> None:
        from actors.soulseek.network import Net, detach  # a second of loading, that nobody has waited for
        from actors.soulseek.questions import Questions

        settings = self._settings
        self._say_what_is_shared()
        self._net = net = Net(settings, self, self._once)
        self._door = FileDoor(detach, self._once, ticket_s_max=settings.times.file_s_max)
        self._downloads = Downloads(
            net, self._door, settings.times, self._once, tell=self._tell, hand=self._hand, decline=self._decline
        )
        budget = Budget(settings.searches_max, settings.searches_s)
        self._searches = Searches(net, budget, self._once, post=self._bus.post, ready=net.until_online)
        questions = Questions(net, net.client, settings.times)
        self._browsing = Browsing(questions, self._once, post=self._bus.post, ready=net.until_online)
        self._login = Login(net, settings.retry_s, say=self._say, logged_in=self._downloads.logged_in)
        await net.start()
        stop = self._open_gate()
        try:
            # A login that is over leaves the rides, and an answer to whoever asks.
            await _first_of(self._login.run(), stop.wait())
        finally:
            self._searches.close()
            self._browsing.close()
            self._downloads.close()
            self._door.close()
            await net.stop()

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
                self._browsing.ask_user(message)
            case BrowseUser():
                self._browsing.ask_files(message)
            case EnqueueFile() | DequeueFile() | AcceptUpload() | DeclineUpload() | ConnectionClosed() | JobClosed():
                self._downloads.handle(message)
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

    def _share_back(self, path: str) -> None:
        folder = self._settings.finished_folder
        if not self._settings.sharing or not folder:
            return
        try:
            if finished_shares.keep(folder, path):
                self._net.share(folder)
        except OSError as error:
            self._once.note("finished files cannot be shared back", str(error))

    def _say_what_is_shared(self) -> None:
        settings = self._settings
        if not settings.sharing:
            _logger.warning("sharing is switched off: many users ban those who share nothing")
        elif not settings.shared_folders:
            _logger.warning("no folder is shared yet: many users ban those who share nothing")

    # to the other actors

    def _say(self, changed: SessionChanged) -> None:
        for address in self._settings.heard_by:
            self._bus.post(address, changed)

    def _tell(self, job: int, message: Message) -> None:
        try:
            self._bus.post(dispatcher_address(job), message)
        except BadFrame:
            self._once.note("a message was too long to be told", type(message).__name__)

    def _hand(self, worker: str, handed: ConnectionReady, fd: int) -> None:
        if not self._bus.post_with_fd(worker, handed, fd):
            _logger.info("%s is not there to take its connection", worker)
            gone = ConnectionClosed(job=handed.job, source=handed.source, ticket=handed.ticket, stopped=True)
            self._downloads.handle(gone)

    def _decline(self, line: Line, ticket: int) -> None:
        """Answer an offer that nobody asked for. More than so many at once are ignored."""
        if len(self._declining) < DECLINES_MAX:
            task = asyncio.create_task(self._declined(line, ticket))
            self._declining.add(task)
            task.add_done_callback(self._declining.discard)

    async def _declined(self, line: Line, ticket: int) -> None:
        try:
            await self._net.answer(line, ticket, allowed=False)
        except PeerAway as away:
            _logger.debug("not declined: %s", away)

    # Ports

    def offered(self, peer: str, path: str, ticket: int, size_bytes: int, line: Line) -> None:
        self._downloads.offered(peer, path, ticket, size_bytes, line)

    def denied(self, peer: str, path: str, reason: str) -> None:
        self._downloads.denied(peer, path, reason)

    def upload_failed(self, peer: str, path: str) -> None:
        self._downloads.upload_failed(peer, path)

    def place_told(self, peer: str, path: str, place: int) -> None:
        self._downloads.place_told(peer, path, place)

    def replied(self, reply: Reply) -> None:
        self._searches.reply(reply)

    def file_connection(self, connection: Any) -> None:
        self._door.admit(connection)

    def is_busy(self, peer: str) -> bool:
        return self._downloads.is_busy(peer) or self._browsing.is_busy(peer)


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
