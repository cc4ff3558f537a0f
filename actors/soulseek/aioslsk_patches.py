"""Patches and subclasses of aioslsk: every private name of it that is touched, and every limit set inside it.

aioslsk has no limits against hostile peers and no hook between an accepted offer and its bytes; so some of its methods
are replaced or overridden here, and nowhere else. The test beside this file lists them with digests of the source that
was read when this was written: to raise aioslsk's version, read again what has changed.
"""

import asyncio
import logging
import os
import struct
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, TypeVar

from aioslsk.client import SoulSeekClient  # type: ignore[import-untyped,unused-ignore]
from aioslsk.events import on_message  # type: ignore[import-untyped,unused-ignore]
from aioslsk.network import connection as connections  # type: ignore[import-untyped,unused-ignore]
from aioslsk.network.connection import (  # type: ignore[import-untyped,unused-ignore]
    CloseReason,
    DataConnection,
    ListeningConnection,
    PeerConnection,
    PeerConnectionState,
    PeerConnectionType,
    ServerConnection,
)
from aioslsk.network.network import Network, PeerFuture  # type: ignore[import-untyped,unused-ignore]
from aioslsk.protocol import obfuscation, primitives  # type: ignore[import-untyped,unused-ignore]
from aioslsk.protocol.messages import (  # type: ignore[import-untyped,unused-ignore]
    ConnectToPeer,
    PeerPlaceInQueueReply,
    PeerSearchReply,
    PeerTransferQueue,
    PeerTransferQueueFailed,
    PeerTransferReply,
    PeerTransferRequest,
    PeerUploadFailed,
    PotentialParents,
)
from aioslsk.search.manager import SearchManager  # type: ignore[import-untyped,unused-ignore]
from aioslsk.settings import Settings  # type: ignore[import-untyped,unused-ignore]
from aioslsk.shares.manager import SharesManager  # type: ignore[import-untyped,unused-ignore]
from aioslsk.transfer.manager import TransferManager  # type: ignore[import-untyped,unused-ignore]
from aioslsk.transfer.state import TransferState  # type: ignore[import-untyped,unused-ignore]
from aioslsk.user.model import UserStatus  # type: ignore[import-untyped,unused-ignore]

from actors.soulseek.input_limits import (
    CALLS_MAX,
    DISTRIBUTED_BYTES_MAX,
    INIT_BYTES_MAX,
    INIT_S_MAX,
    LARGE_AT_ONCE,
    LARGE_S_MAX,
    LATE_MAX,
    LATE_S_MAX,
    MUTE_LIMIT,
    MUTE_MAX,
    MUTE_S_MIN,
    OBFUSCATED_BYTES_MAX,
    PARENTS_MAX,
    PARENTS_S,
    PEER_BYTES_MAX,
    PEERS_MAX,
    SERVER_BYTES_MAX,
    SMALL_BYTES_MAX,
    UPLOADS_ENDED_MAX,
    UPLOADS_MAX,
    UPLOADS_OF_ADDRESS_MAX,
    BoundedZlib,
    TroubleLog,
    bounded_array,
)
from actors.soulseek.ports import PeerEvents, SearchReply
from actors.soulseek.search_replies import decode_search_reply, is_search_reply
from actors.soulseek.server_line import notice_silence
from protocol.model.job_views import UploadView
from storage.layout import PART_SUFFIX, RECORDS_SUFFIX, REWRITTEN_SUFFIX

SPEED_MAX: Final = (1 << 32) - 1
TOO_MANY: Final = "Too many files"
UPLOAD: Final = 1
"""Direction of a TransferRequest: the sender wants to send."""
UPLOADS_SHOWN_MAX: Final = 500
_SHOWN: Final = {
    TransferState.UPLOADING: (0, "sending"),
    TransferState.INITIALIZING: (1, "queued"),
    TransferState.QUEUED: (2, "queued"),
    TransferState.COMPLETE: (3, "complete"),
}
_ENDED: Final = (3, "ended")
_UNFINISHED: Final = (PART_SUFFIX, RECORDS_SUFFIX, REWRITTEN_SUFFIX)

_Handler = TypeVar("_Handler", bound=Callable[..., Any])


def _on(message: Any) -> Callable[[_Handler], _Handler]:
    register: Callable[[_Handler], _Handler] = on_message(message)
    return register


def bytes_max(connection: Any) -> int:
    """How long a message on this connection may be."""
    if isinstance(connection, ServerConnection):
        return SERVER_BYTES_MAX
    if connection.connection_state is PeerConnectionState.AWAITING_INIT:
        return INIT_BYTES_MAX
    if connection.connection_type != "P":
        return DISTRIBUTED_BYTES_MAX
    return OBFUSCATED_BYTES_MAX if connection.obfuscated else PEER_BYTES_MAX


async def _read_message(self: Any) -> bytes:
    """In place of `DataConnection._read_message`: the same with limits. Whatever it raises closes the connection."""
    reader = self._reader
    if reader is None:
        raise EOFError("the connection is closed")
    is_mute = isinstance(self, PeerConnection) and self.connection_state is PeerConnectionState.AWAITING_INIT
    async with asyncio.timeout(INIT_S_MAX if is_mute else None):
        key_bytes = obfuscation.KEY_SIZE if self.obfuscated else 0
        header: bytes = await reader.readexactly(key_bytes + 4)
        (length,) = struct.unpack("<I", obfuscation.decode(header) if self.obfuscated else header)
        if not 0 < length <= bytes_max(self):
            _note(self, "a message of impossible length was refused", f"{length} bytes from {self.hostname}")
            raise ValueError(f"a message of {length} bytes")
        if length <= SMALL_BYTES_MAX:
            return header + bytes(await reader.readexactly(length))
    return header + await _large(self, reader, length)


async def _large(self: Any, reader: asyncio.StreamReader, length: int) -> bytes:
    if isinstance(self, ServerConnection):
        return await reader.readexactly(length)
    async with self.network.large, asyncio.timeout(LARGE_S_MAX):
        return await reader.readexactly(length)


def _note(connection: Any, kind: str, detail: str) -> None:
    troubles: TroubleLog | None = getattr(connection.network, "troubles", None)
    if troubles is not None:
        troubles.note(kind, detail)


def _decode_message_data(self: Any, data: bytes) -> Any:
    """In place of `DataConnection.decode_message_data`: logs once what could not be read."""
    try:
        return _decode_unbounded(self, data)
    except Exception as error:
        _note(self, "an unreadable message was dropped", f"from {self.hostname}: {error.__cause__ or error!r}"[:200])
        raise


_decode_unbounded: Final = DataConnection.decode_message_data


def _deserialize_message(self: Any, data: bytes) -> Any:
    """In place of `PeerConnection.deserialize_message`: search replies to us are decoded by what is awaited.

    Other clients of aioslsk in this process get theirs from aioslsk.
    """
    is_peer = self.connection_type == PeerConnectionType.PEER
    greeted = self.connection_state is not PeerConnectionState.AWAITING_INIT
    if is_peer and greeted and is_search_reply(data) and isinstance(self.network, BoundedNetwork):
        return decode_search_reply(data, self.network.is_awaited)
    return _deserialize_any(self, data)


_deserialize_any: Final = PeerConnection.deserialize_message


def limit_aioslsk() -> None:
    """Put the limits in place. For the whole process and for good; again does nothing."""
    primitives.zlib = BoundedZlib
    primitives.array.deserialize = classmethod(bounded_array)
    DataConnection._read_message = _read_message
    DataConnection.decode_message_data = _decode_message_data
    PeerConnection.deserialize_message = _deserialize_message
    if logging.getLogger().getEffectiveLevel() > logging.DEBUG:
        # It logs what peers send, whole messages and at every occasion.
        logging.getLogger("aioslsk").setLevel(logging.CRITICAL + 1)


# The client, part by part.


class PlainSettings(Settings):  # type: ignore[misc,unused-ignore]
    """aioslsk's settings read environment variables as common as DEBUG; these take only what they are given."""

    @classmethod
    def settings_customise_sources(cls, settings_cls: Any, init_settings: Any, **_others: Any) -> tuple[Any, ...]:
        return (init_settings,)


class BoundedNetwork(Network):  # type: ignore[misc,unused-ignore]
    """Bounded numbers of connections, accepted and made. `busy` says which peers' connections are not to be dropped."""

    def __init__(self, settings: Any, events: Any, *, troubles: TroubleLog, busy: Callable[[str], bool]) -> None:
        super().__init__(settings, events)
        self.troubles = troubles
        self.large = asyncio.Semaphore(LARGE_AT_ONCE)
        self._busy = busy
        self._mute: OrderedDict[Any, float] = OrderedDict()  # since when, oldest first
        self._closing_tasks: set[asyncio.Task[None]] = set()
        self._late: set[int] = set()
        self._spoken: weakref.WeakSet[Any] = weakref.WeakSet()
        self._parents_s = 0.0
        self.is_awaited: Callable[[int], bool] = lambda _ticket: False
        """Whether a search with this ticket is running."""

    async def connect_server(self) -> None:
        await super().connect_server()
        if self.server_connection._writer is not None:
            notice_silence(self.server_connection._writer)

    def create_listening_connections(self) -> tuple[None, None]:
        """None yet: `listen` makes them."""
        return None, None

    async def listen(self, host: str, port: int, obfuscated_port: int) -> int:
        """Listen at `port` (0: any) and return which; the second port only if it is free. Raises NetworkError."""
        plain = await self._listening(host, port, obfuscated=False)
        hidden = None
        if obfuscated_port >= 0:
            try:
                hidden = await self._listening(host, obfuscated_port, obfuscated=True)
            except connections.ConnectionFailedError:
                self.troubles.note("the port for obfuscated connections is taken", str(obfuscated_port))
        self.listening_connections = (plain, hidden)
        return int(plain.port)

    async def _listening(self, host: str, port: int, *, obfuscated: bool) -> Any:
        made = ListeningConnection(host, port, self, obfuscated=obfuscated)
        await made.connect()
        made.port = made._server.sockets[0].getsockname()[1]
        return made

    async def on_peer_accepted(self, connection: Any) -> None:
        if len(self._mute) >= MUTE_LIMIT:
            await connection.disconnect(CloseReason.REQUESTED)
            return
        now_s = time.monotonic()
        self._mute[connection] = now_s
        oldest, since_s = next(iter(self._mute.items()))
        if len(self._mute) > MUTE_MAX and since_s <= now_s - MUTE_S_MIN:
            del self._mute[oldest]
            self.troubles.note("too many connections that say nothing: the oldest are closed", oldest.hostname)
            self.close_soon(oldest)
        try:
            await super().on_peer_accepted(connection)
        except asyncio.InvalidStateError:
            # Both ways to the peer came about at once: the call that this one answers was given up a moment ago. It is
            # a connection like others all the same, and the error would have asyncio close it, with the peer's offers.
            pass
        finally:
            self._mute.pop(connection, None)
        self._make_room()

    def _make_room(self) -> None:
        """Over the limit the oldest P connection that is not needed is closed."""
        if len(self.peer_connections) - len(self._mute) <= PEERS_MAX:
            return
        for connection in self.peer_connections:
            if connection in self._mute or connection.connection_type != "P" or self._busy(connection.username or ""):
                continue
            self.troubles.note("too many connections of peers: the oldest are closed", connection.hostname)
            self.close_soon(connection)
            return

    async def stop_listening(self) -> None:
        """Close the listening ports, before `listen` opens others."""
        for listening in self.listening_connections:
            if listening is not None:
                await listening.disconnect(CloseReason.REQUESTED)
        self.listening_connections = (None, None)

    async def cut_off(self) -> None:
        """End all connections at once; what is not sent yet is not sent any more."""
        await self.stop_listening()
        for connection in (*self.peer_connections, self.server_connection):
            writer = getattr(connection, "_writer", None)
            if writer is not None:
                writer.transport.abort()
        for connection in list(self.peer_connections):
            self.close_soon(connection)
        await self.disconnect_server()

    def close_soon(self, connection: Any) -> None:
        task = asyncio.ensure_future(connection.disconnect(CloseReason.REQUESTED))
        self._closing_tasks.add(task)
        task.add_done_callback(self._closing_tasks.discard)

    def _remove_connection_future(self, ticket: int, connection_future: Any) -> None:
        """Accept a peer's answer to our call for a P connection after the direct way has won, too.

        The peer may already be talking on it, and aioslsk would close it with what was sent.
        """
        super()._remove_connection_future(ticket, connection_future)
        if connection_future.typ == "P" and connection_future.cancelled() and len(self._late) < LATE_MAX:
            self._late.add(ticket)
            self._expected_connection_futures[ticket] = PeerFuture(ticket, connection_future.username, "P")
            asyncio.get_running_loop().call_later(LATE_S_MAX, self._forget_late, ticket)

    def _forget_late(self, ticket: int) -> None:
        self._late.discard(ticket)
        self._expected_connection_futures.pop(ticket, None)

    async def on_message_received(self, message: Any, connection: Any) -> None:
        self._spoken.add(connection)
        if isinstance(message, PotentialParents.Response):
            self._bound_parents(message)
        await super().on_message_received(message, connection)

    def _bound_parents(self, message: Any) -> None:
        """Leave a few entries: aioslsk calls all of them at once."""
        now_s = time.monotonic()
        allowed = PARENTS_MAX if now_s - self._parents_s >= PARENTS_S else 0
        if len(message.entries) > allowed:
            self.troubles.note("the server named more potential parents than are called", str(len(message.entries)))
            del message.entries[allowed:]
        if allowed:
            self._parents_s = now_s

    def connection_to(self, peer: str) -> Any:
        """The P connection to use: one that the peer has spoken on, since of two it may have dropped the other."""
        active = self.get_active_peer_connections(peer, "P")
        return next((each for each in reversed(active) if each in self._spoken), active[-1] if active else None)

    @_on(ConnectToPeer.Response)
    async def _on_connect_to_peer(self, message: Any, connection: Any) -> None:
        if len(self._create_peer_connection_tasks) >= CALLS_MAX:
            self.troubles.note("too many requests to call peers: some are ignored", str(message.ip))
            return
        await super()._on_connect_to_peer(message, connection)

    def sweep(self, seen: set[int]) -> set[int]:
        """Drop what attempts to connect left behind when they were cancelled: aioslsk forgets those.

        `seen` is what the last sweep returned; what is found twice is dropped.
        """
        lost: set[int] = set()
        for connection in list(self.peer_connections):
            if connection.incoming or connection.connection_state is not PeerConnectionState.AWAITING_INIT:
                continue
            if id(connection) in seen:
                self.close_soon(connection)
                self.remove_peer_connection(connection)
            else:
                lost.add(id(connection))
        return lost


class Uploads(TransferManager):  # type: ignore[misc,unused-ignore]
    """Uploads by aioslsk; messages about downloads go to the receiver.

    Three of its faults are mended: a speed or an offset that is too large for its own code, and a queue length that is
    always 0.
    """

    def __init__(self, receiver: PeerEvents, troubles: TroubleLog, *parts: Any, **more: Any) -> None:
        self._receiver = receiver
        self._troubles = troubles
        self._hosts: dict[str, str] = {}
        super().__init__(*parts, **more)

    @_on(PeerTransferRequest.Request)
    async def _on_peer_transfer_request(self, message: Any, connection: Any) -> None:
        if not connection.username:
            return
        if message.direction == UPLOAD:
            size = -1 if message.filesize is None else message.filesize
            self._receiver.offered(connection.username, message.filename, message.ticket, size, connection)
        elif message.direction == 0 and self._is_full(connection):
            connection.queue_message(PeerTransferReply.Request(message.ticket, False, reason=TOO_MANY))
        elif message.direction == 0:
            await super()._on_peer_transfer_request(message, connection)
        else:
            self._troubles.note("a transfer request of no known direction was ignored", str(message.direction))

    @_on(PeerTransferQueue.Request)
    async def _on_peer_transfer_queue(self, message: Any, connection: Any) -> None:
        if connection.username and self._is_full(connection):
            connection.queue_message(PeerTransferQueueFailed.Request(filename=message.filename, reason=TOO_MANY))
        else:
            await super()._on_peer_transfer_queue(message, connection)

    def _is_full(self, connection: Any) -> bool:
        """Whether one more upload is refused: too many are wanted in all, or from this address."""
        if connection.username not in self._hosts and len(self._hosts) > UPLOADS_MAX:
            wanting = {each.username for each in self._transfers}
            self._hosts = {name: host for name, host in self._hosts.items() if name in wanting}
        self._hosts[connection.username] = connection.hostname
        open_hosts = [self._hosts.get(each.username) for each in self._transfers if not each.is_finalized()]
        full = len(open_hosts) >= UPLOADS_MAX or open_hosts.count(connection.hostname) >= UPLOADS_OF_ADDRESS_MAX
        if full:
            self._troubles.note("too many uploads are wanted: some were refused", str(connection.hostname))
        return full

    async def forget_ended(self, unreachable: set[str]) -> set[str]:
        """Drop uploads to users who are gone, and the oldest of those that have ended: aioslsk keeps them for ever.

        A user is gone who is offline, or of whom the server knows nothing (no such name: it would be called again and
        again) and who had no connection to us at two calls. Returns the names of those to be passed next time.
        """
        waiting = [each for each in self._transfers if self._is_waiting(each)]
        unknown = {each.username for each in waiting if self._is_unreachable(each.username)}
        gone = [each for each in waiting if self._is_offline(each.username) or each.username in unknown & unreachable]
        ended = [each for each in self._transfers if each.is_finalized()]
        for each in (*gone, *ended[: max(0, len(ended) - UPLOADS_ENDED_MAX)]):
            await self.remove(each)
        return unknown

    def _is_waiting(self, transfer: Any) -> bool:
        return transfer.is_upload() and transfer.state.VALUE in (TransferState.QUEUED, TransferState.INITIALIZING)

    def _is_unreachable(self, name: str) -> bool:
        status = self._user_manager.get_user_object(name).status
        return status is UserStatus.UNKNOWN and not self._network.get_active_peer_connections(name, "P")

    def _is_offline(self, name: str) -> bool:
        return self._user_manager.get_user_object(name).status is UserStatus.OFFLINE

    @_on(PeerTransferQueueFailed.Request)
    async def _on_peer_transfer_queue_failed(self, message: Any, connection: Any) -> None:
        if connection.username:
            self._receiver.denied(connection.username, message.filename, message.reason)

    @_on(PeerUploadFailed.Request)
    async def _on_peer_upload_failed(self, message: Any, connection: Any) -> None:
        if connection.username:
            self._receiver.upload_failed(connection.username, message.filename)

    @_on(PeerPlaceInQueueReply.Request)
    async def _on_peer_place_in_queue_reply(self, message: Any, connection: Any) -> None:
        if connection.username:
            self._receiver.place_reported(connection.username, message.filename, message.place)

    async def _on_peer_initialized(self, event: Any) -> None:
        if event.connection.connection_type == "F" and not event.requested:
            self._receiver.file_connected(event.connection)

    async def _upload_file(self, transfer: Any, connection: Any) -> None:
        if transfer.bytes_transfered > (transfer.filesize or 0):
            self._troubles.note("an offset behind the end of a file was refused", str(transfer.username))
            await transfer.state.start_transferring()
            await transfer.state.fail()
            await connection.disconnect(CloseReason.REQUESTED)
            return
        await super()._upload_file(transfer, connection)

    def views(self) -> list[UploadView]:
        """Return the uploads: first those that are sent, then those that wait, then those that ended."""
        uploads = [each for each in self._transfers if each.is_upload()]
        uploads.sort(key=lambda each: _SHOWN.get(each.state.VALUE, _ENDED)[0])
        return [
            UploadView(
                peer=each.username,
                path=each.remote_path,
                state=_SHOWN.get(each.state.VALUE, _ENDED)[1],
                size_bytes=each.filesize or 0,
                sent_bytes=each.bytes_transfered,
                rate_bytes_s=float(each.get_speed()) if each.state.VALUE is TransferState.UPLOADING else 0.0,
            )
            for each in uploads[:UPLOADS_SHOWN_MAX]
        ]

    def get_average_upload_speed(self) -> float:
        return min(float(super().get_average_upload_speed()), float(SPEED_MAX))

    def get_queue_size(self) -> int:
        return sum(each.is_upload() and each.state.VALUE is TransferState.QUEUED for each in self.transfers)


class Searching(SearchManager):  # type: ignore[misc,unused-ignore]
    """Searches by aioslsk; replies go to the receiver.

    The connection a reply came on is closed only when it is not needed: aioslsk would close it in any case, and with it
    a negotiation.
    """

    def __init__(self, receiver: PeerEvents, troubles: TroubleLog, *parts: Any, **more: Any) -> None:
        self._receiver = receiver
        self._troubles = troubles
        super().__init__(*parts, **more)

    @_on(PeerSearchReply.Request)
    async def _on_peer_search_reply(self, message: Any, connection: Any) -> None:
        peer = connection.username or message.username
        if message.ticket in self.requests:
            self._receiver.search_replied(search_reply(peer, message))
        if len(self.requests) <= 1 and not self._receiver.is_busy(peer):  # else its next reply may be on the same way
            await connection.disconnect(CloseReason.REQUESTED)


class Sharing(SharesManager):  # type: ignore[misc,unused-ignore]
    """Leaves out part files and their records."""

    async def scan_directory_files(self, shared_directory: Any) -> None:
        await super().scan_directory_files(shared_directory)
        items = {item for item in shared_directory.items if not item.filename.endswith(_UNFINISHED)}
        shared_directory.items.intersection_update(items)
        self._cleanup_term_map()


class Client(SoulSeekClient):  # type: ignore[misc,unused-ignore]
    """aioslsk's client made of the parts above."""

    def __init__(self, settings: Any, receiver: PeerEvents, troubles: TroubleLog) -> None:
        self._receiver = receiver
        self._troubles = troubles
        limit_aioslsk()
        super().__init__(settings)
        self.network.is_awaited = self.searches.requests.__contains__

    def create_network(self) -> BoundedNetwork:
        return BoundedNetwork(self.settings, self.events, troubles=self._troubles, busy=self._receiver.is_busy)

    def create_transfer_manager(self, cache: Any) -> Uploads:
        return Uploads(
            self._receiver,
            self._troubles,
            self.settings,
            self.events,
            self.users,
            self.shares,
            self.network,
            cache=cache,
        )

    def create_search_manager(self) -> Searching:
        return Searching(
            self._receiver, self._troubles, self.settings, self.events, self.shares, self.transfers, self.network
        )

    def create_shares_manager(self, cache: Any, executor_factory: Any = None) -> Sharing:
        return Sharing(self.settings, self.events, self.network, cache=cache, executor_factory=executor_factory)


def search_reply(peer: str, message: Any) -> SearchReply:
    """Return a message of `decode_search_reply` in our own types."""
    return SearchReply(
        ticket=message.ticket,
        peer=peer,
        files=message.results,
        slots_free=message.has_slots_free,
        speed_bytes_s=message.avg_speed,
        queue_length=message.queue_size,
    )


async def detach(connection: Any) -> int:
    """Take the plain socket out of an F connection whose ticket was read; its descriptor is the caller's.

    -1: the other side has gone, or spoke before the offset, which no uploader does. aioslsk forgets the connection.
    """
    reader, writer = connection._reader, connection._writer
    sock = None if writer is None else writer.get_extra_info("socket")
    if sock is None or sock.fileno() < 0:
        return -1
    fd = os.dup(sock.fileno())
    try:
        await connection.disconnect(CloseReason.REQUESTED)  # closes its own descriptor; ours keeps the socket alive
        early = await reader.read(1)
    except BaseException:
        os.close(fd)
        raise
    if early:
        os.close(fd)
        return -1
    return fd
