"""Rate monitor: how fast each transfer is, which crawl, which are silent, and which cap each one gets.

A rate is the mean over the last `WINDOW_S` of a flowing transfer: real limiters send a second's quota at once and are
then silent, so anything shorter lies. The clock is passed in.
"""

import itertools
from collections import deque
from typing import Final, assert_never

from actors.core.rates.bandwidth_shares import UNLIMITED, BandwidthShares, Demand
from protocol.messages import (
    JobClosed,
    LimitTotal,
    MonitorJob,
    SourceMeasured,
    SourceSlowed,
    SourcesMeasured,
    SourceStalled,
    Ticked,
    TransferEnded,
    TransferProgressed,
    TransfersProgressed,
)
from protocol.messages.addresses import Post, worker_address
from protocol.model.limits import LIMITER_QUOTA_S
from protocol.model.value import Struct, field

WatchdogInbox = MonitorJob | LimitTotal | TransferProgressed | TransfersProgressed | TransferEnded | JobClosed | Ticked

WINDOW_S: Final = 3.0
"""Three quotas of a limiter: fewer and a rate swings by a third."""
QUOTA_READ_S: Final = (0.55, 0.9)
"""Part of a quota's second in which it is judged: all of it has come by then and nothing of the next yet, though the
first byte was reported late."""
QUOTAS_S_MAX: Final = 6.0
"""An older transfer is judged by its mean, however it flows: limiters even out."""
SILENT_SHARE: Final = 0.2
"""One silent report in five is not how an even flow looks."""
UNEVEN_SHARE: Final = 0.6
"""Nor is one step that brings this share of all bytes."""
FIRST_JUDGED_S: Final = 0.2
"""A transfer is judged no sooner than this after its first byte."""
REPORT_GAP_S: Final = 0.6
"""A slow transfer reports about twice a second: a silence this long says nothing about its rate."""
SLOW_WHOLE_SHARE: Final = 0.9
"""A transfer is slow only when marks cover this share of the slow limit's time."""
AT_CAP_SHARE: Final = 0.85
"""From this share of its cap on a transfer is held back by it, and could use more."""
CAP_HEADROOM: Final = 1.25
"""A transfer below its cap demands this much more than it gets, so that it can grow."""
MEASURED_TOGETHER_MAX: Final = 200
"""Measurements in one message."""
DEMAND_MIN_BYTES_S: Final = 1024.0
"""Demand of a transfer from which nothing comes: what it may send at once when it goes on."""


class _Transfer(Struct):
    """Progress of one lease, as far as its worker has reported it."""

    job: int
    source: int
    lease: int
    begun_s: float
    worker: str
    news: bool = True  # progress that the dispatcher has not been sent
    judged: bool = False  # its rate was said once
    first_byte_s: float | None = None
    first_bytes: int = 0  # received with the first report of any
    grown_s: float = 0.0
    received_bytes: int = 0
    marks: deque[tuple[float, int]] = field(default_factory=deque)  # (time, bytes) over the window
    slow_marks: deque[tuple[float, int]] = field(default_factory=deque)  # the same over the slow limit
    reported: bool = False  # as slow or stalled: once is enough

    def rate(self, now_s: float) -> float:
        """Return bytes a second, -1 while that cannot be said."""
        if self.first_byte_s is not None and now_s - self.first_byte_s < QUOTAS_S_MAX and self._uneven():
            return self._quotas(now_s - self.first_byte_s)
        if len(self.marks) < 2 or now_s - self.marks[0][0] < FIRST_JUDGED_S:
            return -1.0
        begin_s, begin = self.marks[0]
        heard_for_s = max(self.marks[-1][0] - begin_s, now_s - begin_s - REPORT_GAP_S)
        return (self.received_bytes - begin) / heard_for_s if heard_for_s > 0 else -1.0

    @property
    def unjudged(self) -> bool:
        """Whether the moments at which a limiter can be judged have all been between its reports so far."""
        silent = len(self.marks) > 1 and self.marks[-1][1] == self.marks[-2][1]
        return not self.judged and silent and self._uneven()

    def _uneven(self) -> bool:
        """Whether it comes in bursts with silence between them, as a limiter's quotas do."""
        steps = [self.first_bytes, *(late[1] - early[1] for early, late in itertools.pairwise(self.marks))]
        silent = sum(step == 0 for step in steps)
        return max(steps) > UNEVEN_SHARE * self.received_bytes or silent > SILENT_SHARE * len(steps)

    def _quotas(self, flowing_s: float) -> float:
        """Return the rate between two quotas of a limiter, -1 while one is coming."""
        whole, into_s = divmod(flowing_s, LIMITER_QUOTA_S)
        least_s, most_s = QUOTA_READ_S
        return self.received_bytes / ((whole + 1) * LIMITER_QUOTA_S) if least_s <= into_s <= most_s else -1.0

    def setup_s(self, rate_bytes_s: float) -> float:
        """Return the time from grant to first byte, 0 while unknown. Bytes of the first report came at this rate."""
        if self.first_byte_s is None or rate_bytes_s <= 0:
            return 0.0
        return max(self.first_byte_s - self.begun_s - self.first_bytes / rate_bytes_s, 0.001)


class RateMonitor:
    """Rates of all transfers, one a source, of the jobs that are monitored. Owned by the SpeedWatchdog."""

    def __init__(self) -> None:
        self._jobs: dict[int, MonitorJob] = {}
        self._transfers: dict[tuple[int, int], _Transfer] = {}
        self._shares = BandwidthShares()

    def handle(self, message: WatchdogInbox, *, now_s: float) -> list[Post]:
        match message:
            case TransferProgressed():
                return self._progress(message, now_s)
            case TransfersProgressed():
                return self._progress_of_several(message, now_s)
            case TransferEnded():
                transfer = self._transfers.get((message.job, message.source))
                if transfer is not None and transfer.lease == message.lease:
                    del self._transfers[message.job, message.source]
            case MonitorJob():
                self._jobs[message.job] = message
                self._shares.limit(message.job, message.limit_bytes_s)
            case LimitTotal(limit_bytes_s=limit_bytes_s):
                self._shares.total_bytes_s = limit_bytes_s
            case JobClosed():
                self._jobs.pop(message.job, None)
                self._shares.forget(message.job)
                self._transfers = {key: transfer for key, transfer in self._transfers.items() if key[0] != message.job}
            case Ticked():
                return self._judge(now_s)
            case _:
                assert_never(message)
        return []

    def _progress_of_several(self, message: TransfersProgressed, now_s: float) -> list[Post]:
        out: list[Post] = []
        rows = zip(message.jobs, message.sources, message.leases, message.received_bytes, message.ago_s, strict=True)
        for job, source, lease, received_bytes, ago_s in rows:
            worker = worker_address(message.process, job, source)
            one = TransferProgressed(job=job, source=source, lease=lease, received_bytes=received_bytes, worker=worker)
            out += self._progress(one, now_s - ago_s)
        return out

    def _progress(self, message: TransferProgressed, now_s: float) -> list[Post]:
        if message.job not in self._jobs:
            return []
        out: list[Post] = []
        key = (message.job, message.source)
        transfer = self._transfers.get(key)
        if transfer is None or transfer.lease != message.lease:
            transfer = self._transfers[key] = _Transfer(
                message.job, message.source, message.lease, now_s, message.worker
            )
            transfer.grown_s = now_s
            out = self._shares.newcomer(Demand(*key, message.worker, UNLIMITED), len(self._transfers))
        transfer.news = True
        if message.received_bytes > transfer.received_bytes:
            transfer.grown_s = now_s
            if transfer.first_byte_s is None:
                transfer.first_byte_s, transfer.first_bytes = now_s, message.received_bytes
                transfer.reported = False  # that it was silent until now is over
        transfer.received_bytes = message.received_bytes
        if transfer.first_byte_s is not None:
            transfer.marks.append((now_s, message.received_bytes))
            transfer.slow_marks.append((now_s, message.received_bytes))
        return out

    def _judge(self, now_s: float) -> list[Post]:
        out: list[Post] = []
        measured: dict[str, list[SourceMeasured]] = {}
        for transfer in self._transfers.values():
            job = self._jobs[transfer.job]
            _forget_before(transfer.marks, now_s - WINDOW_S)
            _forget_before(transfer.slow_marks, now_s - job.policy.slow_after_s)
            if transfer.news or transfer.unjudged:
                measured.setdefault(job.dispatcher, []).extend(_measure(transfer, now_s))
            if not transfer.reported:
                out += _crawling(transfer, job, now_s)
        out[:0] = [Post(to=to, message=message) for to, several in measured.items() for message in _together(several)]
        return out + self._shares.share_out(self._demands(now_s) if self._shares.limited else [])

    def _demands(self, now_s: float) -> list[Demand]:
        return [
            Demand(each.job, each.source, each.worker, self._demand(each, now_s)) for each in self._transfers.values()
        ]

    def _demand(self, transfer: _Transfer, now_s: float) -> float:
        """Return what a transfer could use: unknown while it is new or at its cap, else a little more than it gets."""
        rate, cap = transfer.rate(now_s), self._shares.cap_of(transfer.job, transfer.source)
        if rate < 0 or rate >= AT_CAP_SHARE * cap:  # 0 is no cap
            return UNLIMITED
        return max(rate * CAP_HEADROOM, DEMAND_MIN_BYTES_S)


def _measure(transfer: _Transfer, now_s: float) -> list[SourceMeasured]:
    """Return the news of a transfer for its dispatcher, none while a limiter can not be judged."""
    rate = transfer.rate(now_s)
    if not transfer.news and rate < 0:
        return []
    transfer.news, transfer.judged = False, transfer.judged or rate >= 0
    return [
        SourceMeasured(
            job=transfer.job,
            source=transfer.source,
            lease=transfer.lease,
            received_bytes=transfer.received_bytes,
            rate_bytes_s=rate,
            setup_s=transfer.setup_s(rate),
        )
    ]


def _together(several: list[SourceMeasured]) -> list[SourceMeasured | SourcesMeasured]:
    """Return measurements of one job as messages: sent one by one those of 500 transfers kept half a core busy."""
    if len(several) <= 1:
        return [*several]
    parts = (several[at : at + MEASURED_TOGETHER_MAX] for at in range(0, len(several), MEASURED_TOGETHER_MAX))
    return [
        SourcesMeasured(
            job=part[0].job,
            sources=tuple(each.source for each in part),
            leases=tuple(each.lease for each in part),
            received_bytes=tuple(each.received_bytes for each in part),
            rates_bytes_s=tuple(each.rate_bytes_s for each in part),
            setups_s=tuple(each.setup_s for each in part),
        )
        for part in parts
    ]


def _crawling(transfer: _Transfer, job: MonitorJob, now_s: float) -> list[Post]:
    """Return what is to be said once of a transfer that is silent or slow."""
    silent_s = now_s - transfer.grown_s
    if silent_s >= job.stall_s:
        transfer.reported = True
        stalled = SourceStalled(job=transfer.job, source=transfer.source, lease=transfer.lease, silent_s=silent_s)
        return [Post(to=job.dispatcher, message=stalled)]
    if transfer.first_byte_s is None or now_s - transfer.first_byte_s < job.policy.slow_after_s:
        return []
    begin_s, begin = transfer.slow_marks[0]
    mean = (transfer.received_bytes - begin) / max(now_s - begin_s, 0.001)
    if mean >= job.policy.slow_rate_bytes_s or now_s - begin_s < SLOW_WHOLE_SHARE * job.policy.slow_after_s:
        return []
    transfer.reported = True
    slowed = SourceSlowed(job=transfer.job, source=transfer.source, lease=transfer.lease, rate_bytes_s=mean)
    return [Post(to=job.dispatcher, message=slowed)]


def _forget_before(marks: deque[tuple[float, int]], horizon_s: float) -> None:
    """Drop marks before the horizon but the last of them, so that the window is always whole."""
    while len(marks) > 1 and marks[1][0] <= horizon_s:
        marks.popleft()
