"""ChunkDispatcher: the actor around the dispatch decisions of one job."""

import time

from actors.core.dispatch.dispatcher import DispatcherInbox, DispatchState
from actors.runtime.actor import Actor
from actors.runtime.message_bus import MessageBus, TimerHandle
from protocol.messages import DispatcherReady, StartJob, Ticked
from protocol.messages.addresses import POOL, dispatcher_address, split_address


class ChunkDispatcher(Actor):
    """Actor of one job's dispatch decisions. Holds no state but the core's."""

    def __init__(self, bus: MessageBus, start: StartJob) -> None:
        super().__init__(split_address(dispatcher_address(start.job))[1], bus)
        self._job = start.job
        self._state = DispatchState(start, now_s=time.monotonic())
        self._tick: TimerHandle | None = None

    def starting(self) -> None:
        self.bus.post_all(self._state.start())
        self.bus.post(POOL, DispatcherReady(job=self._job))
        self._tick_later()

    def handle(self, message: DispatcherInbox) -> None:
        self.bus.post_all(self._state.handle(message, now_s=time.monotonic()))
        if isinstance(message, Ticked):
            self._tick_later()

    def _tick_later(self) -> None:
        """One tick is under way at a time: the core's own word to itself is a tick too."""
        if self._tick is not None:
            self._tick.cancel()
        self._tick = self.bus.post_later(self._state.tick_s(time.monotonic()), self.address, Ticked())
