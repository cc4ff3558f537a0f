"""The shell of the watchdog: it hears how far rides are, and judges them at every tick."""

import time
from typing import Final

from actors.core.rates.rate_monitor import SpeedState, WatchdogInbox
from actors.runtime.actor import Actor
from actors.runtime.message_bus import MessageBus
from protocol.messages import Ticked
from protocol.messages.addresses import WATCHDOG, split_address

TICK_S: Final = 0.1


class SpeedWatchdog(Actor):
    """One for all jobs, in the hub."""

    def __init__(self, bus: MessageBus) -> None:
        super().__init__(split_address(WATCHDOG)[1], bus)
        self._state = SpeedState()

    def starting(self) -> None:
        self.bus.post_later(TICK_S, self.address, Ticked())

    def handle(self, message: WatchdogInbox) -> None:
        self.bus.post_all(self._state.handle(message, now_s=time.monotonic()))
        if isinstance(message, Ticked):
            self.bus.post_later(TICK_S, self.address, Ticked())
