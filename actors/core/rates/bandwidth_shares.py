"""Max-min fair bandwidth shares: one limit for all jobs, one for each job, shared out over their transfers.

Shared twice, over the jobs and then over the transfers of each. Small demands are granted whole, and what no transfer
asks for is spread too, so that a demand can grow. The clock is not asked: the owner shares out again at every tick.
"""

from typing import Final

from actors.core.max_min import max_min_shares
from protocol.messages import CapRate
from protocol.messages.addresses import Post
from protocol.model.value import Struct

CAP_STEP: Final = 0.05
"""A cap is sent again only when it moved by this share."""
CAP_MIN_BYTES_S: Final = 1.0
"""A cap of 0 would be none."""
UNLIMITED: Final = float("inf")


class Demand(Struct, frozen=True):
    """Bandwidth that one transfer could use, in bytes a second; `UNLIMITED` while unknown."""

    job: int
    source: int
    worker: str
    rate_bytes_s: float


class BandwidthShares:
    """Limits of all jobs and the caps that follow. Owned by the RateMonitor.

    `_caps` remembers what each worker was sent last; 0: that it has no cap.
    """

    def __init__(self) -> None:
        self.total_bytes_s = 0
        self._jobs: dict[int, int] = {}
        self._caps: dict[tuple[int, int], tuple[str, float]] = {}

    @property
    def limited(self) -> bool:
        """Whether there is any limit, and so any demand to be known."""
        return self.total_bytes_s > 0 or any(self._jobs.values())

    def limit(self, job: int, limit_bytes_s: int) -> None:
        """Set the limit of a job, 0: none."""
        self._jobs[job] = limit_bytes_s

    def forget(self, job: int) -> None:
        self._jobs.pop(job, None)
        self._caps = {key: cap for key, cap in self._caps.items() if key[0] != job}

    def cap_of(self, job: int, source: int) -> float:
        """Return the cap that its worker was sent, 0: none."""
        return self._caps.get((job, source), ("", 0.0))[1]

    def newcomer(self, demand: Demand, transfer_count: int) -> list[Post]:
        """Cap a transfer that begins, one of `transfer_count`, at an equal share until the next tick."""
        limits = [limit for limit in (self.total_bytes_s, self._jobs.get(demand.job, 0)) if limit > 0]
        return self._set_cap(demand, min(limits) / max(transfer_count, 1)) if limits else []

    def share_out(self, demands: list[Demand]) -> list[Post]:
        """Cap these transfers, which are all there are. Without any limit every cap is lifted."""
        if not self.limited:
            return self._lift_all()
        by_job: dict[int, list[Demand]] = {}
        for demand in demands:
            by_job.setdefault(demand.job, []).append(demand)
        wanted = [self._wanted(job, of_job) for job, of_job in by_job.items()]
        total = float(self.total_bytes_s)
        granted = max_min_shares(wanted, total) if total > 0 else [UNLIMITED] * len(wanted)
        out: list[Post] = []
        for (job, of_job), grant in zip(by_job.items(), granted, strict=True):
            own = float(self._jobs.get(job, 0))
            if total <= 0 and own <= 0:
                caps = [0.0] * len(of_job)
            else:
                shares = max_min_shares([each.rate_bytes_s for each in of_job], min(grant, own or UNLIMITED))
                caps = [max(share, CAP_MIN_BYTES_S) for share in shares]
            for demand, cap in zip(of_job, caps, strict=True):
                out += self._set_cap(demand, cap)
        return out

    def _wanted(self, job: int, of_job: list[Demand]) -> float:
        own = float(self._jobs.get(job, 0)) or UNLIMITED
        return min(own, sum(each.rate_bytes_s for each in of_job))

    def _set_cap(self, demand: Demand, cap: float) -> list[Post]:
        """Send a cap, 0 to lift it, when it differs enough from the one before."""
        worker, before = self._caps.get((demand.job, demand.source), ("", 0.0))
        if worker == demand.worker and abs(cap - before) <= CAP_STEP * cap and bool(cap) == bool(before):
            return []
        self._caps[demand.job, demand.source] = (demand.worker, cap)
        if not cap and not before:
            return []
        return [Post(to=demand.worker, message=CapRate(job=demand.job, source=demand.source, rate_bytes_s=cap))]

    def _lift_all(self) -> list[Post]:
        """Lift every cap, also of sources that do not transfer at the moment."""
        lifted = [(key, worker) for key, (worker, cap) in self._caps.items() if cap > 0]
        self._caps.clear()
        return [
            Post(to=worker, message=CapRate(job=job, source=source, rate_bytes_s=0.0))
            for (job, source), worker in lifted
        ]
