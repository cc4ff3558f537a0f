"""Message bus of a process: delivers every message to its actor, in this process or another.

Every hop is a frame, also inside one process: nothing mutable is shared and any actor can move elsewhere.
"""

import logging
import os
from collections.abc import Callable, Iterable
from typing import overload

from actors.runtime.fd_transfer import FdTransfer
from actors.runtime.timers import TimerHandle, Timers
from actors.runtime.unix_links import UnixLinks
from protocol.messages import Message
from protocol.messages.addresses import Post, split_address
from protocol.messages.codec import BadFrame, decode, encode

_logger = logging.getLogger(__name__)

Deliver = Callable[[bytes], None]
"""Takes a frame for one actor. Runs in the sender's or in the links' thread and must not block."""


class MessageBus:
    """Delivery of frames for one process, with its links, timers and received descriptors. Thread-safe.

    Posting never fails because of the addressee: a frame for an actor or process that does not exist is dropped and
    counted (late messages to ended actors are normal). `link_lost(process, pid)`: see `UnixLinks`.
    """

    def __init__(self, process: str, run_dir: str, *, link_lost: Callable[[str, int], None] | None = None) -> None:
        self.process = process
        self.run_dir = run_dir
        self.dropped = 0
        """Frames without an addressee. Counted without a lock: near enough for statistics."""
        self.overdue_s: dict[str, float] = {}
        """Actors at a message, and the (monotonic) time when it has taken too long. Each writes its own."""
        self._boxes: dict[str, Deliver] = {}
        self.fds = FdTransfer()
        """Descriptors that came with a message, by its `fd_token`, until their addressee takes them."""
        self._links = UnixLinks(process, run_dir, self._deliver, link_lost, deliver_fd=self._deliver_fd)
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
