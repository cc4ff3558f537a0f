"""The fleet actor, which passes its messages to the event loop's thread, and the builder of its process."""

from typing import Final

from actors.fleet.node import NodeLoop
from actors.fleet.settings import FleetInbox, FleetStart
from actors.runtime.actor import Actor, stop_actors
from actors.runtime.message_bus import MessageBus
from actors.runtime.process import ProcessActors, ProcessContext
from protocol.messages import ActorDied
from protocol.messages.addresses import FLEET, split_address

STOP_S_MAX: Final = 6.0


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


def build(context: ProcessContext) -> ProcessActors:
    """Build the actors of the `fleet` process. `context.settings` is a `FleetStart`."""
    start = context.settings
    if not isinstance(start, FleetStart):
        raise TypeError(f"the fleet process needs FleetStart, not {type(start).__name__}")
    actor = FleetActor.start(context.bus, start, generation=context.generation)

    def stop() -> None:
        stop_actors([actor], timeout_s=STOP_S_MAX)

    return ProcessActors(stop=stop)
