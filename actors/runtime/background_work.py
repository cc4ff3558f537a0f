"""Work of one actor that may take minutes, in a few threads beside it: hashing a whole file, waiting for a device.

One piece of work at a time for each job, so whatever it works on has one user. What is said about the job meanwhile is
put by and handled afterwards, in order. Results are taken up in the actor's own thread.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

from protocol.messages import Message

THREADS_MAX: Final = 8
"""So many jobs are worked on at a time, the others wait their turn: a disk gains nothing from more."""


class Cancelled(Exception):  # noqa: N818
    """The work was not wanted any more and has left nothing behind."""


@dataclass(slots=True)
class _Work:
    future: "Future[Any]"
    then: Callable[["Future[Any]"], None]
    off: threading.Event
    put_by: deque[Message] = field(default_factory=deque)


class BackgroundWork:
    """Owned by an actor and used in its thread. `ended(job)` is called in another: it posts a message to the actor, who
    then calls `finish`."""

    def __init__(self, name: str, ended: Callable[[int], None]) -> None:
        self._threads = ThreadPoolExecutor(THREADS_MAX, thread_name_prefix=name)
        self._ended = ended
        self._works: dict[int, _Work] = {}

    def busy(self, job: int) -> bool:
        return job in self._works

    def begin(self, job: int, do: Callable[[threading.Event], Any], then: Callable[["Future[Any]"], None]) -> None:
        """`do(off)` runs in a thread and raises `Cancelled` soon after `off` is set; `then` takes what came of it."""
        assert job not in self._works, "one piece of work at a time"
        off = threading.Event()
        work = self._works[job] = _Work(self._threads.submit(do, off), then, off)
        work.future.add_done_callback(lambda _future: self._ended(job))

    def put_by(self, job: int, message: Message) -> None:
        """It is handled when the work is over."""
        self._works[job].put_by.append(message)

    def call_off(self, job: int) -> None:
        """Nobody wants it any more; it ends as soon as it can."""
        self._works[job].off.set()

    def finish(self, job: int) -> Iterable[Message]:
        """The work is over: take up what came of it. Returns what was put by."""
        work = self._works.pop(job)
        work.then(work.future)
        return work.put_by

    def close(self) -> None:
        """Call off what can be, wait for all, and take up what came of it; what was put by is over."""
        for work in self._works.values():
            work.off.set()
        self._threads.shutdown(wait=True)
        for job in list(self._works):
            self.finish(job)
