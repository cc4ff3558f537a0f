"""Message bus of a process: delivers every message to its actor, in this process or another.

Every hop is a frame, also inside one process: nothing mutable is shared and any actor can move elsewhere. Actors never
sleep: one that wants to be woken (a tick, the end of a back-off, the next read under a rate cap) leaves a frame with
`Timers` and gets it back as an ordinary message when it is due. One daemon thread and one heap a process.
"""

import heapq
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final, overload

from actors.runtime.fd_transfer import FdTransfer
from actors.runtime.unix_links import UnixLinks
from protocol.messages import Message
from protocol.messages.addresses import Post, split_address
from protocol.messages.codec import BadFrame, decode, encode

_logger = logging.getLogger(__name__)

Deliver = Callable[[bytes], None]
"""Takes a frame for one actor. Runs in the sender's or in the links' thread and must not block."""

CANCELLED_MAX: Final = 256
"""The heap is swept when more than these, and more than half of it, are cancelled timers."""


class TimerHandle:
    """One timer, owned by `Timers`; the holder of the handle may only cancel it."""

    __slots__ = ("_timers", "due_s", "frame", "serial", "to")

    def __init__(self, timers: "Timers", due_s: float, serial: int, to: str, frame: bytes) -> None:
        self._timers = timers
        self.due_s = due_s
        self.serial = serial
        self.to = to
        self.frame: bytes | None = frame

    def __lt__(self, other: "TimerHandle") -> bool:
        return (self.due_s, self.serial) < (other.due_s, other.serial)

    def cancel(self) -> None:
        """Do not post it. A frame that was due already may still come; cancelling twice or too late is harmless."""
        self._timers.cancel(self)


class Timers:
    """Timer heap that hands `(address, frame)` to `post` when due, ties in the order of asking. Thread-safe.

    `post` runs in the timer thread and should not block: timers are meant for actors of the same process. Times are
    seconds of the monotonic clock.
    """

    def __init__(self, post: Callable[[str, bytes], None]) -> None:
        self._post = post
        self._changed = threading.Condition()
        self._heap: list[TimerHandle] = []
        self._serial = 0
        self._cancelled = 0
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="timers", daemon=True)

    def start(self) -> None:
        """Start posting due frames; timers set before wait for this."""
        self._thread.start()

    def close(self) -> None:
        """Drop every timer that is not yet due and end the thread. Idempotent."""
        with self._changed:
            self._closing = True
            self._heap.clear()
            self._changed.notify()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(timeout=1.0)

    def post_at(self, due_s: float, to: str, frame: bytes) -> TimerHandle:
        """Post the frame to `to` once `time.monotonic()` has reached `due_s`."""
        with self._changed:
            handle = TimerHandle(self, due_s, self._serial, to, frame)
            self._serial += 1
            if not self._closing:
                heapq.heappush(self._heap, handle)
                if self._heap[0] is handle:
                    self._changed.notify()
        return handle

    def post_later(self, delay_s: float, to: str, frame: bytes) -> TimerHandle:
        """Post the frame to `to` in `delay_s` seconds; at once when that is not positive."""
        return self.post_at(time.monotonic() + delay_s, to, frame)

    def cancel(self, handle: TimerHandle) -> None:
        with self._changed:
            if handle.frame is None:
                return
            handle.frame = None
            self._cancelled += 1
            if self._cancelled > max(CANCELLED_MAX, len(self._heap) // 2):
                self._sweep()

    def __len__(self) -> int:
        """Return the number of timers, cancelled ones not yet swept included."""
        return len(self._heap)

    def _sweep(self) -> None:
        self._heap = [handle for handle in self._heap if handle.frame is not None]
        heapq.heapify(self._heap)
        self._cancelled = 0

    def _run(self) -> None:
        while (due := self._next_due()) is not None:
            to, frame = due
            try:
                self._post(to, frame)
            except Exception:
                _logger.exception("timer for %s could not be posted", to)

    def _next_due(self) -> tuple[str, bytes] | None:
        """Wait for the next frame that is due; None when closing."""
        with self._changed:
            while not self._closing:
                wait_s = self._heap[0].due_s - time.monotonic() if self._heap else None
                if wait_s is None or wait_s > 0:
                    self._changed.wait(wait_s)
                    continue
                handle = heapq.heappop(self._heap)
                frame, handle.frame = handle.frame, None
                if frame is not None:
                    return handle.to, frame
                self._cancelled = max(0, self._cancelled - 1)
        return None


class MessageBus:
    """Delivery of frames for one process, with its links, timers and received descriptors. Thread-safe.

    Posting never fails because of the addressee: a frame for an actor or process that does not exist is dropped and
    counted (late messages to ended actors are normal). `link_lost(process, pid)`, `processes`: see `UnixLinks`.
    """

    def __init__(
        self,
        process: str,
        run_dir: str,
        *,
        link_lost: Callable[[str, int], None] | None = None,
        processes: frozenset[str] | None = None,
    ) -> None:
        self.process = process
        self.run_dir = run_dir
        self.dropped = 0
        """Frames without an addressee. Counted without a lock: near enough for statistics."""
        self.overdue_s: dict[str, float] = {}
        """Actors at a message, and the (monotonic) time when it has taken too long. Each writes its own."""
        self._boxes: dict[str, Deliver] = {}
        self.fds = FdTransfer()
        """Descriptors that came with a message, by its `fd_token`, until their addressee takes them."""
        self._links = UnixLinks(
            process, run_dir, self._deliver, link_lost, deliver_fd=self._deliver_fd, processes=processes
        )
        self._timers = Timers(self.post_frame)

    def bind(self) -> None:
        """Let other processes post: what comes before `start` is delivered then. Raises OSError."""
        self._links.bind()

    def start(self) -> None:
        """Listen for other processes and start the timers. Posting works before."""
        self._links.listen()
        self._timers.start()

    def drain(self, timeout_s: float) -> bool:
        """Wait until what others sent before this call is delivered here."""
        return self._links.drain(timeout_s)

    def close(self) -> None:
        """Stop timers and links. Idempotent."""
        self._timers.close()
        self._links.close()
        self.fds.close()
        self._boxes.clear()

    def stuck(self, now_s: float) -> list[str]:
        """Return the actors that have handled one message for longer than they may."""
        return [name for name, due_s in list(self.overdue_s.items()) if due_s < now_s]

    def register(self, actor: str, deliver: Deliver) -> None:
        """Send frames for `actor` to `deliver` from now on. Raises ValueError when the name is taken."""
        if self._boxes.setdefault(actor, deliver) is not deliver:
            raise ValueError(f"{self.process}/{actor} is taken")

    def unregister(self, actor: str, deliver: Deliver | None = None) -> None:
        """Free the name, if given only while `deliver` still has it; frames for it are dropped. Idempotent."""
        if deliver is None or self._boxes.get(actor) == deliver:
            self._boxes.pop(actor, None)

    @overload
    def post(self, to: Post, /) -> None: ...
    @overload
    def post(self, to: str, message: Message, /) -> None: ...
    def post(self, to: Post | str, message: Message | None = None, /) -> None:
        """Send one message. Raises `BadFrame` when it is too long for a frame.

        Blocks only while another process's buffer is full, at most `actors.runtime.unix_links.SEND_S_MAX`.
        """
        if isinstance(to, Post):
            self.post_frame(to.to, encode(to.message))
        else:
            assert message is not None
            self.post_frame(to, encode(message))

    def post_all(self, posts: Iterable[Post]) -> None:
        """`post` each, in order."""
        for post in posts:
            self.post_frame(post.to, encode(post.message))

    def post_later(self, delay_s: float, to: str, message: Message) -> TimerHandle:
        """Post in `delay_s` seconds unless the handle is cancelled before. Meant for actors of this process."""
        return self._timers.post_later(delay_s, to, encode(message))

    def post_with_fd(self, to: str, message: Message, fd: int) -> bool:
        """Send a message and a descriptor, which the receiver finds in its bus's `fds` under `message.fd_token`.

        The descriptor is the bus's from here on, also when this raises `BadFrame`. Tokens are the sender's choice, each
        used once. False: there is no receiver, and the descriptor is closed. The addressee owns what it takes.
        """
        handed_on = False
        try:
            frame = encode(message)
            process, actor = split_address(to)
            if process == self.process:
                handed_on = True
                return self._deliver_fd(actor, frame, fd)
            sent = self._links.send(process, actor, frame, fd)
            self.dropped += not sent
            return sent
        finally:
            if not handed_on:
                os.close(fd)

    def post_frame(self, to: str, frame: bytes) -> None:
        """`post` a message that is a frame already."""
        process, actor = split_address(to)
        if process == self.process:
            self._deliver(actor, frame)
        elif not self._links.send(process, actor, frame):
            self.dropped += 1
            _logger.debug("no link to %s", to)

    def _deliver(self, actor: str, frame: bytes) -> None:
        deliver = self._boxes.get(actor)
        if deliver is None:
            self.dropped += 1
            _logger.debug("no actor %s/%s", self.process, actor)
            return
        deliver(frame)

    def _deliver_fd(self, actor: str, frame: bytes, fd: int) -> bool:
        """Store the descriptor before the frame can be read, or close it."""
        try:
            token = getattr(decode(frame), "fd_token", None)
        except BadFrame as error:
            _logger.error("descriptor for %s/%s closed: %s", self.process, actor, error)
            token = None
        if type(token) is not int or actor not in self._boxes:
            self.dropped += 1
            os.close(fd)
            return False
        self.fds.put(token, fd)
        self._deliver(actor, frame)
        return True
