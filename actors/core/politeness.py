"""What we may do to a Soulseek peer: how often we hang up on it, and what a disturbance must gain.

A ride broken off before the end of the file stands as a failed upload in the peer's list, and the peer's owner sees it.
So stops are counted, in this job and this day, and there is a budget for each. A source whose budget is *spent* may
only ride a lease that ends where the file ends, which needs no stop, or it waits.
"""

from typing import Final

from actors.core.standing import Source
from protocol.messages import DispatcherWanted

GAIN_ENOUGH_S: Final = 10.0
GAIN_ENOUGH_SHARE: Final = 0.1
"""A second source is only disturbed for a gain of so many seconds, or of this share of what it still needs."""
STOPS_USUAL: Final = 2
"""One stop after measuring, one at the end. Whoever is stopped more often must gain twice as much by it, and something
that can be felt: towards the end a tenth of what is left is a blink, and everybody could still gain that."""
GAIN_FELT_S: Final = 0.5
SPENT_TODAY: Final = "its stops of this day are spent: it is left alone"


def weigh(source: Source, job: DispatcherWanted) -> None:
    """Note on the source whether one more stop would be too many, for this job or for this day.

    Only sources whose stops are dear have a budget, and none where the user asked for chunk by chunk.
    """
    counts = source.traits.dear_stops and job.mode != "queue"
    source.spent_today = counts and source.stops_before + source.stops >= job.stops_per_day
    source.spent = source.spent_today or (counts and source.stops >= job.stops_per_job)


def gain_min_s(left_s: float, stops: int = 0) -> float:
    """What disturbing a source must gain that would need `left_s` more seconds by itself. `stops`: how often the one
    who would ride instead was stopped in this job."""
    enough_s = min(GAIN_ENOUGH_S, GAIN_ENOUGH_SHARE * left_s)
    return max(2 * enough_s, GAIN_FELT_S) if stops >= STOPS_USUAL else enough_s
