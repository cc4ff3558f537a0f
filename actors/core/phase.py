"""The phases of a job, in order."""

from enum import Enum, unique


@unique
class Phase(Enum):
    OPENING = "opening"
    TARGET = "target"
    RIDING = "riding"
    SEALING = "sealing"
    CLOSING = "closing"
    ENDED = "ended"
