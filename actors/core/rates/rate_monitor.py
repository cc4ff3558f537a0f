"""The SpeedWatchdog's judgement: how fast is each ride, which crawl, which are silent, who may send how much.

A rate is the mean over the last `WINDOW_S` of a flowing ride: real limiters send a second's quota at once and are
then silent, so anything shorter lies. The clock is passed in.
"""

import itertools
from collections import deque
from dataclasses import dataclass, field
from typing import Final, assert_never

from actors.core.rates.bandwidth_shares import UNLIMITED, Limits, Wish
from protocol.messages import (
    JobClosed,
    LimitTotal,
    MonitorJob,
    SourceMeasured,
    SourceSlowed,
    SourceStalled,
    Ticked,
    TransferEnded,
    TransferProgressed,
)
from protocol.messages.addresses import Post

WatchdogInbox = MonitorJob | LimitTotal | TransferProgressed | TransferEnded | JobClosed | Ticked

WINDOW_S: Final = 3.0
QUOTA_S: Final = 1.0
"""Real limiters let the quota of so long go at once."""
QUOTA_READ_S: Final = (0.55, 0.9)
"""When in a quota's second it is read: all of it has come by then, and of the next nothing yet, though the first byte
was heard of late."""
QUOTAS_S_MAX: Final = 6.0
"""A ride older than this is judged by its mean, however it flows: limiters even out."""
SILENT_SHARE: Final = 0.2
"""One silent report in five is not how an even flow looks."""
UNEVEN_SHARE: Final = 0.6
FIRST_JUDGED_S: Final = 0.2
"""A ride is judged no sooner than this after its first byte."""
REPORT_GAP_S: Final = 0.3
"""A ride speaks about five times a second: a silence this long says nothing about its rate."""
CAP_HEADROOM: Final = 1.25
WISH_MIN_BYTES_S: Final = 1024.0
"""What a ride from which nothing comes may still send at once when it goes on."""


@dataclass(slots=True)
class _Ride:
    """One lease being ridden. `marks` are (time, bytes) over the window, `slow_marks` over the slow limit."""

    job: int
    source: int
    lease: int
    begun_s: float
    worker: str
    heard: bool = True
    first_byte_s: float | None = None
    first_bytes: int = 0
    grown_s: float = 0.0
    received_bytes: int = 0
    marks: deque[tuple[float, int]] = field(default_factory=deque)
    slow_marks: deque[tuple[float, int]] = field(default_factory=deque)
    told: bool = False

    def rate(self, now_s: float) -> float:
        """Bytes a second, -1 while it cannot be said."""
        if self.first_byte_s is not None and now_s - self.first_byte_s < QUOTAS_S_MAX and self._uneven():
            return self._quotas(now_s - self.first_byte_s)
        if len(self.marks) < 2 or now_s - self.marks[0][0] < FIRST_JUDGED_S:
            return -1.0
        begin_s, begin = self.marks[0]
        heard_for_s = max(self.marks[-1][0] - begin_s, now_s - begin_s - REPORT_GAP_S)
        return (self.received_bytes - begin) / heard_for_s if heard_for_s > 0 else -1.0

    def _uneven(self) -> bool:
        """Whether it comes at once and is silent then, as a limiter's quotas do."""
        steps = [self.first_bytes, *(late[1] - early[1] for early, late in itertools.pairwise(self.marks))]
        silent = sum(step == 0 for step in steps)
        return max(steps) > UNEVEN_SHARE * self.received_bytes or silent > SILENT_SHARE * len(steps)

    def _quotas(self, flowing_s: float) -> float:
        """Between two quotas of a limiter, what came is so many quotas; while one comes it says little."""
        whole, into_s = divmod(flowing_s, QUOTA_S)
        least_s, most_s = QUOTA_READ_S
        return self.received_bytes / ((whole + 1) * QUOTA_S) if least_s <= into_s <= most_s else -1.0

    def setup_s(self, rate_bytes_s: float) -> float:
        """From grant to first byte; 0 while unknown. What came before the first report came at today's rate."""
        if self.first_byte_s is None or rate_bytes_s <= 0:
            return 0.0
        return max(self.first_byte_s - self.begun_s - self.first_bytes / rate_bytes_s, 0.001)


class SpeedState:
    """Owned by the SpeedWatchdog: the jobs it watches and one ride a source."""

    def __init__(self) -> None:
        self._jobs: dict[int, MonitorJob] = {}
        self._rides: dict[tuple[int, int], _Ride] = {}
        self._limits = Limits()

    def handle(self, message: WatchdogInbox, *, now_s: float) -> list[Post]:
        match message:
            case TransferProgressed():
                return self._progress(message, now_s)
            case TransferEnded():
                ride = self._rides.get((message.job, message.source))
                if ride is not None and ride.lease == message.lease:
                    del self._rides[message.job, message.source]
            case MonitorJob():
                self._jobs[message.job] = message
                self._limits.limit(message.job, message.limit_bytes_s)
            case LimitTotal(limit_bytes_s=limit_bytes_s):
                self._limits.total_bytes_s = limit_bytes_s
            case JobClosed():
                self._jobs.pop(message.job, None)
                self._limits.forget(message.job)
                self._rides = {key: ride for key, ride in self._rides.items() if key[0] != message.job}
            case Ticked():
                return self._judge(now_s)
            case _:
                assert_never(message)
        return []

    def _progress(self, message: TransferProgressed, now_s: float) -> list[Post]:
        if message.job not in self._jobs:
            return []
        out: list[Post] = []
        key = (message.job, message.source)
        ride = self._rides.get(key)
        if ride is None or ride.lease != message.lease:
            ride = self._rides[key] = _Ride(message.job, message.source, message.lease, now_s, message.worker)
            ride.grown_s = now_s
            out = self._limits.newcomer(Wish(*key, message.worker, UNLIMITED), len(self._rides))
        ride.heard = True
        if message.received_bytes > ride.received_bytes:
            ride.grown_s = now_s
            if ride.first_byte_s is None:
                ride.first_byte_s, ride.first_bytes = now_s, message.received_bytes
        ride.received_bytes = message.received_bytes
        if ride.first_byte_s is not None:
            ride.marks.append((now_s, message.received_bytes))
            ride.slow_marks.append((now_s, message.received_bytes))
        return out

    def _judge(self, now_s: float) -> list[Post]:
        out: list[Post] = []
        for ride in self._rides.values():
            job = self._jobs[ride.job]
            _forget_before(ride.marks, now_s - WINDOW_S)
            _forget_before(ride.slow_marks, now_s - job.slow_after_s)
            out += self._verdict(ride, job, now_s)
        return out + self._limits.share_out(self._wishes(now_s))

    def _verdict(self, ride: _Ride, job: MonitorJob, now_s: float) -> list[Post]:
        out: list[Post] = []
        rate = ride.rate(now_s)
        if ride.heard:
            ride.heard = False
            measured = SourceMeasured(
                job=ride.job,
                source=ride.source,
                lease=ride.lease,
                received_bytes=ride.received_bytes,
                rate_bytes_s=rate,
                setup_s=ride.setup_s(rate),
            )
            out.append(Post(to=job.dispatcher, message=measured))
        if ride.told:
            return out
        silent_s = now_s - ride.grown_s
        if silent_s >= job.stall_s:
            ride.told = True
            stalled = SourceStalled(job=ride.job, source=ride.source, lease=ride.lease, silent_s=silent_s)
            out.append(Post(to=job.dispatcher, message=stalled))
        elif ride.first_byte_s is not None and now_s - ride.first_byte_s >= job.slow_after_s:
            begin_s, begin = ride.slow_marks[0]
            mean = (ride.received_bytes - begin) / max(now_s - begin_s, 0.001)
            if mean < job.slow_rate_bytes_s and now_s - begin_s >= 0.9 * job.slow_after_s:
                ride.told = True
                slowed = SourceSlowed(job=ride.job, source=ride.source, lease=ride.lease, rate_bytes_s=mean)
                out.append(Post(to=job.dispatcher, message=slowed))
        return out

    def _wishes(self, now_s: float) -> list[Wish]:
        return [Wish(ride.job, ride.source, ride.worker, self._wish(ride, now_s)) for ride in self._rides.values()]

    def _wish(self, ride: _Ride, now_s: float) -> float:
        """What a ride could use: unknown while it is new or runs at its cap, else a little more than it gets."""
        rate, cap = ride.rate(now_s), self._limits.cap_of(ride.job, ride.source)
        return UNLIMITED if rate < 0 or cap <= 0 or rate >= 0.85 * cap else max(rate * CAP_HEADROOM, WISH_MIN_BYTES_S)


def _forget_before(marks: deque[tuple[float, int]], horizon_s: float) -> None:
    """Keep one mark at or before the horizon, so that the window is always whole."""
    while len(marks) > 1 and marks[1][0] <= horizon_s:
        marks.popleft()
