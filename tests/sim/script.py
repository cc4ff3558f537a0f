"""What a source of the seeded world does: how fast, how late, and how it misbehaves."""

import math
import random
from dataclasses import dataclass
from enum import Enum, unique
from typing import Final

TRUE: Final = b"yes"
"""What a chunk of the right file is like."""
GRID_S: Final = 0.25
"""Rates change only at multiples of this."""
BURST_S: Final = 1.0
BURST_SHARE: Final = 0.1
"""A bursty limiter sends a second's quota in the first tenth of it."""
QUOTA_SHARE: Final = 0.02
"""A quota of Nicotine+ comes as fast as the line, also where the transfer begins in the middle of its second."""


@unique
class Shape(Enum):
    CONSTANT = "constant"
    BURSTY = "bursty"
    LIMITED = "limited"
    DRIFTING = "drifting"
    WALK = "walk"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceScript:
    """One source. Times in seconds of the world's clock, amounts in body bytes of the whole job.

    `bounded`: asks for exactly its run (HTTP), so that riding on costs a request; else it reads to the end of the
    file and hangs up where its run stops. `reads_on`: without offsets, it may go on where the last body stands.
    `mark`: what a chunk is like where its file differs from the right one, `odd`: the byte ranges where it does.
    `peer`: a Soulseek user of this name, who sends when its turn has come: `queue_s` and `setup_s` after it was asked,
    and `hop_s` after the turn was taken. `prior_error`: what is known of its rate before is wrong by this factor.
    """

    rate_bytes_s: float
    shape: Shape = Shape.CONSTANT
    setup_s: float = 0.02
    probe_s: float = 0.02
    request_s: float = 0.01
    bounded: bool = True
    offset_ok: bool = True
    reads_on: bool = False
    refuses_offsets: bool = False
    says_size: bool = True
    wrong_size: bool = False
    stalls_after: int | None = None
    drops_every: int | None = None
    dies_after: int | None = None
    dies_at_s: float | None = None
    back_at_s: float = math.inf
    busy_share: float = 0.0
    retry_after_s: float = 0.0
    lies: bool = False
    mark: bytes = b"odd"
    odd: tuple[tuple[int, int], ...] = ()
    lost_at_s: float | None = None
    echoes: float = 0.0
    late_s: float = 0.0
    host: str = ""
    peer: str = ""
    queue_s: float = 0.0
    hop_s: float = 0.1
    prior_error: float = 1.0

    @property
    def honest(self) -> bool:
        """Whether it gives every byte anybody asks for, sooner or later, with the right content."""
        odd = (
            self.wrong_size
            or self.lies
            or bool(self.odd)
            or self.stalls_after is not None
            or self.lost_at_s is not None
        )
        return not odd and self.dies_after is None and (self.dies_at_s is None or self.back_at_s < math.inf)


def marks(script: SourceScript, first: int, stop: int, chunk_size: int) -> bytes:
    """What chunks ``[first, stop)`` of this source are like, three bytes each."""
    if script.lies:
        return b"lie" * (stop - first)
    if not script.odd:
        return TRUE * (stop - first)
    odd = [(begin // chunk_size, -(-end // chunk_size)) for begin, end in script.odd]
    return b"".join(
        script.mark if any(begin <= chunk < end for begin, end in odd) else TRUE for chunk in range(first, stop)
    )


def span_mark(script: SourceScript, begin: int, end: int) -> bytes:
    """What bytes ``[begin, end)`` of this source are like."""
    if script.lies:
        return b"lie"
    return script.mark if any(first < end and begin < stop for first, stop in script.odd) else TRUE


class RateCurve:
    """The rate of one source as a function of time, constant between multiples of `GRID_S` (bursts: finer).

    Owned by one worker model. Asked for times that never go back by more than its own memory.
    """

    def __init__(self, script: SourceScript, seed: int) -> None:
        self._script = script
        self._rng = random.Random(seed)
        self._walk: list[float] = [0.0]
        self._phase_s = self._rng.random() * BURST_S
        self._period_s = 10.0 + 20.0 * self._rng.random()
        self._begun_s = 0.0

    def begin(self, now_s: float) -> None:
        """A transfer begins: what is left of a limiter's quota is sent at once."""
        self._begun_s = now_s

    def at(self, now_s: float) -> tuple[float, float]:
        """``(rate in bytes/s, time until which it holds)``."""
        base = self._script.rate_bytes_s
        cell = math.floor(now_s / GRID_S + 1e-9)
        until_s = (cell + 1) * GRID_S
        match self._script.shape:
            case Shape.CONSTANT:
                return base, now_s + 1.0
            case Shape.BURSTY:
                return self._burst(now_s, BURST_SHARE)
            case Shape.LIMITED:
                return self._burst(now_s, QUOTA_SHARE, self._begun_s)
            case Shape.DRIFTING:
                return base * (1 + 0.5 * math.sin(2 * math.pi * cell * GRID_S / self._period_s)), until_s
            case Shape.WALK:
                while len(self._walk) <= cell:
                    self._walk.append(max(-1.5, min(1.0, self._walk[-1] + self._rng.gauss(0, 0.1))))
                return base * math.exp(self._walk[cell]), until_s

    def _burst(self, now_s: float, share: float, begun_s: float = -math.inf) -> tuple[float, float]:
        turn = math.floor((now_s + self._phase_s) / BURST_S + 1e-9)
        begin_s = max(turn * BURST_S - self._phase_s, begun_s)
        if now_s < begin_s + share * BURST_S - 1e-9:
            return self._script.rate_bytes_s / share, begin_s + share * BURST_S
        return 0.0, (turn + 1) * BURST_S - self._phase_s
