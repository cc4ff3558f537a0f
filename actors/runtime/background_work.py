"""Background work of an actor: long tasks in a small thread pool, at most one a job.

Hashing a whole file or waiting for a device may take minutes. Messages about a job that is worked on are deferred and
handled afterwards, in order. Results are taken up in the actor's own thread.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

from protocol.messages import Message
from protocol.model.value import Struct, field

THREADS_MAX: Final = 8
"""Jobs worked on at a time; the others wait, a disk gains nothing from more."""


class Cancelled(Exception):  # noqa: N818
    """The work was cancelled and has left nothing behind."""


class _Work(Struct):
    future: "Future[Any]"
    then: Callable[["Future[Any]"], None]
    cancelled: threading.Event
    deferred: deque[Message] = field(default_factory=deque)


class BackgroundWork:
    """Running tasks of one actor, used in its thread only.

    `ended(job)` is called in a pool thread; it posts a message to the actor, which then calls `finish`.
    """

    def __init__(self, name: str, ended: Callable[[int], None]) -> None:
        self._threads = ThreadPoolExecutor(THREADS_MAX, thread_name_prefix=name)
        self._ended = ended
        self._works: dict[int, _Work] = {}

    def busy(self, job: int) -> bool:
        return job in self._works

    def begin(self, job: int, do: Callable[[threading.Event], Any], then: Callable[["Future[Any]"], None]) -> None:
        """Run `do(cancelled)` in a thread, which raises `Cancelled` once the event is set; `then` gets its future."""
        assert job not in self._works, "one task a job"
        cancelled = threading.Event()
        work = self._works[job] = _Work(self._threads.submit(do, cancelled), then, cancelled)
        work.future.add_done_callback(lambda _future: self._ended(job))

    def defer(self, job: int, message: Message) -> None:
        """Keep a message until the job's work is over."""
        self._works[job].deferred.append(message)

    def cancel(self, job: int) -> None:
        """Ask the job's work to end as soon as it can."""
        self._works[job].cancelled.set()

    def finish(self, job: int) -> Iterable[Message]:
        """Take up the result of work that is over; return the deferred messages."""
        work = self._works.pop(job)
        work.then(work.future)
        return work.deferred

    def close(self) -> None:
        """Cancel what can be, wait for all, take up the results; deferred messages are dropped."""
        for work in self._works.values():
            work.cancelled.set()
        self._threads.shutdown(wait=True)
        for job in list(self._works):
            self.finish(job)
