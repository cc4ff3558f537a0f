"""What should be read even if nobody looks at progress."""

from protocol.messages import ActorDied, FrontInbox, JobNoted, ProcessLost, SessionChanged
from protocol.terminal.words import printable


class Notes:
    """Makes lines of messages; remembers what was said of the login, which is tried again and again."""

    def __init__(self) -> None:
        self._session = ""

    def line(self, message: FrontInbox) -> str:
        """One printable line; empty for a message that is no note, or says again what is known."""
        match message:
            case JobNoted():
                return f"note: {printable(message.text)}"
            case SessionChanged():
                return self._session_line(message)
            case ProcessLost():
                return f"note: process {message.process} ended: {printable(message.detail)}"
            case ActorDied():
                return f"note: {message.process}/{message.actor} failed: {printable(message.detail)}"
            case _:
                return ""

    def _session_line(self, changed: SessionChanged) -> str:
        if changed.state == "connecting" or (changed.state == self._session and not changed.final):
            return ""
        self._session = changed.state
        words = "logged in" if changed.state == "online" else printable(changed.state)
        detail = f", {printable(changed.detail)}" if changed.detail else ""
        return f"note: Soulseek: {words}{detail}"
