"""Actors of the hub, around the decisions of `actors.core`: the pool of jobs, their rates, the dispatch of each job.

They share one thread, which never waits: a decision takes microseconds.
"""

import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from actors.core.dispatch.dispatcher import DispatchState
from actors.core.pool.pool import PoolState
from actors.core.rates.rate_monitor import RateMonitor
from actors.runtime.message_bus import MessageBus, TimerHandle
from actors.runtime.shared_thread import SharedActor, SharedThread
from protocol.messages import DispatcherReady, StartJob, Ticked
from protocol.messages.addresses import POOL, WATCHDOG, Post, dispatcher_address, split_address
from storage.digests import source_hash

POOL_TICK_S: Final = 0.5
RATES_TICK_S: Final = 0.1
"""Rates are judged this often; a report of five a second is never more than half a report old then."""


class _Decisions(Protocol):
    def handle(self, message: Any, *, now_s: float) -> list[Post]: ...


class _Decider(SharedActor):
    """Actor whose core is asked at every message and at a tick of its own. Holds no state but the core's."""

    def __init__(
        self,
        bus: MessageBus,
        thread: SharedThread,
        address: str,
        state: _Decisions,
        tick_s: Callable[[float], float],
    ) -> None:
        super().__init__(split_address(address)[1], bus, thread)
        self._state = state
        self._tick_s = tick_s
        self._tick: TimerHandle | None = None

    def starting(self) -> None:
        self._tick_later()

    def handle(self, message: Any) -> None:
        self.bus.post_all(self._state.handle(message, now_s=time.monotonic()))
        if isinstance(message, Ticked):
            self._tick_later()

    def _tick_later(self) -> None:
        """One tick is under way at a time: the core's own word to itself is a tick too."""
        if self._tick is not None:
            self._tick.cancel()
        self._tick = self.bus.post_later(self._tick_s(time.monotonic()), self.address, Ticked())


class PoolManager(_Decider):
    """Actor of the pool's decisions, one for all jobs. `fetchers`: names of the fetch processes."""

    def __init__(self, bus: MessageBus, thread: SharedThread, fetchers: tuple[str, ...]) -> None:
        super().__init__(bus, thread, POOL, PoolState(fetchers, name_hash=source_hash), lambda _now_s: POOL_TICK_S)


class SpeedWatchdog(_Decider):
    """Actor of the rates of all transfers, one for all jobs."""

    def __init__(self, bus: MessageBus, thread: SharedThread) -> None:
        super().__init__(bus, thread, WATCHDOG, RateMonitor(), lambda _now_s: RATES_TICK_S)


class ChunkDispatcher(_Decider):
    """Actor of one job's dispatch decisions."""

    def __init__(self, bus: MessageBus, thread: SharedThread, start: StartJob) -> None:
        state = DispatchState(start, now_s=time.monotonic())
        super().__init__(bus, thread, dispatcher_address(start.job), state, state.tick_s)
        self._job, self._begin = start.job, state.start

    def starting(self) -> None:
        self.bus.post_all(self._begin())
        self.bus.post(POOL, DispatcherReady(job=self._job))
        super().starting()
