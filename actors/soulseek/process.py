"""What the `soulseek` process is made of."""

from actors.process import ProcessActors, ProcessContext
from actors.soulseek.session import Session
from actors.soulseek.settings import SessionSettings
from actors.wire_actor import stop_actors

STOP_S_MAX = 6.0


def build(context: ProcessContext) -> ProcessActors:
    """The session. `context.settings` is a `SessionSettings`."""
    settings = context.settings
    if not isinstance(settings, SessionSettings):
        raise TypeError(f"the soulseek process wants SessionSettings, not {type(settings).__name__}")
    session = Session.start(context.mailroom, settings)

    def stop() -> None:
        stop_actors([session], timeout_s=STOP_S_MAX)

    return ProcessActors(stop=stop)
