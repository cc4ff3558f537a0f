"""The session actor: passes its messages to the event loop's thread."""

from actors.runtime.actor import Actor, stop_actors
from actors.runtime.message_bus import MessageBus
from actors.runtime.process import ProcessActors, ProcessContext
from actors.soulseek.event_loop import EventLoop, SessionInbox
from actors.soulseek.settings import SessionSettings
from protocol.messages import ActorDied
from protocol.messages.addresses import SESSION, split_address


class Session(Actor):
    """One, in the `soulseek` process. It is there before aioslsk is loaded; `SessionChanged` reports the login."""

    def __init__(self, bus: MessageBus, settings: SessionSettings) -> None:
        super().__init__(split_address(SESSION)[1], bus)
        self._loop = EventLoop(bus, settings, failed=self._loop_failed)

    def starting(self) -> None:
        self._loop.start()

    def stopping(self) -> None:
        self._loop.stop()

    def handle(self, message: SessionInbox) -> None:
        self._loop.post(message)

    def _loop_failed(self, error: BaseException) -> None:
        self.bus.unregister(self.name)
        detail = f"{type(error).__name__}: {error}"[:500]
        self.died(ActorDied(process=self.bus.process, actor=self.name, detail=detail))


STOP_S_MAX = 6.0


def build(context: ProcessContext) -> ProcessActors:
    """Build the actors of the `soulseek` process. `context.settings` is a `SessionSettings`."""
    settings = context.settings
    if not isinstance(settings, SessionSettings):
        raise TypeError(f"the soulseek process needs SessionSettings, not {type(settings).__name__}")
    session = Session.start(context.bus, settings)

    def stop() -> None:
        stop_actors([session], timeout_s=STOP_S_MAX)

    return ProcessActors(stop=stop)
