"""The Soulseek network by way of aioslsk: login, searches, shares, messages to peers, and queries about users.

Used in the loop's thread only, which imports it late: aioslsk takes a second to load.
"""

import asyncio
import contextlib
import struct
from collections.abc import Callable, Iterator
from typing import Any, Final

from aioslsk.events import (  # type: ignore[import-untyped,unused-ignore]
    ConnectionStateChangedEvent,
    KickedEvent,
)
from aioslsk.exceptions import (  # type: ignore[import-untyped,unused-ignore]
    AioSlskException,
    AuthenticationError,
    NetworkError,
    SharedDirectoryError,
)
from aioslsk.network.connection import (  # type: ignore[import-untyped,unused-ignore]
    ConnectionState,
    ServerConnection,
)
from aioslsk.protocol.messages import (  # type: ignore[import-untyped,unused-ignore]
    GetPeerAddress,
    GetUserStats,
    GetUserStatus,
    PeerDirectoryContentsReply,
    PeerDirectoryContentsRequest,
    PeerPlaceInQueueRequest,
    PeerSharesReply,
    PeerSharesRequest,
    PeerTransferQueue,
    PeerTransferReply,
    PeerUserInfoReply,
    PeerUserInfoRequest,
)
from aioslsk.settings import (  # type: ignore[import-untyped,unused-ignore]
    CredentialsSettings,
    DebugSettings,
    InterestsSettings,
    NetworkSettings,
    RoomsSettings,
    SearchSettings,
    SharesSettings,
    TransfersSettings,
    UsersSettings,
)

from actors.core.peers.input_checks import printable, true_size
from actors.core.peers.refusals import encoded
from actors.runtime.network_interface import CHECK_S, NOWHERE, InterfaceGone, check_interface_there, interface_state
from actors.soulseek import finished_shares, login_watch
from actors.soulseek.aioslsk_patches import Client, PlainSettings, detach
from actors.soulseek.input_limits import TroubleLog
from actors.soulseek.ports import Connection, PeerAway, PeerEvents
from actors.soulseek.reconnect import InterfaceAway, LoginRefused, ServerAway
from actors.soulseek.settings import SessionSettings
from actors.soulseek.user_queries import Folder, Stats
from protocol.model.faults import FaultKind
from protocol.model.job_views import SharedFolderView, UploadView, UserAddressView, UserInfoView

__all__ = ["SoulseekNetwork", "detach"]

CANCELLED: Final = "Cancelled"
_PRESENCE: Final = {0: "Offline", 1: "Away", 2: "Online"}
_NO_ADDRESS: Final = "0.0.0.0"
CONNECT_S_MAX: Final = 15.0
LOGIN_S_MAX: Final = 15.0
STOP_S_MAX: Final = 3.0
SWEEP_S: Final = 30.0
FORGETS_A_SWEEP: Final = 3
UNWATCHED_S: Final = 120.0
"""Pause after another login of our name where it is not watched; it doubles, as each return ends the other login."""
UNWATCHED_S_MAX: Final = 3600.0
DESCRIPTION_CHARS_MAX: Final = 10_000
LISTED_S_MAX: Final = 5.0
"""An offer waits no longer for what its user's list says; uploaders wait at least 20 s for an answer."""


class SoulseekNetwork:
    """Owns aioslsk's client. `online` is set while logged in, `lost` when the server's connection is gone."""

    def __init__(self, settings: SessionSettings, receiver: PeerEvents, troubles: TroubleLog) -> None:
        self._settings = settings
        self._troubles = troubles
        self.client: Any = Client(_settings_of(settings), receiver, troubles)
        self._client = self.client
        self.online = asyncio.Event()
        self.lost = asyncio.Event()
        self.kicked = False
        self.why_offline = ""
        self.port = 0
        self._scan_wanted = asyncio.Event()
        self._scanning = False
        self._unwatched_s = UNWATCHED_S
        self._tasks: list[asyncio.Task[None]] = []
        self.interface_back: Callable[[], None] = lambda: None
        self.gone = ""
        self._unheard = False  # the listening sockets are bound to what was there before
        self._client.events.register(ConnectionStateChangedEvent, self._state_changed)
        self._client.events.register(KickedEvent, self._was_kicked)

    # The login.

    async def start(self) -> None:
        await self._client.start(connect=False)
        self._tasks = [asyncio.create_task(self._keep_scanning()), asyncio.create_task(self._keep_sweeping())]
        if self._settings.interface:
            self._tasks.append(asyncio.create_task(self._guard_interface()))
        if _folders_of(self._settings):
            self._scan_wanted.set()

    async def listen(self) -> None:
        """Take the port of the last time, which routers and peers know, or the first that is free.

        Raises `ServerAway` when all are taken.
        """
        settings = self._settings
        if settings.interface and (why := _why_gone(settings.interface)):
            raise InterfaceAway(why)
        for port in (self.port, *settings.ports) if self.port else settings.ports:
            with contextlib.suppress(NetworkError):
                self.port = await self._client.network.listen(settings.bind_host, port, settings.obfuscated_port)
                return
        raise ServerAway(f"listening port taken: {', '.join(map(str, settings.ports))}")

    async def log_in(self) -> None:
        """Connect and log in. Raises `ServerAway` or `LoginRefused`."""
        where = f"{self._settings.server_host}:{self._settings.server_port}"
        self.lost.clear()
        self.kicked = False
        if self._settings.interface and (why := self.gone or _why_gone(self._settings.interface)):
            raise ServerAway(why)
        if self._unheard:
            await self._client.network.stop_listening()
            await self.listen()
            self._unheard = False
        try:
            async with asyncio.timeout(CONNECT_S_MAX):
                await self._client.network.connect_server()
        except (NetworkError, TimeoutError) as error:
            cause = error.__cause__ if self._settings.proxy else None  # else it says no more than that
            raise ServerAway(f"{where} cannot be reached{f': {cause}' if cause else ''}") from None
        try:
            async with asyncio.timeout(LOGIN_S_MAX):
                await self._client.login()
        except AuthenticationError as error:
            await self.hang_up()
            raise LoginRefused(printable(str(error.reason), 100)) from None
        except (AioSlskException, TimeoutError):
            await self.hang_up()
            raise ServerAway(f"{where} does not answer the login") from None
        if self.lost.is_set():
            raise ServerAway(f"{where} closed the connection")
        self.online.set()

    async def hang_up(self) -> None:
        await self._client.network.disconnect_server()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        try:
            async with asyncio.timeout(STOP_S_MAX):
                await self._client.stop()
        except TimeoutError:
            self._troubles.note("aioslsk does not stop in time")

    def _state_changed(self, event: Any) -> None:
        if isinstance(event.connection, ServerConnection) and event.state is ConnectionState.CLOSED:
            self.online.clear()
            self.lost.set()

    async def _was_kicked(self, _event: Any) -> None:
        """The server waits for us to close, and answers nothing meanwhile."""
        self.kicked = True
        await self.hang_up()

    async def until_name_is_free(self) -> None:
        if self._settings.watch:
            await login_watch.until_name_is_free(self._settings)
        else:
            await asyncio.sleep(self._unwatched_s)
            self._unwatched_s = min(2 * self._unwatched_s, UNWATCHED_S_MAX)

    async def _guard_interface(self) -> None:
        """End all connections as soon as the interface is gone, or another one; log in again when it is back."""
        interface, seen = self._settings.interface, interface_state(self._settings.interface)
        while True:
            await asyncio.sleep(CHECK_S)
            state, before = interface_state(interface), seen
            seen = state
            if state == before != NOWHERE and not self.gone:
                continue
            if not self.gone:
                self.gone = _why_gone(interface) or f"interface {interface} has changed"
                self._troubles.note("connections were closed", self.gone)
                self._unheard = True
                await self._client.network.cut_off()
            if state == before != NOWHERE:  # for a whole period: its routes are there, too
                self.gone = ""
                self.interface_back()

    # Searches and shares.

    async def search(self, term: str) -> int:
        """Send a search; its ticket. Raises OSError."""
        try:
            request = await self._client.searches.search(term)
        except NetworkError as error:
            raise OSError(str(error)) from None
        return int(request.ticket)

    def forget_search(self, ticket: int) -> None:
        self._client.searches.requests.pop(ticket, None)

    def scan_shares(self) -> None:
        """Look again at what the shared folders hold."""
        self._scan_wanted.set()

    def share(self, folder: str) -> None:
        """Share the folder too, or look again at what it holds."""
        with contextlib.suppress(SharedDirectoryError):  # shared already: only its files have changed
            self._client.shares.add_shared_directory(folder)
        self._scan_wanted.set()

    def shares(self) -> list[SharedFolderView]:
        """Return what is shared, as the last scan found it."""
        return [
            SharedFolderView(
                path=one.absolute_path,
                alias=one.get_remote_path(),
                folders=len({item.subdir for item in one.items}),
                files=len(one.items),
                scanning=self._scanning,
            )
            for one in self._client.shares.shared_directories
        ]

    def uploads(self) -> list[UploadView]:
        """Return what is sent to others, or was lately."""
        return self._client.transfers.views()  # type: ignore[no-any-return]

    async def _keep_scanning(self) -> None:
        while True:
            self._scanning = False
            await self._scan_wanted.wait()
            self._scan_wanted.clear()
            self._scanning = True
            try:
                await self._client.shares.scan()
            except (OSError, NetworkError) as error:
                self._troubles.note("the shared folders could not be scanned", str(error))

    async def _keep_sweeping(self) -> None:
        seen: set[int] = set()
        unreachable: set[str] = set()
        while True:
            for _ in range(FORGETS_A_SWEEP):
                await asyncio.sleep(SWEEP_S / FORGETS_A_SWEEP)
                unreachable = await self._client.transfers.forget_ended(unreachable)
            seen = self._client.network.sweep(seen)

    # Messages to peers.

    async def connection_to(self, peer: str) -> Connection:
        connection = self._client.network.connection_to(peer)
        if connection is not None:
            return connection
        if why := await self.until_online():
            raise PeerAway(FaultKind.NOT_LOGGED_IN, why)
        if peer == self._settings.username:
            raise PeerAway(FaultKind.OFFLINE, f"{peer} is ourselves")
        try:
            async with asyncio.timeout(self._settings.times.connect_s_max):
                return await self._connect(peer)
        except TimeoutError:
            raise PeerAway(FaultKind.PEER_UNREACHABLE, f"{peer} does not answer our calls") from None
        except NetworkError:
            raise PeerAway(FaultKind.PEER_UNREACHABLE, f"{peer} can be reached neither way") from None

    async def _connect(self, peer: str) -> Connection:
        network = self._client.network
        future = network.create_server_response_future(GetPeerAddress.Response, fields={"username": peer})
        try:
            await network.send_server_messages(GetPeerAddress.Request(peer))
            _, address = await future
        finally:
            future.cancel()
        if address.ip == _NO_ADDRESS:
            raise PeerAway(FaultKind.OFFLINE, f"{peer} is offline")
        port, obfuscate = network.select_port(address.port, address.obfuscated_port)
        return await network.create_peer_connection(peer, "P", ip=address.ip, port=port or 0, obfuscate=obfuscate)

    async def until_online(self) -> str:
        """Wait for a login that is on its way, boundedly. Returns why there is none; empty: there is one."""
        if not self.online.is_set() and not self.why_offline:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.times.login_s_max):
                    await self.online.wait()
        return "" if self.online.is_set() else self.why_offline or "not logged in"

    async def request_file(self, connection: Connection, path: str, encoding: str) -> None:
        await self.send(connection, _with_path(PeerTransferQueue.Request, path, encoding))

    async def request_place(self, connection: Connection, path: str, encoding: str) -> None:
        await self.send(connection, _with_path(PeerPlaceInQueueRequest.Request, path, encoding))

    async def answer_offer(self, connection: Connection, ticket: int, *, allowed: bool) -> None:
        reason = None if allowed else CANCELLED
        await self.send(connection, PeerTransferReply.Request(ticket, allowed, reason=reason))

    async def send(self, connection: Connection, message: Any) -> None:
        """Send, or raise `PeerAway`: aioslsk drops a message to a closing connection silently."""
        # An accepted connection speaks a moment before aioslsk calls it connected.
        if connection.state not in (ConnectionState.CONNECTED, ConnectionState.UNINITIALIZED):
            raise PeerAway(FaultKind.PEER_UNREACHABLE, f"{connection.username} closed the connection")
        try:
            await connection.send_message(message)
        except NetworkError:
            raise PeerAway(FaultKind.PEER_UNREACHABLE, f"{connection.username} closed the connection") from None

    # Queries about users. Raise `PeerAway`, TimeoutError or OSError. A peer's answer is bounded before it is decoded;
    # a longer one costs the connection, and is then no answer at all.

    async def presence(self, peer: str) -> tuple[str, bool]:
        """``(presence, privileged)``."""
        answer = await self._ask_server(GetUserStatus.Request(peer), GetUserStatus.Response, peer)
        return _PRESENCE.get(answer.status, ""), bool(answer.privileged)

    async def stats(self, peer: str) -> Stats:
        stats = (await self._ask_server(GetUserStats.Request(peer), GetUserStats.Response, peer)).user_stats
        return Stats(stats.avg_speed, stats.shared_file_count, stats.shared_folder_count)

    async def info(self, peer: str) -> UserInfoView:
        answer = await self._ask_peer(PeerUserInfoRequest.Request(), PeerUserInfoReply.Request, peer, {})
        return UserInfoView(
            description=answer.description[:DESCRIPTION_CHARS_MAX],
            upload_slots=answer.upload_slots,
            queue_length=answer.queue_size,
            slots_free=answer.has_slots_free,
        )

    async def address(self, peer: str) -> UserAddressView:
        answer = await self._ask_server(GetPeerAddress.Request(peer), GetPeerAddress.Response, peer)
        if answer.ip == _NO_ADDRESS:
            raise PeerAway(FaultKind.OFFLINE, f"{peer} is offline")
        return UserAddressView(address=answer.ip, port=answer.port or 0)

    async def folder(self, peer: str, folder: str) -> Iterator[Folder]:
        ticket = next(self._client.ticket_generator)
        request = PeerDirectoryContentsRequest.Request(ticket, folder)
        answer = await self._ask_peer(request, PeerDirectoryContentsReply.Request, peer, {"ticket": ticket})
        return _folders(answer.directories)

    async def listed_size(self, peer: str, path: str) -> int:
        folder, _, name = path.rpartition("\\")
        try:
            async with asyncio.timeout(LISTED_S_MAX):
                listed = await self.folder(peer, folder)
        except (PeerAway, TimeoutError, OSError):
            return -1
        sizes = (true_size(size) for each in listed if each.path == folder for file, size in each.files if file == name)
        return next(sizes, -1)

    async def everything(self, peer: str) -> Iterator[Folder]:
        answer = await self._ask_peer(PeerSharesRequest.Request(), PeerSharesReply.Request, peer, {})
        return _folders(answer.directories)

    async def _ask_server(self, request: Any, kind: Any, peer: str) -> Any:
        network = self._client.network
        future = network.create_server_response_future(kind, fields={"username": peer})
        try:
            async with asyncio.timeout(self._settings.times.server_s_max):
                await network.send_server_messages(request)
                return (await future)[1]
        except NetworkError as error:
            raise OSError(str(error)) from None
        finally:
            future.cancel()

    async def _ask_peer(self, request: Any, kind: Any, peer: str, fields: dict[str, Any]) -> Any:
        connection = await self.connection_to(peer)
        future = self._client.network.create_peer_response_future(peer, kind, fields=fields)
        try:
            await self.send(connection, request)
            async with asyncio.timeout(self._settings.times.browse_s_max):
                return (await future)[1]
        finally:
            future.cancel()


def _why_gone(interface: str) -> str:
    """Return why nothing can leave by this interface, empty when it is there."""
    try:
        check_interface_there(interface)
    except InterfaceGone as gone:
        return gone.words
    return ""


def _with_path(request: Any, path: str, encoding: str) -> Any:
    """The message with its only field, in the encoding in which the peer knows the name."""
    if encoding == "utf-8":
        return request(path)
    name = encoded(path, encoding) or path.encode()
    body = struct.pack("<II", int(request.MESSAGE_ID), len(name)) + name
    return struct.pack("<I", len(body)) + body


def _folders(directories: Any) -> Iterator[Folder]:
    for directory in directories:
        yield Folder(directory.name, [(file.filename, file.filesize) for file in directory.files])


def _folders_of(settings: SessionSettings) -> tuple[str, ...]:
    """Folders that are shared from the start on."""
    if not settings.sharing:
        return ()
    back = settings.finished_folder
    return (*settings.shared_folders, *([back] if back and finished_shares.remove_dead_links(back) else []))


def _settings_of(settings: SessionSettings) -> Any:
    folders = _folders_of(settings)
    return PlainSettings(
        network=NetworkSettings.model_validate(
            {
                "server": {
                    "hostname": settings.server_host,
                    "port": settings.server_port,
                    "reconnect": {"auto": False},
                },
                # It would ask around by other interfaces, too.
                "upnp": {"enabled": settings.upnp and not (settings.interface or settings.proxy)},
                "limits": {"upload_speed_kbps": settings.upload_limit_kib_s},
            }
        ),
        credentials=CredentialsSettings(username=settings.username, password=settings.password),
        searches=SearchSettings.model_validate({"send": {"store_results": False}}),
        shares=SharesSettings.model_validate(
            {"scan_on_start": False, "directories": [{"path": folder} for folder in folders]}
        ),
        users=UsersSettings(),
        rooms=RoomsSettings(auto_join=False, private_room_invites=False),
        interests=InterestsSettings(),
        transfers=TransfersSettings.model_validate({"limits": {"upload_slots": settings.upload_slots}}),
        debug=DebugSettings(),
    )
