"""Messages between the supervisor and the roots of its processes."""

from protocol.messages.base import Message


class ProcessReady(Message, tag=51):
    """A process listens and its actors have started."""

    process: str
    pid: int


class ProcessLost(Message, tag=52):
    """A process died. From the supervisor to the front and the pool.

    `restart_s`: in how many seconds it is started again, -1 when it is not.
    """

    process: str
    detail: str
    restart_s: float = -1.0


class Ping(Message, tag=53):
    """Heartbeat from the supervisor; answered by `Pong`."""

    serial: int


class Pong(Message, tag=54):
    """Answer to the `Ping` of this serial."""

    process: str
    serial: int


class StopProcess(Message, tag=55):
    """End in order: stop the actors, close what is open, then leave."""


class SetLogLevel(Message, tag=120):
    """Log from now on messages of at least this `level`, a number of `logging`. To a process's root."""

    level: int


class ActorDied(Message, tag=56):
    """An actor failed with our fault. The traceback went to the log; `detail` is its last line."""

    process: str
    actor: str
    detail: str


class Ticked(Message, tag=57):
    """Periodic tick. It carries no time, the receiver reads its own clock."""


class HealthReported(Message, tag=124):
    """Statistics of one living process, every few seconds. From the front to the gateway."""

    process: str
    pid: int
    restarts: int
    """Number of earlier processes of this name."""
    age_s: float
    cpu_s: float
    """Since it began."""
    memory_bytes: int
    """Proportional set size where the system has it."""
    fds: int
    threads: int
