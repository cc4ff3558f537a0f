"""PoolManager: the actor around the pool of jobs and their sources."""

import time
from typing import Final

from actors.core.pool.pool import PoolInbox, PoolState
from actors.runtime.actor import Actor
from actors.runtime.message_bus import MessageBus
from protocol.messages import Ticked
from protocol.messages.addresses import POOL, split_address
from storage.digests import source_hash

TICK_S: Final = 0.5


class PoolManager(Actor):
    """Actor of the pool's decisions, one for all jobs, in the hub. `fetchers`: names of the fetch processes."""

    def __init__(self, bus: MessageBus, fetchers: tuple[str, ...]) -> None:
        super().__init__(split_address(POOL)[1], bus)
        self._state = PoolState(fetchers, name_hash=source_hash)

    def starting(self) -> None:
        self.bus.post_later(TICK_S, self.address, Ticked())

    def handle(self, message: PoolInbox) -> None:
        self.bus.post_all(self._state.handle(message, now_s=time.monotonic()))
        if isinstance(message, Ticked):
            self.bus.post_later(TICK_S, self.address, Ticked())
