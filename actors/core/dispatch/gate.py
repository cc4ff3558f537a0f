"""Gate before users: whether disturbing one more Soulseek user is worth what it is predicted to gain.

An aborted transfer is a failed upload in a stranger's list. So the file comes from the user that grants first, until
the prediction says that a second one saves enough time: `patience_s` seconds and `GAIN_SHARE` of what is left. Once all
of them together beat the best single one by that much, the gate is open for the rest of the job (the swarm). Before
that one user at a time is let in, and an offered upload is held while nothing is known of the one that sends.

Nothing is known of most users. One without a measurement counts like the mean of a prior and of those that have one;
the best of several unknown users is probably some times as fast. Sources that cost nothing to stop have no gate. Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, unique
from typing import Final

GAIN_SHARE: Final = 0.25
PRIOR_BYTES_S: Final = float(1 << 20)
"""Rate of an unknown user before any is measured: measured peers gave between 0.05 and 10 MiB/s."""
BEST_OF_UNKNOWN: Final = 3.0
"""The best of several unknown users sends this many times their mean: their rates differ by a factor of a hundred."""
SETUP_S: Final = 1.0
"""What it takes until a user that joins sends."""
HOLD_S_MAX: Final = 3.0
"""An offered upload is held for this long at most; real peers wait at least ten times as long."""


@unique
class Decision(Enum):
    """Decision on a user that could be given a lease."""

    JOIN = "join"
    HOLD = "hold"
    SHUT = "shut"


@dataclass(frozen=True, slots=True)
class User:
    """A source behind the gate. `rate_bytes_s` 0: nothing is known of it."""

    rate_bytes_s: float
    sends: bool
    measured: bool = False


@dataclass(frozen=True, slots=True)
class Forecast:
    """Seconds until the file is there: as it goes now, from the best single user, from all of them."""

    alone_s: float
    single_s: float
    together_s: float


def guess_bytes_s(users: Iterable[User]) -> float:
    """Return the expected rate of a user of which nothing is known."""
    known = [user.rate_bytes_s for user in users if user.rate_bytes_s > 0]
    return (PRIOR_BYTES_S + sum(known)) / (1 + len(known))


def forecast(left_bytes: float, users: list[User], free_bytes_s: float) -> Forecast:
    """Predict the time left. `free_bytes_s`: what sources without a gate send together."""
    guess = guess_bytes_s(users)
    unknown = sum(user.rate_bytes_s <= 0 for user in users)
    now = free_bytes_s + sum(user.rate_bytes_s or guess for user in users if user.sends)
    best = max((user.rate_bytes_s for user in users), default=0.0)
    best = max(best, guess * (BEST_OF_UNKNOWN if unknown > 1 else 1.0) if unknown else 0.0)
    everyone = free_bytes_s + sum(user.rate_bytes_s or guess for user in users)
    return Forecast(
        alone_s=left_bytes / now if now > 0 else -1.0,
        single_s=left_bytes / max(free_bytes_s + best, 1.0),
        together_s=left_bytes / max(everyone, 1.0) + SETUP_S,
    )


def worth_it(before_s: float, after_s: float, patience_s: float) -> bool:
    """Return whether the gain justifies a disturbance."""
    gain_s = before_s - after_s
    return gain_s >= patience_s and gain_s >= GAIN_SHARE * before_s


def opens(predicted: Forecast, patience_s: float) -> bool:
    """Return whether the swarm is worth it: against the best single user, and as it goes now."""
    now_s = predicted.alone_s if predicted.alone_s >= 0 else predicted.single_s
    together_s = predicted.together_s
    return worth_it(predicted.single_s, together_s, patience_s) and worth_it(now_s, together_s, patience_s)


def decide(
    left_bytes: float, users: list[User], candidate: User, *, free_bytes_s: float, patience_s: float, held_s: float
) -> Decision:
    """Decide on one candidate while the gate is not open. `held_s`: since when its upload is offered.

    The first to grant is taken, unless a user known to be much faster will probably grant in a moment.
    """
    senders = [user for user in users if user.sends]
    if not senders and free_bytes_s <= 0:
        best = max((user.rate_bytes_s for user in users), default=0.0)
        rate = candidate.rate_bytes_s
        late = 0 < rate < best and left_bytes / rate > left_bytes / best + HOLD_S_MAX
        return Decision.HOLD if late and held_s < HOLD_S_MAX else Decision.JOIN
    guess = guess_bytes_s(users)
    now = free_bytes_s + sum(user.rate_bytes_s or guess for user in senders)
    before_s, more = left_bytes / now, candidate.rate_bytes_s or guess
    if any(not user.measured for user in senders):
        return Decision.HOLD if held_s < HOLD_S_MAX else Decision.SHUT
    return Decision.JOIN if worth_it(before_s, left_bytes / (now + more) + SETUP_S, patience_s) else Decision.SHUT
