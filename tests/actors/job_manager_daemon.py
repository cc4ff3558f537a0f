"""The processes of a daemon without its doors: hub, store, fetcher, job manager; orders come from a desk in this
process."""

import os
import queue
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from actors.builders import processes
from actors.core.supervision.process_policy import HealthPolicy, RestartPolicy
from actors.runtime.process import ProcessSpec
from actors.runtime.supervisor import Supervisor
from protocol.messages import (
    EventOccurred,
    GetCounts,
    GetJob,
    Message,
    ProcessReady,
    RequestAnswered,
    RequestRefused,
    WatchEvents,
)
from protocol.messages.addresses import JOB_MANAGER, POOL
from protocol.messages.codec import decode
from protocol.model.job_policy import JobPolicy
from protocol.model.job_views import Counts, JobDetail, JobView, unpack, whole
from protocol.model.value import Value
from storage.shared_memory import Arena
from tests.actors.core.jobs.rig import order

GATEWAY = "front/desk"
Row = TypeVar("Row", bound=Value)


class Refusal(Exception):  # noqa: N818
    def __init__(self, refused: RequestRefused) -> None:
        super().__init__(refused.detail)
        self.refused = refused


class JobManagerDaemon:
    """Lives in `with`. `folder` holds the job store and what comes; another one may go on with it. `alone`: only the
    job manager is there."""

    def __init__(self, folder: Path, *, alone: bool = False, **settings: Any) -> None:
        self._alone = alone
        self.downloads = folder / "downloads"
        self.downloads.mkdir(exist_ok=True)
        self.book_path = folder / "jobs.sqlite"
        self.events: list[EventOccurred] = []
        self._settings = JobPolicy(**settings)
        self._answers: dict[int, list[RequestAnswered]] = {}
        self._heard: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._requests = count(1)
        self._leaving = ExitStack()

    def __enter__(self) -> Self:
        specs, slots = processes(4)
        path = str(self.book_path)
        manager = ProcessSpec(
            process="jobs",
            builder="actors.builders:build_job_manager",
            settings=(path, self._settings, "0"),
            stop_rank=3,
        )
        arena = Arena.create(slots)
        self._leaving.callback(arena.close)
        self.supervisor = Supervisor(
            [manager] if self._alone else [*specs, manager],
            arena_fd=arena.fd,
            slot_count=slots,
            lost_to=(JOB_MANAGER,) if self._alone else (POOL, JOB_MANAGER),
            restart_policy=RestartPolicy(),
            health_policy=HealthPolicy(),
        )
        self._leaving.callback(self.supervisor.stop)
        self.supervisor.bus.register("desk", lambda frame: self._heard.put(decode(frame)))
        self.started_s = time.monotonic()
        self.supervisor.start()
        self.say(WatchEvents(reply_to=GATEWAY))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leaving.close()

    def say(self, message: Message) -> None:
        self.supervisor.bus.post(JOB_MANAGER, message)

    def order(self, *urls: str, **changes: Any) -> JobView:
        placed = order(next(self._requests), urls, reply_to=GATEWAY, folder=str(self.downloads), **changes)
        return whole(self._answer(placed.request, placed, JobDetail)).job

    def ask(self, kind: type[Any], answer: type[Row], **fields: Any) -> list[Row]:
        """Any question or order; raises `Refusal`."""
        request = next(self._requests)
        return self._answer(request, kind(request=request, reply_to=GATEWAY, **fields), answer)

    def job(self, id: str) -> JobDetail:
        return whole(self.ask(GetJob, JobDetail, id=id))

    def wait_for(self, id: str, true: Callable[[JobView], bool], *, within_s: float = 30.0) -> JobView:
        """The job, as soon as this is true of it. Looks again at every event."""
        deadline_s = time.monotonic() + within_s
        while not true(job := self.job(id).job):
            assert time.monotonic() < deadline_s, job
            self._hear(0.5)
        return job

    def kill(self, process: str) -> None:
        """Dead and back again when this returns."""
        pid = self.supervisor.pid_of(process)
        os.kill(pid, signal.SIGKILL)
        while True:
            message = self.supervisor.inbox.get(timeout=10)
            if isinstance(message, ProcessReady) and message.process == process and message.pid != pid:
                break
        if process == "jobs":
            self.say(WatchEvents(reply_to=GATEWAY))

    def order_until_killed(self, url: str, *, count: int) -> list[str]:
        """Many orders at once, and the job manager is killed among them. Returns the ids of those that were
        answered."""
        orders = [
            order(next(self._requests), (url,), reply_to=GATEWAY, folder=str(self.downloads), name=f"{number}.bin")
            for number in range(count)
        ]
        for placed in orders:
            self._answers[placed.request] = []
        for placed in orders[: count // 2]:
            self.say(placed)
        while not self._answers[orders[count // 4].request]:
            self._hear(1.0)
        for placed in orders[count // 2 :]:
            self.say(placed)
        self.kill("jobs")
        self.ask(GetCounts, Counts)
        parts = [part for placed in orders for part in self._answers[placed.request]]
        return [row.job.id for part in parts for row in unpack(part.body, JobDetail)]

    def kill_everything(self) -> None:
        """As a power failure would, but for this process."""
        for process in self.supervisor.living():
            os.kill(self.supervisor.pid_of(process), signal.SIGKILL)

    def kinds(self, id: str) -> list[str]:
        return [event.kind for event in self.events if event.id == id and event.serial]

    def _answer(self, request: int, message: Message, kind: type[Row]) -> list[Row]:
        self._answers[request] = []
        self.say(message)
        deadline_s = time.monotonic() + 10
        while not (parts := self._answers[request]) or not parts[-1].last:
            assert time.monotonic() < deadline_s, f"no answer to {message}"
            self._hear(1.0)
        return [row for part in parts for row in unpack(part.body, kind)]

    def _hear(self, timeout_s: float) -> None:
        try:
            message = self._heard.get(timeout=timeout_s)
        except queue.Empty:
            return
        match message:
            case RequestAnswered(request=request):
                self._answers[request].append(message)
            case RequestRefused():
                raise Refusal(message)
            case EventOccurred():
                self.events.append(message)
            case _:
                raise AssertionError(message)
