"""The fleet actor: passes its messages to the event loop's thread."""

from actors.fleet.node import NodeLoop
from actors.fleet.settings import FleetInbox, FleetStart
from actors.runtime.actor import Actor
from actors.runtime.message_bus import MessageBus
from protocol.messages import ActorDied
from protocol.messages.addresses import FLEET, split_address


class FleetActor(Actor):
    """One, in the `fleet` process."""

    def __init__(self, bus: MessageBus, start: FleetStart, *, generation: int) -> None:
        super().__init__(split_address(FLEET)[1], bus)
        self._loop = NodeLoop(bus, start, generation=generation, failed=self._loop_failed)

    def starting(self) -> None:
        self._loop.start()

    def stopping(self) -> None:
        self._loop.stop()

    def handle(self, message: FleetInbox) -> None:
        self._loop.post(message)

    def _loop_failed(self, error: BaseException) -> None:
        self.bus.unregister(self.name)
        detail = f"{type(error).__name__}: {error}"[:500]
        self.died(ActorDied(process=self.bus.process, actor=self.name, detail=detail))
