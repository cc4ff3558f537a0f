"""The mailroom of a process: brings every message to its addressee, in this process or another.

Every hop is a frame, also inside one process: nothing mutable is shared and any actor can move elsewhere.
"""

import logging
from collections.abc import Callable, Iterable
from typing import overload

from actors.alarm import Alarm, AlarmHandle
from actors.links import Links
from protocol.frames import encode
from protocol.messages import Message
from protocol.post import Post, split_address

_logger = logging.getLogger(__name__)

Deliver = Callable[[bytes], None]
"""Takes a frame for one actor. Runs in the poster's or in the links' thread and must not block."""


class Mailroom:
    """One a process. Every method may be called from any thread.

    Posting never fails because of the addressee: a frame for an actor or process that is not there is dropped and
    counted (late words to those who have ended are normal). `link_lost(process, pid)`: see `actors.links.Links`.
    """

    def __init__(self, process: str, run_dir: str, *, link_lost: Callable[[str, int], None] | None = None) -> None:
        self.process = process
        self.run_dir = run_dir
        self.dropped = 0
        """Frames that met no actor here or no process there. Counted without a lock: near enough for people."""
        self._boxes: dict[str, Deliver] = {}
        self._links = Links(process, run_dir, self._deliver, link_lost)
        self._alarm = Alarm(self.post_frame)

    def start(self) -> None:
        """Listen for other processes and let alarms ring. Posting works before."""
        self._links.listen()
        self._alarm.start()

    def close(self) -> None:
        """No alarm rings, nothing comes in, nothing goes out any more. Idempotent."""
        self._alarm.close()
        self._links.close()
        self._boxes.clear()

    def register(self, actor: str, deliver: Deliver) -> None:
        """From now on frames for `actor` go to `deliver`. Raises ValueError when somebody has that name."""
        if self._boxes.setdefault(actor, deliver) is not deliver:
            raise ValueError(f"{self.process}/{actor} is taken")

    def unregister(self, actor: str) -> None:
        """Nobody has that name any more; frames for it are dropped. Harmless when nobody had."""
        self._boxes.pop(actor, None)

    @overload
    def post(self, to: Post, /) -> None: ...
    @overload
    def post(self, to: str, message: Message, /) -> None: ...
    def post(self, to: Post | str, message: Message | None = None, /) -> None:
        """Send one message on its way. Raises `BadFrame` when it is too long for a frame.

        Blocks only while another process's buffer is full, see `actors.links.SEND_S_MAX`.
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

    def post_later(self, delay_s: float, to: str, message: Message) -> AlarmHandle:
        """Post in `delay_s` seconds unless the handle is cancelled before. Meant for actors of this process."""
        return self._alarm.post_later(delay_s, to, encode(message))

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
