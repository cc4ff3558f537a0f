"""A session in this process, with everybody it talks to played by the test: hub, front and a worker."""

from __future__ import annotations

import queue
import socket
import struct
import tempfile
import time
from typing import Any, TypeVar

from actors.runtime.actor import stop_actors
from actors.runtime.message_bus import MessageBus
from actors.soulseek.actor import Session
from actors.soulseek.settings import SessionSettings, SessionTimes
from protocol.messages import (
    AcceptUpload,
    ConnectionClosed,
    ConnectionReady,
    EnqueueFile,
    Message,
    PeerUploadNoted,
    PeerUploadOpened,
    SessionChanged,
    UploadOffered,
)
from protocol.messages.addresses import SESSION
from protocol.messages.codec import decode
from protocol.model.value import Closing, replace

HEAR_S_MAX = 20.0
WORKER = "fetch-1/worker-1-1"
ME = "me"

SHORT_TIMES = SessionTimes(
    connect_s_max=4.0, upload_failed_s_max=0.4, repeat_s=(0.5, 1.0), repeat_every_s=2.0,
    place_first_s=0.2, place_every_s=0.5, place_answer_s_max=0.3, verdict_s_max=1.5,
    answer_s_max=1.0, file_s_max=1.5, owed_s_max=5.0, failed_s_max=1.0, login_s_max=2.0,
)  # fmt: skip

M = TypeVar("M", bound=Message)


class Rig(Closing):
    """Owns the session and the message buses. What the session says to anybody but the worker is in one inbox."""

    def __init__(self, server_port: int, **settings: Any) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="shoal-")
        self.inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self.worker_inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        names = ("soulseek", "hub", "front", "fetch-1", "store")
        self._rooms = {name: MessageBus(name, self._folder.name) for name in names}
        for box in ("pool", "dispatcher-1", "dispatcher-2"):
            self._rooms["hub"].register(box, lambda frame: self.inbox.put(decode(frame)))
        self._rooms["store"].register("peer-history", self._note)
        self._rooms["front"].register("front", lambda _frame: None)
        self._rooms["soulseek"].register("root", lambda frame: self.inbox.put(decode(frame)))
        self._rooms["fetch-1"].register("worker-1-1", lambda frame: self.worker_inbox.put(decode(frame)))
        for room in self._rooms.values():
            room.start()
        given = {"username": ME, "password": "box", "times": SHORT_TIMES, "retry_s": (0.1, 0.5), **settings}
        self.settings = SessionSettings(
            server_host="127.0.0.1", server_port=server_port, bind_host="127.0.0.1", **given
        )
        self._session = Session.start(self._rooms["soulseek"], self.settings)

    def _note(self, frame: bytes) -> None:
        """Keep the ledger."""
        message = decode(frame)
        if isinstance(message, PeerUploadOpened) and message.reply_to:
            noted = PeerUploadNoted(peer=message.peer, ticket=message.ticket)
            self._rooms["store"].post(message.reply_to, noted)

    def say(self, message: Message) -> None:
        self._rooms["hub"].post(SESSION, message)

    def hear(self, *kinds: type[M], s_max: float = HEAR_S_MAX) -> M:
        """The next message of one of these kinds; others are passed over."""
        until_s = time.monotonic() + s_max
        while True:
            message = self.inbox.get(timeout=max(0.001, until_s - time.monotonic()))
            if isinstance(message, kinds):
                return message

    def state(self, wanted: str) -> SessionChanged:
        while (changed := self.hear(SessionChanged)).state != wanted:
            pass
        return changed

    def online(self) -> Rig:
        self.state("online")
        return self

    def ask(self, box: Any, peer: str, *, source: int = 1, path: str | None = None) -> None:
        path = box.remote_path(peer) if path is None else path
        self.say(EnqueueFile(job=1, source=source, peer=peer, path=path, worker=WORKER))

    def take_turn(self, came: UploadOffered | None = None) -> tuple[socket.socket, ConnectionReady]:
        """The connection of the next turn, or of this one."""
        came = came or self.hear(UploadOffered)
        self.say(AcceptUpload(job=came.job, source=came.source, ticket=came.ticket))
        handed = self.worker_inbox.get(timeout=HEAR_S_MAX)
        assert isinstance(handed, ConnectionReady)
        fd = self._rooms["fetch-1"].fds.take(handed.fd_token)
        assert fd is not None
        sock = socket.socket(fileno=fd)
        sock.settimeout(HEAR_S_MAX)
        return sock, handed

    def end(self, handed: ConnectionReady, *, stopped: bool) -> None:
        ended = ConnectionClosed(job=handed.job, source=handed.source, ticket=handed.ticket, stopped=stopped)
        self._rooms["fetch-1"].post(SESSION, ended)

    def waiting_fds(self) -> int:
        return len(self._rooms["fetch-1"].fds)

    def close(self) -> None:
        stop_actors([self._session], timeout_s=8.0)
        for room in self._rooms.values():
            room.close()
        self._folder.cleanup()


def read_body(sock: socket.socket, offset: int, count: int) -> bytes:
    """Say the offset and receive a given number of bytes; fewer when the peer hangs up."""
    sock.sendall(struct.pack("<Q", offset))
    got = bytearray()
    while len(got) < count and (piece := sock.recv(count - len(got))):
        got += piece
    return bytes(got)


def read_on(sock: socket.socket) -> bytes:
    """Everything until the peer hangs up."""
    got = bytearray()
    while piece := sock.recv(1 << 20):
        got += piece
    return bytes(got)


def times(**changed: Any) -> SessionTimes:
    return replace(SHORT_TIMES, **changed)
