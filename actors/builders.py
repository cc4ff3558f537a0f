"""Builders of the processes, and the processes of a one-shot download.

Children import this module to find their builder, so nothing heavy is imported at its top.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from actors.runtime.process import ProcessActors, ProcessContext, ProcessSpec
from protocol.model.value import Struct

if TYPE_CHECKING:
    from protocol.messages import JobClosed, StartDispatcher, StartWorker, StopWorker

FETCHERS_MAX = 4
SLOTS_SPARE = 8
"""Slots of a fetch process beside one for each source, for bytes that wait for the disk."""


def build_hub(context: ProcessContext) -> ProcessActors:
    """Start PoolManager and SpeedWatchdog; a ChunkDispatcher whenever one is requested."""
    from actors.hub import ChunkDispatcher, PoolManager, SpeedWatchdog
    from actors.runtime.actor import stop_actors
    from actors.runtime.shared_thread import SharedThread

    bus, thread = context.bus, SharedThread("decisions")
    dispatchers: dict[int, Any] = {}

    def make(request: StartDispatcher) -> None:
        dispatchers[request.start.job] = ChunkDispatcher.start(bus, thread, request.start)

    def forget(message: JobClosed) -> None:
        dispatcher = dispatchers.pop(message.job, None)
        if dispatcher is not None:
            dispatcher.stop(block=False)

    pool = PoolManager.start(bus, thread, context.settings)
    watchdog = SpeedWatchdog.start(bus, thread)

    def stop() -> None:
        stop_actors([pool, *dispatchers.values(), watchdog], timeout_s=1.0)

    from protocol.messages import JobClosed, StartDispatcher

    return ProcessActors(makers={StartDispatcher: make, JobClosed: forget}, stop=stop)


class StoreSettings(Struct, frozen=True, kw_only=True):
    """Settings of the store process: the peer store's file ("": none), the folders that hold all files (none: any)."""

    peers: str = ""
    folders: tuple[str, ...] = ()


def build_store(context: ProcessContext) -> ProcessActors:
    """Start the Assembler, and the PeerHistory where the settings name its file."""
    from actors.assembler import Assembler
    from actors.runtime.actor import stop_actors
    from storage.shared_memory import Arena

    arena = Arena.attach(context.arena_fd, context.slot_count)
    settings: StoreSettings = context.settings
    assembler = Assembler.start(context.bus, arena, generation=context.generation, roots=settings.folders)
    actors: list[Any] = [assembler]
    if settings.peers:
        from actors.peer_history import PeerHistory

        actors.append(PeerHistory.start(context.bus, settings.peers))

    def stop() -> None:
        stop_actors(actors, timeout_s=10.0)

    return ProcessActors(stop=stop)


def build_fetcher(context: ProcessContext) -> ProcessActors:
    """Provide this process's slots; start a PeerWorker whenever one is requested.

    A job that was closed may be begun again by another hub.
    """
    from actors.peer_worker import PeerWorker
    from actors.progress_reports import ProgressReports
    from actors.runtime.actor import stop_actors
    from actors.slot_returns import SlotReturns
    from actors.sources import reader_for
    from protocol.messages import JobClosed, StartWorker, StopWorker
    from protocol.messages.addresses import split_address, worker_address
    from storage.piece_lists import drop_lists_of
    from storage.shared_memory import Arena

    drop_lists_of(context.bus.run_dir, context.bus.process)
    arena = Arena.attach(context.arena_fd, context.slot_count)
    first, stop_slot = context.settings
    slot_returns = SlotReturns(context.bus, range(first, stop_slot), generation=context.generation, forget=arena.forget)
    reports = ProgressReports(context.bus)
    workers: dict[tuple[int, int], Any] = {}

    def dismiss(job: int, source: int) -> None:
        # Its name is free at once; it may be in the middle of a read, and reads and posts no more after that.
        context.bus.unregister(split_address(worker_address("", job, source))[1])
        workers.pop((job, source)).stop(block=False)

    def make(request: StartWorker) -> None:
        if (request.job, request.source) in workers:
            dismiss(request.job, request.source)
        workers[request.job, request.source] = PeerWorker.start(
            context.bus, request, reader=reader_for(request), arena=arena, slot_returns=slot_returns, reports=reports
        )

    def stop_worker(request: StopWorker) -> None:
        if (request.job, request.source) in workers:
            dismiss(request.job, request.source)

    def forget(message: JobClosed) -> None:
        for job, source in [key for key in workers if key[0] == message.job]:
            dismiss(job, source)
        slot_returns.forget(message)

    def stop() -> None:
        stop_actors(list(workers.values()), timeout_s=0.5)

    return ProcessActors(makers={StartWorker: make, StopWorker: stop_worker, JobClosed: forget}, stop=stop)


def build_job_manager(context: ProcessContext) -> ProcessActors:
    """Start the JobManager. `context.settings` is ``(path of the job store, JobPolicy, version of this program)``."""
    from actors.job_manager import JobManager
    from actors.runtime.actor import stop_actors

    path, policy, version = context.settings
    manager = JobManager.start(context.bus, path, policy, fresh=context.generation == 0, version=version)

    def stop() -> None:
        stop_actors([manager], timeout_s=10.0)

    return ProcessActors(stop=stop)


def fetchers(count: int, slots_each: int, *, stop_rank: int, **common: Any) -> list[ProcessSpec]:
    """Return the fetch processes, with the slots of each."""
    return [
        ProcessSpec(
            process=f"fetch-{index + 1}",
            builder=f"{__name__}:build_fetcher",
            settings=(index * slots_each, (index + 1) * slots_each),
            stop_rank=stop_rank,
            switch_interval_s=0.0005,
            **common,
        )
        for index in range(count)
    ]


def processes(source_count: int, session: ProcessSpec | None = None, peers: str = "") -> tuple[list[ProcessSpec], int]:
    """Return the processes for one job of this number of sources, and the number of slots that the arena needs.

    `session` is the Soulseek process where one is needed; only then the peer store at `peers` is used.
    """
    count = max(1, min(FETCHERS_MAX, os.cpu_count() or 1, source_count))
    slots = -(-source_count // count) + SLOTS_SPARE
    fetch = fetchers(count, slots, stop_rank=1)
    names = tuple(each.process for each in fetch)
    store = StoreSettings(peers=peers if session else "")
    specs = [
        ProcessSpec(process="hub", builder=f"{__name__}:build_hub", settings=names, stop_rank=0, whole=True),
        ProcessSpec(process="store", builder=f"{__name__}:build_store", settings=store, stop_rank=2, whole=True),
        *fetch,
    ]
    return specs + ([session] if session is not None else []), count * slots
