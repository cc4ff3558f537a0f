"""The phases of a job. In every phase but the last something is awaited that has a limit, or people know why not."""

from enum import Enum, unique


@unique
class Phase(Enum):
    """As people see them in the state of a job's progress."""

    OPENING = "opening"  # probes
    TARGET = "target"  # the part file is being opened
    RIDING = "riding"
    PAUSED = "paused"  # the disk failed; it is asked again and again whether it works by now
    WAITING = "waiting"  # nobody can deliver at present, and the job is one that may wait; people are told why
    SEALING = "sealing"
    CLOSING = "closing"
    ENDED = "ended"
