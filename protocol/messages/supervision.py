"""What the supervisor and the roots of the processes say to each other."""

from protocol.messages.base import Message


class ProcessReady(Message, tag=51):
    """A process listens and its actors stand."""

    process: str
    pid: int


class ProcessLost(Message, tag=52):
    """A process died. From the supervisor to the front and the pool.

    `restart_s`: in how many seconds it is started anew, -1 when it is not.
    """

    process: str
    detail: str
    restart_s: float = -1.0


class Ping(Message, tag=53):
    serial: int


class Pong(Message, tag=54):
    process: str
    serial: int


class StopProcess(Message, tag=55):
    """End in order: stop the actors, close what is open, then leave."""


class SetLogLevel(Message, tag=120):
    """Front to a root: from now on this process writes down what is at least so grave (a number of `logging`)."""

    level: int


class ActorDied(Message, tag=56):
    """An actor failed with our fault. The traceback went to the log; `detail` is its last line."""

    process: str
    actor: str
    detail: str


class Ticked(Message, tag=57):
    """The process's metronome; carries no time, the receiver looks at its own clock."""


class HealthReported(Message, tag=124):
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
