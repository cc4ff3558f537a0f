"""SpeedWatchdog actor: takes the progress of all transfers and judges their rates at every tick."""

import time
from typing import Final

from actors.core.rates.rate_monitor import RateMonitor, WatchdogInbox
from actors.runtime.actor import Actor
from actors.runtime.message_bus import MessageBus
from protocol.messages import Ticked
from protocol.messages.addresses import WATCHDOG, split_address

TICK_S: Final = 0.1
"""Rates are judged this often; a report of five a second is never more than half a report old then."""


class SpeedWatchdog(Actor):
    """Shell of the `RateMonitor`, one for all jobs, in the hub."""

    def __init__(self, bus: MessageBus) -> None:
        super().__init__(split_address(WATCHDOG)[1], bus)
        self._state = RateMonitor()

    def starting(self) -> None:
        self.bus.post_later(TICK_S, self.address, Ticked())

    def handle(self, message: WatchdogInbox) -> None:
        self.bus.post_all(self._state.handle(message, now_s=time.monotonic()))
        if isinstance(message, Ticked):
            self.bus.post_later(TICK_S, self.address, Ticked())
