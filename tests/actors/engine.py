"""Hub, store and fetch processes as they run in the program, with this process as the job manager of their jobs."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

from actors.builders import processes
from actors.core.supervision.process_policy import HealthPolicy, RestartPolicy
from actors.runtime.process import ProcessSpec
from actors.runtime.supervisor import Supervisor
from protocol.messages import (
    ContributorsListed,
    JobEnded,
    JobProgressed,
    Message,
    OfferSource,
    SourceFound,
    StartJob,
)
from protocol.messages.addresses import FRONT, POOL, WATCHDOG
from protocol.model.value import Closing, replace
from storage.shared_memory import Arena
from tests.specs import start_job

M = TypeVar("M", bound=Message)
WAIT_S = 30.0


class Engine(Closing):
    """Everything that is said to the watcher of all jobs is in `heard`, with when (monotonic) it was heard."""

    def __init__(self, folder: Path, *, sources: int = 8, slots: int = 0) -> None:
        """`slots`: so few for each fetch process."""
        self.folder = folder
        self.heard: list[tuple[float, Message]] = []
        self._leaving = ExitStack()
        specs, slot_count = processes(sources)
        if slots:
            specs = [_with_slots(spec, slots) for spec in specs]
        arena = Arena.create(slot_count)
        self._leaving.callback(arena.close)
        self.supervisor = Supervisor(
            specs,
            arena_fd=arena.fd,
            slot_count=slot_count,
            lost_to=(POOL,),
            restart_policy=RestartPolicy(),
            health_policy=HealthPolicy(),
        )
        self._leaving.callback(self.supervisor.stop)
        self.supervisor.start()

    def close(self) -> None:
        self._leaving.close()

    # -- what is asked

    def asked(self, job: int, sources: int, **changes: Any) -> StartJob:
        fields: dict[str, Any] = {
            "job": job,
            "source_count": sources,
            "folder": str(self.folder),
            "name": f"file-{job}.bin",
            "chunk_size": 1 << 16,
            "checksum": "",
            "mode": "swarm",
            "limit_bytes_s": 0,
            "preallocate": False,
            "sync": "none",
            "slow_rate_bytes_s": 512,
            "slow_after_s": 15.0,
            "verbose": False,
            "watcher": FRONT,
            "rows_s": 0.25,
        }
        return start_job(**{**fields, **changes})

    def begin(self, job: int, urls: Iterable[str], **changes: Any) -> StartJob:
        urls = list(urls)
        asked = self.asked(job, len(urls), **changes)
        self.ask(asked, urls)
        return asked

    def ask(self, asked: StartJob, urls: Iterable[str]) -> None:
        self.tell(POOL, asked)
        for url in urls:
            self.tell(POOL, OfferSource(job=asked.job, url=url))

    def ask_again(self, asked: StartJob, urls: Iterable[str]) -> None:
        """The hub has died and is back."""
        self.ask(asked.restarted(elapsed_s=1.0, resumed_bytes=-1), urls)

    def tell(self, to: str, message: Message) -> None:
        self.supervisor.bus.post(to, message)

    def tell_watchdog(self, message: Message) -> None:
        self.tell(WATCHDOG, message)

    # -- what is heard

    def hear(self, kind: type[M], good: Callable[[M], bool] = lambda _message: True, *, wait_s: float = WAIT_S) -> M:
        """The next message of this kind that is good; everything on the way to it is kept."""
        late_s = time.monotonic() + wait_s
        while True:
            message = self._next(late_s)
            assert message is not None, f"no {kind.__name__} within {wait_s:.0f} s; heard {self.heard[-5:]}"
            if isinstance(message, kind) and good(message):
                return message

    def listen(self, seconds: float) -> None:
        """Keep what is said for so long."""
        late_s = time.monotonic() + seconds
        while self._next(late_s) is not None:
            pass

    def _next(self, late_s: float) -> Message | None:
        try:
            message = self.supervisor.inbox.get(timeout=max(0.0, late_s - time.monotonic()))
        except queue.Empty:
            return None
        self.heard.append((time.monotonic(), message))
        return message

    def ended(self, job: int, *, wait_s: float = WAIT_S) -> JobEnded:
        """The end of this job, also where it came before what was waited for until now."""
        for _, message in self.heard:
            if isinstance(message, JobEnded) and message.job == job:
                return message
        return self.hear(JobEnded, lambda ended: ended.job == job, wait_s=wait_s)

    def stored(self, job: int) -> int:
        """Bytes, as last reported."""
        progressed = [message for _, message in self.heard if isinstance(message, JobProgressed) and message.job == job]
        return progressed[-1].stored_bytes if progressed else 0

    def until_stored(self, job: int, size_bytes: int) -> None:
        self.hear(JobProgressed, lambda progressed: progressed.job == job and progressed.stored_bytes >= size_bytes)

    def runs(self, job: int) -> list[tuple[int, int, int]]:
        """Who sent what, as said just before the job ended."""
        parts = [
            each
            for _, each in self.heard
            if isinstance(each, ContributorsListed) and each.job == job and each.request == 0
        ]
        return [run for part in parts for run in zip(part.firsts, part.stops, part.owners, strict=True)]

    def sources(self, job: int) -> dict[int, str]:
        progressed = [message for _, message in self.heard if isinstance(message, SourceFound) and message.job == job]
        return {each.source: each.url for each in progressed}


def _with_slots(spec: ProcessSpec, slots: int) -> ProcessSpec:
    if not spec.process.startswith("fetch-"):
        return spec
    first = spec.settings[0]
    return replace(spec, settings=(first, first + slots))
