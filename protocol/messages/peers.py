"""What is said to and by the memory of peers: what a Soulseek user did in jobs before this one.

Keyed by user name. The memory keeps and tells; what follows from it is decided by those who ask.
"""

from protocol.messages.fact import Fact


class PriorsAsked(Fact, frozen=True, kw_only=True, gc=False):
    """What is known of this peer? Answered by `PriorsTold` to `reply_to`. `job` and `source` only come back."""

    job: int
    source: int
    peer: str
    reply_to: str


class PriorsTold(Fact, frozen=True, kw_only=True, gc=False):
    """What is remembered of a peer; zeros and `offset_ok` when nothing is, or nothing can be read.

    `failures`: attempts in a row that came to nothing, the last with `last_fault` (a `FaultKind` number) `failed_s_ago`
    seconds ago. `stops_today`: how often we hung up on it this day (UTC), in all jobs.
    """

    job: int
    source: int
    peer: str
    rate_bytes_s: float
    setup_s: float
    offset_ok: bool
    failures: int
    last_fault: int
    failed_s_ago: float
    stops_today: int


class PeerRode(Fact, frozen=True, kw_only=True, gc=False):
    """A ride of this peer delivered, at this rate, so long after it was asked (0: not measured)."""

    peer: str
    rate_bytes_s: float
    setup_s: float


class PeerFaulted(Fact, frozen=True, kw_only=True, gc=False):
    """An attempt came to nothing. `fault` is a `FaultKind` number."""

    peer: str
    fault: int
    offset_ok: bool


class PeerStopped(Fact, frozen=True, kw_only=True, gc=False):
    """We hung up on this peer before the end of its file: one more in its ledger of this day."""

    peer: str
