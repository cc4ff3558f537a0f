"""The network as the rest of the session sees it: connect, log in, search, share, and say things to peers.

Only the loop's thread comes here, and imports it late: aioslsk takes a second to load.
"""

import asyncio
import contextlib
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
    PeerPlaceInQueueRequest,
    PeerTransferQueue,
    PeerTransferReply,
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

from actors.soulseek import finished_shares
from actors.soulseek.aioslsk_patches import Client, PlainSettings, detach
from actors.soulseek.input_limits import Once
from actors.soulseek.ports import Line, PeerAway, Ports
from actors.soulseek.reconnect import LoginRefused, ServerAway
from actors.soulseek.settings import SessionSettings
from protocol.model.faults import FaultKind

__all__ = ["Net", "detach"]

CANCELLED: Final = "Cancelled"
_NOBODY: Final = "0.0.0.0"
CONNECT_S_MAX: Final = 15.0
LOGIN_S_MAX: Final = 15.0
STOP_S_MAX: Final = 3.0
SWEEP_S: Final = 30.0


class Net:
    """Owns aioslsk's client. `online` is set while logged in, `lost` when the server's connection is gone."""

    def __init__(self, settings: SessionSettings, ears: Ports, once: Once) -> None:
        self._settings = settings
        self._once = once
        self.client: Any = Client(_settings_of(settings), ears, once)
        self._client = self.client
        self.online = asyncio.Event()
        self.lost = asyncio.Event()
        self.kicked = False
        self.over = False
        """There will be no login any more: nothing waits for one."""
        self._scan_wanted = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._client.events.register(ConnectionStateChangedEvent, self._state_changed)
        self._client.events.register(KickedEvent, self._was_kicked)

    # the login

    async def start(self) -> None:
        await self._client.start(connect=False)
        self._tasks = [asyncio.create_task(self._keep_scanning()), asyncio.create_task(self._keep_sweeping())]
        if _folders_of(self._settings):
            self._scan_wanted.set()

    async def listen(self) -> int:
        """Take the first free port and return it. Raises `ServerAway` when all are taken."""
        settings = self._settings
        for port in settings.ports:
            try:
                listening: int = await self._client.network.listen(settings.bind_host, port, settings.obfuscated_port)
            except NetworkError:
                continue
            return listening
        raise ServerAway(f"listening port taken: {', '.join(map(str, settings.ports))}")

    async def log_in(self) -> None:
        """Connect and log in. Raises `ServerAway` or `LoginRefused`."""
        where = f"{self._settings.server_host}:{self._settings.server_port}"
        self.lost.clear()
        self.kicked = False
        try:
            async with asyncio.timeout(CONNECT_S_MAX):
                await self._client.network.connect_server()
        except (NetworkError, TimeoutError):
            raise ServerAway(f"{where} cannot be reached") from None
        try:
            async with asyncio.timeout(LOGIN_S_MAX):
                await self._client.login()
        except AuthenticationError as error:
            await self.hang_up()
            raise LoginRefused(str(error.reason)[:100]) from None
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
            self._once.note("aioslsk does not stop in time")

    def _state_changed(self, event: Any) -> None:
        if isinstance(event.connection, ServerConnection) and event.state is ConnectionState.CLOSED:
            self.online.clear()
            self.lost.set()

    def _was_kicked(self, _event: Any) -> None:
        self.kicked = True

    # searching and sharing

    async def search(self, term: str) -> int:
        """Send a search; its ticket. Raises OSError."""
        try:
            request = await self._client.searches.search(term)
        except NetworkError as error:
            raise OSError(str(error)) from None
        return int(request.ticket)

    def forget_search(self, ticket: int) -> None:
        self._client.searches.requests.pop(ticket, None)

    def share(self, folder: str) -> None:
        """Share the folder too, or look again at what it holds."""
        with contextlib.suppress(SharedDirectoryError):  # shared already: only its files have changed
            self._client.shares.add_shared_directory(folder)
        self._scan_wanted.set()

    async def _keep_scanning(self) -> None:
        while True:
            await self._scan_wanted.wait()
            self._scan_wanted.clear()
            try:
                await self._client.shares.scan()
            except (OSError, NetworkError) as error:
                self._once.note("the shared folders could not be scanned", str(error))

    async def _keep_sweeping(self) -> None:
        seen: set[int] = set()
        while True:
            await asyncio.sleep(SWEEP_S)
            seen = self._client.network.sweep(seen)

    # Lines

    async def line(self, peer: str) -> Line:
        line = self._client.network.best_line(peer)
        if line is not None:
            return line
        if not await self.until_online():
            raise PeerAway(FaultKind.NOT_LOGGED_IN, "not logged in")
        if peer == self._settings.username:
            raise PeerAway(FaultKind.OFFLINE, f"{peer} is ourselves")
        try:
            async with asyncio.timeout(self._settings.times.connect_s_max):
                return await self._called(peer)
        except TimeoutError:
            raise PeerAway(FaultKind.PEER_UNREACHABLE, f"{peer} does not answer our calls") from None
        except NetworkError:
            raise PeerAway(FaultKind.PEER_UNREACHABLE, f"{peer} can be reached neither way") from None

    async def _called(self, peer: str) -> Line:
        network = self._client.network
        future = network.create_server_response_future(GetPeerAddress.Response, fields={"username": peer})
        try:
            await network.send_server_messages(GetPeerAddress.Request(peer))
            _, address = await future
        finally:
            future.cancel()
        if address.ip == _NOBODY:
            raise PeerAway(FaultKind.OFFLINE, f"{peer} is offline")
        port, obfuscate = network.select_port(address.port, address.obfuscated_port)
        return await network.create_peer_connection(peer, "P", ip=address.ip, port=port or 0, obfuscate=obfuscate)

    async def until_online(self) -> bool:
        """Wait for a login that is on its way, boundedly; whether there is one."""
        if not self.online.is_set() and not self.over:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.times.login_s_max):
                    await self.online.wait()
        return self.online.is_set()

    async def queue_upload(self, line: Line, path: str) -> None:
        await self.say(line, PeerTransferQueue.Request(path))

    async def ask_place(self, line: Line, path: str) -> None:
        await self.say(line, PeerPlaceInQueueRequest.Request(path))

    async def answer(self, line: Line, ticket: int, *, allowed: bool) -> None:
        await self.say(line, PeerTransferReply.Request(ticket, allowed, reason=None if allowed else CANCELLED))

    async def say(self, line: Line, message: Any) -> None:
        """aioslsk says nothing on a closing connection, without a word."""
        # An accepted connection speaks a moment before aioslsk calls it connected.
        if line.state not in (ConnectionState.CONNECTED, ConnectionState.UNINITIALIZED):
            raise PeerAway(FaultKind.PEER_UNREACHABLE, f"{line.username} closed the connection")
        try:
            await line.send_message(message)
        except NetworkError:
            raise PeerAway(FaultKind.PEER_UNREACHABLE, f"{line.username} closed the connection") from None


def _folders_of(settings: SessionSettings) -> tuple[str, ...]:
    """What is shared from the start on."""
    if not settings.sharing:
        return ()
    back = settings.finished_folder
    return (*settings.shared_folders, *([back] if back and finished_shares.tidy(back) else []))


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
                "upnp": {"enabled": settings.upnp},
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
