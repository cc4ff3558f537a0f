"""Who may send how much: one limit for all jobs together, one for each job, shared out over the rides.

Max-min fair, twice: over the jobs, then over the rides of each. Small wishes are granted whole, and what nobody asks
for is spread too, so that a wish can grow. The clock is not asked: whoever owns this shares out anew at every tick.
"""

from dataclasses import dataclass
from typing import Final

from protocol.messages import CapRate
from protocol.messages.addresses import Post

CAP_STEP: Final = 0.05
"""A cap is said again only when it moved by this share."""
CAP_MIN_BYTES_S: Final = 1.0
"""A cap of 0 would be none."""
UNLIMITED: Final = float("inf")


@dataclass(frozen=True, slots=True)
class Wish:
    """What a ride could use, in bytes a second; `UNLIMITED` while nobody knows."""

    job: int
    source: int
    worker: str
    rate_bytes_s: float


class Limits:
    """Owned by the SpeedState. Remembers what each worker was told last; 0: that it has no cap."""

    def __init__(self) -> None:
        self.total_bytes_s = 0
        self._jobs: dict[int, int] = {}
        self._told: dict[tuple[int, int], tuple[str, float]] = {}

    def limit(self, job: int, limit_bytes_s: int) -> None:
        """This job may use at most so much, 0: what it can."""
        self._jobs[job] = limit_bytes_s

    def forget(self, job: int) -> None:
        self._jobs.pop(job, None)
        self._told = {key: told for key, told in self._told.items() if key[0] != job}

    def cap_of(self, job: int, source: int) -> float:
        """What its worker was told, 0: nothing or no cap."""
        return self._told.get((job, source), ("", 0.0))[1]

    def newcomer(self, wish: Wish, riding: int) -> list[Post]:
        """A ride begins, one of so many: it gets no more than an equal share until the next tick."""
        limits = [limit for limit in (self.total_bytes_s, self._jobs.get(wish.job, 0)) if limit > 0]
        return self._tell(wish, min(limits) / max(riding, 1)) if limits else []

    def share_out(self, wishes: list[Wish]) -> list[Post]:
        """Caps for these rides, which are all there are. Without any limit every cap is lifted."""
        if self.total_bytes_s <= 0 and not any(self._jobs.values()):
            return self._lift_all()
        by_job: dict[int, list[Wish]] = {}
        for wish in wishes:
            by_job.setdefault(wish.job, []).append(wish)
        wanted = [self._wanted(job, rides) for job, rides in by_job.items()]
        granted = fill(wanted, float(self.total_bytes_s)) if self.total_bytes_s > 0 else [UNLIMITED] * len(wanted)
        out: list[Post] = []
        for (job, rides), grant in zip(by_job.items(), granted, strict=True):
            limit = min(grant, float(self._jobs[job])) if self._jobs.get(job, 0) > 0 else grant
            bound = self.total_bytes_s > 0 or self._jobs.get(job, 0) > 0
            caps = fill([ride.rate_bytes_s for ride in rides], limit) if bound else [0.0] * len(rides)
            for ride, cap in zip(rides, caps, strict=True):
                out += self._tell(ride, max(cap, CAP_MIN_BYTES_S) if bound else 0.0)
        return out

    def _wanted(self, job: int, rides: list[Wish]) -> float:
        own = float(self._jobs.get(job, 0)) or UNLIMITED
        return min(own, sum(ride.rate_bytes_s for ride in rides))

    def _tell(self, wish: Wish, cap: float) -> list[Post]:
        """0 lifts a cap."""
        worker, before = self._told.get((wish.job, wish.source), ("", 0.0))
        if worker == wish.worker and abs(cap - before) <= CAP_STEP * cap and bool(cap) == bool(before):
            return []
        self._told[wish.job, wish.source] = (wish.worker, cap)
        told = CapRate(job=wish.job, source=wish.source, rate_bytes_s=cap)
        return [Post(to=wish.worker, message=told)] if cap or before else []

    def _lift_all(self) -> list[Post]:
        """Also of those that do not ride at the moment."""
        lifted = [(key, worker) for key, (worker, cap) in self._told.items() if cap > 0]
        self._told.clear()
        return [
            Post(to=worker, message=CapRate(job=job, source=source, rate_bytes_s=0.0))
            for (job, source), worker in lifted
        ]


def fill(wants: list[float], limit: float) -> list[float]:
    """Share a limit like water: small wishes are granted whole, the rest is shared equally by those who want more.

    The result sums to `limit`: what nobody asks for is spread too, so that a wish can grow.
    """
    if not wants:
        return []
    shares = [0.0] * len(wants)
    left, open_wants = limit, sorted(range(len(wants)), key=lambda index: wants[index])
    for at, index in enumerate(open_wants):
        shares[index] = min(wants[index], left / (len(open_wants) - at))
        left -= shares[index]
    return [share + left / len(wants) for share in shares]
