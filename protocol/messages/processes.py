"""What the supervisor and the roots of the processes say to each other."""

from protocol.messages.fact import Fact


class ProcessReady(Fact, frozen=True, kw_only=True, gc=False):
    """A process listens and its actors stand."""

    process: str
    pid: int


class ProcessLost(Fact, frozen=True, kw_only=True, gc=False):
    """A process died or its link broke. From the supervisor to the hub and the store."""

    process: str
    detail: str


class PingAsked(Fact, frozen=True, kw_only=True, gc=False):
    serial: int


class PingAnswered(Fact, frozen=True, kw_only=True, gc=False):
    process: str
    serial: int


class StopAsked(Fact, frozen=True, kw_only=True, gc=False):
    """End in order: stop the actors, close what is open, then leave."""


class ActorDied(Fact, frozen=True, kw_only=True, gc=False):
    """An actor failed with our fault. The traceback went to the log; `detail` is its last line."""

    process: str
    actor: str
    detail: str


class Ticked(Fact, frozen=True, kw_only=True, gc=False):
    """The process's metronome; carries no time, the receiver looks at its own clock."""
