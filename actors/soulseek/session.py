"""The shell of the session: frames in, over to the loop's thread."""

from actors.mailroom import Mailroom
from actors.soulseek.engine import Engine
from actors.soulseek.settings import SessionSettings
from actors.wire_actor import WireActor
from protocol.messages import ActorDied, SessionInbox
from protocol.post import SESSION, split_address


class Session(WireActor):
    """One, in the `soulseek` process. Stands before aioslsk is loaded; `SessionChanged` tells how the login goes."""

    def __init__(self, mailroom: Mailroom, settings: SessionSettings) -> None:
        super().__init__(split_address(SESSION)[1], mailroom)
        self._engine = Engine(mailroom, settings, failed=self._engine_failed)

    def starting(self) -> None:
        self._engine.start()

    def stopping(self) -> None:
        self._engine.stop()

    def handle(self, message: SessionInbox) -> None:
        self._engine.post(message)

    def _engine_failed(self, error: BaseException) -> None:
        self.mailroom.unregister(self.name)
        detail = f"{type(error).__name__}: {error}"[:500]
        self.died(ActorDied(process=self.mailroom.process, actor=self.name, detail=detail))
