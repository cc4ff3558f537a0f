"""The message bus of a process: brings every message to its addressee, in this process or another.

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
"""Takes a frame for one actor. Runs in the poster's or in the links' thread and must not block."""


class MessageBus:
    """One a process. Every method may be called from any thread.

    Posting never fails because of the addressee: a frame for an actor or process that is not there is dropped and
    counted (late words to those who have ended are normal). `link_lost(process, pid)`: see
    `actors.runtime.unix_links.UnixLinks`.
    """

    def __init__(self, process: str, run_dir: str, *, link_lost: Callable[[str, int], None] | None = None) -> None:
        self.process = process
        self.run_dir = run_dir
        self.dropped = 0
        """Frames that met no actor here or no process there. Counted without a lock: near enough for people."""
        self.overdue_s: dict[str, float] = {}
        """Actors in the middle of a message, and when (monotonic) it will have taken too long. Each writes its own."""
        self._boxes: dict[str, Deliver] = {}
        self.fds = FdTransfer()
        """Where descriptors lie that came with a message, under its `fd_token`, until their addressee fetches them."""
        self._links = UnixLinks(process, run_dir, self._deliver, link_lost, deliver_fd=self._deliver_fd)
        self._alarm = Timers(self.post_frame)

    def start(self) -> None:
        """Listen for other processes and let alarms ring. Posting works before."""
        self._links.listen()
        self._alarm.start()

    def hear_out(self, timeout_s: float) -> bool:
        """Wait until what others sent before this call is with its addressees here."""
        return self._links.hear_out(timeout_s)

    def close(self) -> None:
        """No alarm rings, nothing comes in, nothing goes out any more. Idempotent."""
        self._alarm.close()
        self._links.close()
        self.fds.close()
        self._boxes.clear()

    def stuck(self, now_s: float) -> list[str]:
        """Actors that have been at one message for longer than they ever should."""
        return [name for name, due_s in list(self.overdue_s.items()) if due_s < now_s]

    def register(self, actor: str, deliver: Deliver) -> None:
        """From now on frames for `actor` go to `deliver`. Raises ValueError when somebody has that name."""
        if self._boxes.setdefault(actor, deliver) is not deliver:
            raise ValueError(f"{self.process}/{actor} is taken")

    def unregister(self, actor: str, deliver: Deliver | None = None) -> None:
        """Nobody has that name any more; frames for it are dropped. Harmless when nobody had.

        `deliver`: only if this is still who has it."""
        if deliver is None or self._boxes.get(actor) == deliver:
            self._boxes.pop(actor, None)

    @overload
    def post(self, to: Post, /) -> None: ...
    @overload
    def post(self, to: str, message: Message, /) -> None: ...
    def post(self, to: Post | str, message: Message | None = None, /) -> None:
        """Send one message on its way. Raises `BadFrame` when it is too long for a frame.

        Blocks only while another process's buffer is full, see `actors.runtime.unix_links.SEND_S_MAX`.
        """
        if isinstance(to, Post):
            self.post_frame(to.to, encode(to.message))
        else:
            assert message is not None
            self.post_frame(to, encode(message))

    def post_all(self, posts: Iterable[Post]) -> None:
        """`post` for each, in order."""
        for post in posts:
            self.post_frame(post.to, encode(post.message))

    def post_later(self, delay_s: float, to: str, message: Message) -> TimerHandle:
        """Post in `delay_s` seconds unless the handle is cancelled before. Meant for actors of this process."""
        return self._alarm.post_later(delay_s, to, encode(message))

    def post_with_fd(self, to: str, message: Message, fd: int) -> bool:
        """Send one message and a descriptor that goes to the receiving process's desk under `message.fd_token`.

        The descriptor is the bus's from here on, also when this raises `BadFrame`. Tokens are the sender's choice,
        each used once. False: nobody is there, and it is closed. The addressee owns what it fetches.
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
        """`post` for a message that is a frame already."""
        process, actor = split_address(to)
        if process == self.process:
            self._deliver(actor, frame)
        elif not self._links.send(process, actor, frame):
            self.dropped += 1
            _logger.debug("no way to %s", to)

    def _deliver(self, actor: str, frame: bytes) -> None:
        deliver = self._boxes.get(actor)
        if deliver is None:
            self.dropped += 1
            _logger.debug("nobody at %s/%s", self.process, actor)
            return
        deliver(frame)

    def _deliver_fd(self, actor: str, frame: bytes, fd: int) -> bool:
        """Owns the descriptor: to the desk first, so that it lies there when the frame is read, or closed."""
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
