"""What the supervisor and the roots of the processes say to each other."""

from protocol.messages.base import Fact


class ProcessReady(Fact, frozen=True, kw_only=True, gc=False):
    """A process listens and its actors stand."""

    process: str
    pid: int


class ProcessLost(Fact, frozen=True, kw_only=True, gc=False):
    """A process died. From the supervisor to the front and the pool.

    `restart_s`: in how many seconds it is started anew, -1 when it is not.
    """

    process: str
    detail: str
    restart_s: float = -1.0


class Ping(Fact, frozen=True, kw_only=True, gc=False):
    serial: int


class Pong(Fact, frozen=True, kw_only=True, gc=False):
    process: str
    serial: int


class StopProcess(Fact, frozen=True, kw_only=True, gc=False):
    """End in order: stop the actors, close what is open, then leave."""


class SetLogLevel(Fact, frozen=True, kw_only=True, gc=False):
    """Front to a root: from now on this process writes down what is at least so grave (a number of `logging`)."""

    level: int


class ActorDied(Fact, frozen=True, kw_only=True, gc=False):
    """An actor failed with our fault. The traceback went to the log; `detail` is its last line."""

    process: str
    actor: str
    detail: str


class Ticked(Fact, frozen=True, kw_only=True, gc=False):
    """The process's metronome; carries no time, the receiver looks at its own clock."""


class HealthReported(Fact, frozen=True, kw_only=True, gc=False):
    """From the front to the desk, every few seconds, for itself and each living child. `restarts`: how many processes
    of this name there were before it. `cpu_s` since it began, `age_s` ago; memory is PSS where the system tells it."""

    process: str
    pid: int
    restarts: int
    age_s: float
    cpu_s: float
    memory_bytes: int
    fds: int
    threads: int
