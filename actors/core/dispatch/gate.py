"""Gate before users: whether disturbing one more Soulseek user is worth what it is predicted to gain.

An aborted transfer is a failed upload in a stranger's list. So the file comes whole from the user that grants first,
measured while it streams, until the prediction says that more of them save enough: `patience_s` seconds and
`GAIN_SHARE` of what is left. Once all of them together beat the best single one by that much the gate is open for the
rest of the job (the swarm). Before that users are let in one at a time, and offered uploads are held while the rate of
one that sends is not known yet. Sources that cost nothing to stop have no gate.

Nothing is known of most users. So one that grants soon sends a *sample*: the last part of the file, to its end. That is
a transfer that ends by itself, so no stop; it says how fast the user is and that it has the same file. Then the user is
asked for a place again, and gets one transfer of the right length. While samples are coming nothing is decided. One
with a long queue is not sampled: it counts like a prior, moved a little by those that were measured.

The first to grant is no choice of ours: where it turns out slow, a single stop may correct that for less
(`FIRST_PATIENCE_SHARE`). A newcomer of known rate takes what lets both finish together; one of unknown rate begins
right ahead of the other, so that the better of the two goes on to the end of the file: one stop, whichever it is.

Limiters of real clients lend the quota of a second: in its first seconds a transfer looks up to twice as fast as it is,
and samples of all but the slowest come at once. So a young sender is judged by what is left without the loan, and of
several users whose samples came at once each sends a longer one, until one is the quickest.
"""

import math
from collections.abc import Iterable
from enum import Enum, unique
from typing import Final

from actors.core.dispatch import spread
from actors.core.dispatch.chunk_tracker import UNBOUNDED, ChunkTracker, Lease
from actors.core.dispatch.finish_time import LeaseEstimate
from actors.core.dispatch.placement import Duplicate, FreeRange, Placement, Tail, may_disturb, place
from actors.core.dispatch.placement_view import PlacementView, PlacementViewCache, bound_to_end, is_open
from actors.core.dispatch.sources import PRIOR_BYTES_S, Source
from protocol.messages import StartJob
from protocol.model.limits import LIMITER_QUOTA_S
from protocol.model.units import show_time
from protocol.model.value import Struct, replace

GAIN_SHARE: Final = 0.25
FIRST_PATIENCE_SHARE: Final = 1 / 3
FIRST_GAIN_SHARE: Final = 0.5
"""The first stop of a job needs this part of the patience, where it saves this share of what is left."""
PRIOR_WEIGHT: Final = 2
"""The prior counts like this number of measured users."""
BEST_OF_UNKNOWN: Final = 3.0
"""The best of several unknown users sends this many times their mean: their rates differ by a factor of a hundred."""
SETUP_S: Final = 1.0
"""What it takes until a user that joins sends."""
HOLD_S_MAX: Final = 8.0
"""An offered upload is held for this long at most; real peers wait for some 30 s."""
LATE_S: Final = 3.0
"""A user known to be slow waits for a faster one while that would have the file this much sooner."""
BETTER: Final = 1.3
"""A user waits for one that is this many times as fast and will be granted in a moment."""
CROWD: Final = 6
"""The best of that number of users is slow beside the sum of their rates."""
SAMPLES_SHARE: Final = 0.01
SAMPLE_SHARE: Final = 0.01
SAMPLE_LENT_BYTES: Final = 384 << 10
SAMPLE_LARGE_SHARE: Final = 0.004
SAMPLE_BYTES_MAX: Final = 1 << 20
"""The samples of a crowd together are this part of the file. Each of a few users is, up to what the limiter of a slow
one does not lend at once; of a larger file the smaller part; none is longer than that. Twice
as much says hardly more of a rate, and a slow user is measured for half a minute. The more users, the smaller the part:
all send the same bytes, and one rate among many may be a little wrong."""
SAMPLE_AGAIN: Final = 4
SAMPLES_MAX: Final = 3
"""Where the samples of several users came at once they send another one, this many times as long."""
SAMPLE_CHUNKS_MIN: Final = 0.75
"""The last chunk of a file may be short: then a sample has one more; in a crowd only if that has hardly anything."""
SAMPLE_BYTES_MIN: Final = 96 << 10
"""Less says nothing of a rate, however small the chunks of a small file are; in a crowd a part of that must do."""
SAMPLES_APART_S: Final = 10.0
"""While those that send have the file sooner, samples are taken one after another."""
SAMPLE_QUEUE_S_MAX: Final = 5.0
"""A user that lets us wait longer for a grant is not asked for a sample: it would let us wait again."""
AWAITED_S: Final = 4.0
SAMPLED_S: Final = 2.0
"""A grant is awaited for this long after the request, the rate of a sample for this long after its beginning."""
DUPLICATE_S: Final = 1.0
"""A newcomer also fetches what the slow one is reading where that saves more than this."""
AHEAD_S: Final = 2.5
AHEAD_SAMPLED_S: Final = 1.0
AHEAD_FASTER: Final = 4.0
"""An unknown user begins where the sender will be this long after the newcomer has begun. Sooner one whose sample came
at once, which is quick and not known how quick; at once where that is this many times as fast as the sender."""
LENT_S: Final = 3.0
"""A younger transfer may owe its rate to a limiter, which lends the quota of a second in advance."""
SURE_S: Final = 1.5
SURE_FASTER: Final = 2.0
"""A sender is stopped for a little gain only after this time, unless for a user this many times as fast."""


@unique
class Decision(Enum):
    """Decision on a user that could be given a lease."""

    JOIN = "join"
    SAMPLE = "sample"
    HOLD = "hold"
    SHUT = "shut"


class User(Struct, frozen=True):
    """A source behind the gate. `rate_bytes_s` 0: nothing is known of it. `measured`: its transfer is, at present.

    `advertised_bytes_s`: what it says of itself, a weak prior; 0: nothing. `awaited`: it will send, or its rate will
    be known, in a moment. `sampled`: that by a sample under way. `seems_bytes_s`: of a transfer that is too young for
    its rate to be sure, what that looks like, with what a limiter may have lent; else 0. `guessed`: its rate is that
    of a sample which came at once.
    """

    rate_bytes_s: float
    sends: bool
    measured: bool = False
    advertised_bytes_s: float = 0.0
    awaited: bool = False
    sampled: bool = False
    seems_bytes_s: float = 0.0
    guessed: bool = False

    def expected_bytes_s(self, guess_bytes_s: float) -> float:
        """Return its probable rate, where nothing at all is known the guess; what it says counts half."""
        says = math.sqrt(self.advertised_bytes_s * guess_bytes_s) if self.advertised_bytes_s > 0 else guess_bytes_s
        return self.rate_bytes_s or says


class Outlook(Struct, frozen=True):
    """Input of a decision. `free_bytes_s`: what sources without a gate send together.

    `alone_s`: until those that send are done as it goes now, -1 when none does. `stops`: aborts in this job so far.
    """

    left_bytes: float
    users: dict[int, User]
    free_bytes_s: float = 0.0
    alone_s: float = -1.0
    stops: int = 0

    @property
    def guess_bytes_s(self) -> float:
        """Expected rate of a user of which nothing is known."""
        return guess_bytes_s(self.users.values())


class Forecast(Struct, frozen=True):
    """Seconds until the file is there: as it goes now, from the best single user, from all of them."""

    alone_s: float
    single_s: float
    together_s: float


def guess_bytes_s(users: Iterable[User]) -> float:
    """Return the expected rate of a user of which nothing is known: a geometric mean, for rates differ by factors."""
    known = [math.log(user.rate_bytes_s) for user in users if user.rate_bytes_s > 0]
    return math.exp((PRIOR_WEIGHT * math.log(PRIOR_BYTES_S) + sum(known)) / (PRIOR_WEIGHT + len(known)))


def forecast(outlook: Outlook) -> Forecast:
    """Predict the time left."""
    users, guess = outlook.users.values(), outlook.guess_bytes_s
    best = max((user.rate_bytes_s for user in users), default=0.0)
    # Of those not known only the ones that will grant in a moment count: others may let us wait for hours.
    awaited = sum(user.rate_bytes_s <= 0 and (user.awaited or best <= 0) for user in users)
    if awaited:
        best = max(best, guess * BEST_OF_UNKNOWN if awaited > 1 else guess)
    everyone = outlook.free_bytes_s + sum(user.rate_bytes_s for user in users)
    everyone += guess * awaited if len(outlook.users) >= CROWD else 0.0
    single_s = outlook.left_bytes / max(outlook.free_bytes_s + best, 1.0)
    return Forecast(outlook.alone_s, single_s, outlook.left_bytes / max(everyone, 1.0) + SETUP_S)


def worth_it(before_s: float, after_s: float, patience_s: float, share: float = GAIN_SHARE) -> bool:
    """Return whether the gain justifies a disturbance."""
    gain_s = before_s - after_s
    return gain_s >= patience_s and gain_s >= share * before_s


def sample(outlook: Outlook, *, restart_s: float, patience_s: float, held_s: float, again: bool = False) -> Decision:
    """Decide whether a user of unknown rate is measured by a sample: only if it could gain enough, were it that fast.

    Of a file that is soon there one at a time: the first that is fast enough makes the others needless. `again`: it is
    one of several whose samples came at once.
    """
    users = outlook.users.values()
    unsure = any(user.sends and not user.measured for user in users)
    soon = outlook.alone_s < SAMPLES_APART_S and not again
    if unsure or (soon and any(user.sampled for user in users)):
        return Decision.HOLD if held_s < HOLD_S_MAX else Decision.SHUT
    least_s = (
        patience_s if outlook.stops or sum(user.sends for user in users) > 1 else FIRST_PATIENCE_SHARE * patience_s
    )
    best = max((user.rate_bytes_s for user in users if not (user.sends or user.guessed)), default=0.0)
    left_s = min(outlook.alone_s, outlook.left_bytes / best + restart_s) if best > 0 else outlook.alone_s
    return Decision.SAMPLE if left_s - restart_s - SETUP_S >= least_s else Decision.SHUT


def opens(predicted: Forecast, patience_s: float) -> bool:
    """Return whether the swarm is worth it: against the best single user, and as it goes now."""
    now_s = predicted.alone_s if predicted.alone_s >= 0 else predicted.single_s
    together_s = predicted.together_s
    return worth_it(predicted.single_s, together_s, patience_s) and worth_it(now_s, together_s, patience_s)


def decide(
    outlook: Outlook, candidate: User, *, patience_s: float, held_s: float, sure: Outlook | None = None
) -> Decision:
    """Decide on one candidate while the gate is not open. `held_s`: since when its upload is offered.

    The first to grant is taken, unless a user known to be much faster will probably grant in a moment. `sure`: the
    same without what limiters may have lent; the first stop of a job is judged by that, or a slow first user looks fast
    until it is too late.
    """
    users, left_bytes = outlook.users.values(), outlook.left_bytes
    senders = [user for user in users if user.sends]
    rate = candidate.rate_bytes_s
    if not senders and outlook.free_bytes_s <= 0:
        best = max((user.rate_bytes_s for user in users), default=0.0)
        late = 0 < rate < best and left_bytes / rate > left_bytes / best + LATE_S
        return Decision.HOLD if late and held_s < HOLD_S_MAX else Decision.JOIN
    if any(not user.measured for user in senders):
        return Decision.HOLD if held_s < HOLD_S_MAX else Decision.SHUT
    if rate > 0 and any(user.awaited and not 0 < user.rate_bytes_s <= BETTER * rate for user in users):
        return Decision.HOLD if held_s < HOLD_S_MAX else Decision.SHUT
    guess = outlook.guess_bytes_s
    first = (
        outlook.stops == 0
        and len(senders) == 1
        and worth_it(*_with_one_more(sure or outlook, candidate), FIRST_PATIENCE_SHARE * patience_s, FIRST_GAIN_SHARE)
    )
    if not (first or worth_it(*_with_one_more(outlook, candidate), patience_s)):
        return Decision.SHUT
    unsure = any(candidate.expected_bytes_s(guess) < SURE_FASTER * user.seems_bytes_s for user in senders)
    return Decision.HOLD if unsure and held_s < HOLD_S_MAX else Decision.JOIN


def _with_one_more(outlook: Outlook, candidate: User) -> tuple[float, float]:
    """Return the seconds left as it goes now, and with one more user."""
    guess, left_bytes = outlook.guess_bytes_s, outlook.left_bytes
    now = outlook.free_bytes_s + sum(user.expected_bytes_s(guess) for user in outlook.users.values() if user.sends)
    before_s = outlook.alone_s if outlook.alone_s >= 0 else left_bytes / now
    return before_s, left_bytes / (now + candidate.expected_bytes_s(guess)) + SETUP_S


class UserGate:
    """Gate of one job. Owned by its `Leases`, whose parts it reads; `is_open` from the start where there is none."""

    def __init__(
        self, job: StartJob, tracker: ChunkTracker, sources: dict[int, Source], views: PlacementViewCache
    ) -> None:
        self.patience_s = job.spec.policy.patience_s
        self._mode = job.spec.mode
        self.is_open = self.patience_s <= 0 or self._mode != "swarm"
        self._chunk_size = job.spec.chunk_size
        self._size_bytes = 0
        self._tracker = tracker
        self._sources = sources
        self._views = views
        self._spread_tried = False

    def sized(self, size_bytes: int) -> None:
        """The size of the file is known."""
        self._size_bytes = size_bytes

    def decide(self, source: Source, now_s: float) -> Decision:
        """Decide whether this source may be disturbed now. May open the gate."""
        if not source.traits.abort_is_costly or source.preferred:
            return Decision.JOIN
        if self.is_open:
            self._spread(now_s)
            if source.begins_at >= 0 and spread.is_start(self._views.view(now_s), source.begins_at):
                return Decision.JOIN
            compared = self._views.is_spread or self._someone_sends()
            return Decision.SAMPLE if self._may_sample(source) and compared else Decision.JOIN
        outlook, sure = self._outlook(now_s), self._outlook(now_s, lent=False)
        if len(outlook.users) >= CROWD and opens(forecast(outlook), self.patience_s):
            self.is_open = True
            return self.decide(source, now_s)
        candidate = outlook.users.get(source.id) or _waiting(source, None, now_s)
        held_s = now_s - source.offered_s if source.ticket >= 0 else 0.0
        if self._may_sample(source) and any(user.sends for user in outlook.users.values()):
            restart_s = source.traits.restart_cost_s
            again = source.rate_guessed
            return sample(sure, restart_s=restart_s, patience_s=self.patience_s, held_s=held_s, again=again)
        awaited = any(user.awaited and user.rate_bytes_s <= 0 for user in outlook.users.values())
        # Few users: one of those not known yet may be faster than all the others.
        self.is_open = not awaited and opens(forecast(outlook), self.patience_s)
        if self.is_open:
            return Decision.JOIN
        return decide(outlook, candidate, patience_s=self.patience_s, held_s=held_s, sure=sure)

    def _spread(self, now_s: float) -> None:
        """Have those that advertise to be fast begin apart: once, before anybody sends."""
        if self._spread_tried or self._mode != "swarm" or self._tracker.total == UNBOUNDED:
            return
        self._spread_tried = True
        if not self._tracker.leases and spread.begin_apart(self._sources.values(), self._tracker):
            self._views.spread(now_s)

    def sample_first(self, source: Source) -> int:
        """Return where the next sample of this source begins, which goes to the end of the file."""
        return self._sample_first(source.leases)

    def _sample_first(self, samples: int) -> int:
        count = len(self._sources)
        part = CROWD / count if count >= CROWD else 1.0
        size_bytes = self._size_bytes
        if count >= CROWD:
            share_bytes = min(part * SAMPLES_SHARE / count * size_bytes, SAMPLE_BYTES_MAX)
        else:
            share_bytes = min(SAMPLE_SHARE * size_bytes, max(SAMPLE_LENT_BYTES, SAMPLE_LARGE_SHARE * size_bytes))
        share_bytes = min(share_bytes, SAMPLE_BYTES_MAX) * SAMPLE_AGAIN**samples
        least_bytes = part * max(SAMPLE_BYTES_MIN, SAMPLE_CHUNKS_MIN * self._chunk_size)
        return int((size_bytes - max(share_bytes, least_bytes)) // self._chunk_size)

    def _may_sample(self, source: Source) -> bool:
        """Return whether this user could be measured by a transfer that ends by itself: it will soon be granted again.

        One that let us wait in a long queue would put us at its end.
        """
        if not source.traits.offset_ok or self._mode != "swarm":
            return False
        if (source.rate_bytes_s > 0 or source.leases) and not self._one_of_the_quick(source):
            return False
        if self._tracker.total == UNBOUNDED:
            return False
        quick = source.ticket < 0 or source.offered_s - source.enqueued_s <= SAMPLE_QUEUE_S_MAX
        return quick and self.sample_first(source) > 0

    def _one_of_the_quick(self, source: Source) -> bool:
        """Return whether a second, longer sample is to show who is quickest: that of several came at once."""
        if not source.rate_guessed or source.rides or not 0 < source.leases < SAMPLES_MAX:
            return False
        longer = self._sample_first(source.leases) < self._sample_first(source.leases - 1)
        if self.is_open or len(self._sources) >= CROWD or not longer:
            return False
        return any(
            other.rate_guessed and other is not source and other.usable and other.rides == 0
            for other in self._sources.values()
        )

    def _someone_sends(self) -> bool:
        return any(not (lease.draining or lease.check) for lease in self._tracker.leases.values())

    def _stops_coming(self) -> int:
        """Return how many of the leases that are under way will end with a stop."""
        leases = [lease for lease in self._tracker.leases.values() if not lease.draining]
        cut = [lease for lease in leases if lease.stop < self._tracker.total]
        return sum(self._sources[lease.source].traits.abort_is_costly for lease in cut)

    def place(self, mode: str, source: Source, now_s: float) -> Placement | None:
        """Place by the mode's rule; with a shut gate a user gets a whole gap, or begins right ahead of another."""
        view = self._views.view(now_s)
        if self.is_open or not (source.traits.abort_is_costly and source.traits.offset_ok):
            return place(mode, view, source)
        if not any(not lease.draining for lease in self._tracker.leases.values()) and self._tracker.free:
            return FreeRange(*max(self._tracker.free, key=lambda gap: gap[1] - gap[0]))
        if self._tracker.free:
            return place(mode, view, source)
        guessed = source.rate_bytes_s <= 0 or source.rate_guessed
        ahead = self._ahead(view, source) if guessed else self._shared_with(view, source)
        return ahead or place(mode, view, source)

    def _shared_with(self, view: PlacementView, source: Source) -> Tail | Duplicate | None:
        """Return the part of the last lease to finish that leaves its source what it can send until both are done.

        All of it, from the chunk that is being read on, where that one chunk would take longer.
        """
        for late in (_without_loan(each, view.now_s) for each in view.rates.estimates):
            lease = late.lease
            if lease.rival is not None or not is_open(view, lease) or late.rate_bytes_s <= 0:
                continue
            if not may_disturb(view, source, lease):
                continue
            rate = source.rate_bytes_s
            both_s = (late.left_bytes + rate * source.start_cost_s) / (rate + late.rate_bytes_s)
            reading = int(late.position_bytes // view.chunk_size) + 1
            reading_s = (reading * view.chunk_size - late.position_bytes) / late.rate_bytes_s
            if reading_s > both_s + DUPLICATE_S:
                return Duplicate(lease)
            kept = int((late.position_bytes + late.rate_bytes_s * both_s) // view.chunk_size)
            first = max(kept, reading, lease.next + 1)
            return Tail(lease, first) if first < lease.stop else None
        return None

    def _ahead(self, view: PlacementView, source: Source) -> Tail | None:
        """Return the part of the last lease to finish that begins right ahead of what its source has soon."""
        for late in (_without_loan(each, view.now_s) for each in view.rates.estimates):
            lease = late.lease
            if not self._sources[lease.source].traits.abort_is_costly or late.rate_bytes_s <= 0:
                continue
            if not may_disturb(view, source, lease):
                continue
            ahead_s = source.start_cost_s + _ahead_s(source, late.rate_bytes_s)
            first = int((late.position_bytes + ahead_s * late.rate_bytes_s) // view.chunk_size) + 1
            first = max(first, lease.next + 1)
            if lease.rival is None and is_open(view, lease) and first < lease.stop:
                return Tail(lease, first)
        return None

    def describe(self, now_s: float) -> str:
        """Return the estimate as a sentence; empty where there is nothing to decide."""
        if self.patience_s <= 0 or not any(each.traits.abort_is_costly for each in self._sources.values()):
            return ""
        outlook = self._outlook(now_s)
        if len(outlook.users) < 2 or outlook.left_bytes <= 0:
            return ""
        predicted = forecast(outlook)
        if any(user.sends and user.rate_bytes_s <= 0 for user in outlook.users.values()):
            return ""  # nothing can be said before the first rate is known
        alone_s = predicted.alone_s if predicted.alone_s >= 0 else predicted.single_s
        times = (
            f"{show_time(alone_s)} left as it goes now, {show_time(predicted.together_s)} with all {len(outlook.users)}"
        )
        if self.is_open:
            return f"several users share the file: {times}"
        return f"{times}: users are disturbed for {show_time(self.patience_s)} and a quarter saved"

    def _outlook(self, now_s: float, *, lent: bool = True) -> Outlook:
        """Return the present state; not `lent`: without what limiters may have lent those that send."""
        sampled = {lease.source: lease for lease in self._tracker.leases.values() if lease.check and not lease.draining}
        view = self._views.view(now_s)
        seen = {each.lease.source: each for each in view.rates.estimates if not each.lease.check}
        sending = {
            number: each if lent or not self._sources[number].traits.abort_is_costly else _without_loan(each, now_s)
            for number, each in seen.items()
        }
        users = {
            source.id: _sender(source, seen[source.id], sending[source.id].rate_bytes_s, now_s)
            if source.id in sending
            else _waiting(source, sampled.get(source.id), now_s)
            for source in self._sources.values()
            if source.traits.abort_is_costly
            and (source.id in sending or (source.usable and not bound_to_end(view, source)))
        }
        left_bytes = self._tracker.free.count * self._chunk_size + sum(
            each.left_bytes for each in sending.values() if each.lease.rival is None or each.lease.rival > each.lease.id
        )
        return Outlook(
            left_bytes,
            users,
            free_bytes_s=sum(each.rate_bytes_s for number, each in sending.items() if number not in users),
            alone_s=_alone_s(list(sending.values()), left_bytes, now_s),
            stops=sum(source.stops for source in self._sources.values()) + self._stops_coming(),
        )


def _ahead_s(source: Source, beside_bytes_s: float) -> float:
    if source.rate_bytes_s <= 0:
        return AHEAD_S
    return AHEAD_SAMPLED_S if source.rate_bytes_s < AHEAD_FASTER * beside_bytes_s else 0.0


def _sender(source: Source, seen: LeaseEstimate, rate_bytes_s: float, now_s: float) -> User:
    young = now_s - seen.lease.flowing_s < SURE_S
    return User(
        min(source.rate_bytes_s, rate_bytes_s),
        sends=True,
        measured=seen.lease.rate_bytes_s > 0,
        advertised_bytes_s=source.advertised_bytes_s,
        seems_bytes_s=seen.rate_bytes_s if young else 0.0,
    )


def _waiting(source: Source, sample: Lease | None, now_s: float) -> User:
    """Return a user that does not send, or only a sample: while a second one is to show its rate that is not known."""
    rate = 0.0 if sample is not None and source.rate_guessed else source.rate_bytes_s
    return User(
        rate,
        sends=False,
        advertised_bytes_s=source.advertised_bytes_s,
        awaited=_awaited(source, sample, now_s),
        sampled=rate <= 0 and sample is not None and _awaited(source, sample, now_s),
        guessed=source.rate_guessed,
    )


def _awaited(source: Source, sample: Lease | None, now_s: float) -> bool:
    """Return whether it will probably be granted, or its sample measured, in a moment."""
    if sample is not None:
        return now_s - sample.granted_s < SAMPLED_S
    sampled = source.leases > 0 and source.rides == 0 and source.is_ready(now_s)  # is asked again in this step
    return sampled or (source.enqueued and now_s - source.enqueued_s < AWAITED_S)


def _without_loan(estimate: LeaseEstimate, now_s: float) -> LeaseEstimate:
    """Return the estimate of a transfer at the rate that is left where a limiter has lent it a quota."""
    lease = estimate.lease
    age_s = now_s - lease.flowing_s
    if not lease.flowing_s or age_s >= LENT_S or lease.prior_rate_bytes_s > 0:
        return estimate
    rate = min(estimate.rate_bytes_s, lease.received_bytes / (age_s + LIMITER_QUOTA_S))
    finish_s = now_s + estimate.left_bytes / max(rate, 1.0)
    return replace(estimate, rate_bytes_s=rate, finish_s=finish_s)


def _alone_s(sending: list[LeaseEstimate], left_bytes: float, now_s: float) -> float:
    """Return when those that send are done as it goes: each with its own lease, or the fastest with everything."""
    if not sending:
        return -1.0
    total, best = sum(each.rate_bytes_s for each in sending), max(each.rate_bytes_s for each in sending)
    last_s = max(each.finish_s for each in sending) - now_s
    together_s = left_bytes / max(total, 1.0)
    return max(together_s, min(last_s, left_bytes / max(best, 1.0)))
