"""One-shot download of a Soulseek user's folder: one login, a job for each file, several at the same time.

Runs in the main thread of the process that the user started, beside the supervisor; it is no actor. Files of one user
are asked for together, so that they wait in that user's queue together.
"""

import os
import sys
import time
from collections import deque
from typing import Final

from actors.builders import processes
from actors.core.supervision.process_policy import HealthPolicy
from actors.local.download import (
    PEERS_MAX,
    ROWS_S,
    STOP_AGAIN_S,
    Interrupts,
    JobRequest,
    fatal,
    next_message,
    session_lost,
    session_of,
    supervised,
)
from actors.runtime.supervisor import StartFailed, Supervisor
from protocol.cli.on_complete import run_command
from protocol.cli.parsing import GetOptions
from protocol.cli.views.folder import FolderView
from protocol.cli.views.outcome import ExitCode, exit_code_of
from protocol.messages import (
    BrowseUser,
    FilesListed,
    FrontInbox,
    JobEnded,
    SearchEnded,
    SearchHit,
    StartJob,
    StartSearch,
    StopJob,
)
from protocol.messages.addresses import FRONT, POOL, SESSION
from protocol.model.remote_paths import (
    FOLDER_FILES_MAX,
    FolderFile,
    FolderHit,
    best_folder,
    folder_files,
    local_folder,
    search_term,
)
from protocol.model.source_url import slsk_url
from protocol.model.value import Struct, field
from storage.layout import PART_SUFFIX

JOBS_AT_ONCE: Final = 8
SEARCH_S: Final = 8.0
LIST_S_MAX: Final = 120.0
"""Longest time for login, search and the user's list together."""


class FolderFault(Exception):  # noqa: N818  (says whose fault)
    """The folder cannot be fetched. One line for people; `code` is the exit code."""

    def __init__(self, code: ExitCode, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def get_folder(options: GetOptions) -> int:
    """Run ``get slsk://user/folder/`` or ``swarm --folder`` and return the exit code."""
    view = FolderView(sys.stdout, sys.stderr, json=options.json, quiet=options.quiet)
    session, memory = session_of(options)
    specs, slot_count = processes(PEERS_MAX, session, memory)
    try:
        with (
            Interrupts().caught() as interrupts,
            supervised(specs, HealthPolicy(memory_bytes_max=options.memory_limit_bytes), slot_count) as supervisor,
        ):
            code = _FolderRun(options, supervisor, view, interrupts).run()
    except StartFailed as failure:
        view.refuse(str(failure))
        code = ExitCode.OUR_FAULT
    except FolderFault as fault:
        view.refuse(str(fault))
        code = fault.code
    finally:
        view.close()
    return code


class _FolderRun(Struct):
    """One folder download; `running` has the request of each job that runs, by its number, which is its file's."""

    options: GetOptions
    supervisor: Supervisor
    view: FolderView
    interrupts: Interrupts
    running: dict[int, JobRequest] = field(default_factory=dict)
    begun_s: float = field(default_factory=time.monotonic)

    def run(self) -> ExitCode:
        user, folder = self.options.remote_folder or self._searched()
        files = self._listed(user, folder)
        place = os.path.join(self.options.spec.folder, local_folder(folder))
        self.view.listed(user, folder, files, place)
        try:
            os.makedirs(place, exist_ok=True)
        except OSError as error:
            raise FolderFault(ExitCode.DISK, f"cannot make the folder {place}: {error.strerror}") from None
        return self._fetched(user, place, files)

    # -- which files

    def _searched(self) -> tuple[str, str]:
        """``(user, remote folder)`` that fits the words best, of what most users have."""
        self.supervisor.bus.post(
            SESSION, StartSearch(search=1, term=self.options.spec.term, wait_s=SEARCH_S, reply_to=FRONT)
        )
        hits = list[FolderHit]()
        while True:
            match self._before_deadline():
                case SearchHit() as hit if not hit.locked:
                    hits.append(FolderHit.of(hit))
                case SearchEnded(refused=refused):
                    break
                case _:
                    pass
        if refused:
            raise FolderFault(ExitCode.NO_SOURCE, refused)
        found = best_folder(hits)
        if found is None:
            raise FolderFault(ExitCode.NO_SOURCE, f"no user has a folder with these words: {self.options.spec.term}")
        return found

    def _listed(self, user: str, folder: str) -> list[FolderFile]:
        self.supervisor.bus.post(SESSION, BrowseUser(request=1, reply_to=FRONT, peer=user, folder=folder))
        listed: dict[str, list[tuple[str, int]]] = {}
        while True:
            match self._before_deadline():
                case FilesListed(refused=refused) if refused:
                    raise FolderFault(ExitCode.NO_SOURCE, refused)
                case FilesListed() as part:
                    listed.setdefault(part.folder, []).extend(zip(part.names, part.sizes, strict=True))
                    if part.last:
                        break
                case _:
                    pass
        files = folder_files(listed, folder)
        if not files:
            raise FolderFault(ExitCode.NO_SOURCE, f"{user} has no files in this folder")
        if len(files) > FOLDER_FILES_MAX:
            raise FolderFault(ExitCode.USAGE, f"{len(files)} files in this folder, at most {FOLDER_FILES_MAX}")
        return files

    def _before_deadline(self) -> FrontInbox | None:
        """The next message; raises `FolderFault` when the list cannot come any more."""
        message = self._next()
        if self.interrupts.count:
            raise FolderFault(ExitCode.INTERRUPTED, "interrupted; nothing was fetched yet")
        if time.monotonic() - self.begun_s > LIST_S_MAX:
            raise FolderFault(ExitCode.NO_SOURCE, f"no list of the folder within {LIST_S_MAX:.0f} s")
        if message is not None:
            lost = session_lost(message)
            ended = fatal(message, 0, self.supervisor.living())
            if lost is not None or ended is not None:
                raise FolderFault(ExitCode.OUR_FAULT, lost.detail if lost is not None else ended.reason)  # type: ignore[union-attr]
        return message

    # -- their jobs

    def _fetched(self, user: str, place: str, files: list[FolderFile]) -> ExitCode:
        waiting = deque(enumerate(files, 1))
        failed = ExitCode.SEALED
        stop_due_s = 0.0
        while waiting or self.running:
            while waiting and len(self.running) < JOBS_AT_ONCE:
                number, file = waiting.popleft()
                self._start(number, user, place, file)
            late = 0 < self.options.max_time_s <= time.monotonic() - self.begun_s
            if (self.interrupts.count or late) and time.monotonic() >= stop_due_s:
                waiting.clear()
                stop_due_s = time.monotonic() + STOP_AGAIN_S
                for number in self.running:
                    self.supervisor.bus.post(POOL, StopJob(job=number))
            for ended in self._ended():
                code = exit_code_of(ended.state)
                if ended.state == "interrupted" and late and not self.interrupts.count:
                    code = ExitCode.NO_SOURCE
                failed = failed or code
        self.view.finish()
        return ExitCode.INTERRUPTED if self.interrupts.count else failed

    def _start(self, number: int, user: str, place: str, file: FolderFile) -> None:
        spec = self.options.spec.but(
            folder=place,
            name=file.name,
            size_bytes=file.size_bytes,
            term=search_term(file.path),
            user=user,
            remote_path=file.path,
            widen=True,
            policy=self.options.spec.policy.configured(self.options.account),
        )
        start = StartJob(
            job=number,
            spec=spec,
            source_count=1,
            watcher=FRONT,
            rows_s=ROWS_S,
            begun=os.path.exists(os.path.join(place, file.name + PART_SUFFIX)),
        )
        self.running[number] = JobRequest(self.supervisor, start, (slsk_url(user, file.path),))
        self.running[number].post()

    def _ended(self) -> list[JobEnded]:
        """Take one message; return the jobs that it ends."""
        message = self._next()
        if message is None:
            return []
        lost = session_lost(message)
        if lost is not None:
            self.supervisor.bus.post(POOL, lost)
        fault = fatal(message, 0, self.supervisor.living()) if lost is None else None
        elapsed_s = time.monotonic() - self.begun_s
        number = getattr(message, "job", None)
        for each, request in self.running.items():
            if number in (None, each):
                request.is_news(lost or message, elapsed_s=elapsed_s)
        if fault is not None:
            ended = [fault.but(job=each) for each in self.running]
        else:
            ended = [message] if isinstance(message, JobEnded) and message.job in self.running else []
        for each_ended in ended:
            del self.running[each_ended.job]
            self.view.ended(each_ended)
            if each_ended.state == "sealed" and self.options.on_complete:
                run_command(self.options.on_complete, each_ended.path, each_ended.digest_hex)
        return ended

    def _next(self) -> FrontInbox | None:
        message = next_message(self.supervisor)
        if message is not None:
            self.view.show(message, now_s=time.monotonic())
        self.view.refresh(now_s=time.monotonic())
        return message
