"""What may be ordered of a job in which state, and what becomes of it. Everything else is refused and changes
nothing."""

from typing import Final

from protocol.snapshots import ACTIVE, CANCELLED, FAILED, PAUSED, QUEUED, SEALED

PAUSE: Final = "pause"
RESUME: Final = "resume"
CANCEL: Final = "cancel"
RETRY: Final = "retry"
DELETE: Final = "delete"
TUNE: Final = "tune"
FEED: Final = "give sources to"

GONE: Final = "gone"

ORDERS: Final[dict[str, dict[str, str]]] = {
    PAUSE: {QUEUED: PAUSED, ACTIVE: PAUSED},
    RESUME: {PAUSED: QUEUED},
    CANCEL: {QUEUED: CANCELLED, ACTIVE: CANCELLED, PAUSED: CANCELLED},
    RETRY: {FAILED: QUEUED, CANCELLED: QUEUED},
    DELETE: {SEALED: GONE, FAILED: GONE, CANCELLED: GONE},
    TUNE: {QUEUED: QUEUED, ACTIVE: ACTIVE, PAUSED: PAUSED},
    FEED: {QUEUED: QUEUED, ACTIVE: ACTIVE, PAUSED: PAUSED},
}
"""Order, state before, state after."""

LIVING: Final = (QUEUED, ACTIVE, PAUSED)
RETRIED: Final = ("starved", "disk", "failed")
"""How a run may end so that another one may do better by itself. What disagrees will go on to."""


def refusal(order: str, state: str) -> str:
    """Why this cannot be done, for people; empty when it can."""
    if state in ORDERS[order]:
        return ""
    if state in LIVING:
        return f"cannot {order} a job that is {state}"
    return f"cannot {order} a job that has ended: it is {state}"


def state_after_run(state: str, outcome: str, *, again: bool) -> str:
    """`outcome` as in `JobEnded`; `again`: it may be tried again by itself. A file that stands is sealed whatever was
    ordered meanwhile; else what was ordered holds."""
    if outcome == "sealed":
        return SEALED
    if state != ACTIVE:
        return state
    if outcome == "interrupted" or (again and outcome in RETRIED):
        return QUEUED
    return FAILED
