"""What the supervisor and the roots of the processes say to each other."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessReady:
    """A process listens and its actors stand."""

    process: str
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessLost:
    """A process died or its link broke. From the supervisor to the hub and the store."""

    process: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PingAsked:
    serial: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PingAnswered:
    process: str
    serial: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StopAsked:
    """End in order: stop the actors, close what is open, then leave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorDied:
    """An actor failed with our fault. The traceback went to the log; `detail` is its last line."""

    process: str
    actor: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticked:
    """The process's metronome; carries no time, the receiver looks at its own clock."""
